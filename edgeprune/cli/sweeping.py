"""The verb `sweep`: the trade-off curve of a network, each point a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.cli.arguments import (
    Calibration,
    Config,
    Data,
    Debug,
    Ignore,
    Importance,
    Json,
    NoTrain,
    Number,
    Optimize,
    Output,
    ReserveFlash,
    ReserveRam,
    Rounds,
    Samples,
    Seed,
)
from edgeprune.cli.arguments import Text as Words
from edgeprune.cli.completion import complete_device
from edgeprune.cli.ending import Outcome, Terminated, conclude
from edgeprune.cli.options import merge_settings
from edgeprune.cli.terminal import Terminal
from edgeprune.config import Settings
from edgeprune.errors import EdgepruneError, OverBudget
from edgeprune.parallel import Map

__all__ = ["EXAMPLE", "points_table", "points_tables", "sweep"]

EXAMPLE = "Example: edgeprune sweep recipe.py --device nucleo-f446re --points 6 --smallest 15%"

_END = "at the smallest point: {}, or a share of the whole network's such as 20%."
_POINTS = 6


def sweep(
    model: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(metavar="MODEL", help="Recipes (.py)."),
    ] = None,
    device: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="A device's name or profile (repeatable).", autocompletion=complete_device
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(metavar="N", help="How many points, the whole network included.")
    ] = _POINTS,
    smallest: Annotated[
        Words, typer.Option(metavar="%", help="Latency and flash at the smallest point, 25% by default.")
    ] = None,
    flash: Annotated[Words, typer.Option(metavar="SIZE|%", help=f"Flash {_END.format('32K')}")] = None,
    ram: Annotated[Words, typer.Option(metavar="SIZE|%", help=f"RAM {_END.format('8K')}")] = None,
    latency: Annotated[Words, typer.Option(metavar="TIME|%", help=f"Latency {_END.format('10ms')}")] = None,
    macs: Annotated[
        Words, typer.Option(metavar="N|%", help=f"Multiply-accumulates {_END.format('2M')}")
    ] = None,
    params: Annotated[Words, typer.Option(metavar="N|%", help=f"Parameters {_END.format('20k')}")] = None,
    jobs: Annotated[
        Number, typer.Option(metavar="N", help="Points made side by side; as many as there are cores.")
    ] = None,
    ray: Annotated[
        Words, typer.Option(metavar="ADDRESS", help="Make points on a Ray cluster: HOST:PORT, auto or local.")
    ] = None,
    output: Output = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the points that an earlier sweep of this kind finished.")
    ] = False,
    data: Data = None,
    samples: Samples = None,
    calibration: Calibration = None,
    optimize: Optimize = None,
    effort: Annotated[Number, typer.Option(metavar="N", help="Training steps of each point.")] = None,
    no_train: NoTrain = False,
    ignore: Ignore = None,
    importance: Importance = None,
    rounds: Rounds = None,
    reserve_flash: ReserveFlash = None,
    reserve_ram: ReserveRam = None,
    seed: Seed = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Accuracy against flash, RAM and latency: a network deployed at falling budgets, each point a bundle."""
    given: dict[str, Any] = {
        "model": model[0] if model else None,
        "device": device[0] if device else None,
        "flash": flash,
        "ram": ram,
        "latency": latency,
        "macs": macs,
        "params": params,
        "output": output,
        "resume": True if resume else None,
        "data": data,
        "samples": samples,
        "calibration": calibration,
        "optimize": optimize,
        "effort": effort,
        "train": False if no_train else None,
        "ignore": tuple(ignore) if ignore else None,
        "importance": importance,
        "rounds": rounds,
        "reserve_flash": reserve_flash,
        "reserve_ram": reserve_ram,
        "seed": seed,
    }

    def body(terminal: Terminal) -> Outcome:
        settings = merge_settings(config, given)
        asked = _Asked(points, smallest, jobs, ray)
        if len(model or ()) > 1 or len(device or ()) > 1:
            pairs = [(m, d) for m in model or [settings.model] for d in device or [settings.device]]
            return _grid([replace(settings, model=m, device=d) for m, d in pairs], asked, terminal)
        return _sweep(settings, asked, terminal)

    conclude(body, as_json, debug)


class _Stopped(EdgepruneError):
    """A sweep was interrupted; what it has finished stays."""

    def __init__(self, place: Path, exit_status: int) -> None:
        self.exit_status = exit_status
        super().__init__(f"interrupted; the points finished are in {place}: go on with --resume")


@dataclass(frozen=True)
class _Asked:
    """How many points, where they end, and what makes them."""

    points: int
    smallest: str | None
    jobs: int | None
    ray: str | None

    def over(self) -> Map | None:
        """The cluster, if one is named."""
        if self.ray is None:
            return None
        from edgeprune.cluster import ray_cluster

        return ray_cluster(self.ray, self.jobs)


def _sweep(settings: Settings, asked: _Asked, terminal: Terminal) -> Outcome:
    with terminal.task("loading edgeprune"):
        from edgeprune.sweep import PAGE, SWEEP_FILE, default_place
        from edgeprune.sweep import sweep as run
    place = settings.output or default_place(settings)
    with _kept(place, [place / SWEEP_FILE]):
        made = run(settings, asked.points, asked.smallest, asked.jobs, terminal, asked.over())
    files = [str(file) for file in (place / SWEEP_FILE, *made.pictures, place / PAGE)]
    shown = Group(
        points_table(made.values["points"]), Text(), Text("curve: ", "bold") + Text(", ".join(files))
    )
    return Outcome(made.values, shown, _status(made.values["points"]))


def _grid(grid: list[Settings], asked: _Asked, terminal: Terminal) -> Outcome:
    with terminal.task("loading edgeprune"):
        from edgeprune.sweep import PAGE, SWEEP_FILE, sweep_grid
    place = grid[0].output or Path("build") / "sweep"
    with _kept(place, place.glob(f"*/{SWEEP_FILE}")):
        made = sweep_grid(grid, place, asked.points, asked.smallest, asked.jobs, terminal, asked.over())
    tables = points_tables([one.values for one in made])
    shown = Group(*tables, Text(), Text("curves: ", "bold") + Text(str(place / PAGE)))
    statuses = [_status(one.values["points"]) for one in made]
    worse = [status for status in statuses if status not in (0, OverBudget.exit_status)]
    status = max(worse) if worse else min(statuses)
    return Outcome({one.directory.name: one.values for one in made}, shown, status)


@contextmanager
def _kept(place: Path, files: Iterable[Path]) -> Iterator[None]:
    """An interrupt says how to go on where points are finished."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as stop:
        if not any(map(_finished, files)):
            raise
        raise _Stopped(place, 130 if isinstance(stop, KeyboardInterrupt) else 143) from None


def _finished(file: Path) -> bool:
    return file.is_file() and bool(json.loads(file.read_text(encoding="utf-8"))["points"])


def _status(points: list[Mapping[str, Any]]) -> int:
    """That of the worst failure; points over budget are part of a curve as long as one is not."""
    failures: list[int] = [point["exit_status"] for point in points if not point["fits"]]
    worse = [status for status in failures if status != OverBudget.exit_status]
    if worse:
        return max(worse)
    return OverBudget.exit_status if len(failures) == len(points) else 0


def points_tables(sweeps: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """The points of each `sweep.json`, under its model and device where there are several."""
    parts: list[RenderableType] = []
    for values in sweeps:
        if len(sweeps) > 1:
            parts += [Text()] if parts else []
            parts.append(Text(f"{values['model']} on {values['device']}", "bold"))
        parts.append(points_table(values["points"]))
    return parts


def points_table(points: list[Mapping[str, Any]]) -> Table:
    """The points of a `sweep.json`."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("point", "flash B", "RAM B", "ms", "MACs", "parameters", "float", "as run"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("bundle", overflow="fold")
    for point in points:
        accuracy = point["accuracy"] or {}
        in_float = accuracy.get("pruned") if point["pruned"] else accuracy.get("float")
        counts = (point[word] for word in ("flash", "ram"))
        sizes = (point[word] for word in ("macs", "parameters"))
        table.add_row(
            str(point["number"]),
            *map(_count, counts),
            "" if point["latency_ms"] is None else f"{point['latency_ms']:.2f}",
            *map(_count, sizes),
            _score(accuracy, in_float),
            _score(accuracy, accuracy.get("emulated")),
            Text(point["bundle"]) if point["fits"] else Text(point["reason"], "red"),
        )
    return table


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _score(accuracy: Mapping[str, Any], value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if "accuracy" in accuracy["metric"] else f"{value:.4g}"
