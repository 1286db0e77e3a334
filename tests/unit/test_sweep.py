"""A sweep's budgets, its record and how it goes on, with `deploy` in place of which a table of costs answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edgeprune.bundle import staged_directory, write_files
from edgeprune.config import Settings, parse_size
from edgeprune.errors import UsageError, VerificationFailed
from edgeprune.pipeline import Deployment
from edgeprune.progress import Progress
from edgeprune.sweep import Sweep, sweep, sweep_grid
from edgeprune.sweep.budgets import check_ends, point_settings

WHOLE = {"flash": 16000, "ram": 4000, "latency_ms": 8.0, "macs": 1000000, "parameters": 10000}


def settings(**changes: Any) -> Settings:
    return Settings(Path("recipe.py"), "nucleo-f446re", **changes)


def test_budgets_fall_in_equal_ratios_to_the_share() -> None:
    found = [point_settings(settings(), "6.25%", WHOLE, step, 4) for step in range(1, 5)]
    assert [int(one.flash or 0) for one in found] == [8000, 4000, 2000, 1000]
    assert [float((one.latency or "").removesuffix("ms")) for one in found] == [4, 2, 1, 0.5]
    assert all(one.ram is None and one.macs is None for one in found)


def test_a_named_limit_is_the_end_and_the_only_one() -> None:
    last = point_settings(settings(ram="1K", macs="10%"), None, WHOLE, 3, 3)
    assert (last.ram, last.macs, last.flash, last.latency) == ("1024", "100000", None, None)
    loose = point_settings(settings(flash="64K"), None, WHOLE, 1, 3)
    assert loose.flash == "65536"


def test_a_device_without_a_clock_has_no_latency_to_limit() -> None:
    whole = {name: value for name, value in WHOLE.items() if name != "latency_ms"}
    assert point_settings(settings(), None, whole, 1, 1).latency is None


@pytest.mark.parametrize(
    ("changes", "smallest"),
    [
        ({"flash": "lots"}, None),
        ({"flash": "120%"}, None),
        ({}, "4K"),
        ({}, "0.25"),
        ({"ram": "2K"}, "20%"),
        ({"latency": "4"}, None),
    ],
)
def test_ends_that_cannot_be_read_are_refused(changes: dict[str, str], smallest: str | None) -> None:
    with pytest.raises(UsageError, match="--"):
        check_ends(settings(**changes), smallest)


@pytest.mark.parametrize(
    "wrong",
    [{"points": 1}, {"points": 51}, {"jobs": 0}],
)
def test_impossible_sweeps_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        sweep(settings(output=tmp_path / "out"), **wrong)


def test_only_recipes_are_swept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"only a recipe"):
        sweep(Settings(Path("net.onnx"), "nucleo-f446re", output=tmp_path / "out"))
    with pytest.raises(UsageError, match="accuracy-drop"):
        sweep(settings(output=tmp_path / "out", accuracy_drop=1.0))


@dataclass
class Fake:
    """Answers `deploy`: fits down to `least` bytes of flash; deploying `breaks` raises what it names."""

    least: int = 0
    breaks: dict[str, BaseException] | None = None
    made: tuple[str, ...] = ()

    def __call__(self, wanted: Settings, progress: Progress | None = None) -> Deployment:
        assert wanted.output is not None
        name = wanted.output.name
        self.made += (name,)
        flash = WHOLE["flash"] if wanted.flash is None else parse_size(wanted.flash)
        report = _report(flash, wanted.flash is not None)
        if flash < self.least:
            return Deployment({**report, "fits": False, "reason": "over budget: flash"}, None)
        with staged_directory(wanted.output) as folder:
            write_files(folder, {"report.json": json.dumps(report)})
            if self.breaks and name in self.breaks:
                raise self.breaks[name]
        return Deployment(report, wanted.output)


def _report(flash: float, pruned: bool) -> dict[str, Any]:
    accuracy = {"metric": "top-1 accuracy", "float": 0.9, "pruned": 0.8 if pruned else None}
    return {
        "model": {}, "device": "", "budget": {"flash": flash}, "fits": True, "reason": None,
        "flash": {"total": flash}, "ram": {"total": 4000}, "latency": {"ms": 8.0}, "macs": 1000, "parameters": 100,
        "accuracy": {**accuracy, "int8": 0.8, "emulated": 0.8, "samples": 10},
        "pruning": {"groups": [{"name": "a", "before": 8, "after": 4}] if pruned else [], "unpruned": None},
        "layers": [], "verify": None, "tools": {}, "library": {},
    }  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.py"
    path.write_text("# stands for a recipe\n")
    return path


def run(recipe: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch, points: int = 4, **changes: Any) -> Sweep:
    monkeypatch.setattr("edgeprune.sweep.points.deploy", fake)
    wanted = Settings(recipe, "nucleo-f446re", output=recipe.parent / "out", **changes)
    return sweep(wanted, points, jobs=1)


def test_every_point_is_in_the_record_and_in_the_picture(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(recipe, Fake(least=5000), monkeypatch)
    points = json.loads((made.directory / "sweep.json").read_text())["points"]
    assert [point["number"] for point in points] == [1, 2, 3, 4]
    assert [point["bundle"] for point in points] == ["point_1", "point_2", "point_3", None]
    assert points[3]["reason"] == "over budget: flash"
    assert [point["pruned"] for point in points[:3]] == [False, True, True]
    assert sorted(path.name for path in made.directory.iterdir()) == [
        "point_1", "point_2", "point_3", "report.html", "sweep.json", "sweep.png", "sweep.svg",
    ]  # fmt: skip
    assert (made.directory / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert b"latency (ms)" in (made.directory / "sweep.svg").read_bytes()
    again = run(recipe, Fake(least=5000), monkeypatch)
    assert again.values == made.values == json.loads((made.directory / "sweep.json").read_text())


def test_a_point_that_fails_does_not_take_the_others_with_it(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks: dict[str, BaseException] = {"point_2": VerificationFailed("differs"), "point_3": KeyError("a")}
    made = run(recipe, Fake(breaks=breaks), monkeypatch)
    by_number = {point["number"]: point for point in made.values["points"]}
    assert (by_number[2]["exit_status"], by_number[2]["reason"]) == (4, "differs")
    assert by_number[3]["exit_status"] == 1
    assert "defect" in by_number[3]["reason"]
    assert "KeyError" in (made.directory / "point_3.traceback.txt").read_text()
    assert by_number[4]["fits"]


def test_interrupted_and_resumed(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(recipe, Fake(breaks={"point_3": KeyboardInterrupt()}), monkeypatch)
    place = recipe.parent / "out"
    assert sorted(path.name for path in place.iterdir()) == ["point_1", "point_2", "sweep.json"]

    fake = Fake(least=5000)
    made = run(recipe, fake, monkeypatch, resume=True)
    assert fake.made == ("point_3", "point_4")
    assert [point["fits"] for point in made.values["points"]] == [True, True, True, False]

    fake = Fake()
    run(recipe, fake, monkeypatch, resume=True)
    assert fake.made == ()

    (place / "point_2" / "report.json").unlink()
    fake = Fake()
    run(recipe, fake, monkeypatch, resume=True)
    assert fake.made == ("point_2",)

    fake = Fake()
    run(recipe, fake, monkeypatch, points=3, resume=True)
    assert fake.made == ("point_2",)
    assert not (place / "point_4").exists()

    recipe.write_text("# another recipe\n")
    fake = Fake()
    run(recipe, fake, monkeypatch, points=3, resume=True)
    assert fake.made == ("point_1", "point_2", "point_3")


def test_a_folder_of_something_else_is_not_touched(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = recipe.parent / "out"
    place.mkdir()
    (place / "point_1").write_text("mine")
    with pytest.raises(UsageError, match="is not a sweep"):
        run(recipe, Fake(), monkeypatch)
    assert (place / "point_1").read_text() == "mine"


def test_a_grid_is_a_sweep_for_each_network_and_device_and_one_page(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(least=5000)
    monkeypatch.setattr("edgeprune.sweep.points.deploy", fake)
    place = recipe.parent / "grid"
    grid = [Settings(recipe, device) for device in ("nucleo-f446re", "rp2040")]
    made = sweep_grid(grid, place, 3, jobs=1)
    assert [one.directory.name for one in made] == ["recipe-nucleo-f446re", "recipe-rp2040"]
    assert all([point["fits"] for point in one.values["points"]] == [True, True, False] for one in made)
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "recipe → rp2040" in page and "<script" not in page

    before = len(fake.made)
    again = sweep_grid([replace(one, resume=True) for one in grid], place, 3, jobs=1)
    assert [one.values for one in again] == [one.values for one in made]
    assert len(fake.made) == before

    with pytest.raises(UsageError, match="once"):
        sweep_grid([grid[0], grid[0]], place, 3)
    with pytest.raises(UsageError, match="no device"):
        sweep_grid([Settings(recipe, "toaster")], place, 3)
    (place / "thesis").mkdir()
    with pytest.raises(UsageError, match="something else"):
        sweep_grid(grid, place, 3)
