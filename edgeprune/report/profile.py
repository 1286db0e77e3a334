"""The profile of an inference, as rich tables and as JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgeprune.cycles.parts import Part
from edgeprune.cycles.profile import Profile
from edgeprune.report.terminal import new_table, printable

__all__ = ["profile_values", "render_profile"]


def render_profile(profile: Profile) -> RenderableType:
    """Layers with their cycles, stalls and rate, then the hottest instructions with their source lines."""
    estimate = profile.estimate
    return Group(
        Text(
            f"{profile.device}: {estimate.cycles:,} cycles, {profile.ms:.3f} ms at {profile.clock_hz / 1e6:g} MHz",
            style="bold",
        ),
        Text(f"{estimate.model}; {estimate.error}", style="dim"),
        Text(),
        _layers(profile),
        Text(),
        _parts(profile),
        Text(),
        _stalls(profile),
        Text(),
        _hottest(profile),
    )


def _layers(profile: Profile) -> RenderableType:
    rows = ("instructions", "cycles", "%", "flash bytes", "cycles/MAC", "of peak")
    table = new_table("layer", "kernel", right=rows)
    table.add_column("bound by")
    whole = max(1, profile.estimate.cycles)
    for layer in profile.layers:
        region = layer.region
        table.add_row(
            printable(layer.name),
            layer.kernel,
            f"{region.instructions:,}",
            f"{region.cycles:,}",
            f"{100 * region.cycles / whole:.1f}",
            "" if region.flash_bytes is None else f"{region.flash_bytes:,}",
            f"{region.cycles / layer.macs:.2f}" if layer.macs else "",
            f"{100 * layer.macs_per_cycle / profile.peak_macs_per_cycle:.0f} %" if layer.macs else "",
            "" if layer.bound is None else f"{layer.bound.part}, {100 * layer.bound.share:.0f} %",
        )
    return table


def _parts(profile: Profile) -> RenderableType:
    """What the cycles of each layer are for, in percent."""
    parts = [part.value for part in Part]
    table = new_table("% of cycles for", right=parts)
    for layer in profile.layers:
        whole = max(1, layer.region.cycles)
        shares = (100 * layer.parts.get(part, 0.0) / whole for part in parts)
        table.add_row(printable(layer.name), *(f"{share:.0f}" for share in shares))
    return table


def _stalls(profile: Profile) -> RenderableType:
    """Cycles in which nothing issued, by cause; a column for each cause that occurs."""
    causes = sorted(profile.estimate.cost.stalls, key=lambda cause: -profile.estimate.cost.stalls[cause])
    table = new_table("stalls in", right=[cause.value for cause in causes])
    for layer in profile.layers:
        lost = layer.region.cost.stalls
        table.add_row(printable(layer.name), *(f"{lost.get(cause, 0):,.0f}" for cause in causes))
    return table


def _hottest(profile: Profile) -> RenderableType:
    table = new_table("hottest instructions", "function", "source", right=("cycles", "%"))
    whole = max(1, profile.estimate.cycles)
    for line in profile.hottest:
        hot = line.instruction
        where = "" if line.source is None else f"{line.source.file}:{line.source.line}  {line.source_text}"
        table.add_row(
            Text(f"{hot.address:08x}  {hot.text}"),
            hot.function,
            Text(where),
            f"{hot.cycles:,.0f}",
            f"{100 * hot.cycles / whole:.1f}",
        )
    return table


def profile_values(profile: Profile) -> dict[str, Any]:
    """The same as JSON values."""
    estimate = profile.estimate
    return {
        "device": profile.device,
        "cycles": estimate.cycles,
        "cycles_model": estimate.model,
        "cycles_error": estimate.error,
        "ms": profile.ms,
        "peak_macs_per_cycle": profile.peak_macs_per_cycle,
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "kernel": layer.kernel,
                "macs": layer.macs,
                "instructions": layer.region.instructions,
                "cycles": layer.region.cycles,
                "macs_per_cycle": layer.macs_per_cycle,
                "cycles_for": {part: round(cycles) for part, cycles in layer.parts.items()},
                "bound": None if layer.bound is None else asdict(layer.bound),
                "flash_bytes": layer.region.flash_bytes,
                "stalls": {cause.value: round(lost) for cause, lost in layer.region.cost.stalls.items()},
                "classes": {kind.value: number for kind, number in layer.region.classes.items()},
                "functions": {name: round(cost.cycles) for name, cost in layer.region.functions.items()},
            }
            for layer in profile.layers
        ],
        "hottest": [
            {
                "address": line.instruction.address,
                "function": line.instruction.function,
                "instruction": line.instruction.text,
                "executions": line.instruction.executions,
                "cycles": round(line.instruction.cycles),
                "source": None if line.source is None else f"{line.source.file}:{line.source.line}",
                "text": line.source_text,
            }
            for line in profile.hottest
        ],
    }
