"""Portable C for Ring: the window is put together frame by frame, then the new frame takes the oldest one's slot.

Frames of whole words are copied word by word, as a library's memcpy is not everywhere. Ring and place stay where they
are: only one slot changes, after all were read. Where the plan gives the new ring an address of its own, the old one is
copied there first.
"""

from __future__ import annotations

import re

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames
from edgeprune.ops.ring import ring_slots

__all__ = ["FAMILY", "RingPortable"]

_CODE_BYTES = 100
_CYCLES, _CYCLES_PER_FRAME, _CYCLES_PER_COPY = 50, 35, 7.26
"""A copy is one of a word, or of a byte where frames have no whole number of words."""


class RingPortable(KernelFamily):
    """Copies of whole frames."""

    name = "ring_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Ring":
            return ()
        node = nodes[0]
        kernel = node.int("kernel")
        copied = kernel * (_words(node) or node.inputs[0].bytes)
        cycles = round(_CYCLES + _CYCLES_PER_FRAME * (kernel - 1) + _CYCLES_PER_COPY * copied)
        # The frame is read after the window was written before it.
        return (Candidate(self.name, self.name, nodes, _CODE_BYTES, cycles, overlap=(None, None, None)),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        frame, ring, place = (names.tensors[tensor.name] for tensor in node.inputs)
        window, kept, next_place = (names.tensors[tensor.name] for tensor in node.outputs)
        slots, dilation = ring_slots(node), node.int("dilation")
        stem = f"{names.prefix}_ring_{node.int('kernel')}x{node.inputs[0].bytes}_{dilation}"
        words = _words(node)
        values = {
            "prefix": names.prefix,
            "words": words,
            "frame_bytes": node.inputs[0].bytes,
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


def _words(node: Node) -> int:
    """Words of a frame, which then lie on words in ring and window as both do; 0 where it has other bytes."""
    return 0 if node.inputs[0].bytes % 4 else node.inputs[0].bytes // 4


def _address(pointer: str) -> str:
    """A pointer expression without what says that it may not be written through."""
    return re.sub(r"\bconst ", "", pointer)


FAMILY = RingPortable()
