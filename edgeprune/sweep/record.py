"""The folder of a sweep: `sweep.json`, rewritten whole after every point, the picture and the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeprune.bundle import read_report
from edgeprune.errors import EnvironmentFailure, OverBudget, UsageError
from edgeprune.report.html import grid_html, sweep_html
from edgeprune.sweep.plot import draw_sweep
from edgeprune.version import __version__

__all__ = ["PAGE", "SWEEP_FILE", "Point", "Record", "finished_points", "write_page"]

SWEEP_FILE, PAGE = "sweep.json", "report.html"

Point = dict[str, Any]
"""One point as `sweep.json` holds it."""


def finished_points(place: Path) -> dict[str, Point]:
    """The points of an earlier sweep in `place` that need not be made again, by the fingerprint of their settings.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        points = json.loads((place / SWEEP_FILE).read_text(encoding="utf-8"))["points"]
        return {point["settings"]: point for point in points if _is_finished(point, place)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{place / SWEEP_FILE} is damaged ({error}): start anew without --resume") from error


def _is_finished(point: Point, place: Path) -> bool:
    """Whether a bundle is there, or it was found that there can be none."""
    if not point["fits"]:
        return bool(point["exit_status"] == OverBudget.exit_status)
    try:
        read_report(place / point["bundle"])
    except UsageError:
        return False
    return True


def write_page(place: Path, sweeps: Mapping[str, Mapping[str, Any]]) -> None:
    """One page of several sweeps, whose values are given by the names of their folders in `place`.

    Raises:
        EnvironmentFailure: it cannot be written.
    """
    try:
        (place / PAGE).write_text(grid_html(sweeps), encoding="utf-8")
    except OSError as error:
        raise EnvironmentFailure(f"{place / PAGE} cannot be written: {error.strerror}") from error


class Record:
    """A sweep of `count` points in `place` while it grows."""

    def __init__(self, place: Path, model: str, device: str, count: int) -> None:
        self._place = place
        self._about = {"edgeprune": __version__, "model": model, "device": device}
        self._count = count
        self._points: dict[int, Point] = {}
        self._pictures: tuple[Path, ...] = ()

    def begin(self, kept: Sequence[Point] = ()) -> None:
        """Make the folder; what an earlier sweep left there and is not `kept` is removed.

        Raises:
            UsageError: the folder holds something else.
            EnvironmentFailure: it cannot be written.
        """
        ours = (self._place / SWEEP_FILE).is_file() or (
            self._place.is_dir() and not any(self._place.iterdir())
        )
        if self._place.exists() and not ours:
            raise UsageError(f"{self._place} exists and is not a sweep: choose another place with -o")
        self._points = {point["number"]: point for point in kept}
        bundles = {point["bundle"] for point in kept}
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            for folder in [*self._place.glob("point_*"), *self._place.glob(".point_*")]:
                half_way = folder.suffix == ".checkpoint"
                if folder.is_dir() and folder.name not in bundles and not half_way:
                    shutil.rmtree(folder)
        except OSError as error:
            raise EnvironmentFailure(f"cannot write to {self._place}: {error.strerror}") from error
        self._write()

    def add(self, point: Point) -> None:
        """Keep a finished point."""
        self._points[point["number"]] = point
        self._write()

    def values(self) -> dict[str, Any]:
        """The contents of `sweep.json`."""
        points = [self._points[number] for number in sorted(self._points)]
        plots = [picture.name for picture in self._pictures]
        return {**self._about, "count": self._count, "points": points, "plots": plots}

    def draw(self) -> tuple[Path, ...]:
        """Write the page beside `sweep.json` and draw the curve; no picture where no point has an accuracy."""
        title = f"{self._about['model']} on {self._about['device']}"
        pictures = draw_sweep(title, self.values()["points"])
        for kind, contents in pictures.items():
            (self._place / f"sweep.{kind}").write_bytes(contents)
        self._pictures = tuple(self._place / f"sweep.{kind}" for kind in pictures)
        (self._place / PAGE).write_text(sweep_html(self.values()), encoding="utf-8")
        self._write()
        return self._pictures

    def _write(self) -> None:
        beside = self._place / f".{SWEEP_FILE}.new"
        try:
            beside.write_text(json.dumps(self.values(), indent=2) + "\n", encoding="utf-8")
            beside.replace(self._place / SWEEP_FILE)
        except OSError as error:
            raise EnvironmentFailure(
                f"{self._place / SWEEP_FILE} cannot be written: {error.strerror}"
            ) from error
