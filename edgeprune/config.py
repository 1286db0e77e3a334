"""What the user asks for, validated at the edge: sizes, times, budget and settings of a run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from edgeprune.byte_input import ByteInput, parse_byte_input
from edgeprune.errors import UsageError
from edgeprune.patterns import SPARSITY_BLOCKS

__all__ = [
    "Budget",
    "Ceiling",
    "Objective",
    "RunnerName",
    "Settings",
    "SparsifyWhen",
    "TvmOutput",
    "parse_ceiling",
    "parse_duration_ms",
    "parse_size",
    "read_settings_file",
]

Objective = Literal["latency", "ram", "flash"]
RunnerName = Literal["qemu", "serial", "pyocd"]
TvmOutput = Literal["source", "object"]
"""What TVM's kernels become: C, or machine code by LLVM."""
SparsifyWhen = Literal["before", "during", "after"]
"""When single weights are set to zero: before the pruned network is trained, gradually while it is, or after."""

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
class Ceiling:
    """A most, as a number or as a share of what the whole network has; exactly one of the two is set."""

    count: int | None = None
    share: float | None = None

    def of(self, whole: int) -> int:
        """The ceiling as a number, for a network that has `whole`."""
        return self.count if self.share is None else int(whole * self.share)  # type: ignore[return-value]


def parse_ceiling(text: str, what: str) -> Ceiling:
    """`50%` of the whole network's, or a number such as `6.1M`, `250k` (here K and M are 10^3 and 10^6).

    Raises:
        UsageError: neither, or not above zero.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|[kKM]?)\s*", text)
    if match is None or not 0 < float(match[1]) < math.inf:
        raise UsageError(f"{what} {text!r} is neither a share nor a number: write 50%, 250k or 6.1M")
    number, unit = float(match[1]), match[2].upper()
    if unit == "%":
        if number > 100:
            raise UsageError(f"{what} {text!r} is more than the whole network: write at most 100%")
        return Ceiling(share=number / 100)
    return Ceiling(count=max(1, round(number * {"": 1, "K": 1e3, "M": 1e6}[unit])))


@dataclass(frozen=True)
class Budget:
    """Limits of a run; None is no limit. Where the user names no size, the device's own memory is the limit."""

    flash_bytes: int | None = None
    ram_bytes: int | None = None
    latency_ms: float | None = None
    macs: int | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Settings:
    """Everything `deploy` may be told, with its defaults; each field is an option and a key of edgeprune.toml."""

    model: Path
    device: str
    flash: str | None = None
    ram: str | None = None
    latency: str | None = None
    output: Path | None = None
    backend: Literal["auto", "c", "tvm"] = "auto"
    tvm_output: TvmOutput = "source"
    dtype: Literal["int8", "float32"] = "int8"
    data: Path | None = None
    samples: int | None = None
    calibration: Path | None = None
    optimize: Objective = "latency"
    tune: bool = False
    stream_input: bool = False
    state: tuple[str, ...] = ()
    frames: bool = False
    input_uint8: bool = False
    input_mean: str | None = None
    input_std: str | None = None
    effort: int | None = None
    train: bool = True
    seed: int = 0
    reserve_flash: str | None = None
    reserve_ram: str | None = None
    macs: str | None = None
    params: str | None = None
    accuracy_drop: float | None = None
    importance: str | None = None
    rounds: int | None = None
    sparsity: str = "none"
    sparsify: SparsifyWhen = "after"
    resume: bool = False
    ignore: tuple[str, ...] = ()
    minimum: dict[str, int] = field(default_factory=dict)
    runner: RunnerName = "qemu"
    port: str | None = None
    board_firmware: bool = False
    package: tuple[str, ...] = ("cmake",)

    def __post_init__(self) -> None:
        for item in fields(self):
            allowed = get_args(item.type) if not isinstance(item.type, str) else ()
            if allowed and getattr(self, item.name) not in allowed:
                raise UsageError(f"{item.name} must be one of {', '.join(map(str, allowed))}")
        if self.optimize not in get_args(Objective):
            raise UsageError(f"--optimize {self.optimize!r} is not one of {', '.join(get_args(Objective))}")
        if self.tvm_output not in get_args(TvmOutput):
            raise UsageError(
                f"--tvm-output {self.tvm_output!r} is not one of {', '.join(get_args(TvmOutput))}"
            )
        if self.samples is not None and self.samples <= 0:
            raise UsageError(f"--samples {self.samples} must be greater than zero")
        if self.effort is not None and self.effort < 0:
            raise UsageError(f"--effort {self.effort} must not be negative")
        if self.accuracy_drop is not None and not 0 < self.accuracy_drop < 100:
            raise UsageError(f"--accuracy-drop {self.accuracy_drop:g} must be above 0 and below 100 points")
        if self.rounds is not None and self.rounds < 1:
            raise UsageError(f"--rounds {self.rounds} must be at least 1")
        self.density()
        if not 0 <= self.seed < 1 << 32:
            raise UsageError(f"--seed {self.seed} must be between 0 and {(1 << 32) - 1}")

    def density(self) -> float | None:
        """The share of weights to keep in all layers: 0.2 of `--sparsity block2x4:0.2`; None where none is named."""
        if self.sparsity in ("none", "auto"):
            return None
        match = re.fullmatch(r"(\w+):(0?\.\d+)", self.sparsity)
        if match is None or match[1] not in SPARSITY_BLOCKS or not 0 < float(match[2]) < 1:
            raise UsageError(
                f"--sparsity {self.sparsity!r} must be auto, none or a pattern ({', '.join(SPARSITY_BLOCKS)}), a colon "
                f"and the share of weights to keep, such as block2x4:0.25"
            )
        return float(match[2])

    @property
    def chooses_sparsity(self) -> bool:
        """Whether patterns and densities are chosen layer by layer."""
        return self.sparsity == "auto"

    def sparsity_pattern(self) -> str:
        """The pattern of `--sparsity`, one of `SPARSITY_BLOCKS`; it needs a density."""
        assert self.density() is not None
        return self.sparsity.partition(":")[0]

    def byte_input(self) -> ByteInput | None:
        """What bytes at the network's input stand for; None where the library does not take bytes."""
        given = {"--input-mean": self.input_mean, "--input-std": self.input_std}
        if not self.input_uint8:
            named = [option for option, text in given.items() if text is not None]
            if named:
                raise UsageError(f"{named[0]} says what bytes stand for: give --input-uint8 as well")
            return None
        return parse_byte_input(self.input_mean, self.input_std)

    def ceilings(self) -> dict[str, Ceiling]:
        """The most multiply-accumulates and parameters, by the names that `Budget` gives them."""
        texts = {"macs": (self.macs, "--macs"), "parameters": (self.params, "--params")}
        return {name: parse_ceiling(text, what) for name, (text, what) in texts.items() if text is not None}

    def requested(self) -> Budget:
        """The limits the user named as amounts; ceilings that are shares wait for the whole network's figures."""
        return Budget(
            None if self.flash is None else parse_size(self.flash, "--flash"),
            None if self.ram is None else parse_size(self.ram, "--ram"),
            None if self.latency is None else parse_duration_ms(self.latency, "--latency"),
            **{name: ceiling.count for name, ceiling in self.ceilings().items()},
        )

    def budget(self, device_flash_bytes: int | None, device_ram_bytes: int | None) -> Budget:
        """The limits in force: what the user named, else the device's memory less what is reserved."""
        asked = self.requested()
        flash_reserve = 0 if self.reserve_flash is None else parse_size(self.reserve_flash, "--reserve-flash")
        ram_reserve = 0 if self.reserve_ram is None else parse_size(self.reserve_ram, "--reserve-ram")
        flash = _available(device_flash_bytes, flash_reserve, "--reserve-flash")
        ram = _available(device_ram_bytes, ram_reserve, "--reserve-ram")
        return replace(
            asked, flash_bytes=_least(asked.flash_bytes, flash), ram_bytes=_least(asked.ram_bytes, ram)
        )


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
