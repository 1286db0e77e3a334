"""From options and `edgeprune.toml` to `Settings`: what the command line says overrides what the file says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprune.config import Settings, read_settings_file
from edgeprune.errors import UsageError

__all__ = ["merge_settings"]

_FILE = Path("edgeprune.toml")
_PATHS = ("model", "output", "data", "calibration")
_TEXTS = ("flash", "ram", "reserve_flash", "reserve_ram", "macs", "params")
_LISTS = ("input_mean", "input_std")


def merge_settings(config: Path | None, given: Mapping[str, Any], **fallback: Any) -> Settings:
    """Settings from `config` (else ./edgeprune.toml if there is one), overridden by `given`, where None is not given.

    Raises:
        UsageError: no model or device is named; a key of the file is unknown or of the wrong type.
    """
    file = config or (_FILE if _FILE.is_file() else None)
    values = dict(fallback)
    if file is not None:
        values |= _from_file(file)
    values |= {name: value for name, value in given.items() if value is not None}
    if "model" not in values:
        raise UsageError("no MODEL is named: give a recipe (.py), an .onnx or a .pt2 file")
    if "device" not in values:
        raise UsageError("no device is named: give one with --device; `edgeprune devices` lists them")
    return _validated(values, file)


def _from_file(file: Path) -> dict[str, Any]:
    """The file's keys; paths in it are relative to its own folder."""
    if not file.is_file():
        raise UsageError(f"the settings file {file} does not exist")
    values = read_settings_file(file)
    for name in _PATHS:
        if isinstance(values.get(name), str):
            values[name] = file.parent / values[name]
    for name in _TEXTS:
        if isinstance(values.get(name), int) and not isinstance(values[name], bool):
            values[name] = str(values[name])
    for name in _LISTS:
        value = values.get(name)
        if isinstance(value, int | float | list) and not isinstance(value, bool):
            values[name] = ",".join(map(str, value if isinstance(value, list) else [value]))
    if isinstance(values.get("package"), str):
        values["package"] = [values["package"]]
    if isinstance(values.get("device"), str) and values["device"].endswith(".toml"):
        values["device"] = str(file.parent / values["device"])
    return values


def _validated(values: Mapping[str, Any], file: Path | None) -> Settings:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Settings).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f" in {file}" if file is not None else ""
        reason = str(first["msg"]).replace("valid tuple", "list of texts")
        raise UsageError(f"the setting {name!r}{where} is wrong: {reason}") from None
