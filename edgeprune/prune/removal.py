"""Greedy removal of channels by the squared error that it leaves in what their readers answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from edgeprune.prune.calibration import Calibration
from edgeprune.prune.coupling import Coupling, Group, Slices
from edgeprune.prune.filters import rows, state
from edgeprune.prune.importance.criterion import Scores
from edgeprune.prune.moments import Weighted, answers, fittable, loss_curvature, moments

__all__ = ["removal_scores"]

_DAMPING = 1e-3
_STEPS = 64
"""A group's channels are removed in about so many steps at most, several at a time in wide groups."""


@dataclass(eq=False)
class _Reader:
    """One layer's view of a group: [layer groups, patch, patch] moments, [layer groups, patch, outputs] weights.

    `columns` [channels, k] are the patch's entries that each channel takes. `inverse` and `weight` change as channels
    go: `inverse` stays that of what is left, with zeros elsewhere.
    """

    gram: torch.Tensor
    inverse: torch.Tensor
    weight: torch.Tensor
    columns: torch.Tensor
    lost: torch.Tensor

    def costs(self, corrected: bool) -> torch.Tensor:
        """Squared error that each channel's removal adds; of channels that are gone, without meaning."""
        per_channel = self.columns
        own = self.weight[:, per_channel]
        if corrected:
            blocks = self.inverse[:, per_channel[:, :, None], per_channel[:, None, :]]
            eye = torch.eye(blocks.shape[-1], dtype=blocks.dtype)
            scale = blocks.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)[..., None, None]
            solved = torch.linalg.solve(blocks + 1e-9 * scale * eye, own)
            cost: torch.Tensor = (own * solved).sum((0, 2, 3))
            return cost
        blocks = self.gram[:, per_channel[:, :, None], per_channel[:, None, :]]
        alone = (own * (blocks @ own)).sum((0, 2, 3))
        with_lost = (own * (self.gram @ self.lost)[:, per_channel]).sum((0, 2, 3))
        added: torch.Tensor = alone + 2 * with_lost
        return added

    def remove(self, channels: Sequence[int], corrected: bool) -> None:
        """Take out channels, and correct what is left for them."""
        gone = self.columns[list(channels)].flatten()
        if corrected:
            strip = self.inverse[:, :, gone]
            gain = torch.linalg.solve(strip[:, gone], strip.mT).mT
            self.weight = self.weight - gain @ self.weight[:, gone]
            self.inverse = self.inverse - gain @ strip.mT
            self.inverse[:, gone] = 0.0
            self.inverse[:, :, gone] = 0.0
        else:
            self.lost[:, gone] += self.weight[:, gone]
        self.weight[:, gone] = 0.0


def removal_scores(
    module: torch.nn.Module, coupling: Coupling, calibration: Calibration, corrected: bool
) -> Scores:
    """Every group's channels scored by the error added up until they go, the cheapest going first."""
    consumed = {
        piece.parameter.removesuffix(".weight"): piece
        for group in coupling.groups
        for piece in group.slices
        if piece.role == "consumes" and piece.dim == 1 and piece.parameter.endswith(".weight")
    }
    layers = {name: layer for name, layer in fittable(module).items() if name in consumed}
    wanted = answers(module, layers.keys(), calibration.batches)
    grams = {name: found.gram for name, found in moments(module, wanted, calibration.batches).items()}
    weights = loss_curvature(module, grams.keys(), calibration)
    values = state(module)
    return {
        group.name: _scores(_readers(group, layers, grams, weights, values), group.size, corrected)
        for group in coupling.groups
    }


def _readers(
    group: Group,
    layers: Mapping[str, Weighted],
    grams: Mapping[str, torch.Tensor],
    weights: Mapping[str, torch.Tensor],
    values: Mapping[str, torch.Tensor],
) -> list[_Reader]:
    known: list[_Reader] = []
    others: list[torch.Tensor] = []
    for piece in group.slices:
        if piece.role != "consumes":
            continue
        name = piece.parameter.removesuffix(".weight")
        if piece.dim == 1 and piece.parameter == f"{name}.weight" and name in grams and name in weights:
            known.append(_reader(piece, layers[name], grams[name], weights[name]))
        else:
            others.append(rows(piece, values[piece.parameter]))
    mean = sum(float((one.weight * (one.gram @ one.weight)).sum()) for one in known) / max(1, len(known))
    return [*known, *(_uncorrelated(entries, mean) for entries in others)]


def _reader(piece: Slices, layer: Weighted, gram: torch.Tensor, curvature: torch.Tensor) -> _Reader:
    """A fittable layer as a reader, each output scaled by the root of how much the loss minds its error."""
    groups, patch = gram.shape[:2]
    weight = layer.weight.detach().double().reshape(groups, layer.weight.shape[0] // groups, -1)
    weight = (weight * curvature.sqrt().reshape(groups, -1, 1)).mT
    if layer.bias is not None:
        weight = torch.cat([weight, weight.new_zeros(groups, 1, weight.shape[2])], 1)
    ridge = _DAMPING * gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    inverse = torch.linalg.inv(gram + ridge[:, None, None] * torch.eye(patch, dtype=gram.dtype))
    taps = layer.weight[0, 0].numel()
    first = torch.tensor(piece.indices)[:, :, None] * taps
    columns = (first + torch.arange(taps)).flatten(1)
    return _Reader(gram, inverse, weight.clone(), columns, torch.zeros_like(weight))


def _uncorrelated(entries: torch.Tensor, energy: float) -> _Reader:
    """A reader whose channels [channels, entries] are one input each, with `energy` in all."""
    channels = len(entries)
    strength = entries.norm(dim=1)
    total = float(strength.square().sum())
    scaled = strength * ((energy or 1.0) / total) ** 0.5 if total > 0 else strength
    eye = torch.eye(channels, dtype=torch.float64)[None]
    weight = torch.diag(scaled)[None]
    return _Reader(eye, eye.clone(), weight, torch.arange(channels)[:, None], torch.zeros_like(weight))


def _scores(readers: Sequence[_Reader], size: int, corrected: bool) -> tuple[float, ...]:
    together = -(-size // _STEPS)
    left = list(range(size))
    order: list[int] = []
    added: list[float] = []
    while left:
        costs = sum((reader.costs(corrected) for reader in readers), torch.zeros(size, dtype=torch.float64))
        going = sorted(left, key=lambda channel: (float(costs[channel]), -channel))[:together]
        for reader in readers:
            reader.remove(going, corrected)
        order += going
        added += [max(0.0, float(costs[channel])) for channel in going]
        left = [channel for channel in left if channel not in set(going)]
    # A step that costs nothing still ranks above the one before it.
    floor = 1e-9 * (sum(added) or 1.0)
    totals = accumulate(cost + floor for cost in added)
    scores = dict(zip(order, totals, strict=True))
    return tuple(scores[channel] for channel in range(size))
