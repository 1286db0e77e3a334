"""Why no widths hold the limits: which limits bind, where, and the nearest feasible budget on each axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.costs import CostTable
from edgeprune.prune.limits import Infeasible, Limits, NothingFits, Resources, binding_row, resources
from edgeprune.prune.search import Search, Widths, dearest
from edgeprune.prune.sensitivity import Curves

__all__ = ["amount", "least_budgets", "nothing_fits"]

_WORDS = {
    "flash_bytes": "flash",
    "ram_bytes": "RAM",
    "cycles": "cycles",
    "macs": "multiply-accumulates",
    "parameters": "parameters",
}
_CLOSE = 1.0002
"""The least excess over the limits is sought to this ratio."""


def least_budgets(
    curves: Curves, table: CostTable, limits: Limits, time_limit_s: float = 8.0
) -> Mapping[str, int]:
    """Per limited axis, the least that any widths take of it with the other limits kept.

    Limits that no widths hold even alone are not kept for the other axes. An axis is missing where the limits on
    the others cannot be held together.
    """
    search = Search(table, curves, time_limit_s, prices=dearest(table))
    alone = _alone(search, limits)
    return _with_others_kept(search, limits, {name: one.widths for name, one in alone.items()})


def nothing_fits(search: Search, limits: Limits, proven: bool) -> NothingFits:
    """The refusal of limits for which no widths were found; `proven`: because the table has none."""
    table, search = search.table, search.hasty()
    found = _alone(search, limits)
    alone = {name: one.widths for name, one in found.items()}
    least_of = _with_others_kept(search, limits, alone)
    widths = _nearest(search, limits)
    binding = {
        name: resources(table, at) for name, at in alone.items() if _over(resources(table, at), limits, name)
    }
    row = binding_row(table, alone["ram_bytes"]) if "ram_bytes" in binding else None
    nearest = resources(table, widths)
    certain = {name for name in found if name != "ram_bytes" or not table.memory_is_estimated}
    proven = proven and certain == found.keys()
    proven = proven or any(found[name].at_least > limits.given()[name] for name in certain)
    infeasible = Infeasible(tuple(binding), row.step if row else None, nearest, widths, least_of, proven)
    where = ""
    if row is not None:
        where = f" at step {row.step!r}"
        where += f", where {_and(row.alive)} are alive together" if row.alive else ""
    needs = {name: getattr(used, name) for name, used in binding.items()}
    return NothingFits(_sentence(limits, needs, where, infeasible), infeasible, _in_words(nearest, table))


@dataclass(frozen=True)
class _Least:
    """The widths found that take least of a resource, and what all widths are proven to take of it."""

    widths: Widths
    at_least: float


def _alone(search: Search, limits: Limits) -> Mapping[str, _Least]:
    """Per limited axis, the least that widths take of it; each layer with its option that takes least."""
    found: dict[str, _Least] = {}
    for name in limits.given():
        cheapest = search.cheapest(name)
        least = cheapest.least(name, Limits())
        assert least.positions is not None
        at_least = least.objective * (1 - least.gap) if least.gap < 1 else 0.0
        found[name] = _Least(cheapest.widths_at(least.positions), at_least)
    return found


def _with_others_kept(search: Search, limits: Limits, alone: Mapping[str, Widths]) -> Mapping[str, int]:
    table, found = search.table, dict[str, int]()
    for name in limits.given():
        others = {
            other: limit
            for other, limit in limits.given().items()
            if other != name and not _over(resources(table, alone[other]), limits, other)
        }
        if not others:
            found[name] = getattr(resources(table, alone[name]), name)
            continue
        least = search.least(name, Limits(**others))
        if least.positions is not None:
            found[name] = getattr(resources(table, search.widths_at(least.positions)), name)
    return found


def _nearest(search: Search, limits: Limits) -> Widths:
    """The widths of least loss among those whose worst excess over the limits is about the least there is.

    Limits that need not give for it are kept.
    """
    table = search.table
    widths: Widths = search.widths_at([0] * search.groups)
    low, high = 1.0, _worst(resources(table, widths), limits)
    while high > low * _CLOSE:
        middle = (low * high) ** 0.5
        found = search.holds(_stretched(limits, middle))
        if found is None:
            low = middle
        else:
            widths, high = found, _worst(resources(table, found), limits)
    allowed = dict(_stretched(limits, high).given())
    for name, limit in limits.given().items():
        if search.holds(Limits(**{**allowed, name: limit})) is not None:
            allowed[name] = limit
    best = search.least_loss(Limits(**allowed))
    return widths if best.positions is None else search.widths_at(best.positions)


def _stretched(limits: Limits, ratio: float) -> Limits:
    return Limits(**{name: int(limit * ratio + 1e-6) for name, limit in limits.given().items()})


def _worst(used: Resources, limits: Limits) -> float:
    return max(float(getattr(used, name)) / max(limit, 1) for name, limit in limits.given().items())


def _over(used: Resources, limits: Limits, name: str) -> bool:
    return bool(getattr(used, name) > limits.given()[name])


def _sentence(limits: Limits, needs: Mapping[str, int], where: str, infeasible: Infeasible) -> str:
    advice = _advice(limits, infeasible)
    if needs:
        phrases = tuple(
            f"{value:,} {_unit(name)}{where if name == 'ram_bytes' else ''} of {limits.given()[name]:,}"
            for name, value in needs.items()
        )
        needs_about = "needs" if infeasible.proven else "is expected to need"
        return f"the smallest possible network {needs_about} {_and(phrases)}; {advice}"
    names = _and(tuple(_WORDS[name] for name in limits.given()))
    if not infeasible.proven:
        return f"no network that holds the limits on {names} together was found; {advice}"
    return f"no network holds the limits on {names} together; {advice}"


def _advice(limits: Limits, infeasible: Infeasible) -> str:
    nearest = {name: getattr(infeasible.nearest, name) for name in limits.given()}
    advice = "allow " + _and(_amounts(nearest))
    beyond = {name: least for name, least in infeasible.least.items() if least > limits.given()[name]}
    if len(infeasible.binding) > 1 or all(nearest[name] == least for name, least in beyond.items()):
        return advice
    return f"{advice}, or with the other limits kept {_or(_amounts(beyond))}"


def amount(name: str, value: float) -> str:
    """So much of a resource, in words: "12,000 B of flash"."""
    return f"{value:,.0f} {_unit(name)}"


def _amounts(values: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(amount(name, value) for name, value in values.items())


def _in_words(used: Resources, table: CostTable) -> Mapping[str, float]:
    """Resources in the report's words."""
    latency_ms = used.cycles / table.cycles_per_ms
    return {"flash": used.flash_bytes, "ram": used.ram_bytes, "latency_ms": latency_ms}


def _unit(name: str) -> str:
    return f"B of {_WORDS[name]}" if name.endswith("_bytes") else _WORDS[name]


def _and(phrases: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))


def _or(phrases: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
