"""What pruning and training did, as the report says it."""

from __future__ import annotations

import torch

from edgeprune.compress.fit import Fitted
from edgeprune.compress.recover import JUDGED_SAMPLES, Recovered
from edgeprune.compress.shrink import Shrunk
from edgeprune.compress.subject import original_plan, patterns_of
from edgeprune.config import Settings
from edgeprune.model.model import Model
from edgeprune.report import PruningSummary
from edgeprune.report.pruning import Change, Generalization, QuantizationAware, Sparsity
from edgeprune.train import generalisation
from edgeprune.verdict import spent

__all__ = ["summarize", "summarize_whole"]


def summarize(shrunk: Shrunk, whole: Fitted, settings: Settings) -> PruningSummary:
    """What was cut from a network that took what `whole` takes, and how it was trained."""
    coupling, widths = shrunk.whole.coupling, shrunk.choice.widths
    is_graph = isinstance(shrunk.recovered.model.module, torch.fx.GraphModule)
    return PruningSummary(
        groups=tuple(
            (group.name, group.size, widths.get(group.name, group.size)) for group in coupling.groups
        ),
        frozen=coupling.frozen,
        rounds=len(shrunk.history) + 1,
        steps=shrunk.recovered.steps + sum(one.steps for one in shrunk.history),
        history=shrunk.history,
        criterion=shrunk.criterion,
        unpruned=spent(whole.cost),
        kept=original_plan(shrunk.subject, shrunk.choice).keep,
        ignored=settings.ignore,
        form="graph" if is_graph else "module",
        form_reason=coupling.reason if is_graph else None,
        quantization_aware=_quantization_aware(shrunk.recovered),
        generalization=_generalization(shrunk.whole.model, shrunk.recovered.model, settings.seed),
        sparsity=_chosen(shrunk) if settings.chooses_sparsity else _sparsity(settings),
    )


def summarize_whole(model: Model, recovered: Recovered, settings: Settings) -> PruningSummary:
    """How a network that kept its channels was trained."""
    return PruningSummary(
        steps=recovered.steps,
        quantization_aware=_quantization_aware(recovered),
        generalization=_generalization(model, recovered.model, settings.seed),
        sparsity=_sparsity(settings),
    )


def _quantization_aware(recovered: Recovered) -> QuantizationAware:
    return QuantizationAware(recovered.int8 is not None, recovered.int8)


def _generalization(original: Model, trained: Model, seed: int) -> Generalization:
    assert original.module is not None
    assert trained.module is not None
    before = generalisation(original, original.module, JUDGED_SAMPLES, seed=seed)
    after = generalisation(trained, trained.module, JUDGED_SAMPLES, seed=seed)
    return Generalization(
        Change(before.train_loss, after.train_loss), Change(before.test_loss, after.test_loss)
    )


def _chosen(shrunk: Shrunk) -> Sparsity:
    module = shrunk.recovered.model.module
    assert module is not None
    weights = [value for value in module.parameters() if value.dim() > 1]
    left = sum(int(value.count_nonzero()) for value in weights) / sum(value.numel() for value in weights)
    return Sparsity("auto", round(left, 4), "after", patterns_of(shrunk.subject, shrunk.choice))


def _sparsity(settings: Settings) -> Sparsity | None:
    density = settings.density()
    if density is None:
        return None
    return Sparsity(settings.sparsity_pattern(), density, settings.sparsify)
