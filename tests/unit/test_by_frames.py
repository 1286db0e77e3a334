"""Networks over sequences, frame by frame: the same bytes, each value once, and a refusal of what looks ahead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgeprune.compile import lower
from edgeprune.errors import UsageError
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import Graph, Quant, Tensor
from edgeprune.graph.passes import by_frames
from edgeprune.graph.verify import verify
from edgeprune.ops import operator_for
from edgeprune.progress import SilentProgress
from edgeprune.stepping import Stepping, with_stepping
from edgeprune.verify import Samples, real_outputs, reference_outputs, stored_inputs
from tests.support import recurrent_nodes
from tests.support.onnx_models import QdqBuilder
from tests.support.recurrent_nodes import Recurrence

FRAMES = 11
BATCH_FIRST = {"x": (1, 0, 2)}


def conv(b: QdqBuilder, x: str, cin: int, cout: int, k: int = 1, **attrs: object) -> str:
    group = attrs.get("group", 1)
    assert isinstance(group, int)
    return b.op("Conv", [x, b.weights(cout, cin // group, k)], kernel_shape=[k], **attrs)


def padded(b: QdqBuilder, x: str, left: int, right: int = 0) -> str:
    return b.op("Pad", [x, b.constant(np.array([0, 0, left, 0, 0, right]))], None)


def cut(b: QdqBuilder, x: str, start: int, end: int) -> str:
    bounds = [b.constant(np.array([value])) for value in (start, end, 2)]
    return b.op("Slice", [x, *bounds], None)


def causal(b: QdqBuilder) -> str:
    """Left padding in the convolution and before it, padding on both sides with the end cut off, and residual sums."""
    x = conv(b, b.input(1, 3, FRAMES), 3, 8)
    y = b.op("Relu", [conv(b, x, 8, 8, 3, dilations=[2], pads=[4, 0])], 0.05, -128)
    x = b.op("Add", [x, y])
    y = b.quantized(padded(b, x, 3), 0.1, -5)
    x = b.op("Add", [x, conv(b, y, 8, 8, 4, group=8)])
    y = b.quantized(cut(b, conv(b, x, 8, 8, 3, pads=[2, 2]), 0, FRAMES), 0.1, -5)
    x = b.op("Mul", [b.op("Sigmoid", [y], 1 / 256, -128), x])
    return b.op("Softmax", [b.op("Transpose", [x], None, perm=[0, 2, 1])], 1 / 256, -128, axis=-1)


def shared(b: QdqBuilder) -> str:
    """Two layers that read one window, and channels side by side."""
    x = b.input(1, 4, FRAMES)
    both = [conv(b, x, 4, 4, 3, pads=[2, 0]) for _ in range(2)]
    return b.op("Concat", [*both, b.quantized(x, 0.1, -5)], axis=1)


def unpadded(b: QdqBuilder) -> str:
    """Windows that begin inside the sequence, and a shortcut cut to the same frames."""
    x = b.input(1, 4, FRAMES)
    y = conv(b, conv(b, x, 4, 6, 3), 6, 4, 2, dilations=[3])
    return b.op("Add", [y, b.quantized(cut(b, x, 5, FRAMES), 0.05, 3)])


def last_frame(b: QdqBuilder) -> str:
    x = conv(b, b.input(1, 4, FRAMES), 4, 6, 3, pads=[2, 0])
    flat = b.op("Flatten", [b.quantized(cut(b, x, FRAMES - 1, FRAMES), 0.1, -5)], None)
    return b.op("Gemm", [flat, b.weights(5, 6)], transB=1)


def spectrum(b: QdqBuilder) -> str:
    """Images of time and frequency, whose windows look back in time and to both sides in frequency."""
    x = b.input(1, 1, FRAMES, 7)
    attrs = {"kernel_shape": [3, 3], "pads": [2, 1, 0, 1]}
    x = b.op("Relu", [b.op("Conv", [x, b.weights(6, 1, 3, 3)], None, strides=[1, 2], **attrs)], 0.05, -128)
    x = b.op("Conv", [x, b.weights(4, 6, 3, 3)], **attrs)
    return b.op("ReduceMean", [x], axes=[3], keepdims=0)


def bands(b: QdqBuilder) -> str:
    """The same images with time behind frequency: a window has its frames side by side in each row."""
    x = b.input(1, 1, 7, FRAMES)
    attrs = {"kernel_shape": [3, 3], "pads": [1, 2, 1, 0]}
    x = b.op("Relu", [b.op("Conv", [x, b.weights(4, 1, 3, 3)], None, strides=[2, 1], **attrs)], 0.05, -128)
    x = b.op("Conv", [x, b.weights(5, 4, 3, 2)], kernel_shape=[3, 2], pads=[1, 3, 1, 0], dilations=[1, 3])
    return b.op("ReduceMean", [x], axes=[2], keepdims=0)


CAUSAL = (causal, shared, unpadded, last_frame, spectrum, bands)


def both_forms(make: Callable[[QdqBuilder], str]) -> tuple[Graph, Graph]:
    """A network over sequences, and frame by frame."""
    b = QdqBuilder(1)
    onnx = b.model(make(b))
    return lower(onnx, "net"), lower(with_stepping(onnx, Stepping(frames=True)), "net")


@pytest.mark.parametrize("make", CAUSAL, ids=lambda make: make.__name__)
def test_frames_give_the_bytes_of_the_sequence(make: Callable[[QdqBuilder], str]) -> None:
    whole, framed = both_forms(make)
    given = whole.inputs[0]
    order = np.argsort(whole.layouts.get(given.name, range(len(given.shape))))
    shape = [3, *(given.shape[axis] for axis in order[1:])]
    real = np.random.default_rng(2).normal(0, 3, shape).astype(np.float32)
    samples = Samples((real,), None, "")
    want, got = (
        real_outputs(graph, reference_outputs(graph, stored_inputs(graph, samples), SilentProgress()))
        for graph in (whole, framed)
    )
    assert np.unique(want[0]).size > 8
    np.testing.assert_array_equal(got[0].reshape(want[0].shape), want[0])


def test_a_frame_costs_one_column_of_each_layer() -> None:
    whole, framed = both_forms(causal)
    columns = sum(operator_for(node).macs(node) // FRAMES for node in whole.nodes if node.op != "Conv")
    convolutions = [node for node in whole.nodes if node.op == "Conv"]
    columns += sum(
        node.output.shape[-1] * node.inputs[1].elements // node.inputs[1].shape[0] for node in convolutions
    )
    assert sum(operator_for(node).macs(node) for node in framed.nodes) == columns
    kept = {tensor.before.name: tensor.before.bytes for tensor in framed.states}
    assert sorted(kept.values()) == [4, 4, 4, 16, 24, 32]  # (k - 1) d frames of 8 channels, and where in them


def test_readers_of_one_window_share_it() -> None:
    _, framed = both_forms(shared)
    assert sum(node.op == "Ring" for node in framed.nodes) == 1


REFUSED = {
    "ahead": lambda b, x: conv(b, x, 4, 4, 3, pads=[1, 1]),
    "leaves out frames (its stride is not 1)": lambda b, x: conv(b, x, 4, 4, 3, pads=[2, 0], strides=[2]),
    "ReduceMean": lambda b, x: b.op("ReduceMean", [conv(b, x, 4, 4, 3, pads=[2, 0])], axes=[2], keepdims=0),
    "by more than its window looks back": lambda b, x: conv(b, x, 4, 4, 3, pads=[4, 0]),
    "whose first frames another layer has taken": lambda b, x: conv(
        b, conv(b, x, 4, 4, 3), 4, 4, 3, pads=[2, 0]
    ),
    "frame by frame along axis 2 of the input: it pads a sequence whose first": lambda b, x: conv(
        b, b.quantized(padded(b, conv(b, x, 4, 4, 3), 2), 0.1, -5), 4, 4
    ),
    "begins before its input along axis 2": lambda b, x: b.quantized(
        padded(b, conv(b, x, 4, 4, 3, pads=[2, 0]), 3), 0.1, -5
    ),
    "frames of different times": lambda b, x: b.op(
        "Add", [cut(b, x, 2, FRAMES), cut(b, conv(b, x, 4, 4, 3, pads=[2, 1]), 3, FRAMES + 1)]
    ),
    "by their place in the sequence": lambda b, x: b.op(
        "Mul", [conv(b, x, 4, 4, 3, pads=[2, 0]), b.weights(1, 1, FRAMES, axis=None)]
    ),
    "no layer of 'net' looks back": lambda b, x: conv(b, x, 4, 4),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_cannot_run_by_frames_is_refused(says: str) -> None:
    b = QdqBuilder(1)
    onnx = b.model(REFUSED[says](b, b.input(1, 4, FRAMES)))
    with pytest.raises(UsageError, match=says.replace("(", r"\(").replace(")", r"\)")):
        lower(with_stepping(onnx, Stepping(frames=True)), "net")


@pytest.mark.parametrize(
    "case",
    [
        Recurrence("LSTM"),
        Recurrence("LSTM", steps=40, emits=(0, 1, 0), gain=8.0),
        Recurrence("GRU", linear_before_reset=0),
        Recurrence("GRU", steps=40, emits=(1, 1), gain=8.0),
        Recurrence("RNN", steps=9),
    ],
    ids=lambda case: f"{case.op}-{case.steps}",
)
def test_a_step_of_a_recurrent_layer_is_exact(case: Recurrence) -> None:
    quants = (recurrent_nodes.OUTPUT_QUANTS[1],) * 3
    (node,) = recurrent_nodes.lower(case, np.random.default_rng(3), output_quants=quants)
    graph = Graph("net", (node,), (node.inputs[0],), node.outputs, BATCH_FIRST)
    framed = verify(by_frames.run(graph))
    x = np.random.default_rng(4).integers(-128, 128, node.inputs[0].shape).astype(np.int8)
    want = execute(graph, [x])
    samples = x.reshape(1, case.steps, 1, 1, -1)
    got = reference_outputs(framed, (samples,), SilentProgress())
    for tensor, runs in zip(node.outputs, got, strict=True):
        expected = want[tensor.name]
        found = runs[0] if tensor.name == "Y" else runs[0, -1]
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def test_layers_from_the_end_and_states_from_elsewhere_are_refused() -> None:
    says = {"goes through the sequence from its end": {"direction": "reverse"}}
    says |= {"starts from other states than zeros": {"states": "constant"}}
    for text, how in says.items():
        (node,) = recurrent_nodes.lower(Recurrence("GRU", **how), np.random.default_rng(3))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=text):
            by_frames.run(Graph("net", (node,), (node.inputs[0],), node.outputs, BATCH_FIRST))


def test_one_sequence_is_needed() -> None:
    x, y = (Tensor(name, (1, 4), "int8", Quant.per_tensor(0.1, 0)) for name in "xy")
    with pytest.raises(UsageError, match="has 2 inputs: --frames needs one"):
        by_frames.run(Graph("net", (), (x, y), (x,)))
