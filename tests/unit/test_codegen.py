"""Generated C: golden files, names from anywhere, shared functions, sanitizers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion

from edgeprune.codegen import generate
from edgeprune.codegen.functions import share_functions
from edgeprune.compress.builder import int8_onnx
from edgeprune.config import Settings
from edgeprune.device import Device, load_device
from edgeprune.emulate import run
from edgeprune.firmware import build
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.kernels import Code, Function
from edgeprune.model import load_model
from edgeprune.plan import Objective, plan
from edgeprune.progress import SilentProgress
from edgeprune.templating import c_comment, c_identifier
from edgeprune.verify import reference_outputs
from tests.support.onnx_models import MODELS


def small(name: str = "flatten") -> Graph:
    return simplify(import_onnx(MODELS[name](), name))


@pytest.mark.parametrize("device", ["nucleo-l4r5zi", "bluepill-f103c8"])
def test_library_is_as_reviewed(device: str, snapshot: SnapshotAssertion) -> None:
    """The whole library of a small network; a change of the generated C shows here and is read by a person."""
    sources = generate(plan(small(), load_device(device), Objective()), "flatten")
    assert sources.files == snapshot


def test_same_input_gives_the_same_bytes() -> None:
    one, other = (
        generate(plan(small("residual"), load_device("host"), Objective()), "net") for _ in range(2)
    )
    assert one.files == other.files


def sanitized(device: Device) -> Device:
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
    return replace(device, flags=(*device.flags, *checks))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("target", ["host", "nucleo-l4r5zi"])
def test_library_is_clean_under_sanitizers(name: str, target: str, tmp_path: Path) -> None:
    """The C for each core, its portable branch where it has assembly, run on the host and compared."""
    graph = small(name)
    sources = generate(plan(graph, load_device(target), Objective()), name)
    image = build(sources, sanitized(load_device("host")), tmp_path)
    rng = np.random.default_rng(0)
    inputs = tuple(rng.integers(-128, 128, (3, *t.shape)).astype(np.int8) for t in graph.inputs)
    found = run(image, inputs).outputs
    for want, got in zip(reference_outputs(graph, inputs, SilentProgress()), found, strict=True):
        np.testing.assert_array_equal(want, got.reshape(want.shape))


def test_a_layer_that_gcc_may_hold_for_pure_is_run(tmp_path: Path) -> None:
    """GCC 12 for x86-64 dropped the call of this network's embedding at -O2."""
    recipe = Path(__file__).resolve().parents[1] / "recipes" / "embedding_classifier.py"
    onnx = int8_onnx(load_model(recipe), Settings(recipe, "host"), SilentProgress(), quick=True)
    graph = simplify(import_onnx(onnx, "embedding"))
    sources = generate(plan(graph, load_device("host"), Objective("ram")), "embedding")
    image = build(sources, load_device("host"), tmp_path)
    inputs = (np.random.default_rng(0).integers(0, 40, (3, *graph.inputs[0].shape)).astype(np.int32),)
    (found,) = run(image, inputs).outputs
    (expected,) = reference_outputs(graph, inputs, SilentProgress())
    np.testing.assert_array_equal(expected, found.reshape(expected.shape))


def test_constants_are_declared_with_the_alignment_they_are_defined_with() -> None:
    files = generate(plan(small(), load_device("host"), Objective()), "net").files
    pattern = re.compile(r"^(?:extern )?const \w+ (\w+)\[\d+\] NET_ALIGNED\((\d+)\)", re.MULTILINE)
    declared, defined = (pattern.findall(files[name]) for name in ("net_weights.h", "net_weights.c"))
    assert declared == defined != []


def test_functions_of_equal_text_are_shared_and_others_numbered() -> None:
    def code(text: str) -> Code:
        return Code((Function("net_f", f"static int net_f(void) {{ return {text}; }}"),), "net_f();")

    functions, bodies = share_functions([code("1"), code("2"), code("1")])
    assert [f.name for f in functions] == ["net_f", "net_f_v2"]
    assert bodies == ("net_f();", "net_f_v2();", "net_f();")


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("kws", "kws"),
        ("int", "n_int"),
        ("2nd net", "n_2nd_net"),
        ("a*/b", "a_b"),
        ("", "unnamed"),
        ("é", "unnamed"),
    ],
)
def test_names_become_identifiers(text: str, identifier: str) -> None:
    assert c_identifier(text) == identifier


@pytest.mark.parametrize("text", ["a*/b", "x/*y", "// z", 'q"u\no\\te', "??/", "é" * 50, "n" * 10_000])
def test_comments_cannot_be_left(text: str) -> None:
    comment = c_comment(text)
    assert len(comment) <= 100
    assert not any(mark in comment for mark in ("/*", "*/", "//", "\\", "\n", "??"))
