"""What a build takes, held against a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from edgeprune.config import Budget
from edgeprune.errors import OverBudget

__all__ = ["Cost", "OverResolvedBudget", "missed", "single_limits", "spent", "worst_excess"]


@dataclass(frozen=True)
class Cost:
    """What a build takes, as linked and as run; latency is None where the device has none.

    Fields are those of `Budget`: each limit is on the field of its name.
    """

    flash_bytes: int
    ram_bytes: int
    latency_ms: float | None
    macs: int
    parameters: int

    def fits(self, budget: Budget) -> bool:
        """Whether every limit holds."""
        return all(taken <= limit for taken, limit in _pairs(self, budget).values())


class OverResolvedBudget(OverBudget):
    """A refusal with the budget it was held against, where shares of the whole network are numbers."""

    def __init__(self, error: OverBudget, budget: Budget) -> None:
        super().__init__(str(error), error.nearest)
        self.budget = budget


_WORDS = {
    "flash_bytes": ("flash", "flash", "{:,} B"),
    "ram_bytes": ("ram", "RAM", "{:,} B"),
    "latency_ms": ("latency_ms", "latency", "{:.3g} ms"),
    "macs": ("macs", "multiply-accumulates", "{:,}"),
    "parameters": ("parameters", "parameters", "{:,}"),
}
"""Per field: the report's word, the word in a sentence, and how an amount is written."""


def missed(cost: Cost, budget: Budget) -> Mapping[str, str]:
    """The limits that `cost` breaks: the report's word for each, and a phrase that says by how much."""
    phrases = {}
    for name, (taken, limit) in _pairs(cost, budget).items():
        if taken > limit:
            key, word, amount = _WORDS[name]
            phrases[key] = f"{word} {amount.format(taken)} of {amount.format(limit)}"
    return phrases


def worst_excess(cost: Cost, budget: Budget) -> float:
    """The largest ratio of what is taken to its limit; 0 without limits."""
    return max((taken / limit for taken, limit in _pairs(cost, budget).values()), default=0.0)


def spent(cost: Cost) -> dict[str, float]:
    """A cost in the report's words."""
    amounts = {word: getattr(cost, name) for name, (word, _, _) in _WORDS.items()}
    return {word: amount for word, amount in amounts.items() if amount is not None}


def single_limits(budget: Budget) -> Mapping[str, Budget]:
    """Each limit of `budget` as a budget of its own, by the report's words."""
    limits = {name: getattr(budget, name) for name in _WORDS}
    return {_WORDS[name][0]: Budget(**{name: limit}) for name, limit in limits.items() if limit is not None}


def _pairs(cost: Cost, budget: Budget) -> Mapping[str, tuple[float, float]]:
    """What is taken and its limit, where there are both."""
    both = {item.name: (getattr(cost, item.name), getattr(budget, item.name)) for item in fields(Budget)}
    return {
        name: (taken, limit)
        for name, (taken, limit) in both.items()
        if taken is not None and limit is not None
    }
