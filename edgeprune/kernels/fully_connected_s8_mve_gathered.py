"""Sparse fully connected layers for cores with Helium: blocks of outputs share the inputs that they have weights for.

For each block of 8, 16 or more output channels the inputs that any of them has a weight for are gathered, and the dense
kernel's function for four channels at a time multiplies these alone (`_mve_sparse`, `fully_connected_s8_mve`). Sums,
their range and their scaling are the dense kernel's: an input with weights of zero adds nothing to any.

Overlap: every output is stored after the last input was read, so the layer may even be in place.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _mve
from edgeprune.kernels._mve_cost import Work, cycles, multiply_row_work, requantize_work
from edgeprune.kernels._mve_sparse import SharedInputs, gather_function, gather_work, sparse_row
from edgeprune.kernels._sparsity import LARGEST_INPUTS, block_sizes, fastest_and_smallest
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights, weights_of

__all__ = ["FAMILY", "FullyConnectedGatheredMve"]

_CODE_BYTES = 600
"""Of a layer and its helpers, about."""
_TOGETHER = 4


class FullyConnectedGatheredMve(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, whose blocks of outputs lack inputs."""

    name = "fully_connected_s8_mve_gathered"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        rows = sparse_row(nodes, device)
        if rows is None or rows.shape[1] > LARGEST_INPUTS:
            return ()
        return fastest_and_smallest(self._candidates(nodes[0], rows, device))

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node, shared, rows = candidate.nodes[0], *_shared(candidate, weights)
        steps = tuple(_mve.LANES * vectors for vectors in shared.vectors)
        comment = (
            "blocks of outputs: inputs and quads, places of inputs, initial sums and weights of four channels"
        )
        return _mve.packed(
            node, rows, weights, lambda w, starts: shared.stream(w, starts, _TOGETHER, steps), comment
        )

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        shared, rows = _shared(candidate, weights_of((node,)))
        scaling = _mve.Scaling.of(node)
        gather = gather_function(prefix, shared.place_bytes)
        stem = f"{prefix}_fully_connected_{shared.taps}_{len(rows)}_gathered{shared.size}"
        values = {
            "prefix": prefix,
            "inputs": shared.taps,
            "outputs": len(rows),
            "size": shared.size,
            "sums_bytes": 4 * _mve.padded(len(rows)),
            "place_bytes": shared.place_bytes,
            "gather": gather.name,
            "scaling": scaling,
        }
        layer = self.render(stem, values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['stream']}, {names.constants['scaling']}"
        body = f"{stem}({x}, {constants}, {y}, {names.scratch}, {scaling.arguments});"
        needed = _mve.helpers(prefix, ("multiply_row", "requantize"), scaling)
        return Code((*needed, gather, layer), body)

    def _candidates(self, node: Node, rows: Array, device: Device) -> Iterator[Candidate]:
        scaling = _mve.Scaling.of(node)
        for size in block_sizes(len(rows), _TOGETHER):
            shared = SharedInputs.of(rows, size)
            constants = shared.stream_bytes(_TOGETHER) + scaling.flash_bytes
            yield Candidate(
                self.name,
                f"{self.name}_{size}",
                (node,),
                flash_bytes=_CODE_BYTES + constants,
                cycles=cycles(
                    device, _work(shared, len(rows), scaling), code_bytes=_CODE_BYTES, constants=constants
                ),
                scratch_bytes=4 * _mve.padded(len(rows)) + shared.gathered_bytes,
                overlap=(0,),
                parameters={"block": size},
                density=shared.density,
            )


def _shared(candidate: Candidate, weights: Weights) -> tuple[SharedInputs, Array]:
    """How the candidate shares inputs, and the weights [out, K]."""
    values = weights[candidate.nodes[0].inputs[1].name]
    rows = values.reshape(len(values), -1)
    return SharedInputs.of(rows, int(candidate.parameters["block"])), rows


def _work(shared: SharedInputs, outputs: int, scaling: _mve.Scaling) -> Work:
    work = requantize_work(outputs, scaling) + Work(scalar=30)
    for count, vectors in zip(shared.outputs, shared.vectors, strict=True):
        work += gather_work(1, vectors, shared.place_bytes) + Work(scalar=25)
        work += multiply_row_work(_mve.LANES * vectors, count)
    return work


FAMILY = FullyConnectedGatheredMve()
