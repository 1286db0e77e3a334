"""`python -m benchmarks.solver`: how long choosing widths takes, and how good the choice is proven to be.

ResNet-56 as on CIFAR-10 (He et al., 2016) and MobileNetV1 of width 1.0 (Howard et al., 2017), every group at all
multiples of four channels, priced for a device. Curves are drawn: per channel an exponential importance, summed from
the least, which is monotone as measured curves are made to be. Each mix of budgets is a share of what the whole
network takes. Beside it plain HiGHS, given the whole programme without bounds or a start, within a time limit; its
objective over ours is at least 1 where ours is no worse. The table goes to standard error, JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edgeprune.cli.terminal import Terminal
from edgeprune.costs import CostTable
from edgeprune.device import load_device
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.graph.skeleton import Skeleton
from edgeprune.model.model import Dataset, Model
from edgeprune.plan import KernelCosts, Objective, costs
from edgeprune.progress import SilentProgress
from edgeprune.prune import Curves, Limits, analyse, choose, group_widths, resources, weighted_layers
from edgeprune.prune.lagrangian import Bounds
from edgeprune.prune.relaxation import Relaxation
from edgeprune.prune.search import Search
from edgeprune.quantize import quantize
from edgeprune.report.terminal import new_table

__all__ = ["MIXES", "NETWORKS", "Row", "curves_for", "table_for"]

MIXES: Mapping[str, Mapping[str, float]] = {
    "flash 50 %": {"flash_bytes": 0.5},
    "RAM 50 %": {"ram_bytes": 0.5},
    "MACs 50 %": {"macs": 0.5},
    "parameters 25 %": {"parameters": 0.25},
    "flash, RAM, latency 50 %": {"flash_bytes": 0.5, "ram_bytes": 0.5, "cycles": 0.5},
    "flash, RAM, latency 25 %": {"flash_bytes": 0.25, "ram_bytes": 0.4, "cycles": 0.25},
    "all five 50 %": {"flash_bytes": 0.5, "ram_bytes": 0.6, "cycles": 0.5, "macs": 0.5, "parameters": 0.5},
}


@dataclass(frozen=True)
class Row:
    """One choice. Times are in seconds, of the clock and of the processor."""

    network: str
    budget: str
    seconds: float
    processor_seconds: float
    gap: float
    objective: float
    plain_seconds: float | None
    plain_over_ours: float | None


class Block(nn.Module):
    """Two convolutions around a shortcut; where the size changes the shortcut is a projection."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.short = nn.Conv2d(before, after, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


class Classifier(nn.Module):
    """Layers, global average pooling and a linear layer."""

    def __init__(self, layers: list[nn.Module], channels: int, classes: int) -> None:
        super().__init__()
        self.features, self.fc = nn.Sequential(*layers), nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean((2, 3)))


def resnet56() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for width in (16, 32, 64):
        for index in range(9):
            layers.append(Block(before, width, 2 if width > 16 and index == 0 else 1))
            before = width
    return Classifier(layers, 64, 10), (torch.zeros(1, 3, 32, 32),)


def mobilenet_v1(size: int, alpha: float = 1.0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    def convolution(before: int, after: int, kernel: int, stride: int, group: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=group, bias=False)
        return [layer, nn.BatchNorm2d(after), nn.ReLU()]

    before = int(32 * alpha)
    layers = convolution(3, before, 3, 2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for width, stride in plan:
        after = int(width * alpha)
        layers += convolution(before, before, 3, stride, before) + convolution(before, after, 1, 1)
        before = after
    return Classifier(layers, before, 1000), (torch.zeros(1, 3, size, size),)


NETWORKS: Mapping[str, Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]] = {
    "ResNet-56": resnet56,
    "MobileNetV1 1.0 224": lambda: mobilenet_v1(224),
    "MobileNetV1 0.25 96": lambda: mobilenet_v1(96, 0.25),
}


def table_for(network: str, device: str, multiple: int, say: Callable[[str], None]) -> CostTable:
    """The price of every width of every group, on kernels that are fastest."""
    torch.manual_seed(0)
    module, inputs = NETWORKS[network]()
    module.eval()
    start = time.monotonic()
    coupling = analyse(module, inputs)
    model = Model(network, Path(f"{network}.py"), "torch", module=module, example_inputs=inputs)
    sample = np.random.default_rng(0).standard_normal((1, *inputs[0].shape[1:])).astype(np.float32)
    graph = simplify(import_onnx(quantize(model, Dataset((sample,)), SilentProgress()), "network"))
    say(f"{network}: coupled and lowered in {time.monotonic() - start:.1f} s")
    start = time.monotonic()
    widths = group_widths(coupling, multiple)
    skeleton = Skeleton(graph, weighted_layers(coupling), widths)
    kernels = KernelCosts(load_device(device))
    found, *_ = (
        costs(skeleton, load_device(device), Objective(goal), kernels) for goal in ("latency", "ram", "flash")
    )
    choices = sum(map(len, widths.values()))
    seconds = time.monotonic() - start
    say(f"{network}: {choices} widths of {len(widths)} groups priced for three goals in {seconds:.1f} s")
    return found


def curves_for(table: CostTable, seed: int) -> Curves:
    """Losses as of channels whose importance is exponential, the least important going first."""
    dice = np.random.default_rng(seed)
    found = {}
    for name, options in table.widths.items():
        importance = np.sort(dice.exponential(1 / options[-1], options[-1])) * dice.lognormal(0, 0.7)
        lost = np.concatenate([[0.0], np.cumsum(importance)])
        found[name] = {width: float(lost[options[-1] - width]) for width in options}
    return found


def measure(
    network: str, table: CostTable, curves: Curves, mix: str, plain_limit_s: float, time_limit_s: float
) -> Row:
    whole = resources(table, {name: options[-1] for name, options in table.widths.items()})
    limits = Limits(**{name: int(share * getattr(whole, name)) for name, share in MIXES[mix].items()})
    start, processor = time.monotonic(), time.process_time()
    choice = choose(curves, table, limits, time_limit_s)
    seconds, processor = time.monotonic() - start, time.process_time() - processor
    assert choice.gap is not None
    plain_seconds, ratio = None, None
    if plain_limit_s > 0:
        start = time.monotonic()
        objective = _plain(curves, table, limits, plain_limit_s)
        plain_seconds = time.monotonic() - start
        ratio = objective / choice.predicted_loss
    return Row(network, mix, seconds, processor, choice.gap, choice.predicted_loss, plain_seconds, ratio)


def _plain(curves: Curves, table: CostTable, limits: Limits, time_limit_s: float) -> float:
    """The loss that HiGHS alone comes to: no elimination, no bound, no start, no improvement of what it finds."""

    def nothing(relaxation: Relaxation) -> Bounds:
        return Bounds(-np.inf, np.inf, None, np.zeros(relaxation.multipliers))

    with (
        mock.patch("edgeprune.prune.relaxation.Elimination.plan", return_value=None),
        mock.patch("edgeprune.prune.minimize.search", nothing),
        mock.patch("edgeprune.prune.minimize.Moves.polished", lambda _, positions, __: positions),
    ):
        search = Search(table, curves, time_limit_s)
        found = search.least_loss(limits)
    return float("inf") if found.positions is None else search.loss().at(found.positions)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solver", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=tuple(NETWORKS)[:2])
    parser.add_argument("--budgets", nargs="+", choices=tuple(MIXES), default=tuple(MIXES))
    parser.add_argument("--device", default="nucleo-h743zi")
    parser.add_argument("--multiple", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=8.0, help="seconds a choice may take")
    parser.add_argument(
        "--plain", type=float, default=0.0, help="seconds to give plain HiGHS; none by default"
    )
    arguments = parser.parse_args()
    terminal, rows = Terminal(), list[Row]()
    for network in arguments.networks:
        table = table_for(network, arguments.device, arguments.multiple, terminal.say)
        curves = curves_for(table, arguments.seed)
        for mix in arguments.budgets:
            rows.append(measure(network, table, curves, mix, arguments.plain, arguments.time_limit))
            terminal.say(_line(rows[-1]))
    shown = new_table(
        "network", "budget", right=("seconds", "processor", "gap", "plain HiGHS s", "its loss / ours")
    )
    for row in rows:
        plain = (_number(row.plain_seconds, ".1f"), _number(row.plain_over_ours, ".4f"))
        shown.add_row(
            row.network,
            row.budget,
            f"{row.seconds:.2f}",
            f"{row.processor_seconds:.2f}",
            f"{row.gap:.2%}",
            *plain,
        )
    terminal.show(shown)
    json.dump([asdict(row) for row in rows], sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _line(row: Row) -> str:
    return f"{row.network}, {row.budget}: {row.seconds:.2f} s, gap {row.gap:.3%}"


if __name__ == "__main__":
    sys.exit(main())
