"""Limits by the cost table that measurements teach."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeprune.compress.forecast import Forecast
from edgeprune.config import Budget
from edgeprune.prune import Resources
from edgeprune.verdict import Cost


def seen(forecast: Forecast, believed: int, measured: int) -> Forecast:
    """A build whose flash was believed and measured so; nothing else counts."""
    return forecast.after(Resources(believed, 0, 0, 0, 0), Cost(measured, 0, None, 0, 0))


def test_the_budget_itself_is_the_first_limit() -> None:
    limits = Forecast(Budget(10_000, 5_000, 2.0), 80_000).limits()
    assert (limits.flash_bytes, limits.ram_bytes, limits.cycles) == (10_000, 5_000, 160_000)
    assert Forecast(Budget(ram_bytes=5_000), 80_000).limits().given() == {"ram_bytes": 5_000}


def test_a_miss_lowers_the_limit_by_what_was_missed() -> None:
    limit = seen(Forecast(Budget(10_000), 1), 9_900, 10_600).limits().flash_bytes
    assert limit is not None
    assert 9_250 <= limit <= 9_300


def test_cycles_are_missed_in_proportion() -> None:
    forecast = Forecast(Budget(latency_ms=1.0), 1000).after(Resources(0, 0, 900, 0, 0), Cost(0, 0, 1.8, 0, 0))
    assert forecast.limits().cycles in range(490, 501)


def test_between_a_hit_and_a_miss_the_limit_is_interpolated() -> None:
    forecast = seen(
        seen(seen(seen(Forecast(Budget(10_000), 1), 4_000, 9_000), 8_000, 11_000), 7_500, 10_900),
        7_000,
        10_500,
    )
    limit = forecast.limits().flash_bytes
    assert limit is not None
    assert 5_900 <= limit <= 6_000


def test_a_table_that_is_too_pessimistic_is_given_more_room() -> None:
    assert seen(Forecast(Budget(10_000), 1), 9_900, 9_000).limits().flash_bytes == 10_900
    assert seen(Forecast(Budget(10_000), 1), 5_000, 9_990).limits().flash_bytes == 10_000


@given(st.lists(st.tuples(st.integers(600, 20_000), st.integers(1, 20_000)), min_size=1, max_size=8))
def test_what_missed_is_never_asked_for_again(builds: list[tuple[int, int]]) -> None:
    forecast = Forecast(Budget(10_000), 1)
    for believed, measured in builds:
        forecast = seen(forecast, believed, measured)
    limit = forecast.limits().flash_bytes
    assert limit is not None
    assert limit >= 500
    assert all(limit < believed for believed, measured in builds if measured > 10_000)


def test_what_a_build_takes_is_expected_from_the_nearest_one() -> None:
    forecast = Forecast(Budget(10_000, latency_ms=1.0), 1000)
    assert forecast.expects("flash_bytes", 5_000) == 5_000
    for believed, measured in ((9_000, 10_600), (2_000, 3_000)):
        used = Resources(believed, 0, believed, 0, 0)
        forecast = forecast.after(used, Cost(measured, 0, 2 * believed / 1000, 0, 0))
    assert forecast.expects("flash_bytes", 2_500) == 3_500
    assert forecast.expects("flash_bytes", 8_000) == 9_600
    assert forecast.expects("cycles", 8_000) == 16_000
