"""Predicted against emulated cycles of each layer: `python benchmarks/prediction.py [--device D] [MODEL.onnx ...]`.

Predicted is what the kernels' costs say before anything is compiled; emulated is the cycle model's estimate of the
blocks that ran. Without models, kws and ic of ../shared/models and the network of the
digits demo are taken, the latter untrained: what counts are its sizes. `--json` prints the rows as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from edgeprune.compile import compile_network, measure
from edgeprune.device import load_device
from edgeprune.examples import digits
from edgeprune.model.model import Dataset, Model
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress
from edgeprune.quantize import quantize

MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
WITHIN = 0.15
CALIBRATION_IMAGES = 64


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


def digits_onnx() -> bytes:
    """The demo's network as int8 ONNX, its weights as they are before training."""
    with torch.random.fork_rng():
        torch.manual_seed(digits.SEED)
        module = digits.network().eval()
    images, *_ = digits.digits()
    model = Model("digits", Path("digits.py"), "torch", module, (digits.example_input(),))
    return quantize(model, Dataset((images[:CALIBRATION_IMAGES].numpy(),)))


def rows(name: str, onnx: bytes, device_name: str) -> list[Row]:
    """The layers of one network on one device."""
    device = load_device(device_name)
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as scratch:
        built = compile_network(onnx, name, device, Objective(), Path(scratch), SilentProgress())
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
    networks = [(path.stem, path.read_bytes()) for path in models]
    if not options.models:
        networks.append(("digits", digits_onnx()))
    found = [row for name, onnx in networks for row in rows(name, onnx, options.device)]
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
