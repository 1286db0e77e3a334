"""What of an int8 network runs in float32, and what that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.device import Device
from edgeprune.graph.islands import in_float
from edgeprune.plan.program import Layer

__all__ = ["arithmetic", "in_float_text", "in_float_values"]


def arithmetic(layer: Layer) -> str:
    """What a layer computes with: integers, unless real numbers go in or out."""
    return "float32" if any(map(in_float, layer.nodes)) else "int8"


def in_float_values(dtype: str, layers: Sequence[Mapping[str, Any]], device: Device) -> dict[str, Any] | None:
    """The layers of an int8 network that have no integer form, of the report's; null where there are none."""
    rows = [row for row in layers if row["dtype"] == "float32"]
    if dtype != "int8" or not rows:
        return None
    cycles, whole = (sum(row["cycles"] for row in part) for part in (rows, layers))
    return {
        "layers": [row["name"] for row in rows],
        "cycles": cycles,
        "share": round(cycles / whole, 4) if whole else 0.0,
        "fpu": device.fpu,
    }


def in_float_text(values: Mapping[str, Any]) -> str:
    """The same in words."""
    slow = (
        "" if values["fpu"] else "; this core has no FPU: each operation is a call of the compiler's library"
    )
    return f"{', '.join(values['layers'])}: {100 * values['share']:.0f} % of the cycles, through TVM{slow}"
