"""A sweep over networks and devices on a Ray cluster of this machine, one of whose workers is killed mid-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgeprune.cli import app
from tests.support.tiny_recipe import TINY_RECIPE

ROOT = Path(__file__).resolve().parents[2]

RECIPE = (
    TINY_RECIPE
    + """
import os, pathlib, time

HERE = pathlib.Path(__file__).parent
network = model

def model():
    # The first process that works on a smaller network says who it is, and waits to be killed.
    mark = HERE / "victim"
    if (HERE / "lure").exists() and not mark.exists():
        mark.with_suffix(".new").write_text(str(os.getpid()))
        mark.with_suffix(".new").replace(mark)
        time.sleep(600)
    return network()
"""
)
OPTIONS = ("--samples", "3", "--no-train", "--points", "2", "--macs", "50%", "--jobs", "2", "--json")
DEVICES = ("--device", "nucleo-f446re", "--device", "host")


@pytest.mark.slow
def test_a_killed_worker_costs_no_point(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install edgeprune[ray]")
    recipe = tmp_path / "tiny.py"
    recipe.write_text(RECIPE)
    (tmp_path / "lure").touch()
    command = [sys.executable, "-m", "edgeprune", "sweep", recipe, *DEVICES, *OPTIONS, "--ray", "local"]
    process = subprocess.Popen(
        [*map(str, command), "-o", str(tmp_path / "out")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        victim = tmp_path / "victim"
        while not victim.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        os.kill(int(victim.read_text()), signal.SIGKILL)
        printed, said = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, said
    values = json.loads(printed)
    place = tmp_path / "out"
    assert values.keys() == {"tiny-nucleo-f446re", "tiny-host"}
    for name, sweep in values.items():
        assert sweep == json.loads((place / name / "sweep.json").read_text())
        assert [point["fits"] for point in sweep["points"]] == [True, True], sweep
        for point in sweep["points"]:
            report = json.loads((place / name / point["bundle"] / "report.json").read_text())
            assert report["verify"]["bit_exact"]
    page = (place / "report.html").read_text(encoding="utf-8")
    assert all(f"tiny → {device}" in page for device in ("nucleo-f446re", "host"))
    assert not list(place.rglob(".point_*")), "what the killed worker had half written is gone"

    again = CliRunner().invoke(app, ["sweep", str(recipe), *DEVICES, *OPTIONS, "--resume", "-o", str(place)])
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout) == values
    assert "2 of 2 points are finished already" in again.stderr


def test_an_address_without_a_cluster_is_said_so(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install edgeprune[ray]")
    (tmp_path / "tiny.py").write_text(RECIPE)
    done = CliRunner().invoke(
        app, ["sweep", str(tmp_path / "tiny.py"), "--device", "host", "--ray", "somewhere"]
    )
    assert done.exit_code == 1
    assert "there is no Ray cluster at 'somewhere'" in done.stderr
