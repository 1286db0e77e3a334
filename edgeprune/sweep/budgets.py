"""The budgets of a sweep: from what the whole network takes down to its smallest point, in equal ratios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edgeprune.config import Settings, parse_ceiling, parse_duration_ms, parse_size
from edgeprune.errors import UsageError

__all__ = ["DEFAULT_SMALLEST", "check_ends", "point_settings", "whole_settings"]

DEFAULT_SMALLEST = "25%"
"""Of what the whole network takes in latency and in flash."""

_NAMED: Mapping[str, tuple[str, str, Callable[[str, str], float] | None]] = {
    "flash": ("flash", "--flash", parse_size),
    "ram": ("ram", "--ram", parse_size),
    "latency": ("latency_ms", "--latency", parse_duration_ms),
    "macs": ("macs", "--macs", None),
    "params": ("parameters", "--params", None),
}
"""Per setting: what the report calls it, its option, and how an amount of it is read (None: as a ceiling)."""


def whole_settings(settings: Settings) -> Settings:
    """Settings of the first point: the network as it is, within the device's own memory."""
    return replace(
        settings,
        flash=None,
        ram=None,
        latency=None,
        macs=None,
        params=None,
        accuracy_drop=None,
        sparsity="none",
    )


def check_ends(settings: Settings, smallest: str | None) -> None:
    """Refuse ends of a sweep that cannot be read, before any work is done.

    Raises:
        UsageError: one is neither a share nor an amount, or both kinds of end are given.
    """
    named = [what for name, (_, what, _) in _NAMED.items() if getattr(settings, name) is not None]
    if smallest is not None and named:
        raise UsageError(f"--smallest and {named[0]} both say where the sweep ends: give one of them")
    _ends(settings, smallest, dict.fromkeys((word for word, _, _ in _NAMED.values()), 1.0))


def point_settings(
    settings: Settings, smallest: str | None, whole: Mapping[str, float], step: int, steps: int
) -> Settings:
    """Settings of the point `step` of `steps` steps below the whole network.

    A limit falls from what the whole network takes to its end in equal ratios; an end that the whole network keeps
    is the limit of every point.

    Args:
        settings: What was asked; its limits are ends, as amounts or as shares such as "30%".
        smallest: The end of latency and flash where no limit is named, as a share.
        whole: What the whole network takes, in the report's words; without "latency_ms" there is no such limit.
        step: From 1.
        steps: The number of the smallest point.
    """
    ends = _ends(settings, smallest, whole)
    limits: dict[str, Any] = dict.fromkeys(_NAMED)
    for name, (word, end) in ends.items():
        falling = whole[word] * min(1.0, end / whole[word]) ** (step / steps)
        limits[name] = _text(name, max(end, falling))
    return replace(settings, **limits)


def _ends(
    settings: Settings, smallest: str | None, whole: Mapping[str, float]
) -> dict[str, tuple[str, float]]:
    """Per limited setting, the report's word for it and where it ends."""
    named = {name: getattr(settings, name) for name in _NAMED if getattr(settings, name) is not None}
    texts = named or dict.fromkeys(("flash", "latency"), smallest or DEFAULT_SMALLEST)
    ends = {}
    for name, text in texts.items():
        word, what, amount = _NAMED[name]
        if word in whole:
            what = what if named else "--smallest"
            ends[name] = word, _amount(text, what, whole[word], amount if named else None)
    return ends


def _amount(text: str, what: str, whole: float, read: Callable[[str, str], float] | None) -> float:
    if read is not None and not text.strip().endswith("%"):
        return read(text, what)
    ceiling = parse_ceiling(text, what)
    if ceiling.share is not None:
        return whole * ceiling.share
    if what == "--smallest":
        raise UsageError(f"--smallest {text!r} is not a share of the whole network: write one such as 15%")
    assert ceiling.count is not None
    return ceiling.count


def _text(name: str, limit: float) -> str:
    """A limit as a setting."""
    return f"{max(limit, 1e-3):.6f}ms" if name == "latency" else str(max(1, int(limit)))
