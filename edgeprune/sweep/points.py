"""One point of a sweep: a deployment as a job, and what a curve shows of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprune.compress.checkpoints import fingerprint, may_resume
from edgeprune.config import Settings
from edgeprune.errors import EdgepruneError, OverBudget
from edgeprune.pipeline import deploy
from edgeprune.progress import Progress, SilentProgress
from edgeprune.sweep.record import Point

__all__ = ["AMOUNTS", "Job", "attempted", "failure", "made", "told"]

AMOUNTS = ("flash", "ram", "latency_ms", "macs", "parameters")


@dataclass(frozen=True)
class Job:
    """One point to be made."""

    number: int
    settings: Settings

    @property
    def place(self) -> Path:
        """The bundle's folder."""
        assert self.settings.output is not None
        return self.settings.output


def attempted(job: Job, progress: Progress | None = None) -> Point:
    """A point, or why it failed: one that does must not take the others with it."""
    try:
        return made(job, progress or SilentProgress())
    except EdgepruneError as error:
        return failure(job, str(error), error.exit_status)
    except Exception as error:  # noqa: BLE001 - a defect of ours in one point; its traceback is kept
        notes = job.place.with_name(f"{job.place.name}.traceback.txt")
        notes.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        reason = (
            f"this is a defect of edgeprune ({type(error).__name__}: {error}); please report it with {notes}"
        )
        return failure(job, reason, EdgepruneError.exit_status)


def made(job: Job, progress: Progress) -> Point:
    """A point; what is wrong with it is raised."""
    going_on = job.settings.resume and may_resume(job.settings, job.place)
    deployment = deploy(replace(job.settings, resume=going_on), progress)
    report = deployment.report
    status = 0 if report["fits"] else OverBudget.exit_status
    return _point(job, report["fits"], report["reason"], status, _figures(report))


def failure(job: Job, reason: str, exit_status: int) -> Point:
    """A point without a bundle."""
    nothing = dict.fromkeys(("budget", *AMOUNTS, "accuracy", "pruned", "unpruned"))
    return _point(job, False, reason, exit_status, nothing)


def _point(job: Job, fits: bool, reason: str | None, exit_status: int, figures: Mapping[str, Any]) -> Point:
    return {
        "number": job.number,
        "bundle": job.place.name if fits else None,
        "fits": fits,
        "reason": reason,
        "exit_status": exit_status,
        **figures,
        "settings": fingerprint(job.settings),
    }


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a curve shows of a report."""
    pruning = report["pruning"] or {}
    return {
        "budget": report["budget"],
        "flash": (report["flash"] or {}).get("total"),
        "ram": (report["ram"] or {}).get("total"),
        "latency_ms": (report["latency"] or {}).get("ms"),
        "macs": report["macs"],
        "parameters": report["parameters"],
        "accuracy": report["accuracy"],
        "pruned": any(group["after"] < group["before"] for group in pruning.get("groups", ())),
        "unpruned": pruning.get("unpruned"),
    }


def told(point: Point) -> str:
    """A point in a few words."""
    if not point["fits"]:
        return f"no bundle: {point['reason']}"
    time = "" if point["latency_ms"] is None else f", {point['latency_ms']:.2f} ms"
    accuracy = point["accuracy"] or {}
    found = accuracy.get("emulated")
    if found is None:
        score = ""
    elif "accuracy" in accuracy["metric"]:
        score = f", {accuracy['metric']} {100 * found:.1f} %"
    else:
        score = f", {accuracy['metric']} {found:.4g}"
    return f"{point['flash']:,} B flash, {point['ram']:,} B RAM{time}{score}"
