"""What the user asks for, validated at the edge: sizes, times, budget and settings of a run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from edgeprune.errors import UsageError

__all__ = [
    "Budget",
    "Objective",
    "RunnerName",
    "Settings",
    "parse_duration_ms",
    "parse_size",
    "read_settings_file",
]

Objective = Literal["latency", "ram", "flash"]
RunnerName = Literal["qemu", "serial", "pyocd"]

_SIZE_UNITS = {"": 1, "B": 1, "K": 1024, "KB": 1024, "KIB": 1024, "M": 1 << 20, "MB": 1 << 20, "MIB": 1 << 20}
_TIME_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def parse_size(text: str, what: str = "size") -> int:
    """`128K`, `1.5M`, `4096` in bytes; K = KB = KiB = 1,024.

    Raises:
        UsageError: not a positive size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _SIZE_UNITS:
        raise UsageError(f"{what} {text!r} is not a size: write bytes, or a number with K or M, such as 128K")
    size = float(match[1]) * _SIZE_UNITS[match[2].upper()]
    if not math.isfinite(size) or round(size) <= 0:
        raise UsageError(f"{what} {text!r} must be greater than zero, and finite")
    return round(size)


def parse_duration_ms(text: str, what: str = "latency") -> float:
    """`40ms`, `800us`, `1.5s` in milliseconds.

    Raises:
        UsageError: not a positive duration.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s)\s*", text)
    if match is None or not 0 < float(match[1]) < math.inf:
        raise UsageError(f"{what} {text!r} is not a duration: write a number with us, ms or s, such as 40ms")
    return float(match[1]) * _TIME_UNITS[match[2]]


@dataclass(frozen=True)
class Budget:
    """Limits of a run; None is no limit. Where the user names no size, the device's own memory is the limit."""

    flash_bytes: int | None = None
    ram_bytes: int | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class Settings:
    """Everything `deploy` may be told, with its defaults; each field is an option and a key of edgeprune.toml."""

    model: Path
    device: str
    flash: str | None = None
    ram: str | None = None
    latency: str | None = None
    output: Path | None = None
    backend: Literal["auto", "c"] = "auto"
    dtype: Literal["int8"] = "int8"
    data: Path | None = None
    samples: int | None = None
    calibration: Path | None = None
    optimize: Objective = "latency"
    effort: int | None = None
    train: bool = True
    seed: int = 0
    reserve_flash: str | None = None
    reserve_ram: str | None = None
    ignore: tuple[str, ...] = ()
    minimum: dict[str, int] = field(default_factory=dict)
    runner: RunnerName = "qemu"
    port: str | None = None
    board_firmware: bool = False

    def __post_init__(self) -> None:
        for item in fields(self):
            allowed = get_args(item.type) if not isinstance(item.type, str) else ()
            if allowed and getattr(self, item.name) not in allowed:
                raise UsageError(f"{item.name} must be one of {', '.join(map(str, allowed))}")
        if self.optimize not in get_args(Objective):
            raise UsageError(f"--optimize {self.optimize!r} is not one of {', '.join(get_args(Objective))}")
        if self.samples is not None and self.samples <= 0:
            raise UsageError(f"--samples {self.samples} must be greater than zero")
        if self.effort is not None and self.effort < 0:
            raise UsageError(f"--effort {self.effort} must not be negative")
        if not 0 <= self.seed < 1 << 32:
            raise UsageError(f"--seed {self.seed} must be between 0 and {(1 << 32) - 1}")

    def requested(self) -> Budget:
        """The limits the user named, in bytes and milliseconds."""
        return Budget(
            None if self.flash is None else parse_size(self.flash, "--flash"),
            None if self.ram is None else parse_size(self.ram, "--ram"),
            None if self.latency is None else parse_duration_ms(self.latency, "--latency"),
        )

    def budget(self, device_flash_bytes: int | None, device_ram_bytes: int | None) -> Budget:
        """The limits in force: what the user named, else the device's memory less what is reserved."""
        asked = self.requested()
        flash_reserve = 0 if self.reserve_flash is None else parse_size(self.reserve_flash, "--reserve-flash")
        ram_reserve = 0 if self.reserve_ram is None else parse_size(self.reserve_ram, "--reserve-ram")
        flash = _available(device_flash_bytes, flash_reserve, "--reserve-flash")
        ram = _available(device_ram_bytes, ram_reserve, "--reserve-ram")
        return Budget(_least(asked.flash_bytes, flash), _least(asked.ram_bytes, ram), asked.latency_ms)


def _available(device_bytes: int | None, reserve: int, what: str) -> int | None:
    if device_bytes is None:
        return None
    if reserve >= device_bytes:
        raise UsageError(f"{what} leaves nothing of the device's {device_bytes:,} bytes")
    return device_bytes - reserve


def _least(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def read_settings_file(path: Path) -> dict[str, Any]:
    """The keys of an `edgeprune.toml`, checked against `Settings`; `[prune.minimum]` becomes `minimum`.

    Raises:
        UsageError: malformed TOML or an unknown key.
    """
    try:
        import tomllib
    except ModuleNotFoundError:
        import tomli as tomllib  # type: ignore[import-not-found,no-redef]
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    prune = values.pop("prune", {})
    if not isinstance(prune, dict) or prune.keys() - {"minimum"}:
        raise UsageError(f"in {path}, prune must be a table with nothing but [prune.minimum] in it")
    values |= prune
    known = {item.name for item in fields(Settings)}
    keys = {key.replace("-", "_"): value for key, value in values.items()}
    unknown = sorted(set(keys) - known)
    if unknown:
        raise UsageError(
            f"{path} has the unknown key {unknown[0]!r}; known keys are {', '.join(sorted(known))}"
        )
    return keys
