"""Setting weights to zero in patterns that kernels skip: which go follows from what their loss does to the answers.

Of every layer, blocks of weights are taken one after the other, each time those whose loss can be made good best by
the weights left: with the inverse H of the inputs' second moments, taking the weights w of a block costs
w' (H_bb)^-1 w in squared error, summed over its outputs, after which H and the other weights are updated (E. Frantar
and D. Alistarh, "Optimal Brain Compression", NeurIPS 2022, after Hassibi and Stork's optimal brain surgeon, NIPS 1992).
Outputs of one block share their inputs' moments, so that blocks of several outputs cost no more to judge than single
ones. Then the weights left are set to those of least squared error. Every row of blocks keeps as many of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch

from edgeprune.patterns import LayerPattern, PatternMenu
from edgeprune.progress import Progress, SilentProgress
from edgeprune.prune.blocks import Block, block_mask
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.moments import Moments, Weighted, answers, fittable, moments, weighted
from edgeprune.prune.reconstruct import DAMPING
from edgeprune.prune.sensitivity import Curves, halves, loss_of
from edgeprune.prune.survivors import fit_weights

__all__ = ["can_be_thinned", "pattern_curves", "thin", "thin_roughly"]

_LEAST_ENERGY = 1e-30
_AT_ONCE = 16
"""Of the blocks of a row that are left, one in so many is taken before the others are judged anew."""


def can_be_thinned(module: torch.nn.Module) -> tuple[str, ...]:
    """The layers whose weights may go by blocks: convolutions of one group, and linear layers."""
    return tuple(
        name
        for name, layer in fittable(module).items()
        if isinstance(layer, torch.nn.Linear) or layer.groups == 1
    )


def thin(
    module: torch.nn.Module,
    patterns: Mapping[str, LayerPattern],
    calibration: Calibration,
    damping: float = DAMPING,
    progress: Progress | None = None,
) -> torch.nn.Module:
    """A copy of `module` whose layers have `patterns`, front to back, its other weights set right for it.

    Each layer sees what the thinned layers before it answer, and is to answer what it does in `module`.

    Args:
        module: The network; it is not changed.
        patterns: By layer, of `can_be_thinned`.
        calibration: Its batches are run once through the network for every layer.
        damping: How much weights are held to their old values, as a share of the inputs' mean square.
        progress: Told of every layer.
    """
    before, after = copy.deepcopy(module).eval(), copy.deepcopy(module).eval()
    wanted = answers(before, patterns.keys(), calibration.batches)
    with (progress or SilentProgress()).task("setting weights to zero", len(wanted)) as task:
        for name in wanted:
            task.advance(note=name)
            layer = weighted(after, name)
            found = moments(after, {name: wanted[name]}, calibration.batches)[name]
            (mask,) = _masks(layer, found, patterns[name].block, (patterns[name].density,), damping)
            _apply(layer, mask, found, damping)
    return after.train(module.training)


@torch.no_grad()
def thin_roughly(module: torch.nn.Module, patterns: Mapping[str, LayerPattern]) -> torch.nn.Module:
    """The same in no time, the smallest blocks first and nothing set right: what it costs is right."""
    after = copy.deepcopy(module)
    for name, pattern in patterns.items():
        layer = weighted(after, name)
        matrix = _rows_of_blocks(_matrix(layer).double(), pattern.block)
        scores = matrix.square().sum((1, 3))
        order = scores.argsort(dim=1, descending=True, stable=True)
        layer.weight.mul_(_mask(order, pattern.block, pattern.density, layer))
    return after


def pattern_curves(
    module: torch.nn.Module,
    menus: Mapping[str, PatternMenu],
    calibration: Calibration,
    progress: Progress | None = None,
) -> Curves:
    """Per menu, by its group, the loss that each of its positions adds, with all other layers whole.

    Weights are set right on one half of the data, the other judges.
    """
    fitting, judging = halves(calibration.batches)
    judge = Calibration(judging, calibration.loss)
    whole = copy.deepcopy(module).eval()
    base = loss_of(whole, judge, anew=False)
    layers = [menu.layer for menu in menus.values()]
    found = moments(whole, answers(whole, layers, fitting), fitting)
    curves: dict[str, dict[int, float]] = {}
    count = sum(len(menu.patterns) for menu in menus.values())
    with (progress or SilentProgress()).task("measuring patterns", count) as task:
        for group, menu in menus.items():
            layer = weighted(whole, menu.layer)
            state = copy.deepcopy(layer.state_dict())
            curve = {menu.widths[-1]: 0.0}
            for block in dict.fromkeys(pattern.block for pattern in menu.patterns):
                places = [at for at, pattern in enumerate(menu.patterns) if pattern.block == block]
                densities = tuple(menu.patterns[at].density for at in places)
                for at, mask in zip(
                    places, _masks(layer, found[menu.layer], block, densities, DAMPING), strict=True
                ):
                    _apply(layer, mask, found[menu.layer], DAMPING)
                    curve[menu.widths[at]] = max(0.0, loss_of(whole, judge, anew=False) - base)
                    layer.load_state_dict(state)
                    task.advance(note=f"{menu.layer} {menu.patterns[at].name}")
            curves[group] = curve
    return curves


@torch.no_grad()
def _apply(layer: Weighted, mask: torch.Tensor, found: Moments, damping: float) -> None:
    layer.weight.mul_(mask)
    fit_weights(layer, found, damping)


@torch.no_grad()
def _masks(
    layer: Weighted, found: Moments, block: Block, densities: tuple[float, ...], damping: float
) -> tuple[torch.Tensor, ...]:
    """For each density, which weights stay; those of a lower density are among those of a higher one."""
    matrix = _matrix(layer).double()
    groups = _rows_of_blocks(matrix, block)
    inverse = _inverse(layer, found, damping)
    width, blocks = block[1], groups.shape[2]
    filled = torch.eye(blocks * width, dtype=inverse.dtype)
    filled[: len(inverse), : len(inverse)] = inverse
    weights = groups.movedim(1, 3).reshape(len(groups), blocks * width, -1)
    fewest = min(_count(density, blocks) for density in densities)
    order = _elimination_order(weights, filled, width, fewest)
    return tuple(_mask(order, block, density, layer) for density in densities)


def _elimination_order(weights: torch.Tensor, inverse: torch.Tensor, width: int, fewest: int) -> torch.Tensor:
    """Blocks of each row of blocks, those that stay longest first: [rows, blocks].

    `weights` are [rows, inputs, outputs of a block]. The last `fewest` are not told apart.
    """
    rows, inputs, _ = weights.shape
    blocks = inputs // width
    weights, inverse = weights.clone(), inverse.repeat(rows, 1, 1)
    lanes = torch.arange(inputs).reshape(blocks, width)
    alive = torch.ones(rows, blocks, dtype=torch.bool)
    order: list[torch.Tensor] = []
    left = blocks
    at = torch.arange(rows)[:, None, None]
    while left > fewest:
        corner = inverse[:, lanes[:, :, None], lanes[:, None, :]]
        corner = corner + 1e-12 * torch.eye(width, dtype=corner.dtype)
        own = weights[:, lanes]
        cost = (own * torch.linalg.solve(corner, own)).sum((2, 3))
        cost[~alive] = torch.inf
        taken = min(max(1, left // _AT_ONCE), left - fewest)
        chosen = cost.argsort(dim=1, stable=True)[:, :taken]
        order.append(chosen.flip(1))
        alive.scatter_(1, chosen, False)
        gone = lanes[chosen].reshape(rows, -1)
        columns = inverse[at, torch.arange(inputs)[None, :, None], gone[:, None, :]]
        corners = inverse[at, gone[:, :, None], gone[:, None, :]]
        corners = corners + 1e-12 * torch.eye(corners.shape[1], dtype=corners.dtype)
        solved = torch.linalg.solve(corners, columns.mT)
        weights = weights - solved.mT @ weights[at[:, :, 0], gone]
        inverse = inverse - columns @ solved
        # What is gone must not come back by rounding, and its corner must stay solvable.
        weights[at[:, :, 0], gone] = 0.0
        inverse[at[:, :, 0], gone] = 0.0
        inverse[at[:, :, 0], :, gone] = 0.0
        inverse[at[:, :, 0], gone, gone] = 1.0
        left -= taken
    staying = alive.nonzero()[:, 1].reshape(rows, left)
    return torch.cat([staying, *reversed(order)], 1)


def _inverse(layer: Weighted, found: Moments, damping: float) -> torch.Tensor:
    """The inverse of the damped moments, in the order of `_matrix`; the bias, which stays, is accounted for."""
    gram = found.gram[0]
    ridge = damping * gram.diagonal().mean().clamp_min(_LEAST_ENERGY)
    inverse: torch.Tensor = torch.linalg.inv(gram + ridge * torch.eye(len(gram), dtype=gram.dtype))
    taps = layer.weight[0, 0].numel()
    places = torch.arange(layer.weight[0].numel()).reshape(-1, taps).mT.reshape(-1)
    return inverse[places][:, places]


def _matrix(layer: Weighted) -> torch.Tensor:
    """Weights [outputs, inputs] in the order of memory: all channels of a position, then the next position."""
    rows: torch.Tensor = layer.weight.detach().movedim(1, -1)
    return rows.reshape(len(rows), -1)


def _rows_of_blocks(matrix: torch.Tensor, block: Block) -> torch.Tensor:
    """[rows of blocks, outputs of a block, blocks of a row, inputs of a block], filled up with zeros."""
    height, width = block
    padded = torch.nn.functional.pad(matrix, (0, -matrix.shape[1] % width, 0, -matrix.shape[0] % height))
    return padded.reshape(padded.shape[0] // height, height, -1, width)


def _mask(order: torch.Tensor, block: Block, density: float, layer: Weighted) -> torch.Tensor:
    """Which weights stay of a layer, of each row of blocks the first of `order` [rows, blocks]."""
    rows, blocks = order.shape
    kept = torch.zeros(rows, blocks, dtype=torch.bool)
    kept.scatter_(1, order[:, : _count(density, blocks)], True)
    return block_mask(kept.flatten(), layer.weight, block)


def _count(density: float, blocks: int) -> int:
    """How many of a row's blocks stay, at least one."""
    return max(1, round(density * blocks))
