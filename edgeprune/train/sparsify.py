"""`sparsify`: set weights to zero, alone or by blocks, the smallest first, before, while or after training."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from edgeprune.config import SparsifyWhen
from edgeprune.errors import UsageError
from edgeprune.model.model import Model
from edgeprune.progress import Progress
from edgeprune.prune.blocks import SINGLE, Block, block_mask, block_scores, has_blocks
from edgeprune.prune.calibration import Calibration
from edgeprune.prune.survivors import fit_survivors
from edgeprune.seeding import seeded
from edgeprune.train.companion import HeldZeros, prunable_weights
from edgeprune.train.fine_tune import accompanied
from edgeprune.train.random_stream import network_seed
from edgeprune.train.schedule import Schedule

__all__ = ["PruneScope", "sparsify"]

PruneScope = Literal["global", "layer"]

_LEAST_SHARE = 0.1
"""No layer goes below this share of the density asked for, so that none is emptied."""
_RAMP = (0.0, 0.7)
"""Shares of the steps between which `during` goes from dense to sparse; the rest lets the network settle."""
_UPDATES = 50
"""About how many times the masks grow on the way."""


def sparsify(
    model: Model,
    module: torch.nn.Module,
    density: float,
    when: SparsifyWhen,
    steps: int,
    *,
    scope: PruneScope = "global",
    block: Block = SINGLE,
    calibration: Calibration | None = None,
    ignore: Collection[str] = (),
    seed: int = 0,
    teacher: torch.nn.Module | None = None,
    progress: Progress | None = None,
    schedule: Schedule | None = None,
    resume_from: Path | None = None,
) -> torch.nn.Module:
    """A trained copy of `module` in which the share `density` of all weights is left, the largest by magnitude.

    Weights are those of convolutions, fully-connected, recurrent and attention layers that train; biases,
    normalisations, tables of embeddings and parameters that the user froze stay whole. The shapes stay too; a build is
    faster and smaller where a sparse kernel fits what is left. Train it further with `hold_zeros`, or the zeros are
    lost. Weights may go by blocks of neighbouring outputs and inputs, as such kernels skip them: then the mean of a
    block's squares counts, and layers that no such kernel runs (depthwise, transposed, recurrent) stay whole.

    * "after": the network, trained already, loses its smallest weights at once and is trained with the rest (Han et
      al., "Learning both Weights and Connections for Efficient Neural Networks", 2015).
    * "during": the density falls while the network trains, in a cubic that is steep at first (Zhu and Gupta, "To
      Prune, or Not to Prune", 2017, equation 1).
    * "before": the network is initialised anew and loses its smallest weights before the first step. Of the three
      this costs most accuracy for a density: a sparse network from an initialisation of its own trains worse than
      the one that pruning after training finds (Frankle and Carbin, "The Lottery Ticket Hypothesis", 2019), and
      magnitudes at initialisation say little (Frankle et al., "Pruning Neural Networks at Initialization: Why Are We
      Missing the Mark?", 2021). Layers that cannot initialise themselves keep their values.

    Args:
        model: Where data, loss and perhaps a fine_tune of the recipe's own come from.
        module: The network; it is not changed.
        density: Share of the weights to keep, above 0 and at most 1.
        when: "before", "during" or "after" training.
        steps: Optimizer steps in all.
        scope: "global" compares weights of all layers, "layer" leaves every layer the same density.
        block: Outputs and inputs of the blocks that stay or go together.
        calibration: Data on which, where weights go at once "after" training, those that stay are corrected for it.
        ignore: Layers, by qualified name, whose weights stay whole; what is inside them too.
        seed: Makes initialisation, shuffling and dropout repeatable.
        teacher: A network whose answers to imitate.
        progress: Told of every step.
        schedule: How SGD goes; see `fine_tune`. Its patience does not apply during pruning.
        resume_from: See `fine_tune`.

    Raises:
        TrainingDiverged: the loss is not a finite number.
        UsageError: an impossible density, an unknown name or word, nothing to prune, or no training data.
    """
    if not 0 < density <= 1:
        raise UsageError(f"a density of {density:g} cannot be kept: choose one above 0, up to 1")
    for word, allowed in ((when, SparsifyWhen), (scope, PruneScope)):
        if word not in get_args(allowed):
            raise UsageError(f"{word!r} is not one of {', '.join(map(repr, get_args(allowed)))}")
    chosen = _chosen(module, ignore, block)
    subject = copy.deepcopy(module)
    if when == "before":
        _initialise(subject, network_seed(seed))
    masks = _GrowingMasks(chosen, density, scope, steps if when == "during" else 0, block)
    if when == "after" and calibration is not None:
        masks.attach(subject)
        subject = fit_survivors(module, subject, calibration, progress=progress)
    return accompanied(
        model,
        subject,
        steps,
        (masks,),
        seed=seed,
        teacher=teacher,
        progress=progress,
        schedule=replace(schedule or Schedule(), patience=None) if when == "during" else schedule,
        resume_from=resume_from,
        title="training sparsely",
    )


class _GrowingMasks(HeldZeros):
    """Holds zeros, and makes more of them on the way to a density over `ramp_steps` steps; at once where that is 0."""

    def __init__(
        self,
        names: Collection[str],
        density: float,
        scope: PruneScope,
        ramp_steps: int,
        block: Block = SINGLE,
    ) -> None:
        super().__init__()
        self._names, self._density, self._scope, self._block = tuple(names), density, scope, block
        self._begin, self._end = (round(share * ramp_steps) for share in _RAMP)
        self._every = max(1, (self._end - self._begin) // _UPDATES)
        blocks = "" if block == SINGLE else f" {block}"
        self.name = f"growing masks {self._names} {density} {scope}{blocks} {self._begin} {self._end}"

    def attach(self, subject: torch.nn.Module) -> None:
        """Zero the first weights."""
        super().attach(subject)
        self._grow(subject, self._density_after(0))

    def after_step(self, step: int) -> None:
        """Zero again those that were zero, and some more when it is time."""
        super().after_step(step)
        assert self._subject is not None
        is_time = self._begin <= step < self._end and (step - self._begin) % self._every == 0
        if is_time or step == self._end:
            self._grow(self._subject, self._density_after(step))

    def finish(self, trained: torch.nn.Module) -> None:
        """Reach the density asked for, should the training have taken fewer steps than it was given."""
        super().finish(trained)
        self._grow(trained, self._density)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the masks from the zeros of the network."""
        assert self._subject is not None
        super().attach(self._subject)

    def _density_after(self, step: int) -> float:
        if step >= self._end:
            return self._density
        left = 1 - (step - self._begin) / (self._end - self._begin)
        return self._density + (1 - self._density) * left**3

    def _grow(self, network: torch.nn.Module, density: float) -> None:
        found = prunable_weights(network)
        scores = {name: block_scores(found[name].detach(), self._block) for name in self._names}
        for name, count in _counts(scores, density, self._scope).items():
            self._masks[name] = block_mask(_largest(scores[name], count), found[name], self._block)
        self._zero(network)


def _counts(scores: Mapping[str, torch.Tensor], density: float, scope: PruneScope) -> dict[str, int]:
    """How many of each layer's blocks stay."""
    if scope == "layer":
        return {name: math.ceil(density * len(score)) for name, score in scores.items()}
    ranks: list[torch.Tensor] = []
    for score in scores.values():
        magnitudes = score.sort(descending=True).values.float()
        magnitudes[: math.ceil(_LEAST_SHARE * density * len(magnitudes))] = math.inf
        ranks.append(magnitudes)
    total = sum(map(len, ranks))
    order = torch.cat(ranks).argsort(descending=True, stable=True)[: math.ceil(density * total)]
    owners = torch.repeat_interleave(torch.tensor([len(rank) for rank in ranks]))
    counts = torch.bincount(owners[order.cpu()], minlength=len(ranks)).tolist()
    return dict(zip(scores, counts, strict=True))


def _largest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The mask of the `count` largest scores, flat; of equal ones the first."""
    mask = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    mask[scores.argsort(descending=True, stable=True)[:count]] = True
    return mask


def _chosen(module: torch.nn.Module, ignore: Collection[str], block: Block) -> tuple[str, ...]:
    """The names of the weights that may lose some."""
    layers = {name for name, _ in module.named_modules()}
    for name in ignore:
        if name not in layers:
            raise UsageError(
                f"there is no layer {name!r} to ignore; the network's are: {', '.join(sorted(layers)[1:])}"
            )
    whole = [*ignore, *(_without_sparse_kernels(module) if block != SINGLE else ())]
    kept = tuple(
        name
        for name, weight in prunable_weights(module).items()
        if not any(name.startswith(f"{layer}.") for layer in whole)
        and (block == SINGLE or has_blocks(weight))
    )
    if not kept:
        raise UsageError(
            "none of the network's weights can be set to zero: all are frozen, ignored or no matrices"
        )
    return kept


def _without_sparse_kernels(module: torch.nn.Module) -> list[str]:
    """Layers, by name, whose weights have outputs elsewhere than first, or are multiplied by no sparse kernel."""
    kinds = (
        torch.nn.RNNBase,
        torch.nn.ConvTranspose1d,
        torch.nn.ConvTranspose2d,
        torch.nn.MultiheadAttention,
    )
    return [name for name, part in module.named_modules() if isinstance(part, kinds)]


def _initialise(module: torch.nn.Module, seed: int) -> None:
    """Have every layer whose parameters all train take the values that a new one starts from."""
    with seeded(seed, with_torch=True):
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            own = list(part.parameters(recurse=False))
            if callable(reset) and own and all(parameter.requires_grad for parameter in own):
                reset()
