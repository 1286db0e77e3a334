"""What a `report.json` and a `sweep.json` must hold to be shown, and the sentence a damaged one is answered with.

Sections that a run did not reach are null; fields that a version did not know may be missing, others may be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from edgeprune.errors import UsageError
from edgeprune.report.pruning_schema import PruningSection
from edgeprune.report.section import Count, Section

__all__ = ["check_report", "check_sweep"]


class _Model(Section):
    name: str


class _Budget(Section):
    flash: Count | None
    ram: Count | None
    latency_ms: float | None
    macs: Count | None = None
    parameters: Count | None = None


class _Nearest(Section):
    flash: float
    ram: float
    latency_ms: float | None = None


class _Flash(Section):
    total: Count
    code: Count
    weights: Count


class _Ram(Section):
    total: Count
    arena: Count
    arena_persistent: Count = 0
    state: Count = 0
    arena_lower_bound: Count
    static: Count
    stack: Count


class _Latency(Section):
    instructions: Count
    cycles: Count
    cycles_model: str
    cycles_error: str
    ms: float
    measured_ms: float | None = None
    measured_cycles: Count | None = None
    measured_note: str | None = None


class _NextBest(Section):
    kernel: str
    cycles: Count
    flash: Count


class _ZerosSaved(Section):
    kernel: str
    cycles: int
    flash: int


class _Layer(Section):
    name: str
    op: str
    kernel: str
    shape: list[Count]
    macs: Count
    instructions: Count | None
    cycles: Count | None
    flash: Count | None
    sparsity: float | None = None
    density: float | None = None
    next_best: _NextBest | None = None
    zeros_saved: _ZerosSaved | None = None


class _InFloat(Section):
    layers: list[str]
    cycles: Count
    share: float
    fpu: bool


class _Buffer(Section):
    name: str
    tensors: list[str]
    region: str
    offset: Count
    size: Count
    first_step: Count
    last_step: Count


class _Port(Section):
    name: str


class _Verify(Section):
    samples: Count
    steps: Count = 1
    bit_exact: bool
    max_difference_to_onnx: float | None
    first_mismatch: str | None = None
    tolerance: float | None = None
    max_relative_difference: float | None = None


class _Accuracy(Section):
    metric: str
    original: float | None = Field(alias="float")
    pruned: float | None
    int8: float | None
    emulated: float | None
    samples: Count


class _Pair(Section):
    original: float
    pruned: float
    ratio: float


class _Host(Section):
    onnxruntime_ms: _Pair
    torch_ms: _Pair


class _Library(Section):
    prefix: str
    files: list[str]


class _Report(Section):
    edgeprune: str
    model: _Model
    device: str
    backend: str
    dtype: str
    budget: _Budget
    fits: bool
    nearest: _Nearest | None
    reason: str | None = None
    flash: _Flash | None
    ram: _Ram | None
    latency: _Latency | None
    macs: Count | None
    parameters: Count | None
    layers: list[_Layer]
    in_float: _InFloat | None = None
    buffers: list[_Buffer] = Field(default_factory=list)
    inputs: list[_Port] = Field(default_factory=list)
    outputs: list[_Port] = Field(default_factory=list)
    verify: _Verify | None
    accuracy: _Accuracy | None
    pruning: PruningSection | None
    host: _Host | None = None
    tools: dict[str, str]
    library: _Library | None = None
    command: list[str] | None = None

    @model_validator(mode="after")
    def _whole(self) -> _Report:
        built = (self.flash, self.ram, self.macs, self.parameters, self.library)
        if self.fits and any(value is None for value in built):
            raise ValueError("it fits, but what was built is missing")
        for buffer in self.buffers:
            if not buffer.first_step <= buffer.last_step < max(1, len(self.layers)):
                raise ValueError(f"the buffer {buffer.name!r} lives at steps that there are not")
        return self


class _Point(Section):
    number: Count
    fits: bool
    bundle: str | None
    reason: str | None
    flash: Count | None
    ram: Count | None
    latency_ms: float | None
    macs: Count | None
    parameters: Count | None
    accuracy: _Accuracy | None
    pruned: bool | None


class _Sweep(Section):
    edgeprune: str
    model: str
    device: str
    points: list[_Point]


def check_report(values: Mapping[str, Any], path: Path) -> None:
    """Refuse what is not a report of a bundle, or of a network that did not fit.

    Raises:
        UsageError: it names `path`, the first field that is wrong, and what is wrong with it.
    """
    _check(_Report, values, path, "report")


def check_sweep(values: Mapping[str, Any], path: Path) -> None:
    """Refuse what is not the record of a sweep.

    Raises:
        UsageError: it names `path`, the first field that is wrong, and what is wrong with it.
    """
    _check(_Sweep, values, path, "record of a sweep")


def _check(section: type[Section], values: Mapping[str, Any], path: Path, what: str) -> None:
    try:
        section.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        where = f"{place}: " if place else ""
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(f"{path} is damaged: it is not a whole {what} ({where}{reason})") from None
