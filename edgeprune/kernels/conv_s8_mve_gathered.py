"""Sparse convolution for cores with Helium: blocks of output channels share the inputs that they have weights for.

For each block of 8 to 64 output channels, the inputs that any of them has a weight for are gathered from three or two
windows, and the dense kernel's function multiplies these alone (`_mve_sparse`, `conv_s8_mve`). To gather 16 inputs
takes as long as to multiply them with six channels, so that a block of 16 gains once a third of its inputs is gone.
The image is walked over as by the dense kernel, and sums, their range and their scaling are the same: an input with
weights of zero adds nothing to any.

Overlap: a block of pixels is stored when all its windows have been gathered from, as in the dense kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _mve, _mve_conv, _mve_strips
from edgeprune.kernels._mve_conv import Order, Pixels
from edgeprune.kernels._mve_cost import Work, cycles, multiply_work, requantize_work
from edgeprune.kernels._mve_sparse import SharedInputs, gather_function, gather_work
from edgeprune.kernels._sparsity import LARGEST_INPUTS, block_sizes, fastest_and_smallest
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights, weights_of
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["FAMILY", "ConvGatheredMve"]

_CODE_BYTES = 1000
"""Of a layer's own function and those that layers share."""
_PAIR = 2
_LARGEST_BLOCK = 64
"""Outputs whose sums lie next to each other in scratch."""


class ConvGatheredMve(KernelFamily):
    """int8 Conv with one group, or FullyConnected with several rows, whose blocks of outputs lack inputs."""

    name = "conv_s8_mve_gathered"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        found = _mve_conv.sparse_walk(nodes, device)
        if found is None or found[0].taps > LARGEST_INPUTS:
            return ()
        return fastest_and_smallest(self._candidates(nodes[0], *found, device))

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node, g = candidate.nodes[0], _mve_conv.walked_geometry(candidate.nodes[0])
        rows = _mve_conv.window_rows(weights[node.inputs[1].name])
        shared = SharedInputs.of(rows, _size(candidate))
        steps = tuple(form.steps for form in _mve.Form.of_vectors(shared.vectors))
        comment = (
            "blocks of outputs: steps and pairs, places of inputs, initial sums and weights per channel pair"
        )
        return (
            *_mve.packed(node, rows, weights, lambda w, sums: shared.stream(w, sums, _PAIR, steps), comment),
            *_mve_strips.places_constant(_mve_conv.places(g)),
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        g, scaling = _mve_conv.walked_geometry(node), _mve.Scaling.of(node)
        rows = _mve_conv.window_rows(weights_of((node,))[node.inputs[1].name])
        shared = SharedInputs.of(rows, _size(candidate))
        form = _mve.Form.of_vectors(shared.vectors)[0]
        gather = gather_function(prefix, shared.place_bytes)
        values = {
            "prefix": prefix,
            "scaling": scaling,
            "form": form,
            "size": shared.size,
            "sums_bytes": _mve_conv.sums_bytes(g.out_channels),
            "place_bytes": shared.place_bytes,
            "gather": gather.name,
        }
        pixels = self.render(f"{prefix}_mve_gathered{shared.size}_{form.suffix}_{scaling.suffix}", values)
        needed = _mve.helpers(prefix, ("layer_t", "requantize"), scaling)
        functions = (*needed, *_mve.products(prefix, form), gather, pixels)
        stem = _mve_conv.layer_name(f"{prefix}_gathered{shared.size}", g)
        scratch = _pixels_bytes(g, shared)
        order = Order(1, g.out_channels)
        return _mve_conv.emit_walk(node, g, names, order, stem, Pixels(functions, scratch))

    def _candidates(self, node: Node, g: ConvGeometry, rows: Array, device: Device) -> Iterator[Candidate]:
        scaling = _mve.Scaling.of(node)
        for size in block_sizes(g.out_channels, _PAIR):
            if size > _LARGEST_BLOCK:
                continue
            shared = SharedInputs.of(rows, size)
            constants = shared.stream_bytes(_PAIR) + scaling.flash_bytes
            yield Candidate(
                self.name,
                f"{self.name}_{size}",
                (node,),
                flash_bytes=_CODE_BYTES + constants,
                cycles=_cycles(g, shared, scaling, constants, device),
                scratch_bytes=_pixels_bytes(g, shared) + _mve_conv.strip_bytes(g),
                overlap=(_mve_conv.least_distance(g, Order(1, g.out_channels)),),
                parameters={"block": size},
                density=shared.density,
            )


def _size(candidate: Candidate) -> int:
    return int(candidate.parameters["block"])


def _pixels_bytes(g: ConvGeometry, shared: SharedInputs) -> int:
    """Scratch of sums and of three windows' inputs."""
    return _mve_conv.sums_bytes(g.out_channels) + 3 * shared.gathered_bytes


def _cycles(
    g: ConvGeometry, shared: SharedInputs, scaling: _mve.Scaling, constants: int, device: Device
) -> int:
    runs, count = _mve_conv.runs(g)
    sizes, times = np.unique(np.diff(_mve_conv.block_ends(count), prepend=0), return_counts=True)
    work = Work()
    for pixels, number in zip(sizes.tolist(), times.tolist(), strict=True):
        work += number * _block_work(pixels, shared, g.out_channels, scaling)
    work = _mve_conv.walk_work(g) + runs * (work + Work(scalar=30))
    blocks = runs * int(times.sum())
    return cycles(device, work, code_bytes=_CODE_BYTES, constants=constants, blocks=blocks, passes=blocks)


def _block_work(pixels: int, shared: SharedInputs, channels: int, scaling: _mve.Scaling) -> Work:
    """Of `pixels` pixels, of which one alone is computed twice."""
    work = pixels * requantize_work(channels, scaling)
    forms = _mve.Form.of_vectors(shared.vectors)
    for form, outputs, vectors in zip(forms, shared.outputs, shared.vectors, strict=True):
        work += gather_work(pixels, vectors, shared.place_bytes)
        work += multiply_work(form, max(2, pixels), -(-outputs // _PAIR))
    return work


FAMILY = ConvGatheredMve()
