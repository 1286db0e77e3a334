"""Lossless compaction: constant channels vanish, every output byte stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeprune.graph.build import constant
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import compact, simplify
from edgeprune.graph.passes.channel_ranges import channel_ranges
from edgeprune.graph.verify import verify
from tests.support.onnx_models import MODELS, QdqBuilder, conv_block


def deaden(graph: Graph, layer: int, channels: list[int], bias: int) -> Graph:
    """The graph with some output channels of its `layer`-th convolution made constant."""
    convs = [node for node in graph.nodes if node.op == "Conv"]
    node = convs[layer]
    x, w, b = node.inputs
    weights, biases = w.value.copy(), b.value.copy()
    weights[channels], biases[channels] = 0, bias
    changed = replace(node, inputs=(x, constant(w.name, weights, w.quant), constant(b.name, biases, b.quant)))
    return replace(graph, nodes=tuple(changed if n is node else n for n in graph.nodes))


def assert_same_outputs(one: Graph, other: Graph) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        inputs = [rng.integers(-128, 128, t.shape).astype(np.int8) for t in one.inputs]
        first, second = execute(one, inputs), execute(other, inputs)
        for tensor in one.outputs:
            np.testing.assert_array_equal(first[tensor.name], second[tensor.name])


def chain(pads: int = 1) -> Graph:
    """Convolution, depthwise convolution, convolution, mean: all ties of a usual network."""
    b = QdqBuilder(5)
    x = conv_block(b, b.input(1, 3, 7, 6), 3, 8)
    attrs = {"kernel_shape": [3, 3], "pads": [pads] * 4, "group": 8}
    x = b.op("Relu", [b.op("Conv", [x, b.weights(8, 1, 3, 3)], scale=None, **attrs)], 0.05, -128)
    x = conv_block(b, x, 8, 8, k=1)
    x = b.op("HardSwish", [x], 0.05, 11)
    x = b.op("Conv", [x, b.weights(4, 8, 3, 3)], 0.1, 3, kernel_shape=[3, 3])
    return simplify(import_onnx(b.model(b.op("GlobalAveragePool", [x])), "net"))


def widths(graph: Graph) -> list[int]:
    return [node.inputs[1].shape[0] for node in graph.nodes if node.op == "Conv"]


@pytest.mark.parametrize("bias", [0, -70_000, 900, 70_000])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
@pytest.mark.parametrize("pads", [0, 1])
def test_outputs_stay_whatever_is_constant(layer: int, bias: int, pads: int) -> None:
    graph = deaden(chain(pads), layer, [1, 3], bias)
    compacted = verify(compact.run(graph))
    assert_same_outputs(graph, compacted)
    assert compact.removed_channels(graph, compacted) >= 0


def test_zero_channels_vanish_through_depthwise_and_activation() -> None:
    graph = deaden(chain(), 0, [0, 5, 6], 0)
    assert widths(compact.run(graph))[:2] == [5, 5]
    assert compact.removed_channels(graph, compact.run(graph)) >= 6


def test_constant_that_is_not_the_zero_point_stays_before_padding() -> None:
    graph = deaden(chain(pads=1), 0, [2], 70_000)
    assert widths(compact.run(graph))[0] == 8
    graph = deaden(chain(pads=0), 0, [2], 70_000)
    assert widths(compact.run(graph))[0] == 7


def test_residual_channels_go_only_together() -> None:
    graph = simplify(import_onnx(MODELS["residual"](), "net"))
    one_side = deaden(graph, 2, [4], 0)
    assert widths(compact.run(one_side)) == widths(graph)
    hidden = deaden(graph, 1, [4], 0)
    assert widths(compact.run(hidden))[1] == 7
    for changed in (one_side, hidden):
        assert_same_outputs(changed, compact.run(changed))


def test_a_layer_keeps_one_channel() -> None:
    graph = deaden(chain(), 2, list(range(8)), 0)
    compacted = verify(compact.run(graph))
    assert widths(compacted)[2] == 1
    assert_same_outputs(graph, compacted)


def test_channels_clamped_by_their_activation_are_constant() -> None:
    graph = chain()
    node = next(
        n for n in graph.nodes if n.op == "Conv" and n.ints("clamp")[0] == -128 and n.int("group") == 1
    )
    x, w, b = node.inputs
    weights = w.value.copy()
    weights[3] = -np.abs(weights[3])
    narrowed = replace(
        node, inputs=(x, constant(w.name, weights, w.quant), constant(b.name, b.value - 10**6, b.quant))
    )
    changed = replace(graph, nodes=tuple(narrowed if n is node else n for n in graph.nodes))
    assert channel_ranges(changed)[node.output.name].constant.any()
    assert_same_outputs(changed, verify(compact.run(changed)))


@pytest.mark.parametrize("name", MODELS)
def test_intervals_hold_every_value(name: str) -> None:
    graph = simplify(import_onnx(MODELS[name](), name))
    ranges = channel_ranges(graph)
    rng = np.random.default_rng(1)
    for _ in range(5):
        values = execute(graph, [rng.integers(-128, 128, t.shape).astype(np.int8) for t in graph.inputs])
        for tensor, interval in ranges.items():
            array = values[tensor].reshape(-1, len(interval.low))
            assert (array >= interval.low).all()
            assert (array <= interval.high).all()
