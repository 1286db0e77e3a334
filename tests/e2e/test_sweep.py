"""A sweep from the command line: bundles, a point that cannot be, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from edgeprune.cli import app
from tests.support.tiny_recipe import TINY_RECIPE

RECIPE = TINY_RECIPE + 'print("hello from the recipe")\n'


def run(folder: Path, *arguments: str | Path) -> Result:
    fixed = (
        "--device",
        "nucleo-f446re",
        "--samples",
        "3",
        "--effort",
        "5",
        "--rounds",
        "1",
        "-o",
        folder / "out",
    )
    return CliRunner().invoke(app, ["sweep", *map(str, (folder / "tiny.py", *fixed, *arguments))])


def test_three_points_of_which_one_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(RECIPE)
    sweeping = ("--points", "3", "--macs", "1%", "--jobs", "2", "--json")
    result = run(tmp_path, *sweeping)
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    place = tmp_path / "out"
    assert values == json.loads((place / "sweep.json").read_text())
    whole, smaller, impossible = values["points"]
    assert smaller["macs"] <= whole["macs"] // 10
    assert smaller["flash"] < whole["flash"]
    assert smaller["accuracy"]["emulated"] is not None
    assert not impossible["fits"]
    assert "multiply-accumulates" in impossible["reason"]
    for point in (whole, smaller):
        report = json.loads((place / point["bundle"] / "report.json").read_text())
        assert report["verify"]["bit_exact"]
        assert report["flash"]["total"] == point["flash"]
    assert {path.name for path in place.iterdir()} == {
        "point_1", "point_2", "report.html", "sweep.json", "sweep.svg", "sweep.png",
    }  # fmt: skip
    assert all(word in result.stderr for word in ("point 2 of 3", str(place / "sweep.png"), "over budget"))

    again = run(tmp_path, *sweeping, "--resume")
    assert again.exit_code == 0
    assert "3 of 3 points are finished already" in again.stderr
    assert json.loads(again.stdout) == values


def test_what_a_sweep_does_not_do_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(RECIPE)
    assert "--points" in run(tmp_path, "--points", "1").stderr
    both = run(tmp_path, "--flash", "2K", "--smallest", "10%")
    assert both.exit_code == 2
    assert "--smallest" in both.stderr
    assert run(tmp_path, "--latency", "fast").exit_code == 2
    assert not (tmp_path / "out").exists()
