"""A scheduled loop nest as plain loops: blocks gone, buffers flat, indices 32 bits wide, unrolled loops written out.

TVM's own pipeline, without the passes that give a function the calling convention of TVM's runtime.
"""

from __future__ import annotations

from typing import Any

__all__ = ["lower"]


def lower(function: Any) -> Any:
    """The PrimFunc `function` as loops, stores and loads."""
    import tvm
    from tvm import s_tir, tirx

    blocks, loops = s_tir.transform, tirx.transform
    target = tvm.target.Target({"kind": "c"})
    passes = [
        loops.BindTarget(target.with_host(target)),
        blocks.CanonicalizeLoop(),
        blocks.LowerInitBlock(),
        blocks.PlanAndUpdateBufferAllocationLocation(),
        blocks.ConvertBlocksToOpaque(),
        blocks.CompactBufferAllocation(),
        blocks.LowerMatchBuffer(),
        blocks.StmtSimplify(),
        blocks.LowerOpaqueBlock(),
        loops.FlattenBuffer(),
        loops.NarrowDataType(32),
        blocks.LoopPartition(),
        loops.VectorizeLoop(False),
        loops.StorageRewrite(),
        blocks.HoistIfThenElse(),
        loops.UnrollLoop(),
        blocks.RenormalizeSplitPattern(),
        loops.StmtSimplify(),
        loops.RemoveNoOp(),
        blocks.RewriteUnsafeSelect(),
        loops.CommonSubexprElim(),
        loops.LowerIntrin(),
    ]
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    return tvm.transform.Sequential(passes)(module)["main"]
