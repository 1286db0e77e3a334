"""Small cost tables with random costs, and every choice of widths they allow, for judging what solvers find."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

from edgeprune.costs import CostTable, LayerCost, MemoryRow
from edgeprune.prune import Curves, Limits, Resources, resources

__all__ = ["SHAPES", "chain", "every_choice", "random_table"]

SHAPES: Mapping[str, Sequence[tuple[str | None, str | None]]] = {
    "chain": [(None, "a"), ("a", "b"), ("b", "b"), ("b", "c"), ("c", None), (None, None)],
    "star": [
        (None, "a"),
        ("a", "b"),
        ("b", "a"),
        ("a", "c"),
        ("c", "a"),
        ("a", "d"),
        ("d", "a"),
        ("a", None),
    ],
    "ring": [(None, "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("d", None)],
    "dense": [(x, y) for x, y in itertools.combinations("abcd", 2)],
    "apart": [(None, "a"), ("a", None), (None, "b"), ("b", "c"), ("c", None)],
}
"""How layers connect groups: (group in, group out)."""


def random_table(shape: str, seed: int) -> tuple[Curves, CostTable]:
    """Random costs that grow with the widths, random curves that fall with them, and memory rows of 1 to 3 groups."""
    dice = random.Random(seed)
    sides = SHAPES[shape]
    names = sorted({group for side in sides for group in side if group is not None})
    widths = {name: tuple(sorted(dice.sample(range(1, 17), dice.randint(1, 4)))) for name in names}

    def entries(before: str | None, after: str | None) -> tuple[tuple[int, ...], ...]:
        ins, outs = widths.get(before or "", (3,)), widths.get(after or "", (5,))
        return tuple(tuple(i * o * 2 + dice.randint(0, 9) for o in outs) for i in ins)

    layers = tuple(
        LayerCost(f"l{at}", *side, *(entries(*side) for _ in range(5))) for at, side in enumerate(sides)
    )
    rows = tuple(
        MemoryRow(
            f"l{at}",
            dice.randint(0, 20),
            {
                name: dice.choice((4, 9.5, 16))
                for name in dice.sample(names, min(len(names), dice.randint(1, 3)))
            },
            f"l{at}" if dice.random() < 0.7 else None,
        )
        for at in range(len(sides))
    )
    curves: Curves = {}
    for name, options in widths.items():
        scale = dice.choice((0.1, 1, 5))
        losses = sorted((scale * dice.random() for _ in options[:-1]), reverse=True)
        curves = {**curves, name: dict(zip(options, [*losses, 0.0], strict=True))}
    return curves, CostTable(widths, layers, rows, 7, 3, 11)


def chain(seed: int) -> tuple[Curves, CostTable]:
    """Three groups in a chain with a self-coupled layer; widths and memory rows are the same for every seed."""
    dice = random.Random(seed)
    widths = {"a": (4, 8), "b": (4, 8, 12), "c": (2, 4)}

    def entries(before: str | None, after: str | None) -> tuple[tuple[int, ...], ...]:
        ins, outs = widths.get(before or "", (3,)), widths.get(after or "", (5,))
        return tuple(tuple(i * o * 2 + dice.randint(0, 9) for o in outs) for i in ins)

    layers = tuple(
        LayerCost(f"l{at}", *side, *(entries(*side) for _ in range(5)))
        for at, side in enumerate(SHAPES["chain"])
    )
    rows = (
        MemoryRow("l1", 10, {"a": 16, "b": 4}, "l1", ("input 10 B", "a", "b")),
        MemoryRow("l3", 5, {"b": 4, "c": 9.5}, "l3"),
    )
    curves = {
        name: {w: dice.random() * (1 - w / options[-1]) for w in options} for name, options in widths.items()
    }
    return curves, CostTable(widths, layers, rows, 7, 3, 11)


def every_choice(
    curves: Curves, table: CostTable, limits: Limits
) -> list[tuple[float, Resources, dict[str, int]]]:
    """Loss, resources and widths of every choice within `limits`."""
    found = []
    for row in itertools.product(*table.widths.values()):
        widths = dict(zip(table.widths, row, strict=True))
        used = resources(table, widths)
        if limits.hold(used):
            found.append((sum(curves[name][width] for name, width in widths.items()), used, widths))
    return found
