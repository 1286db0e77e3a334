"""A step's constants as C sees them: the arrays in flash, what kernels read, and the copies in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgeprune.codegen.arenas import PERSISTENT, in_arena
from edgeprune.kernels.base import Constant, Placement, families, weights_of
from edgeprune.plan.placement import COPY_BYTES, element_bytes, padded_bytes
from edgeprune.plan.program import Program

__all__ = ["StepConstants", "step_constants"]

_COPY_ALIGN = 8
"""Of arrays that are copied, so that a word of flash is read once."""


@dataclass(frozen=True, eq=False)
class StepConstants:
    """`arrays` are defined in flash, by symbol; `expressions` are what the kernel reads, by role.

    `copies` are offsets with the symbols to copy there: in the arena's scratch part at the start of the step, or of the
    stage that the layer is in, or, where `persistent`, in its persistent part in init.
    """

    arrays: tuple[tuple[str, Constant], ...]
    expressions: Mapping[str, str]
    copies: tuple[tuple[int, str], ...]
    persistent: bool


def step_constants(program: Program, index: int, prefix: str) -> StepConstants:
    """The constants of layer number `index`; symbols start with `prefix`."""
    layer = program.layers[index]
    step, candidate = program.steps[layer.step], layer.candidate
    packed = families()[candidate.family].pack(candidate, weights_of(layer.nodes))
    symbols = [f"{prefix}_{index}_{constant.name}" for constant in packed]
    if candidate.placement is Placement.FLASH:
        arrays = tuple(zip(symbols, packed, strict=True))
        named = {constant.name: symbol for symbol, constant in arrays}
        return StepConstants(arrays, named, (), persistent=False)
    persistent = candidate.placement is Placement.PERSISTENT
    home = step.persistent if persistent else step.scratch
    assert home is not None, step.name
    offset = layer.copy_offset
    if offset is None:
        offset = home.offset + home.size_bytes - candidate.copied_bytes
    end = offset + candidate.copied_bytes
    expressions, copies = {}, []
    for symbol, constant in zip(symbols, packed, strict=True):
        place = f"{PERSISTENT} + {offset}" if persistent else in_arena(program, offset)
        expressions[constant.name] = f"(const {constant.ctype} *)(const void *)({place})"
        copies.append((offset, symbol))
        offset += padded_bytes(constant)
    assert offset == end, f"{step.name}: the plan counted other constants than were packed"
    arrays = tuple((symbol, _padded(constant)) for symbol, constant in zip(symbols, packed, strict=True))
    return StepConstants(arrays, expressions, tuple(copies), persistent)


def _padded(constant: Constant) -> Constant:
    """`constant` with zeros behind it, up to a multiple of what is copied at a time."""
    values = np.asarray(constant.values).ravel()
    missing = padded_bytes(constant) // element_bytes(constant) - values.size
    assert COPY_BYTES % element_bytes(constant) == 0
    align = max(constant.align, _COPY_ALIGN)
    return replace(constant, values=np.pad(values, (0, missing)), align=align)
