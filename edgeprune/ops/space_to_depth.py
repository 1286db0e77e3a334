"""SpaceToDepth: blocks of pixels become blocks of channels; lowered as DepthToSpace is, with no IR form."""

from __future__ import annotations

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["OPERATOR", "SpaceToDepth"]


class SpaceToDepth(Operator):
    """[N, C, H, W] to [N, C * b**2, H / b, W / b] for attribute blocksize b."""

    name = "SpaceToDepth"
    onnx_types = ("SpaceToDepth",)
    keeps_quant = True

    def lower(self, node: OnnxNode, build: Builder) -> None:
        x, y = node.required(0), node.outputs[0]
        block = int(node.attrs.get("blocksize", 1))
        if len(x.shape) != 4 or block < 1 or x.shape[2] % block or x.shape[3] % block:
            raise UsageError(
                f"SpaceToDepth node {node.name!r} cannot take shape {x.shape} in blocks of {block}"
            )
        n, c, h, w = x.shape[0], x.shape[1], x.shape[2] // block, x.shape[3] // block
        blocks = build.reshape(build.transpose(x, (0, 2, 3, 1)), (n, h, block, w, block, c))
        depths = build.reshape(build.transpose(blocks, (0, 1, 3, 2, 4, 5)), (n, h, w, block**2 * c))
        build.transpose(depths, (0, 3, 1, 2), output=y)


OPERATOR = SpaceToDepth()
