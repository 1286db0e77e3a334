"""Sparse convolution for cores with Helium: blocks of weights, two output channels times four inputs, are kept or gone.

Each pair of channels has its own words of four inputs, which are gathered from three or two windows as they lie, four
words at a time (`_mve_words`). Per 16 inputs a block of 3 pixels by 2 channels takes 6 loads and 6 VMLADAVA by turns,
one load more than the dense kernel, `conv_s8_mve`; what is gone takes nothing. The image is walked over as by that
kernel, and sums, their range and their scaling are the same.

Overlap: a block of pixels is stored when all sums of all its channels are made, as in the dense kernel.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _mve, _mve_conv, _mve_strips
from edgeprune.kernels._mve_conv import Order, Pixels
from edgeprune.kernels._mve_cost import Work, cycles, requantize_work
from edgeprune.kernels._mve_words import LARGEST_INPUTS, WORD, SharedWords
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    Function,
    KernelFamily,
    LayerNames,
    Weights,
    weights_of,
)
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvBlocksMve"]

_CODE_BYTES = 900
"""Of a layer's own function and those that layers share."""
_PAIR = 2


class ConvBlocksMve(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, of channels by four, lacking blocks of 2 x 4."""

    name = "conv_s8_mve_blocks"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = _mve_conv.sparse_walk(nodes, device)
        if found is None or found[0].in_channels % WORD or found[0].taps > LARGEST_INPUTS:
            return ()
        (node,), (g, rows) = nodes, found
        words, scaling = SharedWords.of(rows, _PAIR), _mve.Scaling.of(node)
        order = Order(1, g.out_channels)
        distance = _mve_conv.least_distance(g, order)
        constants = words.stream_bytes + scaling.flash_bytes
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + constants,
                cycles=_cycles(g, words, scaling, constants, device),
                scratch_bytes=_mve_conv.sums_bytes(g.out_channels) + _mve_conv.strip_bytes(g),
                overlap=(None if distance is None else -(-distance // WORD) * WORD,),
                density=words.density,
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = _mve_conv.window_rows(weights[node.inputs[1].name])
        comment = "initial sums and records of words' places and weights per channel pair"
        return (
            *_mve.packed(node, rows, weights, SharedWords.of(rows, _PAIR).stream, comment),
            *_mve_strips.places_constant(_mve_conv.places(_mve_conv.walked_geometry(node))),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        g, scaling = _mve_conv.walked_geometry(node), _mve.Scaling.of(node)
        rows = _mve_conv.window_rows(weights_of((node,))[node.inputs[1].name])
        wide = SharedWords.of(rows, _PAIR).place_bytes > 1
        multiply = tuple(self._multiply(prefix, count, wide) for count in (3, 2))
        suffix = f"{scaling.suffix}{'_wide' if wide else ''}"
        values = {
            "part": "pixels",
            "prefix": prefix,
            "scaling": scaling,
            "multiply": [function.name for function in multiply],
        }
        pixels = self.render(f"{prefix}_mve_blocks_{suffix}", values)
        functions = (*_mve.helpers(prefix, ("layer_t", "requantize"), scaling), *multiply, pixels)
        stem = _mve_conv.layer_name(f"{prefix}_blocks", g)
        scratch = _mve_conv.sums_bytes(g.out_channels)
        return _mve_conv.emit_walk(node, g, names, Order(1, g.out_channels), stem, Pixels(functions, scratch))

    def _multiply(self, prefix: str, pixels: int, wide: bool) -> Function:
        name = f"{prefix}_mve_multiply_words_{pixels}x2{'_wide' if wide else ''}"
        return self.render(name, {"part": "multiply", "prefix": prefix, "pixels": pixels, "wide": wide})


def _cycles(
    g: ConvGeometry, words: SharedWords, scaling: _mve.Scaling, constants: int, device: Device
) -> int:
    runs, count = _mve_conv.runs(g)
    sizes = np.diff(_mve_conv.block_ends(count), prepend=0)
    work = Work()
    for pixels, times in zip(*np.unique(sizes, return_counts=True), strict=True):
        work += int(times) * _block_work(int(pixels), words, g.out_channels, scaling)
    work = _mve_conv.walk_work(g) + runs * (work + Work(scalar=30))
    blocks = runs * len(sizes)
    return cycles(device, work, code_bytes=_CODE_BYTES, constants=constants, blocks=blocks, passes=blocks)


def _block_work(pixels: int, words: SharedWords, channels: int, scaling: _mve.Scaling) -> Work:
    """Of `pixels` pixels, of which one alone is computed twice."""
    record, pair = (14, 18) if pixels == 3 else (10, 15)
    products = Work(record * sum(words.records) + 3 * len(words.words), pair * len(words.words) + 50)
    return products + pixels * requantize_work(channels, scaling)


FAMILY = ConvBlocksMve()
