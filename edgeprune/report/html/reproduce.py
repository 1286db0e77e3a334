"""The commands that make a bundle again and check it, ready for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

__all__ = ["commands"]


def commands(report: Mapping[str, Any]) -> tuple[str, ...]:
    """`deploy` as it was called, then what to do with its result. Names from the model are quoted for a POSIX shell."""
    deploy = shlex.join(report.get("command") or _from_budget(report))
    if not report["fits"]:
        return (deploy,)
    bundle = shlex.quote(f"build/{report['model']['name']}-{report['device']}")
    return (
        deploy,
        f"edgeprune verify {bundle} --layers",
        f"edgeprune profile {bundle}",
        f"edgeprune report {bundle} --html",
    )


def _from_budget(report: Mapping[str, Any]) -> list[str]:
    """The call as far as a report of an older version tells: its budgets may be the device's own memory."""
    model, budget = report["model"], report["budget"]
    words = ["edgeprune", "deploy", str(model.get("file", model["name"])), "--device", report["device"]]
    for key, option, unit in (
        ("flash", "--flash", ""),
        ("ram", "--ram", ""),
        ("latency_ms", "--latency", "ms"),
        ("macs", "--macs", ""),
        ("parameters", "--params", ""),
    ):
        if budget.get(key) is not None:
            words += [option, f"{budget[key]:g}{unit}" if unit else str(budget[key])]
    return words
