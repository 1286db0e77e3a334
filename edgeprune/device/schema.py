"""The schema of `targets/<name>.toml`, and the sentence a mistake in one is answered with."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from edgeprune.device.cores import CORES
from edgeprune.device.profile import Device, Flash, Memory

__all__ = ["DeviceFile", "explain"]

_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_HERTZ = {"Hz": 1, "kHz": 1_000, "MHz": 1_000_000, "GHz": 1_000_000_000}


def _scaled(value: object, units: dict[str, int], example: str) -> object:
    """`value` itself, or the integer that a text such as "2M" or "120 MHz" stands for."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", value.strip())
    unit = match and (match[2].removesuffix("iB") if match[2] not in units else match[2])
    if match is None or unit not in units:
        raise ValueError(f"must be an integer or a text like {example}")
    scaled = float(match[1]) * units[unit]
    if scaled != int(scaled):
        raise ValueError("must come to a whole number")
    return int(scaled)


_Bytes = Annotated[int, BeforeValidator(lambda value: _scaled(value, _UNITS, '"640K"')), Field(gt=0)]
_Clock = Annotated[int, BeforeValidator(lambda value: _scaled(value, _HERTZ, '"120 MHz"')), Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _MemoryTable(_Table):
    name: str
    kind: Literal["flash", "ram"]
    origin: int = Field(ge=0, lt=1 << 64)
    size: _Bytes
    wait_states: int = Field(default=0, ge=0, le=1000)
    tightly_coupled: bool = False

    def memory(self) -> Memory:
        return Memory(self.name, self.kind, self.origin, self.size, self.wait_states, self.tightly_coupled)


class _FlashTable(_Table):
    wait_states: int = Field(ge=0, le=1000)
    line_bytes: int = Field(gt=0)
    instruction_lines: int = Field(ge=0)
    data_lines: int = Field(ge=0)
    instruction_ways: int = Field(default=0, ge=0)
    data_ways: int = Field(default=0, ge=0)
    unified: bool = False
    prefetch: bool = False
    word_bytes: int = Field(ge=0, default=0)

    @model_validator(mode="after")
    def _sets_are_whole(self) -> _FlashTable:
        for lines, ways in (
            (self.instruction_lines, self.instruction_ways),
            (self.data_lines, self.data_ways),
        ):
            if ways and lines % ways:
                raise ValueError("must have a number of lines that is a multiple of the ways")
        if self.unified and (self.data_lines or self.data_ways):
            raise ValueError("must not give data_lines or data_ways where unified is true")
        return self


class DeviceFile(_Table):
    """A profile as written: see docs/devices.md for each key."""

    description: str
    core: str
    clock: _Clock
    memories: list[_MemoryTable]
    flash: _FlashTable | None = None
    flags: list[str] | None = None

    @field_validator("core")
    @classmethod
    def _known_core(cls, core: str) -> str:
        if core not in CORES:
            raise ValueError(f"must be one of {', '.join(CORES)}")
        return core

    @field_validator("memories")
    @classmethod
    def _both_kinds(cls, memories: list[_MemoryTable]) -> list[_MemoryTable]:
        if {memory.kind for memory in memories} != {"flash", "ram"}:
            raise ValueError('must list at least one memory of kind "flash" and one of kind "ram"')
        return memories

    @field_validator("memories")
    @classmethod
    def _apart(cls, memories: list[_MemoryTable]) -> list[_MemoryTable]:
        """The bytes of two regions that overlap would be counted, and used, twice."""
        names = [memory.name for memory in memories]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"must have different names: {twice!r} occurs twice")
        ordered = sorted(memories, key=lambda memory: memory.origin)
        for lower, upper in itertools.pairwise(ordered):
            if lower.origin + lower.size > upper.origin:
                raise ValueError(f"must not overlap: {lower.name!r} reaches into {upper.name!r}")
        return memories

    def device(self, name: str) -> Device:
        """The profile as the frozen value the stages use."""
        core = CORES[self.core]
        return Device(
            name=name,
            description=self.description,
            core=self.core,
            clock_hz=self.clock,
            memories=tuple(table.memory() for table in self.memories),
            flash=None if self.flash is None else Flash(**self.flash.model_dump()),
            dsp=core.dsp,
            fpu=core.fpu,
            compiler=core.compiler,
            flags=core.flags if self.flags is None else tuple(self.flags),
            emulator=core.emulator,
            mve=core.mve,
        )


def explain(error: ValidationError) -> str:
    """The first mistake as a phrase that names its key, such as "memories[0].kind must be 'flash' or 'ram'"."""
    first = error.errors()[0]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "missing":
        return f"{key} is missing"
    if first["type"] == "extra_forbidden":
        tables: dict[object, type[BaseModel]] = {"memories": _MemoryTable, "flash": _FlashTable}
        table = tables.get(first["loc"][0], DeviceFile) if len(first["loc"]) > 1 else DeviceFile
        return f"{key} is not a key of a device profile, use one of {', '.join(table.model_fields)}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must")
    return f"{key} {message}"
