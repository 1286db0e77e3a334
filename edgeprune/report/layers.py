"""The report's `layers`: what each is, what runs it, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.codegen.describe import describe_layer
from edgeprune.cycles import Bound, bound
from edgeprune.emulate import Measurement
from edgeprune.firmware import Image
from edgeprune.kernels.base import families
from edgeprune.ops import operator_for
from edgeprune.plan import Program
from edgeprune.plan.program import Layer
from edgeprune.report.in_float import arithmetic
from edgeprune.report.zeros import zeros_saved

__all__ = ["layer_values"]


def layer_values(
    program: Program, image: Image | None, measurement: Measurement | None
) -> list[dict[str, Any]]:
    """A row for each layer of `program`; what was not built or measured is estimated, or null."""
    latency = None if measurement is None else measurement.latency
    counts = latency.layer_instructions if latency is not None else [None] * len(program.layers)
    ratio = latency.cycles / latency.instructions if latency is not None and latency.instructions else None
    rows = []
    for index, (layer, count) in enumerate(zip(program.layers, counts, strict=True)):
        cycles = layer.candidate.cycles if count is None or ratio is None else round(count * ratio)
        parts: Mapping[str, float] = {}
        if latency is not None and latency.layer_cycles:
            cycles, parts = latency.layer_cycles[index], latency.layer_parts[index]
        rows.append(
            {
                "name": layer.name,
                "op": "+".join(operator_for(node).title(node) for node in layer.nodes),
                "kernel": layer.candidate.name,
                "source": families()[layer.candidate.family].source,
                "compiled_by": _compiler(index, image),
                "dtype": arithmetic(layer),
                "placement": layer.candidate.placement.value,
                "function": None if image is None else image.sources.layers[index].function,
                "outputs": [tensor.name for tensor in layer.nodes[-1].outputs if layer.whole],
                "shape": list(layer.nodes[-1].output.shape),
                "geometry": describe_layer(layer),
                "macs": layer.macs,
                "instructions": count,
                "cycles": cycles,
                "cycles_per_mac": round(cycles / layer.macs, 3) if layer.macs else None,
                "cycles_for": {part: round(taken) for part, taken in parts.items() if round(taken)} or None,
                "bound": _bound(bound(cycles, layer.macs, parts)),
                "flash": layer.candidate.flash_bytes if image is None else _layer_flash(index, image),
                "sparsity": _sparsity(layer),
                "density": None if _sparsity(layer) is None else round(layer.candidate.density, 4),
                "next_best": _next_best(layer),
                "zeros_saved": zeros_saved(layer, program.device),
            }
        )
    return rows


def _bound(found: Bound | None) -> dict[str, Any] | None:
    return None if found is None else {"part": found.part, "share": round(found.share, 3)}


def _compiler(index: int, image: Image | None) -> str | None:
    """What made the code of the layer's kernels: "llvm" where it came as objects, else the C compiler."""
    if image is None:
        return None
    return "llvm" if image.sources.layers[index].machine_code else image.device.compiler


def _layer_flash(index: int, image: Image) -> int:
    """Flash of the layer's own function and constants; kernels that layers share are not apportioned."""
    prefix = image.sources.prefix
    function = image.sources.layers[index].function
    own = f"{prefix}_{index}_"
    symbols = image.sizes.symbols.items()
    return sum(size for name, size in symbols if name == function or name.startswith(own))


def _next_best(layer: Layer) -> dict[str, Any] | None:
    other = layer.next_best
    return (
        None if other is None else {"kernel": other.name, "cycles": other.cycles, "flash": other.flash_bytes}
    )


def _sparsity(layer: Layer) -> float | None:
    """Share of zero weights, or None for a layer without weights."""
    weights = [
        t.value for node in layer.nodes for t in node.inputs if t.value is not None and t.value.ndim > 1
    ]
    total = sum(array.size for array in weights)
    return round(sum(int((array == 0).sum()) for array in weights) / total, 4) if total else None
