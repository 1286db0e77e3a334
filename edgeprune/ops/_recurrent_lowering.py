"""From an ONNX LSTM, GRU or RNN node to the IR: directions, refusals, int8 rows, biases, states, layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Quant, Tensor
from edgeprune.ops._gates import FRACTION_BITS
from edgeprune.ops._values import real_value
from edgeprune.ops.base import OnnxNode

if TYPE_CHECKING:
    from edgeprune.ops._recurrent import Recurrent

__all__ = ["lower_recurrent"]

_DIRECTIONS = {"forward": (0,), "reverse": (1,), "bidirectional": (0, 1)}
_UNIT = float(1 << FRACTION_BITS)
_INT32_MAX = (1 << 31) - 1
_BATCH_FIRST = ((2, 0, 1, 3), (1, 0, 2), (1, 0, 2))
"""Permutations from the IR's Y, Y_h and Y_c to those of ONNX's layout 1."""


def lower_recurrent(operator: Recurrent, node: OnnxNode, build: Builder) -> None:
    """Append `operator`'s IR node for the ONNX node to `build`, with transposes where its layout is 1."""
    x, reverse, hidden = node.required(0), _directions(node), node.required(2).shape[2]
    batch_first = int(node.attrs.get("layout", 0)) == 1
    if batch_first:
        x = build.transpose(x, (1, 0, 2))
    _refuse_variants(node, x.shape[0], x.shape[1], operator.refused, operator.activations * len(reverse))
    emitted = [i for i, output in enumerate(node.outputs) if output.name]
    _refuse_unknown_cell(operator, node, emitted)
    halves = _bias_halves(node, 3, (len(reverse), operator.gates, hidden))
    states = [_initial_state(node, 5 + index, build) for index in range(operator.states)]
    present = [build.transpose(s, (1, 0, 2)) if batch_first else s for s in states if s is not None]
    inputs = [
        x,
        _weight_rows(node, 1, "weights", build),
        _weight_rows(node, 2, "recurrent weights", build),
        _q16_constant(f"{node.name}.bias", operator.fold_bias(node, *halves), build),
        *present,
    ]
    results = [
        _untransposed(node.outputs[i], _BATCH_FIRST[i], build) if batch_first else node.outputs[i]
        for i in emitted
    ]
    attrs: Attributes = {
        "hidden": hidden,
        "reverse": reverse,
        "initial": tuple(int(state is not None) for state in states),
        "emits": tuple(int(index in emitted) for index in range(operator.states + 1)),
        **operator.extra_attributes(node),
    }
    build.add(operator.name, node.name, inputs, results, attrs)
    if batch_first:
        for index, result in zip(emitted, results, strict=True):
            build.transpose(result, _BATCH_FIRST[index], node.outputs[index])


def _refuse_unknown_cell(operator: Recurrent, node: OnnxNode, emitted: list[int]) -> None:
    if 2 in emitted and node.outputs[2].quant == operator.natural_quant:
        raise UsageError(
            f"the cell state that {node.op_type} node {node.name!r} returns is not quantised; add a "
            "QuantizeLinear after it"
        )


def _directions(node: OnnxNode) -> tuple[int, ...]:
    """Per direction of `node`, 1 where it runs from the last step to the first."""
    found = _DIRECTIONS.get(str(node.attrs.get("direction", "forward")))
    weights = node.required(2)
    if found is None or len(weights.shape) != 3 or weights.shape[0] != len(found):
        raise UsageError(
            f"{node.op_type} node {node.name!r} has direction {node.attrs.get('direction')!r} and recurrent weights "
            f"of shape {list(weights.shape)}, which do not fit together"
        )
    return found


def _refuse_variants(
    node: OnnxNode, steps: int, batch: int, refused: tuple[str, ...], activations: tuple[str, ...]
) -> None:
    """Raise UsageError for what no kernel computes.

    Args:
        steps: length of the sequence.
        batch: sequences computed at once.
        refused: attributes that may not be set.
        activations: the only activations taken, in lower case, for all directions.
    """
    where = f"{node.op_type} node {node.name!r}"
    for key in refused:
        if node.attrs.get(key):
            raise UsageError(f"{where} sets {key}, which is not supported; export the layer without it")
    given = tuple(str(name).lower() for name in node.attrs.get("activations", ()))
    if given and given != activations:
        raise UsageError(
            f"{where} uses the activations {', '.join(given)}; only {', '.join(activations)} are supported"
        )
    if node.input(7) is not None:
        raise UsageError(
            f"{where} has peephole weights, which are not supported; export the layer without them"
        )
    if node.input(4) is not None and (node.constant(4, "sequence lengths") != steps).any():
        raise UsageError(
            f"{where} has sequences shorter than {steps} steps; give every sequence of the batch of {batch} "
            f"the full length"
        )


def _weight_rows(node: OnnxNode, index: int, role: str, build: Builder) -> Tensor:
    """Input `index` [D, rows, columns] as int8 [D * rows, columns] with one scale per row, zero points 0.

    Stored integers are kept where they fit int8; anything else (float32, or a zero point that widens the range)
    is quantised here, row by row, at the scale max|row| / 127.
    """
    node.constant(index, role)
    tensor = node.required(index)
    stored, scales = _stored_rows(tensor) or _quantized_rows(real_value(tensor))
    quant = Quant(tuple(float(scale) for scale in scales), (0,) * len(scales), 0)
    return build.constant(tensor.name, stored, quant)


def _stored_rows(tensor: Tensor) -> tuple[Array, Array] | None:
    quant, value = tensor.quant, tensor.value
    assert value is not None
    if quant is None or quant.axis == value.ndim - 1:
        return None
    shape = [1] * value.ndim
    if quant.axis is not None:
        shape[quant.axis] = -1
    centred = value.astype(np.int64) - np.reshape(np.array(quant.zero_point), shape)
    if centred.min(initial=0) < -128 or centred.max(initial=0) > 127:
        return None
    scales = np.broadcast_to(np.reshape(np.array(quant.scale), shape), (*value.shape[:-1], 1))
    return centred.astype(np.int8).reshape(-1, value.shape[-1]), scales.reshape(-1)


def _quantized_rows(real: Array) -> tuple[Array, Array]:
    rows = real.reshape(-1, real.shape[-1])
    largest = np.abs(rows).max(axis=1)
    # A row of zeros takes the largest row's scale, so that it does not widen the common multipliers' range.
    scales = np.where(largest > 0, largest, largest.max() or 127.0) / 127
    return np.rint(rows / scales[:, None]).astype(np.int8), scales


def _bias_halves(node: OnnxNode, index: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """ONNX's bias [D, 2 * rows] as real Wb and Rb, each of `shape` (D, gates, units); zeros where it is absent."""
    bias = node.input(index)
    if bias is None:
        return np.zeros(shape), np.zeros(shape)
    node.constant(index, "bias")
    both = real_value(bias).reshape(shape[0], 2, *shape[1:])
    return both[:, 0], both[:, 1]


def _q16_constant(name: str, real: Array, build: Builder) -> Tensor:
    """`real`, flattened, as a constant int32 in units of 2**-16, saturated."""
    fixed = np.clip(np.rint(real.reshape(-1) * _UNIT), -_INT32_MAX, _INT32_MAX).astype(np.int32)
    return build.constant(name, fixed, Quant.per_tensor(1 / _UNIT, 0))


def _initial_state(node: OnnxNode, index: int, build: Builder) -> Tensor | None:
    """Input `index` as int8, or None where it is zero; a float constant is quantised at max|state| / 127."""
    state = node.input(index)
    if state is None or state.value is None:
        return state
    real = real_value(state)
    if not real.any():
        return None
    if state.dtype == "int8" and state.quant is not None and state.quant.axis is None:
        return state
    scale = float(np.abs(real).max()) / 127
    return build.constant(state.name, np.rint(real / scale).astype(np.int8), Quant.per_tensor(scale, 0))


def _untransposed(output: Tensor, perm: tuple[int, ...], build: Builder) -> Tensor:
    """The tensor that becomes `output` when its axes are permuted by `perm`."""
    shape = [0] * len(perm)
    for position, axis in enumerate(perm):
        shape[axis] = output.shape[position]
    return build.tensor(output.name, tuple(shape), output.dtype, output.quant)
