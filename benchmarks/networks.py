"""Networks against TensorFlow Lite Micro with CMSIS-NN and the fastest published engines, on every core."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.autoencoder import autoencoder
from benchmarks.synthetic import mobilenet
from edgeprune.config import Objective, Settings
from edgeprune.errors import OverBudget
from edgeprune.pipeline import deploy
from edgeprune.progress import Progress

__all__ = ["CASES", "Case", "Layer", "Result", "Row", "run_case"]


@dataclass(frozen=True)
class Case:
    """A network and the device it is deployed to; `peer` and `core` are what peers.json calls them.

    `model` is a file, below the data folder unless its path is absolute, or makes an ONNX file; so are `data`, its
    test data, without which random inputs are verified. The peers' memory was measured on Cortex-M4 and hardly
    differs elsewhere.
    """

    name: str
    model: str | Callable[[], bytes]
    data: str | None = None
    peer: str = ""
    flash: str | None = None
    ram: str | None = None
    optimize: Objective = "latency"
    device: str = "nucleo-l4r5zi"
    core: str = "cortex-m4"


_NETWORKS = (
    ("kws", "models/kws.onnx", "data/kws01.npz"),
    ("ic", "models/ic.onnx", "data/ic200.npz"),
    ("vww", mobilenet, None),
    ("ad", autoencoder, None),
)
_OTHER_CORES = (
    ("nucleo-h743zi", "cortex-m7"),
    ("nucleo-u575zi", "cortex-m33"),
    ("ensemble-e3", "cortex-m55"),
    ("mps2-an385", "cortex-m3"),
    ("nucleo-g0b1re", "cortex-m0"),
    ("riscv-virt", "rv32imac"),
)
CASES = (
    *(Case(name, model, data, name) for name, model, data in _NETWORKS),
    Case("ic in 96K of flash", "models/ic.onnx", "data/ic200.npz", "ic", flash="96K"),
    Case("ic in little RAM", "models/ic.onnx", "data/ic200.npz", "ic", optimize="ram"),
    Case("kws in little RAM", "models/kws.onnx", "data/kws01.npz", "kws", optimize="ram"),
    Case("vww in little RAM", mobilenet, peer="vww", optimize="ram"),
    Case("ad, weights in RAM", autoencoder, peer="ad", ram="320K"),
    *(
        Case(name, model, data, name, device=device, core=core)
        for device, core in _OTHER_CORES
        for name, model, data in _NETWORKS
    ),
    Case("kws", "models/kws.onnx", "data/kws01.npz", "kws", device="bluepill-f103c8", core="cortex-m3"),
)
_RECORDS = "published_cycles_nucleo_l4r5zi_120mhz"
_NO_ENGINES = ("note", "firmware_bytes_st_v1_2", "accuracy")
_RECORD_DEVICE = "nucleo-l4r5zi"
_PEER = "tflm_cmsis_nn"
_FEW_CHANNELS = 3
"""A first layer's."""


@dataclass(frozen=True)
class Row:
    """One figure; `ratio` is ours over the peer's, so below 1 is better, and None where no peer has it."""

    case: str
    device: str
    figure: str
    value: float
    peer: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.peer is None else self.value / self.peer


@dataclass(frozen=True)
class Layer:
    """One layer: instructions and cycles of one inference; `peer` is what the peer takes on Cortex-M4 for such a one.

    `cycles_for` says what cycles are for; `bound` what holds it above 1.1 a multiply-accumulate, where anything does.
    `peer` is in instructions per multiply-accumulate and None where no figure is published for its shape.
    """

    name: str
    geometry: str
    kernel: str
    macs: int
    instructions: int
    cycles: int
    cycles_for: dict[str, int] | None
    bound: str | None
    peer: float | None

    @property
    def cycles_per_mac(self) -> float | None:
        return self.cycles / self.macs if self.macs else None

    @property
    def instructions_per_mac(self) -> float | None:
        return self.instructions / self.macs if self.macs else None

    @property
    def ratio(self) -> float | None:
        ours = self.instructions_per_mac
        return None if self.peer is None or ours is None else ours / self.peer


@dataclass(frozen=True)
class Result:
    """A case with its totals, its layers, and the compiler with its flags."""

    case: Case
    rows: tuple[Row, ...]
    layers: tuple[Layer, ...]
    compiler: str
    flags: str


def run_case(case: Case, folder: Path, samples: int | None, progress: Progress) -> Result:
    """Deploy one network and compare.

    Raises:
        EdgepruneError: the deployment failed.
    """
    peers = json.loads((folder / "peers/peers.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="edgeprune-benchmark-") as scratch:
        settings = Settings(
            _model_file(case, folder, Path(scratch)),
            case.device,
            data=folder / case.data if case.data else None,
            samples=samples,
            flash=case.flash,
            ram=case.ram,
            optimize=case.optimize,
            output=Path(scratch) / "bundle",
        )
        report = deploy(settings, progress).report
    if not report["fits"]:
        raise OverBudget(report["reason"])
    known = peers[_PEER]["per_operator_m4_instructions_per_mac"] if case.core == "cortex-m4" else {}
    return Result(
        case,
        _rows(case, report, peers),
        tuple(_layer(layer, known) for layer in report["layers"]),
        report["tools"]["gcc"],
        report["tools"]["flags"],
    )


def _model_file(case: Case, folder: Path, scratch: Path) -> Path:
    """The case's ONNX file, made in `scratch` where it is not given."""
    if isinstance(case.model, str):
        return folder / case.model
    path = scratch / f"{case.peer}.onnx"
    path.write_bytes(case.model())
    return path


def _rows(case: Case, report: dict[str, Any], peers: dict[str, Any]) -> tuple[Row, ...]:
    name, peer = case.peer, peers[_PEER]

    def memory(*keys: str) -> float | None:
        return sum(peer[key][name] for key in keys) if name in peer[keys[0]] else None

    figures: list[tuple[str, float | None, float | None]] = [
        (
            "instructions",
            report["latency"]["instructions"],
            peer["instructions"].get(case.core, {}).get(name),
        ),
        ("cycles, against the record", report["latency"]["cycles"], _record(case, peers[_RECORDS])),
        ("RAM bytes", report["ram"]["total"], memory("ram_arena_m4", "ram_other_m4", "stack_m4")),
        ("flash bytes", report["flash"]["total"], memory("flash_code_m4", "flash_model")),
        ("accuracy", (report["accuracy"] or {}).get("emulated"), None),
        ("samples, bit-exact", report["verify"]["samples"], None),
    ]
    return tuple(
        Row(case.name, case.device, figure, value, peer)
        for figure, value, peer in figures
        if value is not None
    )


def _record(case: Case, published: dict[str, Any]) -> float | None:
    """The fewest cycles published for the network, where the device is the published one."""
    if case.device != _RECORD_DEVICE:
        return None
    engines = [figures for name, figures in published.items() if name not in _NO_ENGINES]
    return min((float(figures[case.peer]) for figures in engines if case.peer in figures), default=None)


def _layer(layer: dict[str, Any], known: dict[str, float]) -> Layer:
    return Layer(
        layer["name"],
        layer["geometry"],
        layer["kernel"],
        layer["macs"],
        layer["instructions"],
        layer["cycles"],
        layer["cycles_for"],
        _bound(layer["bound"]),
        known.get(_peer_layer(layer["geometry"])),
    )


def _bound(found: dict[str, Any] | None) -> str | None:
    return None if found is None else f"{found['part']}, {100 * found['share']:.0f} %"


def _peer_layer(geometry: str) -> str:
    """What peers.json calls a layer of this geometry: "conv3x3 16x16x32-32", "pointwise 64-64", "depthwise 3x3"."""
    found = re.fullmatch(
        r"Conv (\d+)x(\d+) stride \S+?( in \d+ groups)?, 1x(\d+)x(\d+)x(\d+) -> 1x\d+x\d+x(\d+)", geometry
    )
    if found is not None:
        height, width, grouped, rows, columns, inputs, outputs = found.groups()
        if grouped:
            return f"depthwise {height}x{width}"
        if height == width == "1":
            return f"pointwise {inputs}-{outputs}"
        window = "conv3x3" if height == width == "3" and int(inputs) > _FEW_CHANNELS else "conv first"
        window = window if height == width == "3" else f"conv {height}x{width}"
        return f"{window} {rows}x{columns}x{inputs}-{outputs}"
    found = re.fullmatch(r"FullyConnected, 1x(\d+) -> 1x(\d+)", geometry)
    return f"fully connected {found[1]}-{found[2]}" if found else geometry
