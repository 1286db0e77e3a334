"""Two reports side by side: totals, accuracy, and layers matched by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["compare_reports"]

Key = tuple[str, int]
"""A layer: its name, and its number among layers of that name."""

_TOTALS = (
    ("flash", "flash", "total", "bytes"),
    ("code in flash", "flash", "code", "bytes"),
    ("weights in flash", "flash", "weights", "bytes"),
    ("RAM", "ram", "total", "bytes"),
    ("arena", "ram", "arena", "bytes"),
    ("static data", "ram", "static", "bytes"),
    ("stack", "ram", "stack", "bytes"),
    ("latency", "latency", "ms", "ms"),
    ("latency on the board", "latency", "measured_ms", "ms"),
    ("cycles", "latency", "cycles", "cycles"),
    ("instructions", "latency", "instructions", "instructions"),
    ("multiply-accumulates", None, "macs", "MACs"),
    ("parameters", None, "parameters", "parameters"),
)
_STAGES = ("float", "pruned", "int8", "emulated")
_FIGURES = ("cycles", "instructions", "flash", "macs")


def compare_reports(
    a: Mapping[str, Any], b: Mapping[str, Any], places: tuple[str, str] = ("", "")
) -> dict[str, Any]:
    """What is different between the reports `a` and `b`, as JSON values.

    Differences are b less a, ratios b over a; null where one of the two is not known. Layers stand in the order in
    which they run; one that is in `b` only stands behind the layer it follows there.

    Args:
        a: As `load_report` read it.
        b: As `load_report` read it.
        places: What to call the two, such as their folders.
    """
    return {
        "a": _about(a, places[0]),
        "b": _about(b, places[1]),
        "totals": [
            {"name": name, "unit": unit, **_change(_figure(a, part, key), _figure(b, part, key))}
            for name, part, key, unit in _TOTALS
        ],
        "accuracy": _accuracy(a["accuracy"], b["accuracy"]),
        "layers": _layers(a["layers"], b["layers"]),
    }


def _about(report: Mapping[str, Any], place: str) -> dict[str, Any]:
    names = ("device", "backend", "dtype", "fits", "edgeprune")
    return {"bundle": place, "model": report["model"]["name"], **{name: report[name] for name in names}}


def _figure(report: Mapping[str, Any], part: str | None, key: str) -> float | None:
    section = report if part is None else report[part] or {}
    value: float | None = section.get(key)
    return value


def _change(a: float | None, b: float | None) -> dict[str, float | None]:
    if a is None or b is None:
        return {"a": a, "b": b, "difference": None, "ratio": None}
    return {"a": a, "b": b, "difference": b - a, "ratio": b / a if a else None}


def _accuracy(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The metric at each stage that either was judged at; null where two metrics are not the same."""
    metrics = {section["metric"] for section in (a, b) if section is not None}
    if len(metrics) != 1:
        return None
    stages = [(stage, (a or {}).get(stage), (b or {}).get(stage)) for stage in _STAGES]
    return {
        "metric": metrics.pop(),
        "samples": {"a": (a or {}).get("samples"), "b": (b or {}).get("samples")},
        "stages": [
            {"name": stage, **_change(before, after)}
            for stage, before, after in stages
            if before is not None or after is not None
        ],
    }


def _layers(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    left, right = _by_key(a), _by_key(b)
    rows = []
    for key in _merged(list(left), list(right)):
        one, other = left.get(key), right.get(key)
        rows.append(
            {
                "name": key[0],
                "only_in": "b" if one is None else "a" if other is None else None,
                **{word: _texts(one, other, word) for word in ("kernel", "shape")},
                **{word: _change((one or {}).get(word), (other or {}).get(word)) for word in _FIGURES},
            }
        )
    return rows


def _texts(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, word: str) -> dict[str, Any]:
    return {"a": None if a is None else a[word], "b": None if b is None else b[word]}


def _by_key(layers: Sequence[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    seen: Counter[str] = Counter()
    found = {}
    for layer in layers:
        found[layer["name"], seen[layer["name"]]] = layer
        seen[layer["name"]] += 1
    return found


def _merged(a: Sequence[Key], b: Sequence[Key]) -> list[Key]:
    """All of `a` in its order, and each of `b` alone behind its predecessor in `b`."""
    common, followers, anchor = set(a), dict[Key | None, list[Key]](), None
    for key in b:
        if key in common:
            anchor = key
        else:
            followers.setdefault(anchor, []).append(key)
    merged = followers.get(None, [])[:]
    for key in a:
        merged += [key, *followers.get(key, [])]
    return merged
