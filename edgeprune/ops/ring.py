"""Ring: the frames that a causal window reads, kept from run to run so that each is computed once.

A window of k frames, d apart, ends with the frame of this run, so (k - 1) * d frames before it are kept, frame t in
slot t mod (k - 1) * d. Slot p, where the next frame belongs, holds the oldest, which is the window's first; its others
are d slots further each, and the last is the frame itself:

    window[j] = ring[(p + j * d) mod ((k - 1) * d)] for j < k - 1;  window[k - 1] = frame
    ring'[p] = frame;  p' = (p + 1) mod ((k - 1) * d)

Inputs: the frame, of extent 1 on the time axis; the ring [slots, *frame]; p, int32 [1].
Outputs: the window, which is the frame with k on the time axis; ring' and p'. Attributes: axis, kernel = k,
dilation = d. A ring of stored zeros is a sequence that has zeros before its first frame.
"""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array, Node, Shape
from edgeprune.ops._movement import DataMovement

__all__ = ["OPERATOR", "Ring", "ring_slots"]


class Ring(DataMovement):
    """The last frames as a causal window takes them."""

    name = "Ring"

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        frame, axis = node.inputs[0].shape, node.int("axis")
        if frame[axis] != 1:
            raise ValueError(f"{frame} is not one frame along axis {axis}")
        window = (*frame[:axis], node.int("kernel"), *frame[axis + 1 :])
        return (window, (ring_slots(node), *frame), (1,))

    def check(self, node: Node) -> None:
        frame, ring, place = node.inputs
        kept = node.outputs[1]
        kinds = {(tensor.dtype, tensor.quant) for tensor in (frame, ring, node.output, kept)}
        if len(kinds) != 1 or ring.shape != kept.shape or frame.dtype != "int8":
            raise ValueError("frames, ring and window must be int8 of one scale and zero point")
        if (place.dtype, place.shape) != ("int32", (1,)) or node.outputs[2].dtype != "int32":
            raise ValueError("the place in the ring must be int32 [1]")
        if node.int("kernel") < 2 or node.int("dilation") < 1:
            raise ValueError("a window of one frame needs no ring")

    def updates(self, node: Node) -> tuple[tuple[int, int], ...]:
        return ((1, 1), (2, 2))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        frame, ring, place = inputs
        slots, kernel, dilation = ring_slots(node), node.int("kernel"), node.int("dilation")
        here = int(place[0])
        frames = [ring[(here + tap * dilation) % slots] for tap in range(kernel - 1)]
        after = ring.copy()
        after[here] = frame
        window = np.concatenate([*frames, frame], axis=node.int("axis"))
        return window, after, np.array([(here + 1) % slots], np.int32)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        return self.reference(node, *inputs)


def ring_slots(node: Node) -> int:
    """Frames that a Ring keeps."""
    return (node.int("kernel") - 1) * node.int("dilation")


OPERATOR = Ring()
