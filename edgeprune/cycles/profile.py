"""Where the cycles of an inference go, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.cycles.estimate import CycleEstimate, RegionEstimate
from edgeprune.cycles.hottest import HotInstruction
from edgeprune.cycles.parts import Bound, bound
from edgeprune.cycles.source_lines import SourceLine

__all__ = ["HotLine", "LayerProfile", "Profile"]


@dataclass(frozen=True)
class LayerProfile:
    """One layer: its name in the model, operator, kernel, and multiply-accumulates."""

    name: str
    op: str
    kernel: str
    macs: int
    region: RegionEstimate

    @property
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates per estimated cycle."""
        return self.macs / max(1, self.region.cycles)

    @property
    def parts(self) -> Mapping[str, float]:
        """The cycles by what they are for."""
        return {part.value: cycles for part, cycles in self.region.parts.items()}

    @property
    def bound(self) -> Bound | None:
        """What holds the layer above the cycles of a multiply-accumulate that need no explanation."""
        return bound(self.region.cycles, self.macs, self.parts)


@dataclass(frozen=True)
class HotLine:
    """An instruction that takes many cycles, and the line of C it comes from with its text."""

    instruction: HotInstruction
    source: SourceLine | None
    source_text: str


@dataclass(frozen=True)
class Profile:
    """One inference on a device; `peak_macs_per_cycle` is what the core can do at best."""

    device: str
    clock_hz: int
    peak_macs_per_cycle: float
    estimate: CycleEstimate
    layers: tuple[LayerProfile, ...]
    hottest: tuple[HotLine, ...]

    @property
    def ms(self) -> float:
        """Time of one inference at the device's clock."""
        return self.estimate.cycles / self.clock_hz * 1e3
