"""Are two networks one function? Compared on random inputs, in double precision.

The sums of a pruned network leave out terms that are exactly zero in its masked original, so the two may differ
by the rounding of reordered sums only: `TOLERANCE` relative to the largest output, far below the effect of any
wrong channel. A network whose code insists on single precision is compared in that, with a tolerance to match.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from edgeprune.prune.trace import Trace

__all__ = ["TOLERANCE", "first_difference", "outputs_of", "random_inputs"]

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def random_inputs(
    trace: Trace, example_inputs: tuple[torch.Tensor, ...], precision: torch.dtype
) -> tuple[torch.Tensor, ...]:
    """Two samples, or as many as the trace insists on: normal numbers, any rows of a table, else the example."""
    generator = torch.Generator().manual_seed(0)
    rows = {
        call.operand("indices").name: call.operand("weight").shape[0]
        for call in trace.calls
        if call.target == "aten.embedding.default"
    }
    inputs = []
    for operand, value in zip(trace.inputs, example_inputs, strict=True):
        if value.is_floating_point():
            inputs.append(torch.randn(operand.shape, generator=generator).to(precision))
        elif operand.name in rows:
            drawn = torch.randint(rows[operand.name], operand.shape, generator=generator)
            inputs.append(drawn.to(value.dtype))
        else:
            inputs.append(torch.cat([value[:1], value[:1]]) if trace.any_batch else value)
    return tuple(inputs)


@torch.no_grad()
def outputs_of(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], precision: torch.dtype
) -> list[torch.Tensor]:
    """Every tensor `module` returns in evaluation mode and in this precision."""
    result: Any = copy.deepcopy(module).cpu().to(precision).eval()(*inputs)
    return [leaf for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def first_difference(
    actual: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], precision: torch.dtype
) -> str | None:
    """Why the outputs are not those expected, or None if they are."""
    if len(actual) != len(expected):
        return f"the network would return {len(actual)} values instead of {len(expected)}"
    for left, right in zip(actual, expected, strict=True):
        if left.shape != right.shape:
            return f"an output's shape would change from {tuple(right.shape)} to {tuple(left.shape)}"
        left, right = left.double(), right.double()
        bound = TOLERANCE[precision] * max(1.0, float(right.abs().max()) if right.numel() else 0.0)
        if not torch.allclose(left, right, rtol=0.0, atol=bound, equal_nan=True):
            worst = float((left - right).abs().max())
            return f"the outputs would differ by {worst:.3g} from those of the masked network"
    return None
