"""Portable C for FromBytes: a table of 256 bytes for all channels or for each, or the sign flipped and no table.

Where the network's own scale and zero point are those of the bytes, which `graph.passes.take_bytes` sees to where it
can, y = byte - 128. A byte less 128 is the byte with its highest bit inverted, read as a signed number: for a byte
below 128 the bit is set, which is worth -128 in two's complement, and for one from 128 on it is cleared, which takes
128 away. Four bytes are inverted at a time, in one word. `candidates` offers this only where the table says so for all
256 of them.

Element i is read before it is written and never again: in place is safe. A word is four elements, all read before any
of them is written; with the output below the input, what is written lies below what is still to be read.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops.from_bytes import FromBytes

__all__ = ["FAMILY", "FromBytesPortable"]

_FLIP_CODE_BYTES, _TABLE_CODE_BYTES, _CHANNELS_CODE_BYTES = 60, 32, 60
_FLIP_CYCLES, _TABLE_CYCLES, _CHANNELS_CYCLES = 1.5, 10.0, 14.5
"""Of an element."""


class FromBytesPortable(KernelFamily):
    """An image of bytes as int8."""

    name = "from_bytes_u8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "FromBytes":
            return ()
        table, elements = _operator(nodes[0]).table(nodes[0]), nodes[0].output.elements

        def offered(form: str, flash_bytes: int, cycles: float) -> tuple[Candidate, ...]:
            name, total = f"{self.name}_{form}", round(cycles * elements)
            return (
                Candidate(
                    self.name, name, nodes, flash_bytes, total, overlap=(0,), parameters={"form": form}
                ),
            )

        if (table == np.arange(256) - 128).all():
            return offered("flip", _FLIP_CODE_BYTES, _FLIP_CYCLES)
        if len(table) == 1:
            return offered("table", table.size + _TABLE_CODE_BYTES, _TABLE_CYCLES)
        return offered("channels", table.size + _CHANNELS_CODE_BYTES, _CHANNELS_CYCLES)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        if candidate.parameters["form"] == "flip":
            return ()
        table = _operator(candidate.nodes[0]).table(candidate.nodes[0])
        return (Constant("table", "int8_t", table.ravel(), "outputs for bytes 0 ... 255", align=1),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, form = candidate.nodes[0], str(candidate.parameters["form"])
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        values = {"form": form, "prefix": names.prefix, "channels": node.output.shape[-1]}
        function = self.render(f"{names.prefix}_from_bytes_{form}", values)
        table = "" if form == "flip" else f", {names.constants['table']}"
        return Code((function,), f"{function.name}({x}, {y}, {node.output.elements}{table});")


def _operator(node: Node) -> FromBytes:
    operator = operator_for(node)
    assert isinstance(operator, FromBytes)
    return operator


FAMILY = FromBytesPortable()
