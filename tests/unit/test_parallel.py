"""Jobs in turn and in processes of this machine: results, deaths, and an end before the end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from edgeprune.parallel import Lost, in_turn, local_processes


def _square(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def _work(job: tuple[str, Path]) -> str:
    """The slow job writes a file, and removes it on the way out; the quick one ends when it is there."""
    kind, half_written = job
    if kind == "quick":
        while not half_written.exists():
            time.sleep(0.05)
        return kind
    half_written.touch()
    try:
        time.sleep(120)
    finally:
        half_written.unlink()
    return kind


def test_jobs_in_turn() -> None:
    assert list(in_turn(_square, [1, 2])) == [(0, 1), (1, 4)]


def test_processes_give_results_and_say_which_was_killed() -> None:
    found = dict(local_processes(2)(_square, [1, 3, 5]))
    assert found == {0: 1, 1: Lost("its process was killed by SIGKILL"), 2: 25}


def test_what_is_closed_early_ends_its_processes_and_they_clean_up(tmp_path: Path) -> None:
    file = tmp_path / "half_written"
    results = local_processes(2)(_work, [("slow", file), ("quick", file), ("slow", file)])
    started = time.monotonic()
    assert next(results) == (1, "quick")
    results.close()  # type: ignore[attr-defined]
    assert not file.exists()
    assert time.monotonic() - started < 60
