"""Finding device profiles by name, and reading them from TOML files."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from pydantic import ValidationError

from edgeprune.device.profile import Device
from edgeprune.device.schema import DeviceFile, explain
from edgeprune.errors import UsageError
from edgeprune.resources import resource_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["device_names", "load_device"]


def device_names() -> tuple[str, ...]:
    """Names of the devices that come with edgeprune, sorted."""
    return tuple(sorted(path.stem for path in resource_dir("targets").glob("*.toml")))


def load_device(name_or_path: str) -> Device:
    """The device of that name, or the one a TOML file of the user's describes.

    Args:
        name_or_path: a name out of `device_names()`, or a path that ends in ".toml".

    Raises:
        UsageError: no such device or file, malformed TOML, or a key that is missing, unknown or wrong.
    """
    if name_or_path.endswith(".toml"):
        return _read(Path(name_or_path))
    names = device_names()
    if name_or_path not in names:
        nearest = difflib.get_close_matches(name_or_path.lower(), names, n=1, cutoff=0.3)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"use one of {', '.join(names)}."
        raise UsageError(f"There is no device {name_or_path[:80]!r}: {hint}")
    return _read(resource_dir("targets") / f"{name_or_path}.toml")


def _read(path: Path) -> Device:
    try:
        text = path.read_text(encoding="utf-8")
        return DeviceFile.model_validate(tomllib.loads(text)).device(path.stem)
    except FileNotFoundError:
        raise UsageError(
            f"Device profile {path} does not exist: give a device's name or a .toml file."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Device profile {path} cannot be read as text: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"Device profile {path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise UsageError(f"In device profile {path}, {explain(error)}.") from None
