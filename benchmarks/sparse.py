"""Sparse kernels against the dense one: `python -m benchmarks.sparse [--device D] [--only LAYER] [--json FILE]`.

Each layer, with random weights, gets masks of every pattern at several densities. All candidates of the pattern's
kernels and of the dense direct ones run in the emulator; each side's fastest counts, copies of constants made for each
run included, copies that last excluded. Flash is that of constants, as layers of a shape share code: bytes for each
weight of the dense layer, over the dense kernel's. Tables go to standard error, the rows to the `--json` file, the
curves to the `--plot` file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.sparse_plot import draw
from benchmarks.sparse_rows import Row, break_even
from benchmarks.synthetic import Layer, network
from edgeprune.codegen import generate
from edgeprune.compile import lower
from edgeprune.cycles import with_cycles
from edgeprune.device import Device, load_device
from edgeprune.emulate import run
from edgeprune.firmware import build
from edgeprune.graph.ir import Array, Graph, Node
from edgeprune.kernels.base import Candidate, Placement, families, weights_of
from edgeprune.plan.placement import element_bytes
from edgeprune.plan.program import Program
from edgeprune.progress import SilentProgress
from edgeprune.tune.trials import rivals, trial_programs

SHARED_OUTPUTS = 16


@dataclass(frozen=True)
class Case:
    """A layer of the table."""

    name: str
    input_shape: tuple[int, ...]
    layer: Layer


CASES = (
    Case("pointwise 12x12x64-64", (64, 12, 12), Layer("conv", 64)),
    Case("pointwise 6x6x128-128", (128, 6, 6), Layer("conv", 128)),
    Case("conv3x3 16x16x32-32", (32, 16, 16), Layer("conv", 32, (3, 3), pads=(1, 1, 1, 1))),
    Case("fully connected 640-128", (640,), Layer("fully_connected", 128)),
    Case("fully connected 128-128", (128,), Layer("fully_connected", 128)),
)


def shared(rng: np.random.Generator, outputs: int, inputs: int, density: float) -> Array:
    """N of every M inputs for each 16 outputs, M the least that makes N at least 1 whole."""
    step = max(4, round(1 / density))
    keep = round(step * density)
    mask = np.zeros((outputs, inputs), bool)
    for first in range(0, outputs, SHARED_OUTPUTS):
        for group in range(0, inputs, step):
            size = min(step, inputs - group)
            mask[first : first + SHARED_OUTPUTS, group + rng.permutation(size)[:keep]] = True
    return mask


def blocks(height: int, width: int) -> Callable[[np.random.Generator, int, int, float], Array]:
    """Masks of blocks of so many outputs times so many inputs."""

    def mask(rng: np.random.Generator, outputs: int, inputs: int, density: float) -> Array:
        shape = (-(-outputs // height), -(-inputs // width))
        small = singles(rng, *shape, density)
        whole: Array = np.kron(small, np.ones((height, width), bool)).astype(bool)
        return whole[:outputs, :inputs]

    return mask


def singles(rng: np.random.Generator, outputs: int, inputs: int, density: float) -> Array:
    """Single weights, anywhere."""
    mask = np.zeros(outputs * inputs, bool)
    mask[rng.permutation(mask.size)[: round(mask.size * density)]] = True
    return mask.reshape(outputs, inputs)


@dataclass(frozen=True)
class Pattern:
    """A pattern, the masks it makes, and the kernel families that are for it."""

    name: str
    mask: Callable[[np.random.Generator, int, int, float], Array]
    families: tuple[str, ...]
    densities: tuple[float, ...]


_MOST = (0.85, 0.75, 0.5, 0.25, 0.1)
CONV_PATTERNS = (
    Pattern(
        "shared by 16",
        shared,
        ("conv_s8_dsp_gathered", "conv_s8_dsp_picked", "conv_s8_mve_gathered"),
        (0.75, 0.5, 0.25, 0.125, 0.0625),
    ),
    Pattern(
        "block 2x4",
        blocks(2, 4),
        ("conv_s8_dsp_blocks", "conv_s8_dsp_blocks_strips", "conv_s8_mve_blocks"),
        _MOST,
    ),
    Pattern(
        "unstructured", singles, ("conv_s8_dsp_singles", "conv_s8_mve_blocks"), (0.5, 0.3, 0.2, 0.1, 0.05)
    ),
)
FULL_PATTERNS = (
    Pattern(
        "shared by 16",
        shared,
        ("fully_connected_s8_dsp_gathered", "fully_connected_s8_mve_gathered"),
        (0.75, 0.5, 0.25, 0.125, 0.0625),
    ),
    Pattern(
        "block 8x4", blocks(8, 4), ("fully_connected_s8_dsp_blocks", "fully_connected_s8_mve_blocks"), _MOST
    ),
    Pattern(
        "unstructured",
        singles,
        ("conv_s8_c_indexed", "fully_connected_s8_mve_blocks"),
        (0.5, 0.3, 0.2, 0.1, 0.05),
    ),
)
DENSE = (
    "conv_s8_dsp",
    "fully_connected_s8_dsp",
    "fully_connected_s8_dsp_pairs",
    "conv_s8_mve",
    "fully_connected_s8_mve",
)


@dataclass(frozen=True)
class Measured:
    """A candidate as run."""

    candidate: Candidate
    cycles: int

    @property
    def flash(self) -> int:
        """Bytes of its constants."""
        packed = families()[self.candidate.family].pack(self.candidate, weights_of(self.candidate.nodes))
        return sum(constant.values.size * element_bytes(constant) for constant in packed)


def masked(graph: Graph, mask: Callable[[int, int], Array]) -> Graph:
    """The graph with its only layer's weights masked by `mask` of outputs and inputs."""
    (node,) = (node for node in graph.nodes if len(node.inputs) == 3)
    w = node.inputs[1]
    assert w.value is not None
    kept = mask(w.shape[0], w.value[0].size).reshape(w.shape)
    value = np.where(kept & (w.value == 0), 1, w.value * kept).astype(w.value.dtype)
    new = Node(
        node.op,
        node.name,
        (node.inputs[0], replace(w, value=value), node.inputs[2]),
        node.outputs,
        node.attrs,
    )
    return replace(graph, nodes=tuple(new if other is node else other for other in graph.nodes))


def fastest(graph: Graph, wanted: Iterable[str], device: Device) -> Measured:
    """The fastest candidate of the `wanted` families for the graph's layer, copies for good left out."""
    found = [
        candidate
        for candidate in rivals(graph, device)
        if candidate.family in wanted and candidate.placement is not Placement.PERSISTENT
    ]
    measured = [one for program in trial_programs(found, device) for one in _run(program, device)]
    return min(measured, key=lambda one: one.cycles)


def _run(program: Program, device: Device) -> list[Measured]:
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as scratch:
        image = build(generate(program, "sparse"), device, Path(scratch))
        zeros = tuple(np.zeros((1, *tensor.shape), tensor.dtype) for tensor in program.graph.inputs)
        latency = with_cycles(run(image, zeros), image, zeros, progress=SilentProgress()).latency
    if latency is None or not latency.layer_cycles:
        raise SystemExit(f"Cycles on {device.name} cannot be estimated layer by layer here.")
    return [
        Measured(step.candidate, cycles)
        for step, cycles in zip(program.steps, latency.layer_cycles, strict=True)
    ]


def rows(case: Case, device: Device) -> list[Row]:
    """Every pattern at every density, the dense kernel first."""
    graph = lower(network(case.input_shape, (case.layer,)), "layer")
    dense = fastest(graph, DENSE, device)
    found = [_row(case, "dense", 1.0, dense, dense)]
    patterns = FULL_PATTERNS if case.layer.kind == "fully_connected" else CONV_PATTERNS
    for pattern in patterns:
        for density in pattern.densities:
            rng = np.random.default_rng(0)
            sparse = masked(graph, lambda o, k, p=pattern, d=density, r=rng: p.mask(r, o, k, d))
            found.append(_row(case, pattern.name, density, fastest(sparse, pattern.families, device), dense))
    return found


def _row(case: Case, pattern: str, density: float, one: Measured, dense: Measured) -> Row:
    return Row(
        case.name,
        pattern,
        density,
        one.candidate.name,
        one.cycles,
        one.candidate.cycles,
        one.flash,
        round(one.cycles / dense.cycles, 4),
        round(one.flash / dense.flash, 4),
    )


def show(found: Sequence[Row], device: str) -> None:
    """The table."""
    table = Table(title=f"{device}: sparse over dense", title_justify="left")
    for heading in ("layer", "pattern", "kernel"):
        table.add_column(heading)
    for heading in ("density", "cycles", "prediction", "cycles ratio", "flash ratio"):
        table.add_column(heading, justify="right")
    for row in found:
        table.add_row(
            row.layer,
            row.pattern,
            row.kernel,
            f"{row.density:g}",
            f"{row.cycles:,}",
            f"{100 * (row.predicted / row.cycles - 1):+.0f} %",
            f"{row.cycles_ratio:.3f}",
            f"{row.flash_ratio:.3f}",
        )
    console = Console(stderr=True, width=130)
    console.print(table)
    edges = Table(title="breaks even below the density", title_justify="left")
    for heading in ("layer", "pattern", "cycles", "flash"):
        edges.add_column(heading)
    for layer, pattern in dict.fromkeys((row.layer, row.pattern) for row in found if row.pattern != "dense"):
        figures = (break_even(found, layer, pattern, name) for name in ("cycles_ratio", "flash_ratio"))
        edges.add_row(layer, pattern, *("never" if x is None else f"{x:.2f}" for x in figures))
    console.print(edges)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="nucleo-l4r5zi")
    parser.add_argument("--only", default="", help="layers whose name starts so")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--plot", type=Path, help="draw the curves to this SVG file")
    options = parser.parse_args()
    device = load_device(options.device)
    found = [row for case in CASES if case.name.startswith(options.only) for row in rows(case, device)]
    show(found, options.device)
    text = json.dumps({"device": options.device, "rows": [asdict(row) for row in found]}, indent=1) + "\n"
    if options.json is not None:
        options.json.write_text(text, encoding="utf-8")
    if options.plot is not None:
        draw(found, options.device, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
