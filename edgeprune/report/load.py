"""Reading reports to show them: from a bundle, from the folder of a sweep, or from a file that `--json` wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune.errors import UsageError
from edgeprune.report.schema import check_report, check_sweep

__all__ = ["Loaded", "load", "load_report", "read_json"]

_REPORT, _SWEEP = "report.json", "sweep.json"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A report, or the record of a sweep, with the folder it belongs to; None when it is a file by itself."""

    values: dict[str, Any]
    is_sweep: bool
    directory: Path | None


def load(place: Path) -> Loaded:
    """The report or the sweep at `place`, checked.

    Args:
        place: A bundle, the folder of a sweep, or a report.json or sweep.json anywhere.

    Raises:
        UsageError: it is none of these, or damaged.
    """
    if place.is_file():
        path, directory = place, None
    else:
        file = _SWEEP if (place / _SWEEP).is_file() and not (place / _REPORT).is_file() else _REPORT
        path, directory = place / file, place
    if not path.is_file():
        raise UsageError(f"{place} is not an edgeprune bundle: it has no {_REPORT}")
    values = read_json(path)
    is_sweep = "points" in values and "layers" not in values
    (check_sweep if is_sweep else check_report)(values, path)
    return Loaded(values, is_sweep, directory)


def load_report(place: Path) -> dict[str, Any]:
    """The report at `place`, checked.

    Raises:
        UsageError: there is none, it is a sweep's, or it is damaged.
    """
    found = load(place)
    if found.is_sweep:
        raise UsageError(f"{place} is a sweep: name one of its bundles, such as {place / 'point_1'}")
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
