"""What the terminal summary says about pruning, in plain words; a report of an older version says less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["pruning_facts"]

_ARROW = "\N{RIGHTWARDS ARROW}"


def pruning_facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of a word and what to say about it, of `report`'s "pruning" and "host"."""
    facts = []
    pruning = report["pruning"]
    if pruning is not None:
        facts += _cuts(pruning) + _sparsity(pruning) + _rounding(pruning) + _generalization(pruning)
    if report.get("host") is not None:
        facts.append(("on this machine", _host(report["host"])))
    return facts


def _cuts(pruning: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not pruning["rounds"]:
        return []
    text = f"{pruning['rounds']} round(s) of cutting and measuring, {pruning['steps']:,} training steps"
    if pruning.get("history"):
        losses = f" {_ARROW} ".join(f"{record['loss']['after']:.3g}" for record in pruning["history"])
        text += f"; loss after each round of training {losses}"
    return [("pruning", text)]


def _sparsity(pruning: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = pruning.get("sparsity")
    if found is None:
        return []
    if found.get("layers") is not None:
        return [("sparsity", _patterns(found))]
    text = (
        f"{100 * found['density']:.3g} % of the weights kept ({found['pattern']}), the others zero "
        f"{found['when']} training"
    )
    return [("sparsity", text)]


def _patterns(found: Mapping[str, Any]) -> str:
    if not found["layers"]:
        return "all weights stay: within this budget no pattern is worth its loss"
    listed = (f"{one['name']} {one['pattern']}:{one['density']:g}" for one in found["layers"])
    return f"{100 * found['density']:.3g} % of the weights kept; chosen by layer: {', '.join(listed)}"


def _rounding(pruning: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = pruning.get("quantization_aware")
    if found is None or not found["used"]:
        return []
    moved = "" if found["int8"] is None else f"; the int8 metric went {_moved(found['int8'])}"
    return [("quantization", f"trained through int8 rounding{moved}")]


def _generalization(pruning: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = pruning.get("generalization")
    if found is None:
        return []
    train, test, gap = (_moved(found[name]) for name in ("train_loss", "test_loss", "gap"))
    return [("generalization", f"loss on training data {train}, on test data {test}; gap {gap}")]


def _host(host: Mapping[str, Any]) -> str:
    parts = []
    for name, key in (("ONNX Runtime", "onnxruntime_ms"), ("torch", "torch_ms")):
        pair = host[key]
        times = f"{pair['original']:.3g} {_ARROW} {pair['pruned']:.3g} ms"
        parts.append(f"{name} {times} ({100 * pair['ratio']:.0f} %)")
    return f"float network, one thread: {', '.join(parts)}"


def _moved(change: Mapping[str, float]) -> str:
    return f"{change['before']:.3g} {_ARROW} {change['after']:.3g}"
