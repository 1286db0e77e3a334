"""What the kernels of Softmax and LogSoftmax share: their two encodings of exponentials.

"table" reads e(d) from 256 words; "factors" multiplies two of 32. Both give the same integers.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels import _cost
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._exponentials import exponentials, factors

__all__ = ["RowFamily"]

_FACTORS_INSTRUCTIONS = 8


class RowFamily(KernelFamily):
    """A function of the rows along the last axis that sums exponentials; in place is safe.

    Each row is read whole before its outputs are written, and element i is read before it is written.
    """

    op: ClassVar[str]
    code_bytes: ClassVar[int]
    exponentials_per_element: ClassVar[int]
    element_instructions: ClassVar[int]
    row_instructions: ClassVar[int]

    def arguments(self, node: Node) -> tuple[int, ...]:
        """The numbers of the layer, in the order of the C function's last parameters."""
        raise NotImplementedError

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != self.op:
            return ()
        return tuple(
            Candidate(
                self.name,
                f"{self.name}_{encoding}",
                nodes,
                self.code_bytes + 4 * words,
                self._cycles(nodes[0], device, 4 * words, extra),
                overlap=(0,),
                parameters={"encoding": encoding},
            )
            for encoding, words, extra in (("table", 256, 0), ("factors", 32, _FACTORS_INSTRUCTIONS))
        )

    def _cycles(self, node: Node, device: Device, table_bytes: int, extra: int) -> int:
        """From instructions of the code generated for Cortex-M4, `extra` of them for each exponential."""
        rows, row = _rows(node)
        exponentials_made = rows * row * self.exponentials_per_element
        instructions = rows * (self.row_instructions + self.element_instructions * row)
        lookups = row * (2 if extra else 1)
        return round(
            _cost.cycles(device, {_cost.Kind.SCALAR: instructions + extra * exponentials_made})
            + _cost.code_waits(device, self.code_bytes)
            + _cost.lookup_waits(
                device, table_bytes, lookups, runs=rows, repeats=self.exponentials_per_element
            )
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        scale = candidate.nodes[0].inputs[0].scale
        if candidate.parameters["encoding"] == "table":
            return (Constant("exponentials", "uint32_t", exponentials(scale), "2^30 exp(-scale d), d < 256"),)
        comment = "2^30 exp(-16 scale i), i < 16; then 2^30 exp(-scale j), j < 16"
        return (Constant("exponentials", "uint32_t", np.concatenate(factors(scale)), comment),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        rows, row = _rows(node)
        encoding = str(candidate.parameters["encoding"])
        stem = f"{names.prefix}_{self.op.lower()}_{encoding}_{rows}x{row}"
        values = {"rows": rows, "row": row, "encoding": encoding, "prefix": names.prefix}
        operands = [
            names.tensors[node.inputs[0].name],
            names.tensors[node.output.name],
            names.constants["exponentials"],
            *map(str, self.arguments(node)),
        ]
        return Code((self.render(stem, values),), f"{stem}({', '.join(operands)});")


def _rows(node: Node) -> tuple[int, int]:
    row = node.output.shape[-1]
    return node.output.elements // row, row
