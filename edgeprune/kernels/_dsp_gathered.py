"""Inputs gathered for blocks of output channels on the DSP extension: four inputs at a time, then the dense loop.

A gather brings kept inputs of 4 pixels into the columns of the dense kernel (`_dsp`, borrow encoding), from planes that
hold an input of all pixels in a word, or from a window of bytes in which the pixels of an input lie side by side. The
loop is that of `_dsp_block`, for a number of words that is known when it runs.
"""

from __future__ import annotations

from typing import Literal

from edgeprune.kernels import _dsp
from edgeprune.kernels._dsp_block import Block
from edgeprune.kernels.base import Function
from edgeprune.templating import render

__all__ = ["gather_function", "gathered_block"]

_PIXELS = 4
_UNROLLED, _WORD_CODE_BYTES = 4, 92
"""Of the loop: words of a turn, and bytes of code of a word: 23 instructions of 4 bytes."""


def gather_function(
    prefix: str, source: Literal["planes", "window"], places: str = "uint16_t"
) -> tuple[Function, ...]:
    """The function that gathers from planes or a window by `places` (a C type), last, and what it needs."""
    name = f"{prefix}_pick" if source == "window" else f"{prefix}_gather"
    if places != "uint16_t":
        name += "_near"
    values = {"source": source, "places": places}
    values["type"] = "int8_t" if source == "window" else f"{prefix}_u32_t"
    return (*_dsp.helpers(prefix, ("expand_word",)), _part("gather", prefix, name, **values))


def gathered_block(
    prefix: str, outputs: int, scaling: _dsp.Scaling, *, grouped: bool
) -> tuple[Function, ...]:
    """The function that multiplies columns with a block of channels of `outputs`, last, and what it needs.

    A `grouped` one takes several groups of 4 pixels in turn with each pair of channels.
    """
    scale, functions = scaling.functions(prefix)
    name = f"{prefix}_gathered_{'groups' if grouped else 'block'}_{outputs}_{scaling.kind}"
    values = {
        "scale": scale,
        "scaling": scaling,
        "b": Block(_PIXELS, 0, outputs, wide=False, grouped=grouped),
        "unrolled": _UNROLLED,
        "word_code_bytes": _WORD_CODE_BYTES,
    }
    needed = _dsp.helpers(prefix, ("portable_smlad", "portable_sxtb16"))
    return (*functions, *needed, _part("block", prefix, name, **values))


def _part(part: str, prefix: str, name: str, **values: object) -> Function:
    values = {"part": part, "prefix": prefix, "name": name, **values}
    return Function(name, render("kernels/_dsp_gathered.j2", values))
