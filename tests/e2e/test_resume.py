"""A deployment killed while it trains, and resumed, ends in the bytes that an uninterrupted one gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "residual.py"
PATIENCE_S = 300.0


def command(place: Path, *more: str) -> list[str]:
    options = ["--device", "host", "--macs", "50%", "--effort", "20", "--rounds", "2", "--samples", "4"]
    return [sys.executable, "-m", "edgeprune", "deploy", str(RECIPE), *options, "-o", str(place), *more]


def contents(place: Path) -> dict[str, bytes]:
    """The bundle's files, without the times that were measured on this machine."""
    found = {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name not in ("report.json", "report.html")
    }
    report = json.loads((place / "report.json").read_text())
    report.pop("host")
    return {**found, "report.json": json.dumps(report).encode()}


def test_killed_and_resumed(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(tmp_path / "whole"), check=True, env=environment, capture_output=True)
    killed, checkpoint = tmp_path / "killed", tmp_path / ".killed.checkpoint"
    with subprocess.Popen(command(killed), env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not (checkpoint / "round_1.pt").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not killed.exists()
    assert (checkpoint / "feasible.pt").is_file()

    again = subprocess.run(
        command(killed, "--resume"), check=True, env=environment, capture_output=True, text=True
    )
    assert "starting anew" not in again.stderr
    assert contents(killed) == contents(tmp_path / "whole")
    assert not checkpoint.exists()


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / ".out.checkpoint"
    checkpoint.mkdir()
    (checkpoint / "run.json").write_text("{}")
    done = subprocess.run(command(tmp_path / "out", "--resume"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "start anew without --resume" in done.stderr
    assert not (tmp_path / "out").exists()
