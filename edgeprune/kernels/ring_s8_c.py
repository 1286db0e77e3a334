"""Portable C for Ring: the window is put together frame by frame, then the new frame takes the oldest one's slot.

Where axes before time's have extents, as in an image whose rows are bands of frequency, a frame goes into the window
row by row. Rows of whole words are copied word by word, as a library's memcpy is not everywhere. Ring and place stay
where they are: only one slot changes, after all were read. Where the plan gives the new ring an address of its own,
the old one is copied there first.
"""

from __future__ import annotations

import math
import re

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames
from edgeprune.ops.ring import ring_slots

__all__ = ["FAMILY", "RingPortable"]

_CODE_BYTES = 100
_CYCLES, _CYCLES_PER_ROW, _CYCLES_PER_COPY = 50, 35, 7.26
"""A copy is one of a word, or of a byte where rows have no whole number of words."""


class RingPortable(KernelFamily):
    """Copies of whole frames."""

    name = "ring_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Ring":
            return ()
        node = nodes[0]
        kernel = node.int("kernel")
        rows = _rows(node)
        copied = kernel * node.inputs[0].bytes // (4 if _of_words(node) else 1)
        cycles = round(_CYCLES + _CYCLES_PER_ROW * (kernel * rows - 1) + _CYCLES_PER_COPY * copied)
        # The frame is read after the window was written before it.
        return (Candidate(self.name, self.name, nodes, _CODE_BYTES, cycles, overlap=(None, None, None)),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        frame, ring, place = (names.tensors[tensor.name] for tensor in node.inputs)
        window, kept, next_place = (names.tensors[tensor.name] for tensor in node.outputs)
        slots, dilation = ring_slots(node), node.int("dilation")
        rows, row_bytes = _rows(node), node.inputs[0].bytes // _rows(node)
        frame_text = f"{rows}x{row_bytes}" if rows > 1 else f"{row_bytes}"
        stem = f"{names.prefix}_ring_{node.int('kernel')}x{frame_text}_{dilation}"
        words = _of_words(node)
        values = {
            "prefix": names.prefix,
            "words": words,
            "rows": rows,
            "row_length": row_bytes // 4 if words else row_bytes,
            "taps": node.int("kernel"),
            "dilation": dilation,
            "slots": slots,
        }
        moved = [
            f"memcpy({new}, {old}, {tensor.bytes});"
            for new, old, tensor in ((kept, ring, node.inputs[1]), (next_place, place, node.inputs[2]))
            if _address(new) != _address(old)
        ]
        unit = f"{names.prefix}_u32_t" if words else "int8_t"
        operands = [
            f"(const {unit} *)(const void *){frame}",
            *(f"({unit} *)(void *){one}" for one in (kept, window)),
        ]
        operands.insert(2, f"({names.prefix}_i32_t *)(void *){next_place}")
        call = f"{stem}({', '.join(operands)});"
        return Code((self.render(stem, values),), "\n".join([*moved, call]))


def _rows(node: Node) -> int:
    """Pieces of a frame that lie apart in the window."""
    return math.prod(node.inputs[0].shape[: node.int("axis")])


def _of_words(node: Node) -> bool:
    """Whether rows are of whole words, which then lie on words in ring and window as both do."""
    return node.inputs[0].bytes // _rows(node) % 4 == 0


def _address(pointer: str) -> str:
    """A pointer expression without what says that it may not be written through."""
    return re.sub(r"\bconst ", "", pointer)


FAMILY = RingPortable()
