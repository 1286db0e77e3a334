"""Sparse fully connected layers for cores with Helium: blocks of weights, four outputs times four inputs.

Four outputs at a time have their own words of four inputs, which are gathered as they lie, four words at once
(`_mve_words`), and loaded once for the four: two loads for 16 inputs where the dense kernel, `fully_connected_s8_mve`,
has one, besides those of the weights. Larger blocks, as 8 x 4, are blocks of this kind too. Sums, their range and their
scaling are the dense kernel's.

Overlap: every output is stored after the last input was read, so the layer may even be in place.
"""

from __future__ import annotations

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _mve
from edgeprune.kernels._mve_cost import Work, cycles, requantize_work
from edgeprune.kernels._mve_sparse import sparse_row
from edgeprune.kernels._mve_words import LARGEST_INPUTS, WORD, SharedWords
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights, weights_of

__all__ = ["FAMILY", "FullyConnectedBlocksMve"]

_CODE_BYTES = 500
"""Of a layer and its helpers, about."""
_TOGETHER = 4


class FullyConnectedBlocksMve(KernelFamily):
    """int8 FullyConnected of one row, and Conv with a single window, of inputs by four, lacking blocks of 4 x 4."""

    name = "fully_connected_s8_mve_blocks"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        rows = sparse_row(nodes, device)
        if rows is None or rows.shape[1] % WORD or rows.shape[1] > LARGEST_INPUTS:
            return ()
        words, scaling = SharedWords.of(rows, _TOGETHER), _mve.Scaling.of(nodes[0])
        constants = words.stream_bytes + scaling.flash_bytes
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + constants,
                cycles=cycles(device, _work(words, scaling), code_bytes=_CODE_BYTES, constants=constants),
                scratch_bytes=4 * _mve.padded(len(rows)),
                overlap=(0,),
                density=words.density,
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        rows = _rows(node, weights)
        comment = "initial sums and records of words' places and weights of four outputs"
        return _mve.packed(node, rows, weights, SharedWords.of(rows, _TOGETHER).stream, comment)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        rows, scaling = _rows(node, weights_of((node,))), _mve.Scaling.of(node)
        wide = SharedWords.of(rows, _TOGETHER).place_bytes > 1
        shared = {"prefix": prefix, "wide": wide}
        multiply = self.render(
            f"{prefix}_mve_multiply_words_row{'_wide' if wide else ''}", {"part": "multiply", **shared}
        )
        outputs, inputs = rows.shape
        stem = f"{prefix}_fully_connected_{inputs}_{outputs}_blocks"
        values = {
            "part": "layer",
            "inputs": inputs,
            "outputs": outputs,
            "multiply": multiply.name,
            "scaling": scaling,
        }
        layer = self.render(stem, {**shared, **values})
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        constants = f"{names.constants['stream']}, {names.constants['scaling']}"
        body = f"{stem}({x}, {constants}, {y}, (int32_t *)(void *){names.scratch}, {scaling.arguments});"
        return Code((*_mve.helpers(prefix, ("requantize",), scaling), multiply, layer), body)


def _rows(node: Node, weights: Weights) -> Array:
    """Weights [out, K]."""
    values = weights[node.inputs[1].name]
    return values.reshape(len(values), -1)


def _work(words: SharedWords, scaling: _mve.Scaling) -> Work:
    """A record takes 12 cycles, four outputs 17 instructions."""
    products = Work(12 * sum(words.records) + 2 * len(words.words), 17 * len(words.words) + 30)
    return products + requantize_work(words.outputs, scaling)


FAMILY = FullyConnectedBlocksMve()
