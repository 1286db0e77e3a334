"""Counted features of networks measured on silicon, and what the models make of them.

A case holds what was executed per inference (instructions by timing event, branches, cache misses) and the
published latency, not the program. The single-issue models evaluate the features with the very table that they
schedule code by. For the pipelined cores the file holds the cycles of the blocks' schedule; what is evaluated here
is what the models add to it: mispredicted branches and the memories.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeprune.cycles.cores import cortex_m0plus, cortex_m4, cortex_m7, cortex_m33
from edgeprune.cycles.cores._events import Event
from edgeprune.cycles.cores._single_issue import SingleIssue
from edgeprune.cycles.cost import Cause, Cost
from edgeprune.cycles.waiting import Traffic, waiting_cost
from edgeprune.device import Flash

__all__ = ["FILES", "Case", "read_cases", "rms_percent", "worst_percent"]

FILES: Mapping[str, str] = {
    "calibration_m4_qemu.json": "cortex-m4",
    "calibration_m4.json": "cortex-m4",
    "calibration_m33.json": "cortex-m33",
    "calibration_m7.json": "cortex-m7",
    "calibration_m0.json": "cortex-m0plus",
}
"""Calibration files and the core of each."""

# Wait states as the measured images write them, accelerators as the reference manuals describe them. The nRF5340's
# wait states are not documented; they are taken to be the STM32U575's.
_FLASH: Mapping[str, Flash] = {
    "cortex-m4": Flash(wait_states=5, line_bytes=32, instruction_lines=32, data_lines=8),
    "cortex-m33": Flash(wait_states=4, line_bytes=16, instruction_lines=512, data_lines=0, unified=True),
    "cortex-m7": Flash(wait_states=7, line_bytes=32, instruction_lines=512, data_lines=512),
    "cortex-m0plus": Flash(wait_states=2, line_bytes=32, instruction_lines=2, data_lines=0, prefetch=True),
}

_EVENTS: Mapping[Event, tuple[str, ...]] = {
    Event.LOAD: ("ld_unp",),
    Event.PIPED_ACCESS: ("ls_piped",),
    Event.STORE: ("st_imm",),
    Event.INDEXED_STORE: ("st_reg_unp",),
    Event.DUAL: ("ldstd",),
    Event.TRANSFER: ("ldstm_regs",),
    Event.DIVIDE: ("div",),
    Event.FLOAT_ADD: ("vfma",),
    Event.FLOAT_DIVIDE: ("vdiv",),
    Event.ADDRESS: ("agi",),
    Event.UNALIGNED: ("unal_flash", "unal_ram", "unal_st"),
    Event.CALL: ("br_bl",),
    # Most of the branches to addresses that are not constant are returns that pop the program counter.
    Event.RETURN: ("br_ind",),
    Event.TABLE: ("br_tb",),
}


@dataclass(frozen=True)
class Case:
    """One network on one board: measured cycles and the model's estimate."""

    name: str
    core: str
    board: str
    held_out: bool
    floating: bool
    measured: float
    estimate: Cost
    flash: Cost

    @property
    def error_percent(self) -> float:
        """The estimate's error, in percent of the measured cycles."""
        return 100.0 * (self.estimate.cycles / self.measured - 1.0)

    @property
    def flash_share(self) -> float:
        """The part of the estimated cycles that waits for flash."""
        return self.flash.cycles / self.estimate.cycles


def read_cases(path: Path) -> tuple[Case, ...]:
    """The cases of a calibration file, those held out when the rules were fixed included.

    Args:
        path: a file whose name is in `FILES`.
    """
    core = FILES[path.name]
    contents = json.loads(path.read_text(encoding="utf-8"))
    cases = []
    for group in ("cases", "holdout"):
        for name, case in contents.get(group, {}).items():
            features: Mapping[str, float] = case["features"]
            flash = _flash_cost(core, features)
            cases.append(
                Case(
                    name=name,
                    core=core,
                    board=case.get("board", "NUCLEO-L4R5ZI"),
                    held_out=group == "holdout",
                    floating="float" in name,
                    measured=case["measured_cycles"],
                    estimate=_core_cost(core, features) + flash,
                    flash=flash,
                )
            )
    return tuple(cases)


def rms_percent(cases: Iterable[Case]) -> float:
    """Root mean square of the errors."""
    squares = [case.error_percent**2 for case in cases]
    return math.sqrt(sum(squares) / len(squares))


def worst_percent(cases: Iterable[Case]) -> float:
    """The largest error, without its sign."""
    return max(abs(case.error_percent) for case in cases)


def _core_cost(core: str, features: Mapping[str, float]) -> Cost:
    match core:
        case "cortex-m4":
            return _single_issue_cost(cortex_m4.MODEL, features)
        case "cortex-m0plus":
            return _single_issue_cost(cortex_m0plus.MODEL, features)
        case "cortex-m7":
            scheduled = Cost(features["schedule_cycles_m7"])
            return scheduled + cortex_m7.MODEL.mispredictions(features["mp"])
        case _:
            # The file's schedule lets blocks that branch back to their own start do so at no cost; the model's rule
            # for taken branches holds for them as for all others.
            loops = Cost.stall(Cause.BRANCH, cortex_m33.TIMING.branch * features.get("selfloop", 0.0))
            return Cost(features["schedule_cycles_m33"]) + loops


def _single_issue_cost(model: SingleIssue, features: Mapping[str, float]) -> Cost:
    events = {event: sum(features.get(name, 0.0) for name in names) for event, names in _EVENTS.items()}
    direct = features.get("br_cond_taken", 0.0) + features.get("br_uncond", 0.0)
    events[Event.TAKEN] = direct - events[Event.CALL]
    return model.timing.cost(features["insn"], events)


def _flash_cost(core: str, features: Mapping[str, float]) -> Cost:
    def count(*names: str) -> float:
        return sum(features.get(name, 0.0) for name in names)

    separate = core != "cortex-m33"
    traffic = Traffic(
        sequential_misses=count("cache0_miss_seq", "imiss_seq"),
        other_misses=count("cache0_miss_nseq", "imiss_nseq"),
        data_misses=count("cache1_miss_seq", "cache1_miss_nseq", "dmiss_seq", "dmiss_nseq")
        if separate
        else 0.0,
        loads=count("ld_flash"),
    )
    load_cycles = cortex_m33.MODEL.flash_load_cycles if core == "cortex-m33" else 0.0
    return waiting_cost(traffic, _FLASH[core], load_cycles)
