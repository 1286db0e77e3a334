"""One small network of unconnected layers that has every operator of the IR, in every form its kernels have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.build import Builder, constant
from edgeprune.graph.ir import Array, AttributeValue, Graph, Node, Quant, Shape, Tensor
from edgeprune.ops import OnnxNode, Operator, operators
from edgeprune.ops._table import UnaryTable
from edgeprune.ops.ring import ring_slots
from edgeprune.plan.candidates import admitted_candidates
from edgeprune.plan.program import Buffer, Program, Step
from tests.support import cases
from tests.support.host_kernel import random_stored, reference
from tests.support.recurrent_nodes import Recurrence, lower

__all__ = ["every_operator", "expected_outputs", "operators_with_reference", "program_of", "random_inputs"]

QUANT = Quant.per_tensor(0.05, 3)


def operators_with_reference() -> set[str]:
    """Names of the operators that occur in an int8 graph; the others are lowered to these, or are float."""
    return {
        name
        for name, operator in operators().items()
        if type(operator).reference is not Operator.reference and name != "Onnx"
    }


def every_operator(rng: np.random.Generator) -> tuple[Node, ...]:
    """Nodes with names of their own in one graph."""
    groups = [*_linear(rng), *_movement(rng), *_tables(rng), *_normalising(rng), *_recurrent(rng), *_kept()]
    return tuple(node for index, group in enumerate(groups) for node in _renamed(group, index))


def program_of(nodes: Sequence[Node], device: Device) -> Program:
    """A step for every candidate that the device has for each node; nothing overlaps.

    A node with several candidates occurs once for each, with outputs of its own; nodes that read its output read
    the first one's.
    """
    steps: list[Step] = []
    buffers: dict[str, Buffer] = {}
    end = 0

    def room(name: str, size_bytes: int) -> Buffer:
        nonlocal end
        buffers[name] = Buffer(name, (name,), "sram", end, size_bytes, 0, 0)
        end += -(-size_bytes // 8) * 8
        return buffers[name]

    for node in nodes:
        for number in range(len(admitted_candidates((node,), device))):
            variant = _variant(node, number)
            candidate = admitted_candidates((variant,), device)[number]
            for tensor in (*variant.inputs, *variant.outputs):
                if tensor.value is None and tensor.name not in buffers:
                    room(tensor.name, tensor.bytes)
            scratch = (
                room(f"{variant.name} scratch", candidate.scratch_bytes) if candidate.scratch_bytes else None
            )
            assert candidate.persistent_bytes == 0, candidate.name
            steps.append(Step(f"{variant.name}: {candidate.name}", (variant,), candidate, scratch))
    placed = tuple(replace(buffer, last_step=len(steps) - 1) for buffer in buffers.values())
    graph = Graph("every", tuple(step.nodes[0] for step in steps), _inputs(nodes), _outputs(steps))
    return Program(graph, device, tuple(steps), placed, end, 8, 0, end)


def random_inputs(rng: np.random.Generator, program: Program) -> dict[str, Array]:
    """Stored values of the graph's inputs, extremes included; places in rings are such."""
    graph = program.graph
    values = {tensor.name: random_stored(rng, tensor.shape, tensor.dtype) for tensor in graph.inputs}
    rings = (node for node in graph.nodes if node.op == "Ring")
    return values | {ring.inputs[2].name: values[ring.inputs[2].name] % ring_slots(ring) for ring in rings}


def expected_outputs(program: Program, values: dict[str, Array]) -> dict[str, Array]:
    """What the references give, by tensor."""
    return reference(program.graph.nodes, values)


def _variant(node: Node, number: int) -> Node:
    if number == 0:
        return node
    outputs = tuple(replace(tensor, name=f"{tensor.name}_v{number}") for tensor in node.outputs)
    return replace(node, name=f"{node.name}_v{number}", outputs=outputs)


def _inputs(nodes: Sequence[Node]) -> tuple[Tensor, ...]:
    produced = {tensor.name for node in nodes for tensor in node.outputs}
    free = (t for node in nodes for t in node.inputs if t.value is None and t.name not in produced)
    return tuple({tensor.name: tensor for tensor in free}.values())


def _outputs(steps: Sequence[Step]) -> tuple[Tensor, ...]:
    return tuple(tensor for step in steps for tensor in step.nodes[0].outputs)


def _renamed(group: tuple[Node, ...], index: int) -> Iterator[Node]:
    def own(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(replace(tensor, name=f"{tensor.name}_{index}") for tensor in tensors)

    for node in group:
        yield replace(
            node, name=f"{node.op}_{node.name}_{index}", inputs=own(node.inputs), outputs=own(node.outputs)
        )


def _activation(name: str, shape: Shape, dtype: str = "int8", quant: Quant = QUANT) -> Tensor:
    return Tensor(name, shape, dtype, quant if dtype == "int8" else None)


def _linear(rng: np.random.Generator) -> Iterator[tuple[Node, ...]]:
    yield (cases.conv_node(rng, height=5, width=5, in_channels=3, out_channels=6),)
    yield (cases.conv_node(rng, height=6, width=5, in_channels=5, out_channels=7, extremes=True),)
    yield (cases.conv_node(rng, in_channels=4, out_channels=6, group=2, dilations=(1, 2)),)
    yield (cases.conv_node(rng, in_channels=9, out_channels=5, kernel=(1, 1), pads=(0, 0, 0, 0)),)
    yield (cases.conv_node(rng, in_channels=8, out_channels=8, kernel=(1, 1), pads=(0, 0, 0, 0)),)
    yield (cases.conv_node(rng, in_channels=7, out_channels=7, group=7, strides=(2, 1)),)
    yield (cases.conv_node(rng, in_channels=8, out_channels=8, group=8),)
    yield (cases.fully_connected_node(rng, in_features=16, out_features=8),)
    yield (cases.fully_connected_node(rng, rows=(2,), in_features=33, out_features=7),)
    yield (cases.conv_transpose_node(rng),)
    yield (cases.with_wide_weights(rng, cases.conv_node(rng, in_channels=3, out_channels=6)),)
    yield (cases.with_wide_weights(rng, cases.conv_node(rng, in_channels=5, out_channels=5, group=5)),)
    yield (cases.with_wide_weights(rng, cases.fully_connected_node(rng, in_features=9, out_features=7)),)
    yield (cases.with_wide_weights(rng, cases.conv_transpose_node(rng)),)
    yield (cases.matmul_node(rng),)
    yield (cases.matmul_node(rng, (2, 5, 7), (6, 7), transpose_b=True),)
    yield (cases.max_pool_node(rng, kernel=(3, 2), pads=(1, 0, 1, 1)),)
    yield (cases.average_pool_node(rng, kernel=(3, 3), pads=(1, 1, 1, 1)),)
    yield (cases.reduce_mean_node(rng),)
    yield (cases.binary_node(rng, "Add"),)
    yield (cases.binary_node(rng, "Add", (1, 4, 6), (4, 1)),)
    yield (cases.binary_node(rng, "Sub"),)
    yield (cases.binary_node(rng, "Div"),)
    yield (cases.binary_node(rng, "Mul", (3, 5), (5,), constant_b=True),)


def _kept() -> Iterator[tuple[Node, ...]]:
    def ring(frame: Shape, window: Shape) -> tuple[Node, ...]:
        old, new = (_activation(name, (2, *frame)) for name in ("ring", "kept"))
        places = _activation("place", (1,), "int32"), _activation("next", (1,), "int32")
        attrs: dict[str, AttributeValue] = {"axis": 2, "kernel": 3, "dilation": 1}
        x, y = _activation("x", frame), _activation("y", window)
        return (Node("Ring", "n", (x, old, places[0]), (y, new, places[1]), attrs),)

    yield ring((1, 1, 1, 4), (1, 1, 3, 4))
    yield ring((1, 3, 1, 5), (1, 3, 3, 5))


def _movement(rng: np.random.Generator) -> Iterator[tuple[Node, ...]]:
    def one(op: str, before: Shape, after: Shape, dtype: str = "int8", **attrs: Any) -> tuple[Node, ...]:
        x, y = _activation("x", before, dtype), _activation("y", after, dtype)
        return (Node(op, "n", (x,), (y,), attrs),)

    yield one("Transpose", (2, 3, 5), (5, 2, 3), perm=(2, 0, 1))
    yield one("Transpose", (3, 5), (5, 3), "int16", perm=(1, 0))
    yield one("Slice", (5, 7), (2, 3), starts=(4, 1), steps=(-2, 2), sizes=(2, 3))
    yield one("Slice", (5, 7), (2, 7), "int32", starts=(1, 0), steps=(3, 1), sizes=(2, 7))
    yield one("Expand", (3, 1), (3, 5), shape=(3, 5))
    yield one("Pad", (2, 3), (4, 6), pads=(1, 2, 1, 1), value=-9, mode="constant")
    yield one("Pad", (4, 3), (7, 5), pads=(2, 1, 1, 1), value=0, mode="reflect")
    yield one("Reshape", (2, 6), (3, 4), shape=(3, 4))
    yield one(
        "Resize", (1, 3, 4, 3), (1, 6, 8, 3), rows=(0, 0, 1, 1, 2, 2), columns=tuple(i // 2 for i in range(8))
    )
    yield one("Resize", (1, 3, 4, 3), (1, 2, 3, 3), rows=(0, 2), columns=(0, 1, 3))
    weights = {"row_weights": (0, 2000, 1024, 0), "column_weights": (5, 1999, 0)}
    yield one("ResizeLinear", (1, 3, 4, 3), (1, 4, 3, 3), rows=(0, 0, 1, 2), columns=(0, 2, 3), **weights)
    a, b = _activation("a", (3, 5)), _activation("b", (3, 2))
    fixed = constant("fixed", random_stored(rng, (3, 3)), QUANT)
    yield (Node("Concat", "n", (a, fixed, b), (_activation("y", (3, 10)),), {"axis": 1}),)
    table = constant("table", random_stored(rng, (11, 6)), QUANT)
    ids = Tensor("ids", (4,), "int32")
    yield (Node("Gather", "n", (table, ids), (_activation("y", (4, 6)),), {"axis": 0}),)


def _tables(rng: np.random.Generator) -> Iterator[tuple[Node, ...]]:
    x, y = _activation("x", (64,)), _activation("y", (64,), quant=Quant.per_tensor(0.07, -4))
    for name, operator in operators().items():
        if isinstance(operator, UnaryTable):
            attrs: dict[str, AttributeValue] = {key: float(value) for key, value in operator.defaults.items()}
            attrs |= {"min": -1.0, "max": 1.0} if name == "Clip" else {}
            attrs |= {"exponent": 2.0} if name == "Pow" else {}
            attrs |= {"table": tuple(rng.integers(-128, 128, 256).tolist())} if name == "Lookup" else {}
            yield (Node(name, "n", (x,), (y,), {**attrs, "approximate": "none"}),)
    image, bytes_like = Tensor("x", (5, 3), "uint8"), Quant.per_tensor(0.5, -28)
    for means, stds, quant in (
        ((100.0,), (2.0,), bytes_like),
        ((99.5,), (3.0,), QUANT),
        ((0.0, 99.5, 255.0), (2.0, 60.0, 900.0), QUANT),
    ):
        y_of_bytes = _activation("y", (5, 3), quant=quant)
        yield (Node("FromBytes", "n", (image,), (y_of_bytes,), {"means": means, "stds": stds}),)
    slope = constant("slope", np.array([0.25, -1.5, 100.0, 0.0, 0.999], np.float32))
    yield (Node("PRelu", "n", (_activation("x", (6, 5)), slope), (_activation("y", (6, 5)),)),)


def _normalising(rng: np.random.Generator) -> Iterator[tuple[Node, ...]]:
    y = _activation("y", (3, 10), quant=Quant.per_tensor(1 / 256, -128))
    yield (Node("Softmax", "n", (_activation("x", (3, 10)),), (y,)),)
    y = _activation("y", (3, 10), quant=Quant.per_tensor(0.1, 127))
    yield (Node("LogSoftmax", "n", (_activation("x", (3, 10)),), (y,)),)
    yield _lowered_normalization(rng)


def _lowered_normalization(rng: np.random.Generator) -> tuple[Node, ...]:
    gamma = constant("gamma", rng.normal(1, 0.3, (9,)).astype(np.float32))
    beta = constant("beta", rng.normal(0, 0.5, (9,)).astype(np.float32))
    inputs = (_activation("x", (4, 9)), gamma, beta)
    outputs = (_activation("y", (4, 9), quant=Quant.per_tensor(0.025, 4)),)
    build = Builder({"x", "y", "gamma", "beta"})
    node = OnnxNode("LayerNormalization", "norm", inputs, outputs, {"axis": -1, "epsilon": 1e-5}, 20)
    operators()["LayerNormalization"].lower(node, build)
    return tuple(build.nodes)


def _recurrent(rng: np.random.Generator) -> Iterator[tuple[Node, ...]]:
    yield lower(Recurrence("LSTM", steps=3, hidden=5, emits=(1, 1, 1), states="computed"), rng)
    yield lower(Recurrence("GRU", steps=3, hidden=5), rng)
    yield lower(Recurrence("GRU", steps=2, hidden=5, linear_before_reset=0, emits=(0, 1, 0)), rng)
    yield lower(Recurrence("RNN", steps=3, hidden=5), rng)
