"""Gauges: what was used against what was allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeprune.report.numbers import count, is_known, milliseconds, percent

__all__ = ["Gauge", "Part", "gauges"]


@dataclass(frozen=True)
class Part:
    """A piece of what is used; `x` and `width` in percent of the gauge, `series` its colour."""

    name: str
    amount: str
    x: float
    width: float
    series: int


@dataclass(frozen=True)
class Gauge:
    """One budget. Texts are empty and positions None where there is no such figure."""

    name: str
    used: str
    limit: str
    share: str
    unpruned: str
    fits: bool | None
    """Whether it is within the limit; None without a limit, or where nothing is used."""
    parts: tuple[Part, ...]
    limit_x: float | None
    unpruned_x: float | None
    label: str
    """The gauge in words."""


@dataclass(frozen=True)
class _Quantity:
    name: str
    key: str
    """Its name in `budget`, `nearest` and `pruning.unpruned`."""
    used: float | None
    parts: tuple[tuple[str, float], ...]
    show: Callable[[float | None], str]


def gauges(report: Mapping[str, Any]) -> tuple[Gauge, ...]:
    """A gauge for each of flash, RAM and latency, and for other budgets that were named.

    Of a network that does not fit, the nearest that can be built takes the place of what was.
    """
    budget, nearest = report["budget"], report["nearest"] or {}
    unpruned = (report["pruning"] or {}).get("unpruned") or {}
    found = []
    for quantity in _quantities(report):
        limit = budget.get(quantity.key)
        used = quantity.used if report["fits"] else nearest.get(quantity.key)
        if used is None and limit is None:
            continue
        found.append(_gauge(quantity, used, limit, unpruned.get(quantity.key), report["fits"]))
    return tuple(found)


def _quantities(report: Mapping[str, Any]) -> list[_Quantity]:
    flash, ram, latency = (report[name] or {} for name in ("flash", "ram", "latency"))
    quantities = [
        _Quantity("Flash", "flash", flash.get("total"), _parts(flash, "code", "weights"), _bytes),
        _Quantity("RAM", "ram", ram.get("total"), _parts(ram, "arena", "static", "stack"), _bytes),
        _Quantity("Latency", "latency_ms", latency.get("ms"), (), milliseconds),
    ]
    for name, key in (("Multiply-accumulates", "macs"), ("Parameters", "parameters")):
        if report["budget"].get(key) is not None:
            quantities.append(_Quantity(name, key, report[key], (), count))
    return quantities


def _parts(section: Mapping[str, Any], *names: str) -> tuple[tuple[str, float], ...]:
    return tuple((name, section[name]) for name in names if name in section)


def _bytes(value: float | None) -> str:
    return "" if value is None else f"{count(value)} B"


def _gauge(
    quantity: _Quantity, used: float | None, limit: float | None, unpruned: float | None, built: bool
) -> Gauge:
    known = [value for value in (used, limit, unpruned) if value is not None and is_known(value)]
    scale = max([*known, 1e-12])
    measured = used if used is not None and is_known(used) else None
    fits = None if measured is None or limit is None else measured <= limit
    share = percent(measured / limit) if measured is not None and limit else ""
    return Gauge(
        quantity.name,
        quantity.show(used),
        quantity.show(limit),
        share,
        quantity.show(unpruned),
        fits,
        _pieces(quantity, measured, built, scale),
        None if limit is None else 100 * limit / scale,
        None if unpruned is None else 100 * unpruned / scale,
        _label(quantity, used, limit, unpruned, share),
    )


def _pieces(quantity: _Quantity, used: float | None, built: bool, scale: float) -> tuple[Part, ...]:
    if used is None:
        return ()
    named = quantity.parts if built and quantity.parts else (("used" if built else "nearest", used),)
    found, x = [], 0.0
    for series, (name, amount) in enumerate(named, 1):
        width = 100 * amount / scale
        found.append(Part(name, quantity.show(amount), x, width, series))
        x += width
    return tuple(found)


def _label(
    quantity: _Quantity, used: float | None, limit: float | None, unpruned: float | None, share: str
) -> str:
    words = [f"{quantity.name}: {quantity.show(used) or 'not known'}"]
    words.append("no limit" if limit is None else f"limit {quantity.show(limit)}")
    if share:
        words.append(f"{share} of it used")
    if unpruned is not None:
        words.append(f"unpruned {quantity.show(unpruned)}")
    return ", ".join(words)
