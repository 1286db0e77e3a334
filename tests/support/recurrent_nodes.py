"""Random Lstm and Gru nodes, made by lowering a random ONNX node, for tests of the operators and kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.graph.build import Builder, constant
from edgeprune.graph.ir import Array, Node, Quant, Tensor
from edgeprune.ops import operators
from edgeprune.ops.base import OnnxNode

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
X_QUANT = Quant.per_tensor(3 / 128, 5)
OUTPUT_QUANTS = (Quant.per_tensor(1 / 128, 0), Quant.per_tensor(1 / 100, -3), Quant.per_tensor(1 / 50, 9))


@dataclass(frozen=True)
class Recurrence:
    """What a random layer looks like; `emits` says which of Y, Y_h, Y_c are used."""

    op: str
    steps: int = 5
    batch: int = 1
    inputs: int = 6
    hidden: int = 7
    direction: str = "forward"
    linear_before_reset: int = 1
    layout: int = 0
    emits: tuple[int, ...] = (1, 0, 0)
    states: str = "absent"  # or "constant", "computed"
    weights: str = "float32"  # or "int8"
    gain: float = 1.0

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    @property
    def attributes(self) -> dict[str, int | str]:
        attrs: dict[str, int | str] = {
            "hidden_size": self.hidden,
            "direction": self.direction,
            "layout": self.layout,
        }
        return {**attrs, "linear_before_reset": self.linear_before_reset} if self.op == "GRU" else attrs


def random_parameters(shape: Recurrence, rng: np.random.Generator) -> dict[str, Array]:
    """Real W, R and B as torch initialises them, times `gain`."""
    bound = shape.gain / np.sqrt(shape.hidden)
    rows = GATES[shape.op] * shape.hidden
    sizes = {"W": (rows, shape.inputs), "R": (rows, shape.hidden), "B": (2 * rows,)}
    return {
        name: rng.uniform(-bound, bound, (shape.directions, *size)).astype(np.float32)
        for name, size in sizes.items()
    }


def lower(
    shape: Recurrence,
    rng: np.random.Generator,
    x_quant: Quant = X_QUANT,
    output_quants: tuple[Quant, ...] = OUTPUT_QUANTS,
    parameters: dict[str, Array] | None = None,
) -> tuple[Node, ...]:
    """The IR nodes of a random ONNX node."""
    parameters = parameters or random_parameters(shape, rng)
    time = (shape.steps, shape.batch) if shape.layout == 0 else (shape.batch, shape.steps)
    weights = [_weights(name, parameters[name], shape.weights) for name in ("W", "R")]
    inputs: list[Tensor | None] = [Tensor("x", (*time, shape.inputs), "int8", x_quant), *weights]
    inputs += [constant("B", parameters["B"]), None]
    state = (shape.directions, shape.batch) if shape.layout == 0 else (shape.batch, shape.directions)
    for name in ("h0", "c0")[: 2 if shape.op == "LSTM" else 1]:
        inputs.append(_state(name, (*state, shape.hidden), shape.states, rng))
    y = (*time[:1], shape.directions, *time[1:]) if shape.layout == 0 else (*time, shape.directions)
    shapes = [(*y, shape.hidden), (*state, shape.hidden), (*state, shape.hidden)]
    outputs = tuple(
        Tensor(name if used else "", size, "int8", quant)
        for name, size, quant, used in zip(
            ("Y", "Y_h", "Y_c"), shapes, output_quants, shape.emits, strict=False
        )
    )
    build = Builder({"x", "W", "R", "B", "h0", "c0", "Y", "Y_h", "Y_c"})
    node = OnnxNode(shape.op, "layer", tuple(inputs), outputs, shape.attributes, 20)
    operators()[shape.op.capitalize()].lower(node, build)
    return tuple(build.nodes)


def _weights(name: str, value: Array, kind: str) -> Tensor:
    if kind == "float32":
        return constant(name, value)
    scale = np.abs(value).max(axis=(0, 2)) / 127
    stored = np.clip(np.rint(value / scale[:, None]), -128, 127).astype(np.int8)
    stored[..., 0] = -128
    return constant(name, stored, Quant(tuple(map(float, scale)), (0,) * len(scale), 1))


def _state(name: str, shape: tuple[int, ...], kind: str, rng: np.random.Generator) -> Tensor | None:
    if kind == "absent":
        return None
    if kind == "constant":
        return constant(name, rng.normal(0, 0.5, shape).astype(np.float32))
    return Tensor(name, shape, "int8", Quant.per_tensor(1 / 90, 11))
