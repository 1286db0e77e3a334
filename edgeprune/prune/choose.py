"""`choose`: how many channels each group keeps, the least loss within the limits, by integer programming.

One binary variable per group and width; where a layer's cost depends on two groups, one variable per pair of
widths, tied to both by its marginals, so that any table is linear. Peak memory is one row per schedule step.
Solved by HiGHS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.costs import CostTable
from edgeprune.prune.limits import Infeasible, Limits, NothingFits, Resources, binding_row, resources
from edgeprune.prune.programme import Programme
from edgeprune.prune.sensitivity import Curves

__all__ = ["Choice", "choice_at", "choose", "narrowest"]

_WORDS = {"flash_bytes": "flash", "ram_bytes": "RAM", "cycles": "cycles", "macs": "multiply-accumulates"}


@dataclass(frozen=True)
class Choice:
    """Widths per group, the loss the curves predict for them, and what the network then uses."""

    widths: Mapping[str, int]
    predicted_loss: float
    resources: Resources


def choose(curves: Curves, table: CostTable, limits: Limits, time_limit_s: float = 20.0) -> Choice:
    """The widths of least predicted loss that hold `limits`; all channels where the whole network does.

    Args:
        curves: Per group and width the loss it adds, as `sensitivity.measure` gives it. Groups of the table
            without a curve stay whole.
        table: What layers and steps cost at every width.
        limits: What the network may use.
        time_limit_s: After this long the best widths found so far are taken.

    Raises:
        NothingFits: no widths hold the limits; says which limit binds, where, and what would fit.
        EnvironmentFailure: the solver found no widths in time.
    """
    whole = {name: options[-1] for name, options in table.widths.items()}
    if limits.hold(resources(table, whole)):
        return Choice(whole, 0.0, resources(table, whole))
    programme = Programme(table, fixed=table.widths.keys() - curves.keys())
    widths = programme.least_loss(curves, limits, time_limit_s)
    if widths is None:
        raise _nothing_fits(programme, table, limits, time_limit_s)
    return choice_at(curves, table, widths)


def choice_at(curves: Curves, table: CostTable, widths: Mapping[str, int]) -> Choice:
    """These widths as a choice, with their predicted loss and resources."""
    loss = sum(curves[name][width] for name, width in widths.items() if name in curves)
    return Choice(widths, loss, resources(table, widths))


def narrowest(curves: Curves, table: CostTable) -> Choice:
    """The smallest network there is: every group that has a curve at its fewest channels."""
    widths = {name: options[0 if name in curves else -1] for name, options in table.widths.items()}
    return choice_at(curves, table, widths)


def _nothing_fits(programme: Programme, table: CostTable, limits: Limits, time_limit_s: float) -> NothingFits:
    """Find which limits cannot be held even alone, and the network that exceeds all of them least."""
    nearest = programme.least_excess(limits, time_limit_s)
    alone: dict[str, int] = {}
    step: str | None = None
    where = ""
    for name, limit in limits.given().items():
        widths = programme.least_excess(Limits(**{name: limit}), time_limit_s)
        least = getattr(resources(table, widths), name)
        if least > limit:
            alone[name] = least
            row = binding_row(table, widths) if name == "ram_bytes" else None
            if row is not None:
                step = row.step
                where = f" at step {row.step!r}" + (
                    f", where {_and(row.alive)} are alive together" if row.alive else ""
                )
    infeasible = Infeasible(tuple(alone), step, resources(table, nearest), nearest)
    return NothingFits(_sentence(limits, alone, where, infeasible.nearest), infeasible)


def _sentence(limits: Limits, alone: Mapping[str, int], where: str, nearest: Resources) -> str:
    if alone:
        needs = _and(
            tuple(
                f"{value:,} {_unit(name)}"
                + (where if name == "ram_bytes" else "")
                + f" of {limits.given()[name]:,}"
                for name, value in alone.items()
            )
        )
        return f"the smallest possible network needs {needs}; {_advice(limits, nearest)}"
    names = _and(tuple(_WORDS[name] for name in limits.given()))
    return f"no network holds the limits on {names} together; {_advice(limits, nearest)}"


def _advice(limits: Limits, nearest: Resources) -> str:
    return "allow " + _and(tuple(f"{getattr(nearest, name):,} {_unit(name)}" for name in limits.given()))


def _unit(name: str) -> str:
    return f"B of {_WORDS[name]}" if name.endswith("_bytes") else _WORDS[name]


def _and(phrases: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
