"""The bundle on disk: written beside its place and renamed, so that it appears whole or not at all."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.errors import EdgepruneError, EnvironmentFailure, UsageError
from edgeprune.graph.ir import Array
from edgeprune.report.html import report_html
from edgeprune.report.load import read_json

__all__ = [
    "Contents",
    "bundle_files",
    "read_bundle",
    "read_report",
    "rewrite_report",
    "scratch_directory",
    "staged_directory",
    "write_files",
]

_MARK, _PAGE = "report.json", "report.html"
_SECTIONS = {"model", "device", "budget", "fits", "flash", "ram", "latency", "layers", "verify", "accuracy"}
_SECTIONS |= {"pruning", "tools", "library"}
_LIBRARY, _MODEL, _VECTORS, _DEVICE = "library", "model.onnx", "verification.npz", "device.toml"
_FIRMWARE, _PACKAGE = "firmware", "package"


@dataclass(frozen=True, eq=False)
class Contents:
    """What a bundle holds: the library's files by name, the int8 ONNX model, stored inputs, the outputs they must give.

    `device_toml` is the profile when it was the user's own file; `firmware` the project of a board's firmware by file
    name, when it was asked for; `float_files` the float network by file name; `packages` the library for build systems
    by `<format>/<path>`. The last three are not read back.
    """

    library: Mapping[str, bytes]
    onnx: bytes
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    report: Mapping[str, Any]
    device_toml: str | None = None
    firmware: Mapping[str, str] = field(default_factory=dict)
    float_files: Mapping[str, bytes] = field(default_factory=dict)
    packages: Mapping[str, str | bytes] = field(default_factory=dict)


def bundle_files(contents: Contents) -> dict[str, str | bytes]:
    """The bundle as files: path -> contents."""
    vectors = io.BytesIO()
    arrays = {f"input_{i}": array for i, array in enumerate(contents.inputs)}
    arrays.update({f"output_{i}": array for i, array in enumerate(contents.outputs)})
    np.savez_compressed(vectors, **arrays)  # type: ignore[arg-type]
    files: dict[str, str | bytes] = {f"{_LIBRARY}/{name}": data for name, data in contents.library.items()}
    files.update({f"{_FIRMWARE}/{name}": text for name, text in contents.firmware.items()})
    files.update({f"{_PACKAGE}/{name}": text for name, text in contents.packages.items()})
    files.update(contents.float_files)
    files.update({_MODEL: contents.onnx, _VECTORS: vectors.getvalue()})
    if contents.device_toml is not None:
        files[_DEVICE] = contents.device_toml
    files[_MARK] = _report_text(contents.report)
    files[_PAGE] = report_html(contents.report)
    return files


def _report_text(report: Mapping[str, Any]) -> str:
    return json.dumps(report, indent=2) + "\n"


def read_bundle(directory: Path) -> Contents:
    """The bundle in `directory`, as it lies on disk now.

    Raises:
        UsageError: there is no bundle, or a file of it is missing or damaged.
    """
    report = read_report(directory)
    try:
        library = {path.name: path.read_bytes() for path in sorted((directory / _LIBRARY).iterdir())}
        onnx = (directory / _MODEL).read_bytes()
        with np.load(directory / _VECTORS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        toml = directory / _DEVICE
        device = toml.read_text(encoding="utf-8") if toml.is_file() else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"the bundle {directory} is incomplete or damaged: {error}") from error
    inputs = tuple(arrays[f"input_{i}"] for i in range(sum(name.startswith("input_") for name in arrays)))
    outputs = tuple(arrays[f"output_{i}"] for i in range(sum(name.startswith("output_") for name in arrays)))
    return Contents(library, onnx, inputs, outputs, report, device)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A folder for what a run builds on the way; it stays only after a failure whose sentence points into it."""
    folder = Path(tempfile.mkdtemp(prefix="edgeprune-"))
    kept = False
    try:
        yield folder
    except EdgepruneError as error:
        kept = str(folder) in str(error)
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def staged_directory(place: Path) -> Iterator[Path]:
    """A fresh folder that becomes `place` when the block ends well, and vanishes when it does not.

    Raises:
        UsageError: `place` exists and is not a bundle, so it is not replaced.
        EnvironmentFailure: the disk is full or not writable.
    """
    if place.exists() and not ((place / _MARK).is_file() or (place.is_dir() and not any(place.iterdir()))):
        raise UsageError(f"{place} exists and is not an edgeprune bundle: choose another place with -o")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise EnvironmentFailure(f"cannot write to {place.parent}: {error.strerror}") from error
    try:
        yield staged
        staged.chmod(0o755)
        _replace(staged, place)
    except OSError as error:
        raise EnvironmentFailure(f"writing {place} failed: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _replace(staged: Path, place: Path) -> None:
    """Put `staged` at `place`; a bundle already there steps aside first, and comes back if the rename fails."""
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.old.", dir=place.parent)) / "bundle"
    replacing = place.exists()
    try:
        if replacing:
            place.rename(aside)
        try:
            staged.rename(place)
        except OSError:
            if replacing:
                aside.rename(place)
            raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)


def write_files(directory: Path, files: Mapping[str, str | bytes]) -> None:
    """Write `files` (path below `directory` -> contents)."""
    for name, contents in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(contents, bytes):
            path.write_bytes(contents)
        else:
            path.write_text(contents, encoding="utf-8", newline="\n")


def rewrite_report(directory: Path, report: Mapping[str, Any]) -> None:
    """Replaces the report of the bundle in `directory` and its page, each whole or not at all.

    Raises:
        EnvironmentFailure: it cannot be written.
    """
    aside = directory / f".{_MARK}.new"
    try:
        for name, text in ((_MARK, _report_text(report)), (_PAGE, report_html(report))):
            aside.write_text(text, encoding="utf-8", newline="\n")
            aside.replace(directory / name)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise EnvironmentFailure(f"the report of {directory} cannot be written: {error.strerror}") from error


def read_report(directory: Path) -> dict[str, Any]:
    """The report of the bundle in `directory`.

    Raises:
        UsageError: there is no bundle.
    """
    path = directory / _MARK
    if not path.is_file():
        raise UsageError(f"{directory} is not an edgeprune bundle: it has no report.json")
    report = read_json(path)
    if not report.keys() >= _SECTIONS:
        raise UsageError(f"{path} is damaged: it is not a whole report")
    return report
