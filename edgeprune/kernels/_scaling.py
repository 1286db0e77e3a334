"""How a layer turns accumulators into outputs, as far as instruction sets have it in common."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.graph.ir import Array

__all__ = ["OutputScaling"]


@dataclass(frozen=True)
class OutputScaling:
    """Multipliers of a layer, its zero point and its clamp, and the form in which code applies them.

    `kind` is "positive" where the sign of a value does not matter, because outputs up to the zero point are clamped
    to one value; "fast" without left shifts; else "general". `multipliers` and `shifts` are int32 per output channel;
    shifts are positive to the left, as in TensorFlow Lite.
    """

    kind: str
    zero: int
    low: int
    high: int
    multipliers: Array
    shifts: Array

    @property
    def clamps(self) -> bool:
        """Whether outputs are clamped to less than the int8 range, to which narrowing saturates anyway."""
        return (self.low, self.high) != (-128, 127)

    @property
    def suffix(self) -> str:
        """Names the form in the names of functions."""
        return f"{self.kind}_clamped" if self.clamps else self.kind

    @property
    def arguments(self) -> str:
        """The C arguments zero point and, where it clamps, low and high."""
        return f"{self.zero}, {self.low}, {self.high}" if self.clamps else f"{self.zero}"

    @property
    def parameters(self) -> str:
        """The C parameters that take `arguments`."""
        return "int32_t zero, int32_t low, int32_t high" if self.clamps else "int32_t zero"

    @property
    def passed(self) -> str:
        """The C arguments that hand `parameters` on."""
        return "zero, low, high" if self.clamps else "zero"
