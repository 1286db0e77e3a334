"""Deploying a network at falling budgets.

The network as it is comes first; it says what a share is a share of. The other points are independent of each other.
Each is a bundle of its own, which appears whole or not at all; `sweep.json` lists those that are finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgeprune.compress.checkpoints import fingerprint
from edgeprune.config import Settings
from edgeprune.device import load_device
from edgeprune.errors import UsageError
from edgeprune.parallel import Lost, Map, available_cores, in_turn, local_processes
from edgeprune.progress import Progress, SilentProgress
from edgeprune.sweep.budgets import check_ends, point_settings, whole_settings
from edgeprune.sweep.points import AMOUNTS, Job, attempted, failure, made, told
from edgeprune.sweep.record import Point, Record, finished_points, write_page

__all__ = ["Sweep", "default_place", "sweep", "sweep_grid"]

_FEWEST, _MOST = 2, 50


@dataclass(frozen=True, eq=False)
class Sweep:
    """What `sweep` made: the values of `sweep.json`, its folder, and the pictures in it."""

    values: dict[str, Any]
    directory: Path
    pictures: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class _Curve:
    """One network on one device: what is asked, its record, and the points that an earlier sweep has made."""

    settings: Settings
    place: Path
    record: Record
    finished: Mapping[str, Point]

    @property
    def title(self) -> str:
        return self.place.name

    @property
    def first(self) -> Job:
        return Job(1, replace(whole_settings(self.settings), output=self.place / "point_1"))


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
    curve = _curve(settings, settings.output or default_place(settings), points)
    whole = _found(curve, curve.first)
    if whole is None:
        curve.record.begin()
        whole = made(curve.first, progress)
        _keep(whole, curve.record, points, progress)
    return _finish([curve], [whole], points, smallest, jobs, progress, over)[0]


def sweep_grid(
    grid: Sequence[Settings],
    place: Path,
    points: int = 6,
    smallest: str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    over: Map | None = None,
) -> tuple[Sweep, ...]:
    """Several networks on several devices, all points of all of them through one map; a folder each below `place`.

    The networks as they are come first, side by side, then all other points. A network that cannot be deployed at all
    has its reason in its first point, and takes none of the others with it.

    Args:
        grid: A network and a device each; otherwise as for `sweep`.
        place: The folder; each sweep's is named by its model and device.
        points, smallest, jobs, progress, over: As for `sweep`.

    Raises:
        UsageError: something is asked for that a sweep does not do, or two networks have one name.
    """
    progress = progress or SilentProgress()
    names = [f"{one.model.stem}-{Path(one.device).stem}" for one in grid]
    for index, (settings, name) in enumerate(zip(grid, names, strict=True)):
        _check(settings, points, smallest, jobs)
        load_device(settings.device)
        if name in names[:index]:
            raise UsageError(f"two sweeps would be called {name}: give each model and device once")
    if place.exists() and not (place.is_dir() and all(path.name in names for path in _folders(place))):
        raise UsageError(f"{place} exists and holds something else: choose another place with -o")
    curves = [_curve(settings, place / name, points) for settings, name in zip(grid, names, strict=True)]
    wholes = {index: point for index, curve in enumerate(curves) if (point := _found(curve, curve.first))}
    missing = [index for index in range(len(curves)) if index not in wholes]
    for index in missing:
        curves[index].record.begin()
    firsts = [curves[index].first for index in missing]
    with progress.task("networks as they are", len(firsts)) as task:
        for number, point in _results(firsts, jobs, over, progress):
            curve = curves[missing[number]]
            wholes[missing[number]] = point
            _keep(point, curve.record, points, progress, curve.title)
            task.advance(1, curve.title)
    found = _finish(curves, [wholes[i] for i in range(len(curves))], points, smallest, jobs, progress, over)
    write_page(place, {one.directory.name: one.values for one in found})
    return found


def _folders(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_dir()]


def _curve(settings: Settings, place: Path, points: int) -> _Curve:
    record = Record(place, settings.model.stem, Path(settings.device).stem, points)
    return _Curve(settings, place, record, finished_points(place) if settings.resume else {})


def _found(curve: _Curve, job: Job) -> Point | None:
    return curve.finished.get(fingerprint(job.settings))


def _finish(
    curves: Sequence[_Curve],
    wholes: Sequence[Point],
    points: int,
    smallest: str | None,
    jobs: int | None,
    progress: Progress,
    over: Map | None,
) -> tuple[Sweep, ...]:
    """All points of `curves` but the first, which are `wholes`."""
    wanted: list[tuple[_Curve, Job]] = []
    for curve, whole in zip(curves, wholes, strict=True):
        own = _jobs(curve.settings, curve.place, points, smallest, whole)
        kept = [_found(curve, job) for job in own]
        if _found(curve, curve.first) is not None:
            curve.record.begin([whole, *(point for point in kept if point is not None)])
            missing = sum(point is None for point in kept)
            progress.say(f"{curve.title}: {points - missing} of {points} points are finished already")
        wanted += [(curve, job) for job, point in zip(own, kept, strict=True) if point is None]
    with progress.task("points", len(wanted)) as task:
        for number, point in _results([job for _, job in wanted], jobs, over, progress):
            curve = wanted[number][0]
            _keep(point, curve.record, points, progress, curve.title if len(curves) > 1 else None)
            task.advance(1)
    return tuple(_drawn(curve) for curve in curves)


def _drawn(curve: _Curve) -> Sweep:
    pictures = curve.record.draw()
    return Sweep(curve.record.values(), curve.place, pictures)


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


def _jobs(settings: Settings, place: Path, points: int, smallest: str | None, whole: Point) -> list[Job]:
    """All points but the first; none where the device is too small for any."""
    if not whole["fits"]:
        return []
    amounts = whole["unpruned"] or {word: whole[word] for word in AMOUNTS if whole[word] is not None}
    return [
        Job(
            step + 1,
            replace(
                point_settings(settings, smallest, amounts, step, points - 1),
                output=place / f"point_{step + 1}",
            ),
        )
        for step in range(1, points)
    ]


def _results(
    wanted: Sequence[Job], jobs: int | None, over: Map | None, progress: Progress
) -> Iterator[tuple[int, Point]]:
    """Points as they come, each with the number of its job."""
    most = min(jobs or available_cores(), len(wanted))
    if over is None and most > 1:
        over = local_processes(most)
    # Made in this process, a point shows its own progress; elsewhere a line tells when it is finished.
    results = (
        in_turn(partial(attempted, progress=progress), wanted) if over is None else over(attempted, wanted)
    )
    for index, result in results:
        yield index, failure(wanted[index], result.reason, 1) if isinstance(result, Lost) else result


def _keep(point: Point, record: Record, count: int, progress: Progress, title: str | None = None) -> None:
    record.add(point)
    where = "" if title is None else f"{title}, "
    progress.say(f"{where}point {point['number']} of {count}: {told(point)}")
