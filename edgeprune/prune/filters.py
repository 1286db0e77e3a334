"""The weights of a channel, one row a channel: what criteria that look at weights alone start from."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from edgeprune.prune.coupling import Group, Role, Slices

__all__ = ["filters", "rows", "state"]


def state(module: torch.nn.Module) -> Mapping[str, torch.Tensor]:
    """Parameters and buffers by their names."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def rows(piece: Slices, values: torch.Tensor) -> torch.Tensor:
    """The entries of one parameter's slice, [channels, entries], in double precision on the CPU."""
    moved = values.detach().double().cpu().movedim(piece.dim, 0)
    flat = moved.reshape(moved.shape[0], -1)
    return flat[torch.tensor(piece.indices)].flatten(1)


def filters(group: Group, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What makes the channels, [channels, entries]; what reads them where nothing makes them."""
    for role in _ROLES:
        found = [rows(piece, values[piece.parameter]) for piece in group.slices if piece.role == role]
        if found:
            return torch.cat(found, 1)
    raise ValueError(f"group {group.name!r} lives in no parameter")


_ROLES: tuple[Role, ...] = ("produces", "consumes", "follows")
