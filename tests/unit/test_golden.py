"""The self test's inference: far from every rounding's edge where layers compute in float, and what the header says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeprune.codegen import generate
from edgeprune.compile import lower
from edgeprune.device import load_device
from edgeprune.golden import golden_inference, margin
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import Graph
from edgeprune.model import load_model
from edgeprune.model.data import Dataset
from edgeprune.plan import Objective, plan
from edgeprune.progress import SilentProgress
from edgeprune.quantize import quantize
from tests.support.islands import float_network

pytest.importorskip("tvm")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    path = tmp_path_factory.mktemp("golden") / "islands.onnx"
    path.write_bytes(float_network())
    images = np.random.default_rng(1).standard_normal((16, 3, 8, 8)).astype(np.float32)
    return lower(quantize(load_model(path), Dataset((images,)), SilentProgress()), "islands")


def test_the_embedded_input_is_far_from_every_edge(graph: Graph) -> None:
    golden = golden_inference(graph)
    values = dict(execute(graph, golden.inputs))
    assert golden.exact
    found = margin(graph, values)
    assert found >= 2e-6
    # What it promises: a real number that moves by less is stored as before, and one that moves by more is not.
    node = next(n for n in graph.nodes if n.op == "Onnx" and n.attrs["type"] == "QuantizeLinear")
    real, scale, zero_point = (values[tensor.name] for tensor in node.inputs)

    def stored(moved: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(moved.astype(np.float64) / scale) + zero_point, -128, 127)

    reach = 0.9 * found * np.abs(real).max()
    for direction in (-1, 1):
        assert np.array_equal(stored(real + direction * reach), values[node.output.name])


def test_the_margin_is_that_of_the_number_nearest_an_edge(graph: Graph) -> None:
    values = dict(execute(graph, golden_inference(graph).inputs))
    node = next(n for n in graph.nodes if n.op == "Onnx" and n.attrs["type"] == "QuantizeLinear")
    real, scale, _ = (values[tensor.name] for tensor in node.inputs)
    near = real.copy()
    near.flat[0] = (3.5 + 1e-4) * scale
    values[node.inputs[0].name] = near
    assert margin(graph, values) == pytest.approx(1e-4 * scale / np.abs(near).max(), rel=0.05)


def test_the_header_says_how_exact_the_self_test_is(graph: Graph) -> None:
    program = plan(graph, load_device("mps2-an386"), Objective())
    golden = golden_inference(graph)
    exact = generate(program, "net", golden).files
    assert "Byte for byte, though layers compute in float" in exact["net.h"]
    assert "net_close" not in exact["net_self_test.c"]
    loose = generate(program, "net", replace(golden, exact=False)).files
    assert "Results in int8 may be 3 steps apart" in loose["net.h"]
    assert "net_close" in loose["net_self_test.c"]
