"""Published networks against TensorFlow Lite Micro with CMSIS-NN, the figures of its MLPerf Tiny deployment."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune.config import Settings
from edgeprune.pipeline import deploy
from edgeprune.progress import Progress

__all__ = ["CASES", "Case", "Row", "run_case"]


@dataclass(frozen=True)
class Case:
    """A network with its test data, both below the data folder, and the device it is deployed to."""

    name: str
    model: str
    data: str
    device: str = "nucleo-l4r5zi"
    core: str = "cortex-m4"


CASES = (Case("kws", "models/kws.onnx", "data/kws01.npz"), Case("ic", "models/ic.onnx", "data/ic200.npz"))
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
    peers = json.loads((folder / "peers/peers.json").read_text(encoding="utf-8"))[_PEER]
    with tempfile.TemporaryDirectory(prefix="edgeprune-benchmark-") as scratch:
        settings = Settings(
            folder / case.model,
            case.device,
            data=folder / case.data,
            samples=samples,
            output=Path(scratch) / case.name,
        )
        report = deploy(settings, progress).report
    return _rows(case, report, peers)


def _rows(case: Case, report: dict[str, Any], peers: dict[str, Any]) -> tuple[Row, ...]:
    name = case.name
    peer_ram = peers["ram_arena_m4"][name] + peers["ram_other_m4"][name] + peers["stack_m4"][name]
    peer_flash = peers["flash_code_m4"][name] + peers["flash_model"][name]
    figures: list[tuple[str, float, float | None]] = [
        ("instructions", report["latency"]["instructions"], peers["instructions"][case.core][name]),
        ("RAM bytes", report["ram"]["total"], peer_ram),
        ("flash bytes", report["flash"]["total"], peer_flash),
        ("accuracy", report["accuracy"]["emulated"], None),
        ("samples, bit-exact", report["verify"]["samples"], None),
    ]
    return tuple(Row(name, case.device, figure, value, peer) for figure, value, peer in figures)
