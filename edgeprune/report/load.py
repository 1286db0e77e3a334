"""Reading reports to show them: a bundle, the folder of one sweep or of several, or a file that `--json` wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgeprune.errors import UsageError
from edgeprune.report.schema import check_report, check_sweep

__all__ = ["Loaded", "load", "load_report", "read_json"]

_REPORT, _SWEEP = "report.json", "sweep.json"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A report, or the record of a sweep, or of several by their names.

    `directory` is the folder it belongs to; None when it is a file by itself.
    """

    values: dict[str, Any]
    kind: Literal["bundle", "sweep", "grid"]
    directory: Path | None


def load(place: Path) -> Loaded:
    """The report or the sweeps at `place`, checked.

    Args:
        place: A bundle, the folder of a sweep or of several, or a file that holds what theirs do.

    Raises:
        UsageError: it is none of these, or damaged.
    """
    if grid := {} if place.is_file() else _sweeps_in(place):
        return _grid(grid, place, place)
    if place.is_file():
        path, directory = place, None
    else:
        file = _SWEEP if (place / _SWEEP).is_file() and not (place / _REPORT).is_file() else _REPORT
        path, directory = place / file, place
    if not path.is_file():
        raise UsageError(f"{place} is not an edgeprune bundle: it has no {_REPORT}")
    values = read_json(path)
    if values and all(isinstance(one, dict) and "points" in one for one in values.values()):
        return _grid(values, path, directory)
    if "points" in values and "layers" not in values:
        check_sweep(values, path)
        return Loaded(values, "sweep", directory)
    check_report(values, path)
    return Loaded(values, "bundle", directory)


def _sweeps_in(place: Path) -> dict[str, Any]:
    """The records of the sweeps in folders of `place`, by their names, unless it is a bundle or a sweep itself."""
    if (place / _REPORT).is_file() or (place / _SWEEP).is_file():
        return {}
    return {path.parent.name: read_json(path) for path in sorted(place.glob(f"*/{_SWEEP}"))}


def _grid(sweeps: dict[str, Any], source: Path, directory: Path | None) -> Loaded:
    for name, values in sweeps.items():
        check_sweep(values, source / name / _SWEEP if directory is not None else source)
    return Loaded(sweeps, "grid", directory)


def load_report(place: Path) -> dict[str, Any]:
    """The report at `place`, checked.

    Raises:
        UsageError: there is none, it is a sweep's, or it is damaged.
    """
    found = load(place)
    if found.kind != "bundle":
        first = place / next(iter(found.values)) if found.kind == "grid" else place
        raise UsageError(f"{place} is a sweep: name one of its bundles, such as {first / 'point_1'}")
    return found.values


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file at `path`.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} is damaged: it is not a whole report")
    return values
