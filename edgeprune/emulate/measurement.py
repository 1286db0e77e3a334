"""What running a firmware gave, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.graph.ir import Array

__all__ = ["Latency", "Measurement"]


@dataclass(frozen=True)
class Latency:
    """Instructions are exact; cycles are an estimate by the named model with the named error."""

    instructions: int
    layer_instructions: tuple[int, ...]
    cycles: int
    cycles_model: str
    cycles_error: str
    ms: float


@dataclass(frozen=True, eq=False)
class Measurement:
    """Outputs of a batch (one array [N, *shape] per graph output, library layout), stack, counts, tools.

    `latency` is None on the device "host"; `stack_bytes` is the high-water mark of `run` alone.
    `tools` names compiler, emulator and flags as the report shows them.
    """

    outputs: tuple[Array, ...]
    stack_bytes: int
    latency: Latency | None
    tools: Mapping[str, str]
