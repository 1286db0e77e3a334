"""Predicted against emulated cycles of each layer: `python benchmarks/prediction.py [--device D] [MODEL.onnx ...]`.

Predicted is what the kernels' costs say before anything is compiled; emulated is the cycle model's estimate of the
blocks that ran. Without models, kws and ic of ../shared/models are taken. `--json` prints the rows as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edgeprune.compile import compile_network, measure
from edgeprune.device import load_device
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress

MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
WITHIN = 0.15


@dataclass(frozen=True)
class Row:
    """One layer."""

    model: str
    layer: str
    kernel: str
    predicted: int
    emulated: int

    @property
    def error(self) -> float:
        """The prediction's relative error."""
        return self.predicted / max(1, self.emulated) - 1.0


def rows(path: Path, device_name: str) -> list[Row]:
    device, name = load_device(device_name), path.stem
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as scratch:
        built = compile_network(path.read_bytes(), name, device, Objective(), Path(scratch), SilentProgress())
        generator = np.random.default_rng(0)
        inputs = tuple(
            generator.integers(-128, 128, (1, *tensor.shape)).astype(np.int8) for tensor in built.graph.inputs
        )
        measurement, _ = measure(built, inputs, SilentProgress())
    latency = measurement.latency
    if latency is None or not latency.layer_cycles:
        raise SystemExit(f"Cycles on {device_name} cannot be estimated layer by layer here.")
    return [
        Row(name, step.name, step.candidate.name, step.candidate.cycles, emulated)
        for step, emulated in zip(built.program.steps, latency.layer_cycles, strict=True)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--device", default="nucleo-l4r5zi")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models = options.models or [MODELS / "kws.onnx", MODELS / "ic.onnx"]
    missing = [str(path) for path in models if not path.exists()]
    if missing:
        print(f"{', '.join(missing)}: no such model, name an int8 ONNX file.", file=sys.stderr)
        return 2
    found = [row for path in models for row in rows(path, options.device)]
    if options.json:
        print(json.dumps([asdict(row) | {"error": round(row.error, 4)} for row in found], indent=1))
        return 0
    table = Table(title=f"{options.device}: cycles by layer", title_justify="left")
    for heading in ("model", "layer", "kernel", "predicted", "emulated", "error %"):
        table.add_column(heading, justify="left" if heading in ("model", "layer", "kernel") else "right")
    for row in found:
        figures = (f"{row.predicted:,}", f"{row.emulated:,}", f"{100 * row.error:+.0f}")
        table.add_row(row.model, row.layer, row.kernel, *figures)
    Console().print(table)
    near = sum(abs(row.error) <= WITHIN for row in found)
    print(f"{near} of {len(found)} layers ({near / len(found):.0%}) within {WITHIN:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
