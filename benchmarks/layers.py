"""One layer at a time against the prototypes of the study: `python -m benchmarks.layers [--device D] [--json]`.

Each layer is a network of its own, deployed with random weights; its instructions and modelled cycles per
multiply-accumulate stand beside the prototype's instructions (research/kernels/README.md, requantisation included,
counted in QEMU). `--flash` names a budget, which admits kernels that trade flash for cycles.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic import Layer, network
from edgeprune.compile import compile_network, measure
from edgeprune.config import parse_size
from edgeprune.device import load_device
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress

WITHIN = 0.05


@dataclass(frozen=True)
class Case:
    """A layer of the study; `prototype` is its instructions per MAC in the README.

    `expanded` is that of the prototype whose weights take several times their bytes of flash, which counts where
    `--flash` admits such kernels.
    """

    name: str
    input_shape: tuple[int, ...]
    layer: Layer
    prototype: float | None = None
    expanded: float | None = None

    def peer(self, objective: Objective) -> float | None:
        """The prototype to compare with."""
        return self.expanded if self.expanded and objective.flash_bytes is not None else self.prototype


@dataclass(frozen=True)
class Row:
    """What one layer takes; `ratio` is ours over the prototype's instructions, below 1 is better."""

    name: str
    kernel: str
    macs: int
    instructions: int
    cycles: int
    predicted: int
    prototype: float | None

    @property
    def instructions_per_mac(self) -> float:
        return self.instructions / self.macs

    @property
    def cycles_per_mac(self) -> float:
        return self.cycles / self.macs

    @property
    def ratio(self) -> float | None:
        return None if self.prototype is None else self.instructions_per_mac / self.prototype


def _square(
    kind: str,
    side: int,
    channels: int,
    outputs: int,
    stride: int,
    prototype: float | None = None,
    expanded: float | None = None,
) -> Case:
    pad = 0 if kind == "pointwise" else 1
    kernel = 1 if kind == "pointwise" else 3
    layer = Layer(
        "depthwise" if kind == "depthwise" else "conv",
        outputs,
        (kernel, kernel),
        (stride, stride),
        (pad,) * 4,
    )
    step = f" stride {stride}" if stride > 1 else ""
    return Case(
        f"{kind} {side}x{side}x{channels}-{outputs}{step}", (channels, side, side), layer, prototype, expanded
    )


CASES = (
    _square("conv3x3", 32, 16, 16, 1, 0.95, 0.52),
    _square("conv3x3", 16, 32, 32, 1, 0.92, 0.42),
    _square("conv3x3", 8, 64, 64, 1, 0.91, 0.36),
    _square("pointwise", 48, 8, 16, 1, 1.75),
    _square("pointwise", 24, 32, 32, 1, 1.00),
    _square("pointwise", 12, 64, 64, 1, 0.88),
    _square("pointwise", 6, 128, 128, 1, 0.80),
    _square("pointwise", 3, 256, 256, 1, 0.76),
    Case("pointwise 25x5x64-64", (64, 25, 5), Layer("conv", 64)),
    _square("depthwise", 48, 8, 8, 1, 1.69),
    _square("depthwise", 24, 32, 32, 1, 1.72),
    _square("depthwise", 12, 64, 64, 1, 1.74),
    _square("depthwise", 6, 128, 128, 1, 1.80),
    _square("depthwise", 3, 256, 256, 1),
    _square("depthwise", 48, 16, 16, 2, 2.65),
    _square("depthwise", 12, 64, 64, 2, 3.0),
    Case("depthwise 25x5x64", (64, 25, 5), Layer("depthwise", 64, (3, 3), pads=(1, 1, 1, 1))),
    Case("depthwise 5x5 24x24x16", (16, 24, 24), Layer("depthwise", 16, (5, 5), pads=(2, 2, 2, 2))),
    Case("depthwise 9x1 49x10x32", (32, 49, 10), Layer("depthwise", 32, (9, 1), pads=(4, 0, 4, 0))),
    Case("depthwise 1x9 10x49x32", (32, 10, 49), Layer("depthwise", 32, (1, 9), pads=(0, 4, 0, 4))),
    Case("fully connected 640-128", (640,), Layer("fully_connected", 128), 0.94),
    Case("fully connected 128-128", (128,), Layer("fully_connected", 128), 0.98),
    Case("conv 3x3 96x96x3-8 stride 2", (3, 96, 96), Layer("conv", 8, (3, 3), (2, 2), (0, 0, 1, 1))),
    Case("conv 3x3 32x32x3-16", (3, 32, 32), Layer("conv", 16, (3, 3), pads=(1, 1, 1, 1))),
    Case("conv 10x4 49x10x1-64 stride 2", (1, 49, 10), Layer("conv", 64, (10, 4), (2, 2), (4, 1, 5, 1))),
    _square("conv3x3", 32, 16, 32, 2),
    _square("conv3x3", 16, 32, 64, 2),
)


def measured(case: Case, device_name: str, objective: Objective) -> Row:
    """Builds the layer as a network, runs it in the emulator, and takes the layer's own figures."""
    device = load_device(device_name)
    onnx = network(case.input_shape, (case.layer,))
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as scratch:
        built = compile_network(onnx, "layer", device, objective, Path(scratch), SilentProgress())
        generator = np.random.default_rng(0)
        inputs = tuple(
            generator.integers(-128, 128, (1, *tensor.shape)).astype(np.int8) for tensor in built.graph.inputs
        )
        measurement, _ = measure(built, inputs, SilentProgress())
    latency = measurement.latency
    if latency is None or not latency.layer_cycles:
        raise SystemExit(f"Cycles on {device_name} cannot be estimated layer by layer here.")
    steps = built.program.steps
    index = max(range(len(steps)), key=lambda i: latency.layer_cycles[i])
    (weights,) = (t for t in steps[index].nodes[0].inputs[1:2])
    output = steps[index].nodes[0].output
    macs = output.elements * math.prod(weights.shape[1:])
    return Row(
        case.name,
        steps[index].candidate.name,
        macs,
        latency.layer_instructions[index],
        latency.layer_cycles[index],
        steps[index].candidate.cycles,
        case.peer(objective),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="nucleo-l4r5zi")
    parser.add_argument("--only", default="", help="layers whose name starts so")
    parser.add_argument("--flash", help="a flash budget")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    objective = Objective(flash_bytes=parse_size(options.flash) if options.flash else None)
    rows = [measured(c, options.device, objective) for c in CASES if c.name.startswith(options.only)]
    if options.json:
        json.dump([asdict(row) for row in rows], sys.stdout, indent=1)
        return 0
    table = Table(title=f"{options.device}: per multiply-accumulate", title_justify="left")
    for heading in ("layer", "kernel"):
        table.add_column(heading)
    for heading in ("instructions", "cycles", "prediction", "prototype", "ratio"):
        table.add_column(heading, justify="right")
    for row in rows:
        error = row.predicted / row.cycles - 1.0
        table.add_row(
            row.name,
            row.kernel,
            f"{row.instructions_per_mac:.3f}",
            f"{row.cycles_per_mac:.3f}",
            f"{100 * error:+.0f} %",
            "" if row.prototype is None else f"{row.prototype:.2f}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
        )
    Console(width=120).print(table)
    compared = [row.ratio for row in rows if row.ratio is not None]
    print(
        f"{sum(ratio <= 1 + WITHIN for ratio in compared)} of {len(compared)} within {WITHIN:.0%} or better"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
