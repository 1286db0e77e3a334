"""Deploying a network at falling budgets.

The network as it is comes first; it says what a share is a share of. The other points are independent of each other.
Each is a bundle of its own, which appears whole or not at all; `sweep.json` lists those that are finished.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgeprune.compress.checkpoints import fingerprint, may_resume
from edgeprune.config import Settings
from edgeprune.errors import EdgepruneError, OverBudget, UsageError
from edgeprune.parallel import Lost, Map, available_cores, in_turn, local_processes
from edgeprune.pipeline import deploy
from edgeprune.progress import Progress, SilentProgress
from edgeprune.sweep.budgets import check_ends, point_settings, whole_settings
from edgeprune.sweep.record import Point, Record, finished_points

__all__ = ["Sweep", "default_place", "sweep"]

_FEWEST, _MOST = 2, 50
_AMOUNTS = ("flash", "ram", "latency_ms", "macs", "parameters")


@dataclass(frozen=True, eq=False)
class Sweep:
    """What `sweep` made: the values of `sweep.json`, its folder, and the pictures in it."""

    values: dict[str, Any]
    directory: Path
    pictures: tuple[Path, ...]


@dataclass(frozen=True)
class _Job:
    """One point to be made."""

    number: int
    settings: Settings

    @property
    def place(self) -> Path:
        assert self.settings.output is not None
        return self.settings.output


def sweep(
    settings: Settings,
    points: int = 6,
    smallest: str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    over: Map | None = None,
) -> Sweep:
    """Deploy a network at falling budgets; every point is a bundle in a folder of its own below `settings.output`.

    Args:
        settings: As for `deploy`, but the limits are the ends of the sweep: amounts, or shares such as "30%" of
            what the whole network takes. With `resume`, points that an earlier sweep of the same settings finished
            are not made again.
        points: How many, the whole network included.
        smallest: Where latency and flash end when no limit is named, as a share.
        jobs: How many processes; by default as many as there are points to make and cores.
        progress: Told of every point.
        over: The map that makes the points; processes of this machine by default.

    Raises:
        UsageError: something is asked for that a sweep does not do, or the first point cannot be made.
        MissingTool, VerificationFailed, EnvironmentFailure: of the first point; the others' are in the values.
    """
    _check(settings, points, smallest, jobs)
    progress = progress or SilentProgress()
    place = settings.output or default_place(settings)
    record = Record(place, settings.model.stem, Path(settings.device).stem, points)
    finished = finished_points(place) if settings.resume else {}

    first = _Job(1, replace(whole_settings(settings), output=place / "point_1"))
    whole = finished.get(fingerprint(first.settings))
    if whole is None:
        record.begin()
        whole = _made(first, progress)
        _keep(whole, record, points, progress)
        wanted = _jobs(settings, place, points, smallest, whole)
    else:
        wanted = _jobs(settings, place, points, smallest, whole)
        kept = [finished.get(fingerprint(job.settings)) for job in wanted]
        record.begin([whole, *(point for point in kept if point is not None)])
        wanted = [job for job, point in zip(wanted, kept, strict=True) if point is None]
        progress.say(f"{points - len(wanted)} of {points} points are finished already")
    _make(wanted, jobs, over, record, points, progress)
    pictures = record.draw()
    return Sweep(record.values(), place, pictures)


def default_place(settings: Settings) -> Path:
    """Where a sweep goes that is not told."""
    return Path("build") / f"{settings.model.stem}-{Path(settings.device).stem}-sweep"


def _check(settings: Settings, points: int, smallest: str | None, jobs: int | None) -> None:
    if settings.model.suffix != ".py":
        raise UsageError(f"{settings.model} cannot be swept: only a recipe (.py) is pruned")
    if settings.accuracy_drop is not None:
        raise UsageError("a sweep has no --accuracy-drop: read the point you want off the curve")
    if settings.runner != "qemu":
        raise UsageError("a sweep runs in the emulator: verify a point on a board with `edgeprune verify`")
    if not _FEWEST <= points <= _MOST:
        raise UsageError(f"--points {points} must be between {_FEWEST} and {_MOST}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs} must be at least 1")
    check_ends(settings, smallest)


def _jobs(settings: Settings, place: Path, points: int, smallest: str | None, whole: Point) -> list[_Job]:
    """All points but the first; none where the device is too small for any."""
    if not whole["fits"]:
        return []
    amounts = whole["unpruned"] or {word: whole[word] for word in _AMOUNTS if whole[word] is not None}
    return [
        _Job(
            step + 1,
            replace(
                point_settings(settings, smallest, amounts, step, points - 1),
                output=place / f"point_{step + 1}",
            ),
        )
        for step in range(1, points)
    ]


def _make(
    wanted: Sequence[_Job], jobs: int | None, over: Map | None, record: Record, count: int, progress: Progress
) -> None:
    """Make points, and keep each as it comes."""
    most = min(jobs or available_cores(), len(wanted))
    if over is None and most > 1:
        over = local_processes(most)
    # Made in this process, a point shows its own progress; elsewhere a line tells when it is finished.
    results = (
        in_turn(partial(_attempted, progress=progress), wanted) if over is None else over(_attempted, wanted)
    )
    for index, result in results:
        found = _failure(wanted[index], result.reason, 1) if isinstance(result, Lost) else result
        _keep(found, record, count, progress)


def _attempted(job: _Job, progress: Progress | None = None) -> Point:
    """A point, or why it failed: one that does must not take the others with it."""
    try:
        return _made(job, progress or SilentProgress())
    except EdgepruneError as error:
        return _failure(job, str(error), error.exit_status)
    except Exception as error:  # noqa: BLE001 - a defect of ours in one point; its traceback is kept
        notes = job.place.with_name(f"{job.place.name}.traceback.txt")
        notes.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        reason = (
            f"this is a defect of edgeprune ({type(error).__name__}: {error}); please report it with {notes}"
        )
        return _failure(job, reason, EdgepruneError.exit_status)


def _made(job: _Job, progress: Progress) -> Point:
    going_on = job.settings.resume and may_resume(job.settings, job.place)
    deployment = deploy(replace(job.settings, resume=going_on), progress)
    report = deployment.report
    status = 0 if report["fits"] else OverBudget.exit_status
    return _point(job, report["fits"], report["reason"], status, _figures(report))


def _failure(job: _Job, reason: str, exit_status: int) -> Point:
    nothing = dict.fromkeys(("budget", *_AMOUNTS, "accuracy", "pruned", "unpruned"))
    return _point(job, False, reason, exit_status, nothing)


def _point(job: _Job, fits: bool, reason: str | None, exit_status: int, figures: Mapping[str, Any]) -> Point:
    return {
        "number": job.number,
        "bundle": job.place.name if fits else None,
        "fits": fits,
        "reason": reason,
        "exit_status": exit_status,
        **figures,
        "settings": fingerprint(job.settings),
    }


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a curve shows of a report."""
    pruning = report["pruning"] or {}
    return {
        "budget": report["budget"],
        "flash": (report["flash"] or {}).get("total"),
        "ram": (report["ram"] or {}).get("total"),
        "latency_ms": (report["latency"] or {}).get("ms"),
        "macs": report["macs"],
        "parameters": report["parameters"],
        "accuracy": report["accuracy"],
        "pruned": any(group["after"] < group["before"] for group in pruning.get("groups", ())),
        "unpruned": pruning.get("unpruned"),
    }


def _keep(point: Point, record: Record, count: int, progress: Progress) -> None:
    record.add(point)
    progress.say(f"point {point['number']} of {count}: {_told(point)}")


def _told(point: Point) -> str:
    if not point["fits"]:
        return f"no bundle: {point['reason']}"
    time = "" if point["latency_ms"] is None else f", {point['latency_ms']:.2f} ms"
    accuracy = point["accuracy"] or {}
    found = accuracy.get("emulated")
    if found is None:
        score = ""
    elif "accuracy" in accuracy["metric"]:
        score = f", {accuracy['metric']} {100 * found:.1f} %"
    else:
        score = f", {accuracy['metric']} {found:.4g}"
    return f"{point['flash']:,} B flash, {point['ram']:,} B RAM{time}{score}"
