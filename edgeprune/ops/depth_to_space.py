"""DepthToSpace: blocks of channels become blocks of pixels.

It has no IR form of its own: it is a Reshape, a Transpose and a Reshape, channel-last in between, so that the
changes of layout cancel against its neighbours'.
"""

from __future__ import annotations

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "DepthToSpace"]

_PERMS = {"DCR": (0, 1, 3, 2, 4, 5), "CRD": (0, 1, 4, 2, 5, 3)}


class DepthToSpace(Operator):
    """[N, C, H, W] to [N, C / b**2, H * b, W * b] for attribute blocksize b, modes DCR and CRD."""

    name = "DepthToSpace"
    onnx_types = ("DepthToSpace",)
    keeps_quant = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        block, mode = int(node.attrs.get("blocksize", 1)), str(node.attrs.get("mode", "DCR"))
        if mode not in _PERMS or len(x.shape) != 4 or block < 1 or x.shape[1] % block**2:
            raise UsageError(
                f"DepthToSpace node {node.name!r} cannot take shape {x.shape} in blocks of {block} in mode {mode!r}"
            )
        n, c, h, w = x.shape
        depth = c // block**2
        inner = (block, block, depth) if mode == "DCR" else (depth, block, block)
        blocks = build.reshape(build.transpose(x, (0, 2, 3, 1)), (n, h, w, *inner))
        pixels = build.reshape(build.transpose(blocks, _PERMS[mode]), (n, h * block, w * block, depth))
        build.transpose(pixels, (0, 3, 1, 2), output=y)


OPERATOR = DepthToSpace()
