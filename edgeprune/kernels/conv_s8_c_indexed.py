"""Portable sparse convolution and fully connected layers: inputs without weights are stepped over.

One, two or four neighbouring outputs go through the inputs that any of them has a weight for. Each such input comes
with how far it lies from the one before, a byte, and a weight for each of the outputs: single weights, blocks, columns
that more outputs share are all special cases, and which number of outputs pays depends on the weights. An input farther
off than a byte says is reached over inputs with weights of zero.

Windows are copied, padding as zero point, unless they lie in the input as they are. So the zero point is subtracted
once and for all: bias' = bias - zero point * sum of w. That is the accumulator of an input that is 0 everywhere, and so
are sums on the way accumulators of inputs that are 0 from there on; `check_accumulators` has them within int32.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _cost
from edgeprune.kernels._dsp_conv import inside_rows, output_pixels
from edgeprune.kernels._fully_connected import as_pointwise
from edgeprune.kernels._requantization import (
    REQUANTIZE_BYTES,
    REQUANTIZE_INSTRUCTIONS,
    pixelwise_distance,
    requantization_constants,
)
from edgeprune.kernels._sparsity import fastest_and_smallest, weight_rows
from edgeprune.kernels._sums import store_function
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "ConvIndexedPortable"]

_COUNTS = (1, 2, 4)
"""Outputs that go together."""
_CODE_BYTES = 500
_LONGEST_STEP = 255
_MOST_INPUTS = (1 << 16) - 1
"""What a length holds."""
_STEP_INSTRUCTIONS = {1: 7, 2: 9, 4: 14}
"""Of an input, for so many outputs: counted on Cortex-M3."""
_BLOCK_INSTRUCTIONS = 45
"""Of so many outputs, besides."""


class ConvIndexedPortable(KernelFamily):
    """int8 Conv with one group, or FullyConnected."""

    name = "conv_s8_c_indexed"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op not in ("Conv", "FullyConnected"):
            return ()
        if nodes[0].op == "Conv" and nodes[0].int("group") > 1:
            return ()
        rows = weight_rows(nodes[0])
        if rows is None or rows.shape[1] > _MOST_INPUTS:
            return ()
        counts = (count for count in _COUNTS if count <= len(rows))
        return fastest_and_smallest(_candidate(nodes[0], rows, count, device) for count in counts)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = weights[node.inputs[1].name].reshape(node.inputs[1].shape[0], -1)
        steps, columns, lengths = [], [], []
        for block in _blocks(rows, _count(candidate)):
            places = _places(block)
            steps.append(np.diff(places, prepend=0))
            columns.append(block[:, places].T.ravel())
            lengths.append(len(places))
        start = weights[node.inputs[2].name].astype(np.int64)
        start = start - node.inputs[0].zero_point * rows.astype(np.int64).sum(axis=1)
        return (
            Constant("weights", "int8_t", _or_one(np.concatenate(columns).astype(np.int8)), align=1),
            Constant("steps", "uint8_t", _or_one(np.concatenate(steps).astype(np.uint8)), align=1),
            Constant("lengths", "uint16_t", np.array(lengths, np.uint16), "inputs of each block", align=2),
            *requantization_constants(node, start.astype(np.int32)),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        g, count, prefix = _geometry(node), _count(candidate), names.prefix
        store, multiply = store_function(prefix, node), f"{prefix}_multiply_indexed"
        stem = (
            f"{prefix}_indexed{count}_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}_{g.out_channels}"
        )
        values = {
            "part": "layer",
            "count": count,
            "g": g,
            "copied": _is_copied(g),
            "inside_rows": inside_rows(g),
            "multiply": multiply,
            "store": store.name,
        }
        sizes = sorted({count, *((1,) if g.out_channels % count else ())})
        sums = [self.render(f"{multiply}_{size}", {"part": "multiply", "count": size}) for size in sizes]
        return Code((*sums, store, self.render(stem, values)), f"{stem}({_arguments(node, g, names)});")


def _arguments(node: Node, g: ConvGeometry, names: LayerNames) -> str:
    x, y = node.inputs[0], node.output
    roles = ("weights", "steps", "lengths", "bias", "multipliers", "shifts")
    window = [f"(int8_t *){names.scratch}"] if _is_copied(g) else []
    zero_x = [str(x.zero_point)] if g.is_padded else []
    numbers = map(str, (y.zero_point, *node.ints("clamp")))
    constants = (names.constants[role] for role in roles)
    return ", ".join([names.tensors[x.name], *constants, names.tensors[y.name], *window, *zero_x, *numbers])


def _candidate(node: Node, rows: Array, count: int, device: Device) -> Candidate:
    g = _geometry(node)
    lengths = [len(_places(block)) for block in _blocks(rows, count)]
    whole = len(rows) // count
    weights = count * sum(lengths[:whole]) + sum(lengths[whole:])
    constants = weights + sum(lengths) + 2 * len(lengths) + REQUANTIZE_BYTES * len(rows)
    last = 1 if len(rows) % count else count
    return Candidate(
        ConvIndexedPortable.name,
        f"{ConvIndexedPortable.name}_{count}",
        (node,),
        flash_bytes=_CODE_BYTES + constants,
        cycles=_cycles(g, count, lengths, whole, constants, device),
        scratch_bytes=-(-g.taps // 8) * 8 if _is_copied(g) else 0,
        overlap=(pixelwise_distance(g, last),),
        parameters={"outputs": count},
        density=min(1.0, weights / rows.size),
    )


def _cycles(
    g: ConvGeometry, count: int, lengths: list[int], whole: int, constants: int, device: Device
) -> int:
    """From instructions counted on Cortex-M3, and the flash's waits for constants and code."""
    pixels = output_pixels(g)
    blocks, singles = sum(lengths[:whole]), sum(lengths[whole:])
    products = blocks * _STEP_INSTRUCTIONS[count] + singles * _STEP_INSTRUCTIONS[1]
    others = g.out_channels * REQUANTIZE_INSTRUCTIONS + _BLOCK_INSTRUCTIONS * len(lengths)
    copied = 1.5 * g.taps + 40 * g.kernel_height if _is_copied(g) else 0
    instructions = {_cost.Kind.SUMS: pixels * products, _cost.Kind.SCALAR: pixels * (others + copied + 20)}
    loads = blocks * (count + 1) + 2 * singles + 3 * g.out_channels
    return round(
        _cost.cycles(device, instructions)
        + _cost.code_waits(device, _CODE_BYTES)
        + _cost.read_waits(device, constants, loads=pixels * loads, passes=pixels)
    )


def _blocks(rows: Array, count: int) -> list[Array]:
    """Rows `count` at a time, and those of a rest one by one."""
    whole = len(rows) // count * count
    together = [rows[first : first + count] for first in range(0, whole, count)]
    return together + [rows[first : first + 1] for first in range(whole, len(rows))]


def _places(block: Array) -> Array:
    """Inputs that a block has weights for, ascending, and those it passes on the way: no step is beyond a byte."""
    kept = np.flatnonzero(block.any(axis=0))
    steps = np.diff(kept, prepend=0)
    stops = (steps - 1) // _LONGEST_STEP
    if not (stops > 0).any():
        return kept
    passed = [
        place - step + _LONGEST_STEP * (1 + stop)
        for place, step, count in zip(kept, steps, stops, strict=True)
        for stop in range(max(count, 0))
    ]
    places: Array = np.sort(np.concatenate([kept, np.array(passed, kept.dtype)]))
    return places


def _or_one(values: Array) -> Array:
    """`values`, or one zero where there are none: C has no empty arrays."""
    return values if values.size else np.zeros(1, values.dtype)


def _count(candidate: Candidate) -> int:
    return int(candidate.parameters["outputs"])


def _geometry(node: Node) -> ConvGeometry:
    return conv_geometry(node) if node.op == "Conv" else as_pointwise(node)


def _is_copied(g: ConvGeometry) -> bool:
    """Whether windows are not the input's own pixels, one after the other."""
    same = (g.out_height, g.out_width) == (g.in_height, g.in_width)
    return g.is_padded or not (g.taps == g.in_channels and same)


FAMILY = ConvIndexedPortable()
