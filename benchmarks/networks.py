"""Published networks against TensorFlow Lite Micro with CMSIS-NN, the figures of its MLPerf Tiny deployment."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.autoencoder import autoencoder
from benchmarks.synthetic import mobilenet
from edgeprune.config import Objective, Settings
from edgeprune.pipeline import deploy
from edgeprune.progress import Progress

__all__ = ["CASES", "Case", "Row", "run_case"]


@dataclass(frozen=True)
class Case:
    """A network and the device it is deployed to; `peer` and `core` are what peers.json calls them.

    The peers' memory was measured on Cortex-M4 and hardly differs elsewhere.

    `model` is a file below the data folder, or makes an ONNX file; `data`, below the data folder, are its test
    data, without which random inputs are verified.
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


CASES = (
    Case("kws", "models/kws.onnx", "data/kws01.npz", "kws"),
    Case("ic", "models/ic.onnx", "data/ic200.npz", "ic"),
    Case("ic in 96K of flash", "models/ic.onnx", "data/ic200.npz", "ic", flash="96K"),
    Case("ic in little RAM", "models/ic.onnx", "data/ic200.npz", "ic", optimize="ram"),
    Case("kws in little RAM", "models/kws.onnx", "data/kws01.npz", "kws", optimize="ram"),
    Case("ad", autoencoder, peer="ad"),
    Case("ad, weights in RAM", autoencoder, peer="ad", ram="320K"),
    Case("vww", mobilenet, peer="vww"),
    Case("vww in the least RAM", mobilenet, peer="vww", optimize="ram"),
    *(
        Case(name, model, data, name, device=device, core=core)
        for device, core in (
            ("mps2-an385", "cortex-m3"),
            ("nucleo-g0b1re", "cortex-m0"),
            ("riscv-virt", "rv32imac"),
            ("ensemble-e3", "cortex-m55"),
        )
        for name, model, data in (
            ("kws", "models/kws.onnx", "data/kws01.npz"),
            ("ic", "models/ic.onnx", "data/ic200.npz"),
            ("vww", mobilenet, None),
            ("ad", autoencoder, None),
        )
    ),
    Case("kws", "models/kws.onnx", "data/kws01.npz", "kws", device="bluepill-f103c8", core="cortex-m3"),
)
_RECORDS = "published_cycles_nucleo_l4r5zi_120mhz"
_NO_ENGINES = ("note", "firmware_bytes_st_v1_2", "accuracy")
_RECORD_DEVICE = "nucleo-l4r5zi"
_PEER = "tflm_cmsis_nn"


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


def run_case(case: Case, folder: Path, samples: int | None, progress: Progress) -> tuple[Row, ...]:
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
    return _rows(case, report, peers)


def _model_file(case: Case, folder: Path, scratch: Path) -> Path:
    """The case's ONNX file, made in `scratch` where it is not given."""
    if isinstance(case.model, str):
        return folder / case.model
    path = scratch / f"{case.peer}.onnx"
    path.write_bytes(case.model())
    return path


def _rows(case: Case, report: dict[str, Any], peers: dict[str, Any]) -> tuple[Row, ...]:
    name, peer = case.peer, peers[_PEER]
    peer_ram = peer["ram_arena_m4"][name] + peer["ram_other_m4"][name] + peer["stack_m4"][name]
    peer_flash = peer["flash_code_m4"][name] + peer["flash_model"][name]
    accuracy = (report["accuracy"] or {}).get("emulated")
    figures: list[tuple[str, float | None, float | None]] = [
        (
            "instructions",
            report["latency"]["instructions"],
            peer["instructions"].get(case.core, {}).get(name),
        ),
        ("cycles, against the record", report["latency"]["cycles"], _record(case, peers[_RECORDS])),
        ("RAM bytes", report["ram"]["total"], peer_ram),
        ("flash bytes", report["flash"]["total"], peer_flash),
        ("accuracy", accuracy, None),
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
    return float(min(figures[case.peer] for figures in engines))
