"""Cuts carried out one after the other, as one plan of the original network."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgeprune.prune import PruningPlan, compose


def subset(of: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, of - 1), min_size=1).map(lambda kept: tuple(sorted(kept)))


@given(st.data())
def test_rounds_compose_to_the_channels_of_the_original(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    channels: list[Any] = [f"channel {number}" for number in range(size)]
    plans = []
    left = channels
    for _ in range(data.draw(st.integers(0, 4))):
        kept = data.draw(subset(len(left)))
        plans.append(PruningPlan({"conv": kept}))
        left = [left[channel] for channel in kept]
    keep = compose(*plans).keep.get("conv", tuple(range(size)))
    assert [channels[channel] for channel in keep] == left
    assert list(keep) == sorted(keep)


def test_a_group_that_a_round_leaves_alone_keeps_its_channels() -> None:
    first = PruningPlan({"a": (1, 3, 5), "b": (0, 2)})
    second = PruningPlan({"a": (0, 2)})
    third = PruningPlan({"c": (4,)})
    assert compose(first, second, third).keep == {"a": (1, 5), "b": (0, 2), "c": (4,)}
    assert compose().keep == {}
