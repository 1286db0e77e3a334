"""Portable C for Ring: the window is put together frame by frame, then the new frame takes the oldest one's slot.

Ring and place stay where they are: only one slot changes, after all were read. Where the plan gives the new ring an
address of its own, the old one is copied there first.
"""

from __future__ import annotations

import re

from edgeprune.device import Device
from edgeprune.graph.ir import Node
from edgeprune.kernels.base import Candidate, Code, KernelFamily, LayerNames
from edgeprune.ops.ring import ring_slots

__all__ = ["FAMILY", "RingPortable"]

_CODE_BYTES = 100
_CYCLES, _CYCLES_PER_FRAME, _CYCLES_PER_WORD = 60, 40, 3


class RingPortable(KernelFamily):
    """Copies of whole frames."""

    name = "ring_s8_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != "Ring":
            return ()
        node = nodes[0]
        copies = node.int("kernel") + 1
        words = -(-node.inputs[0].bytes // 4)
        cycles = _CYCLES + copies * (_CYCLES_PER_FRAME + _CYCLES_PER_WORD * words)
        # The frame is read after the window was written before it.
        return (Candidate(self.name, self.name, nodes, _CODE_BYTES, cycles, overlap=(None, None, None)),)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node = candidate.nodes[0]
        frame, ring, place = (names.tensors[tensor.name] for tensor in node.inputs)
        window, kept, next_place = (names.tensors[tensor.name] for tensor in node.outputs)
        slots, dilation = ring_slots(node), node.int("dilation")
        stem = f"{names.prefix}_ring_{node.int('kernel')}x{node.inputs[0].bytes}_{dilation}"
        values = {
            "prefix": names.prefix,
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
        call = f"{stem}({frame}, {kept}, ({names.prefix}_i32_t *)(void *){next_place}, {window});"
        return Code((self.render(stem, values),), "\n".join([*moved, call]))


def _address(pointer: str) -> str:
    """A pointer expression without what says that it may not be written through."""
    return re.sub(r"\bconst ", "", pointer)


FAMILY = RingPortable()
