"""Which zeros among the weights paid: what layers with sparse kernels would take with their best dense one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.device import Device
from edgeprune.plan.candidates import offered_candidates
from edgeprune.plan.program import Layer

__all__ = ["zeros_facts", "zeros_saved"]

_NOTICEABLE = 0.25
"""Share of zeros from which on a dense kernel is worth a word."""


def zeros_saved(layer: Layer, device: Device) -> dict[str, Any] | None:
    """The best dense kernel of a layer and by how much the sparse one that it has is cheaper, by their estimates.

    None for a layer whose kernel multiplies zeros like other weights, and where no dense kernel runs it.
    """
    if layer.candidate.density >= 1:
        return None
    dense = [
        one
        for one in offered_candidates(layer.nodes, device)
        if one.density >= 1 and not one.expands_weights and not one.persistent_bytes
    ]
    if not dense:
        return None
    best = min(dense, key=lambda one: (one.cycles, one.flash_bytes))
    return {
        "kernel": best.name,
        "cycles": best.cycles - layer.candidate.cycles,
        "flash": best.flash_bytes - layer.candidate.flash_bytes,
    }


def zeros_facts(layers: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What the terminal summary says about zeros; nothing where there are hardly any."""
    paid = [layer for layer in layers if layer.get("zeros_saved")]
    idle = [
        layer["name"]
        for layer in layers
        if (layer.get("sparsity") or 0.0) >= _NOTICEABLE and layer.get("density") == 1
    ]
    words = []
    if paid:
        cycles, flash = (sum(layer["zeros_saved"][key] for layer in paid) for key in ("cycles", "flash"))
        words.append(
            f"skipped in {_listed([layer['name'] for layer in paid])}, which saves about {cycles:,} cycles and "
            f"{flash:,} B of flash over the best dense kernels"
        )
    if idle:
        words.append(f"multiplied like other weights in {_listed(idle)}: no sparse kernel pays there")
    return [("zeros", "; ".join(words))] if words else []


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more layers"
