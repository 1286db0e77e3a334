"""What running a firmware gave, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.emulate.blocks import BlockCounts
from edgeprune.graph.ir import Array

__all__ = ["Latency", "Measurement"]


@dataclass(frozen=True)
class Latency:
    """Instructions are exact; cycles are an estimate by the named model with the named error.

    `counter` names how instructions were counted. `blocks` is what the cycles are estimated from, None where that
    way of counting does not see blocks. `layer_cycles` is empty where cycles follow instructions, and so is
    `layer_parts`: what each layer's cycles are for, by the names of `edgeprune.cycles.parts`.
    """

    instructions: int
    layer_instructions: tuple[int, ...]
    cycles: int
    cycles_model: str
    cycles_error: str
    ms: float
    layer_cycles: tuple[int, ...] = ()
    layer_parts: tuple[Mapping[str, float], ...] = ()
    counter: str = ""
    blocks: BlockCounts | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """Outputs of a batch (one array [N, *shape] per graph output, library layout), stack, counts, tools.

    `latency` is None on the device "host"; `stack_bytes` is the high-water mark of `run` alone.
    `tools` names compiler, emulator, flags and the way of counting as the report shows them.

    `measured_cycles` are a board's own count, one for each inference, and empty where no board ran or its counter
    stands still; `measured_clock_hz` is the board's clock, None where it is not known; `measured_note` says how cycles
    were counted, or why not.
    """

    outputs: tuple[Array, ...]
    stack_bytes: int
    latency: Latency | None
    tools: Mapping[str, str]
    measured_cycles: tuple[int, ...] = ()
    measured_clock_hz: int | None = None
    measured_note: str | None = None

    @property
    def measured_ms(self) -> float | None:
        """The slowest inference on the board; None where cycles or clock are not known."""
        if not self.measured_cycles or self.measured_clock_hz is None:
            return None
        return max(self.measured_cycles) / self.measured_clock_hz * 1e3
