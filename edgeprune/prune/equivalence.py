"""Mask equivalence: a pruned network equals the original with removed channels' readers set to zero.

Both run in double precision on the same random inputs. The sums of the pruned network leave out terms that
are exactly zero in the masked one, so the two may differ by the rounding of reordered sums only: `TOLERANCE`
relative to the largest output, far below the effect of any wrong channel. A network whose code insists on
single precision is compared in that, with a tolerance to match.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from edgeprune.prune.coupling import Coupling, PruningPlan

__all__ = ["TOLERANCE", "difference", "mask"]

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def mask(module: torch.nn.Module, coupling: Coupling, plan: PruningPlan) -> torch.nn.Module:
    """A copy of `module` in which nothing reads the channels that `plan` removes."""
    masked = copy.deepcopy(module)
    state = dict(masked.named_parameters()) | dict(masked.named_buffers())
    with torch.no_grad():
        for group in coupling.groups:
            removed = plan.removed(group)
            for piece in group.slices:
                if piece.role == "consumes" and removed:
                    indices = [index for channel in removed for index in piece.indices[channel]]
                    tensor = state[piece.parameter]
                    tensor.index_fill_(piece.dim, torch.tensor(indices, device=tensor.device), 0.0)
    return masked


def difference(
    pruned: torch.nn.Module, masked: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...]
) -> str | None:
    """Why the two networks are not the same function, or None if they are.

    Random normal numbers stand in for floating-point example inputs; integer ones are used as they are.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(
        torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for value in example_inputs
    )
    precision = torch.float64
    try:
        expected = _outputs(masked, inputs, precision)
    except RuntimeError:
        precision = torch.float32
        expected = _outputs(masked, inputs, precision)
    try:
        actual = _outputs(pruned, inputs, precision)
    except Exception as error:  # noqa: BLE001 - the user's forward may raise anything
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return f"the network's forward does not follow the cut ({line})"
    for left, right in zip(actual, expected, strict=True):
        if left.shape != right.shape:
            return f"an output's shape would change from {tuple(right.shape)} to {tuple(left.shape)}"
        bound = TOLERANCE[precision] * max(1.0, float(right.abs().max()) if right.numel() else 0.0)
        if not torch.allclose(left, right, rtol=0.0, atol=bound, equal_nan=True):
            worst = float((left - right).abs().max())
            return f"the outputs would differ by {worst:.3g} from those of the masked network"
    return None


@torch.no_grad()
def _outputs(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], precision: torch.dtype
) -> list[torch.Tensor]:
    cast = (value.to(precision) if value.is_floating_point() else value for value in inputs)
    result: Any = copy.deepcopy(module).to(precision).eval()(*cast)
    return [
        leaf.double() for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)
    ]
