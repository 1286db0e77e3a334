"""The cycle models against networks measured on silicon, as far as counted features express them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeprune.cycles import core_models
from edgeprune.cycles.calibration import Case, read_cases, rms_percent, worst_percent
from edgeprune.cycles.cost import Cause

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "research" / "latency"


def cases(name: str, belongs: Callable[[Case], bool] = lambda _: True) -> tuple[Case, ...]:
    path = FOLDER / f"calibration_{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    return tuple(case for case in read_cases(path) if belongs(case))


def stm32u575(case: Case) -> bool:
    return "U575" in case.board


def integer(case: Case) -> bool:
    return not case.floating


def held_out(case: Case) -> bool:
    return case.held_out


@pytest.mark.parametrize(
    ("name", "belongs", "count", "limit_percent"),
    [
        ("m4_qemu", integer, 8, 4.5),
        ("m4", integer, 24, 6.0),
        ("m33", stm32u575, 9, 3.0),
        ("m7", integer, 15, 4.0),
        ("m0", integer, 8, 6.0),
        ("m0", held_out, 4, 6.0),
    ],
)
def test_estimates_are_near_silicon(
    name: str, belongs: Callable[[Case], bool], count: int, limit_percent: float
) -> None:
    group = cases(name, belongs)
    assert len(group) == count
    assert rms_percent(group) <= limit_percent


@pytest.mark.parametrize(
    ("core", "name", "belongs"),
    [
        ("cortex-m4", "m4", integer),
        ("cortex-m33", "m33", stm32u575),
        ("cortex-m7", "m7", integer),
        ("cortex-m0plus", "m0", held_out),
    ],
)
def test_quoted_errors_are_those_of_the_cases(core: str, name: str, belongs: Callable[[Case], bool]) -> None:
    group = cases(name, belongs)
    validation = core_models()[core].validation
    assert validation is not None
    assert validation.cases == len(group)
    assert validation.rms_percent == pytest.approx(rms_percent(group), abs=0.06)
    assert validation.worst_percent == pytest.approx(worst_percent(group), abs=0.06)


def test_float_code_on_the_m7_is_far_off_and_says_unvalidated() -> None:
    (case,) = cases("m7", lambda case: case.floating)
    assert abs(case.error_percent) > 30
    assert not core_models()["cortex-m7"].float_validated


@pytest.mark.parametrize("name", ["m4_qemu", "m4", "m33", "m7", "m0"])
def test_stalls_say_where_cycles_went(name: str) -> None:
    for case in cases(name):
        stalled = sum(case.estimate.stalls.values())
        assert 0 <= stalled < case.estimate.cycles
        flash = {Cause.FLASH_CODE, Cause.FLASH_DATA}
        assert case.flash.cycles == sum(case.estimate.stalls.get(cause, 0.0) for cause in flash)


def test_a_model_for_every_core_that_a_profile_can_name() -> None:
    models = core_models()
    for core in ("m0plus", "m3", "m4", "m7", "m33", "m55"):
        assert models[f"cortex-{core}"].source
    assert models["rv32imc"] is models["rv32imac"]
    unvalidated = {core for core, model in models.items() if model.validation is None}
    assert unvalidated == {"cortex-m3", "cortex-m55", "rv32imc", "rv32imac"}
