"""The four networks of MLPerf Tiny in float32 on a Cortex-M4F: instructions, RAM and flash, beside other tools'.

Weights are random: what a float network takes does not depend on them. What other tools take is on record in
../shared/peers/peers.json: instructions of the prototype in TVM and of onnx2c, and onnx2c's RAM, of its tensors alone.
`arena_lower_bound` is the least that any placement of whole tensors in this order could do with.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_layers import export
from edgeprune.config import Settings, TvmOutput
from edgeprune.pipeline import deploy

__all__ = ["NETWORKS", "measured"]


class Padded(nn.Module):
    """A convolution with TensorFlow's padding, a ReLU behind it where asked."""

    def __init__(self, conv: nn.Conv2d, height: int, width: int, relu: bool = True) -> None:
        super().__init__()
        self.conv, self.relu = conv, relu
        sizes = zip((width, height), conv.kernel_size[::-1], conv.stride[::-1], strict=True)
        totals = [max((-(-size // step) - 1) * step + taps - size, 0) for size, taps, step in sizes]
        self.pads = [part for total in totals for part in (total // 2, total - total // 2)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(F.pad(x, self.pads) if any(self.pads) else x)
        return F.relu(y) if self.relu else y


class Residual(nn.Module):
    """ResNet-8's block: two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, side: int) -> None:
        super().__init__()
        self.first = Padded(nn.Conv2d(inputs, outputs, 3, stride), side, side)
        after = side // stride
        self.second = Padded(nn.Conv2d(outputs, outputs, 3), after, after, relu=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


def _ds_cnn() -> tuple[nn.Module, torch.Tensor]:
    layers: list[nn.Module] = [Padded(nn.Conv2d(1, 64, (10, 4), 2), 49, 10)]
    for _ in range(4):
        layers += [Padded(nn.Conv2d(64, 64, 3, groups=64), 25, 5), Padded(nn.Conv2d(64, 64, 1), 25, 5)]
    head = [nn.AvgPool2d((24, 5)), nn.Flatten(), nn.Linear(64, 12), nn.Softmax(-1)]
    return nn.Sequential(*layers, *head), torch.randn(1, 1, 49, 10)


def _mobilenet() -> tuple[nn.Module, torch.Tensor]:
    layers: list[nn.Module] = [Padded(nn.Conv2d(3, 8, 3, 2), 96, 96)]
    side, channels = 48, 8
    for outputs, stride in (
        *((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)),
        *((128, 1),) * 5,
        *((256, 2), (256, 1)),
    ):
        layers.append(Padded(nn.Conv2d(channels, channels, 3, stride, groups=channels), side, side))
        side, channels = -(-side // stride), outputs
        layers.append(Padded(nn.Conv2d(layers[-1].conv.out_channels, channels, 1), side, side))  # type: ignore[union-attr]
    head = [nn.AvgPool2d(side), nn.Flatten(), nn.Linear(256, 2), nn.Softmax(-1)]
    return nn.Sequential(*layers, *head), torch.randn(1, 3, 96, 96)


def _resnet() -> tuple[nn.Module, torch.Tensor]:
    blocks = [Residual(16, 16, 1, 32), Residual(16, 32, 2, 32), Residual(32, 64, 2, 16)]
    head = [nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(-1)]
    first = Padded(nn.Conv2d(3, 16, 3), 32, 32)
    return nn.Sequential(first, *blocks, *head), torch.randn(1, 3, 32, 32)


def _autoencoder() -> tuple[nn.Module, torch.Tensor]:
    widths = [640, *[128] * 4, 8, *[128] * 4]
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 640)), torch.randn(1, 640)


NETWORKS: Mapping[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "kws": _ds_cnn,
    "vww": _mobilenet,
    "ic": _resnet,
    "ad": _autoencoder,
}
"""By MLPerf Tiny's names: key word spotting, visual wake words, image classification, anomaly detection."""


def measured(
    name: str, device: str, directory: Path, *, tune: bool = False, output: TvmOutput = "source"
) -> dict[str, Any]:
    """What a network takes on `device`, as verified within 1e-4 of ONNX Runtime."""
    torch.manual_seed(0)
    module, image = NETWORKS[name]()
    path = directory / f"{name}.onnx"
    path.write_bytes(export(module.eval(), (image,)))
    settings = Settings(path, device, output=directory / name, dtype="float32", samples=2, tune=tune)
    settings = replace(settings, tvm_output=output)
    report = deploy(settings).report
    return {
        "network": name,
        "instructions": report["latency"]["instructions"],
        "cycles": report["latency"]["cycles"],
        "arena": report["ram"]["arena"],
        "stack": report["ram"]["stack"],
        "lower_bound": report["ram"]["arena_lower_bound"],
        "flash": report["flash"]["total"],
        "difference": report["verify"]["max_relative_difference"],
    }


def _text(row: Mapping[str, Any]) -> str:
    millions, peers = row["instructions"] / 1e6, (row["prototype_instructions"], row["onnx2c_instructions"])
    shares = [row["instructions"] / peer for peer in peers]
    return (
        f"{row['network']}: {millions:.3f} M instructions, {shares[0]:.2f} of the prototype's, {shares[1]:.2f} of "
        f"onnx2c's; arena {row['arena']:,} (at least {row['lower_bound']:,}) + stack {row['stack']:,} bytes of RAM, "
        f"onnx2c {row['onnx2c_ram']:,}; {row['flash']:,} of flash"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="folder with peers/peers.json")
    parser.add_argument("--device", default="mps2-an386")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--tvm-output", choices=["source", "object"], default="source")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    peers = json.loads((given.data / "peers/peers.json").read_text(encoding="utf-8"))
    prototype = peers["tvm_relax_tiled_prototype"]["instructions_float32"]["cortex-m4"]
    onnx2c = peers["onnx2c"]
    rows = []
    for name in given.names or NETWORKS:
        with tempfile.TemporaryDirectory() as directory:
            row = measured(name, given.device, Path(directory), tune=given.tune, output=given.tvm_output)
        row["prototype_instructions"] = prototype[name]
        row["onnx2c_instructions"] = onnx2c["instructions_float32"]["cortex-m4"][name]
        row["onnx2c_ram"] = onnx2c["ram_float32"][name]
        rows.append(row)
        print(_text(row), file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
