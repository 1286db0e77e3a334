"""What pruning and training did to the network, as values and as the report's `pruning` section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeprune.config import SparsifyWhen
from edgeprune.patterns import LayerPattern

__all__ = [
    "Change",
    "Generalization",
    "PruningSummary",
    "QuantizationAware",
    "RoundSummary",
    "Sparsity",
    "pruning_values",
]


@dataclass(frozen=True)
class Change:
    """A figure before something was done and after it."""

    before: float
    after: float


@dataclass(frozen=True)
class RoundSummary:
    """One round of cutting and training: widths left by group, loss of the cut before and after training it."""

    widths: Mapping[str, int]
    loss: Change
    macs: int
    steps: int


@dataclass(frozen=True)
class QuantizationAware:
    """Whether the network was trained through rounding, and the metric as int8 before and after."""

    used: bool
    int8: Change | None = None


@dataclass(frozen=True)
class Generalization:
    """The task's loss on training and on test data, of the original network and of the pruned one."""

    train_loss: Change
    test_loss: Change

    @property
    def gap(self) -> Change:
        """Test loss less training loss: what the network knows by heart and not in general."""
        return Change(
            self.test_loss.before - self.train_loss.before, self.test_loss.after - self.train_loss.after
        )


@dataclass(frozen=True)
class Sparsity:
    """Weights set to zero: the pattern asked for, the share of weights left, when the others went.

    `layers` are those for which a pattern and density were chosen; None where one was named for all.
    """

    pattern: str
    density: float
    when: SparsifyWhen
    layers: Mapping[str, LayerPattern] | None = None


@dataclass(frozen=True)
class PruningSummary:
    """Per group its widths before and after; channels removed without loss; groups left alone, with reasons."""

    groups: tuple[tuple[str, int, int], ...] = ()
    lossless_channels: int = 0
    frozen: Mapping[str, str] = field(default_factory=dict)
    rounds: int = 0
    steps: int = 0
    criterion: str | None = None
    unpruned: Mapping[str, float] | None = None
    """What the whole network takes as linked and as run: "flash" and "ram" in bytes, "latency_ms"."""
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Per group that lost channels, those that stay, by their numbers in the original network."""
    ignored: tuple[str, ...] = ()
    """Layers that the user named to be left alone."""
    form: str | None = None
    """What the pruned float network is: "module", of the user's own class, or "graph", its exported graph."""
    form_reason: str | None = None
    """Why it is a graph."""
    history: tuple[RoundSummary, ...] | None = None
    quantization_aware: QuantizationAware | None = None
    generalization: Generalization | None = None
    sparsity: Sparsity | None = None


def pruning_values(pruning: PruningSummary) -> dict[str, Any]:
    """The report's `pruning` section."""
    return {
        "groups": [
            {"name": name, "before": before, "after": after, "kept": _listed(pruning.kept.get(name))}
            for name, before, after in pruning.groups
        ],
        "lossless_channels": pruning.lossless_channels,
        "frozen": [{"name": name, "reason": reason} for name, reason in pruning.frozen.items()],
        "ignored": list(pruning.ignored),
        "rounds": pruning.rounds,
        "steps": pruning.steps,
        "criterion": pruning.criterion,
        "form": pruning.form,
        "form_reason": pruning.form_reason,
        "unpruned": None if pruning.unpruned is None else dict(pruning.unpruned),
        "history": None if pruning.history is None else [_round(record) for record in pruning.history],
        "quantization_aware": _quantization_aware(pruning.quantization_aware),
        "generalization": _generalization(pruning.generalization),
        "sparsity": _sparsity(pruning.sparsity),
    }


def _listed(channels: tuple[int, ...] | None) -> list[int] | None:
    return None if channels is None else list(channels)


def _round(record: RoundSummary) -> dict[str, Any]:
    return {
        "widths": dict(record.widths),
        "loss": _change(record.loss),
        "macs": record.macs,
        "steps": record.steps,
    }


def _change(change: Change) -> dict[str, float]:
    return {"before": change.before, "after": change.after}


def _quantization_aware(training: QuantizationAware | None) -> dict[str, Any] | None:
    if training is None:
        return None
    return {"used": training.used, "int8": None if training.int8 is None else _change(training.int8)}


def _generalization(found: Generalization | None) -> dict[str, Any] | None:
    if found is None:
        return None
    changes = {"train_loss": found.train_loss, "test_loss": found.test_loss, "gap": found.gap}
    return {name: _change(change) for name, change in changes.items()}


def _sparsity(sparsity: Sparsity | None) -> dict[str, Any] | None:
    if sparsity is None:
        return None
    found: dict[str, Any] = {
        "pattern": sparsity.pattern,
        "density": sparsity.density,
        "when": sparsity.when,
    }
    if sparsity.layers is not None:
        found["layers"] = [
            {"name": name, "pattern": chosen.name, "density": chosen.density}
            for name, chosen in sparsity.layers.items()
        ]
    return found
