"""Small reports as `report.json` holds them, to be shown and compared."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["deep_report", "hostile_report", "refused_report", "small_report", "small_sweep"]

_LAYERS = (
    ("stem.conv", "Conv", "conv_s8_dsp", [1, 8, 8, 4], 2304, 6000, 9000, 180),
    ("block.add", "Add", "add_s8_dsp", [1, 8, 8, 4], 0, 900, 1500, 40),
    ("head", "FullyConnected", "fully_connected_s8_dsp", [1, 3], 768, 1500, 2100, 820),
)
_BUFFERS = (
    ("input", ["input"], 0, 64, 0, 1),
    ("conv_out", ["conv_out"], 320, 256, 0, 1),
    ("stem.conv scratch", [], 64, 72, 0, 0),
    ("sum", ["sum", "flat"], 256, 256, 1, 2),
    ("scores", ["scores"], 0, 3, 2, 2),
)


def small_report() -> dict[str, Any]:
    """A pruned network of three layers that fits; at step 1 the sum is written over its input."""
    keys = ("name", "op", "kernel", "shape", "macs", "instructions", "cycles", "flash")
    layers = [dict(zip(keys, row, strict=True)) | {"sparsity": 0.1, "next_best": None} for row in _LAYERS]
    layers[0]["next_best"] = {"kernel": "conv_s8_c", "cycles": 20000, "flash": 160}
    layers[1]["sparsity"] = None
    names = ("name", "tensors", "offset", "size", "first_step", "last_step")
    buffers = [dict(zip(names, row, strict=True)) | {"region": "sram"} for row in _BUFFERS]
    return copy.deepcopy(
        {
            "edgeprune": "0.1.0",
            "model": {"name": "tiny", "file": "tiny.py", "kind": "torch"},
            "device": "nucleo-f446re",
            "backend": "c",
            "dtype": "int8",
            "budget": {"flash": 4096, "ram": 1024, "latency_ms": 0.08, "macs": None, "parameters": None},
            "fits": True,
            "nearest": None,
            "reason": None,
            "flash": {"total": 3072, "code": 2032, "weights": 1040},
            "ram": {
                "total": 700, "arena": 576, "arena_persistent": 0, "arena_lower_bound": 640,
                "saved_by_overlap": 64, "static": 4, "stack": 120,
            },
            "latency": {
                "instructions": 8500, "cycles": 12700, "cycles_model": "Cortex-M4 timing table",
                "cycles_error": "5.6 % rms", "ms": 0.0706, "measured_ms": None, "measured_cycles": None,
                "measured_clock_hz": None, "measured_note": None,
            },
            "macs": 3072,
            "parameters": 900,
            "layers": layers,
            "buffers": buffers,
            "inputs": [{"name": "input"}],
            "outputs": [{"name": "scores"}],
            "verify": {
                "samples": 20, "bit_exact": True, "max_difference_to_onnx": 1, "first_mismatch": None,
            },
            "accuracy": {
                "metric": "top-1 accuracy", "float": 0.95, "pruned": 0.94, "int8": 0.94, "emulated": 0.935,
                "samples": 200,
            },
            "pruning": {
                "groups": [
                    {"name": "stem.conv", "before": 8, "after": 4, "kept": [0, 2, 5, 7]},
                    {"name": "head", "before": 16, "after": 16, "kept": None},
                ],
                "lossless_channels": 0, "frozen": [{"name": "head", "reason": "it is an output"}],
                "rounds": 1, "steps": 100, "unpruned": {"flash": 5000, "ram": 1200, "latency_ms": 0.2},
            },
            "host": None,
            "tools": {"gcc": "arm-none-eabi-gcc 12.2", "qemu": "QEMU 7.2", "flags": "-O2"},
            "library": {"prefix": "tiny", "files": ["tiny.h", "tiny.c"], "arena_align": 8, "compacted": True},
            "command": [
                "edgeprune", "deploy", "tiny.py", "--device", "nucleo-f446re", "--flash", "4K", "--ram", "1K",
            ],
        }
    )  # fmt: skip


def refused_report() -> dict[str, Any]:
    """A network that does not fit: nothing was built."""
    nothing = dict.fromkeys(
        ("flash", "ram", "latency", "macs", "parameters", "verify", "accuracy", "pruning", "library")
    )
    missed = {"fits": False, "nearest": {"flash": 5000.0, "ram": 900.0, "latency_ms": 0.2}}
    reason = "over budget: flash 5,000 B of 4,096 B"
    return {
        **small_report(),
        **nothing,
        **missed,
        "reason": reason,
        "layers": [],
        "buffers": [],
        "tools": {},
    }


def hostile_report() -> dict[str, Any]:
    """Markup, quotes, control characters, a directional override and half a surrogate pair in every name."""
    evil = "<script>alert(1)</script>\"'&--><style>*{}</style>\x1b[31m\u202e\ud800</svg>{{ 7 * 7 }}"
    report = small_report()
    report["model"] = {"name": evil, "file": evil, "kind": "torch"}
    report["device"] = evil
    report["tools"] = {evil: evil}
    report["accuracy"]["metric"] = evil
    report["verify"] |= {"bit_exact": False, "first_mismatch": evil}
    report["command"] = ["edgeprune", "deploy", evil]
    for layer in report["layers"]:
        layer |= {"name": evil, "op": evil, "kernel": evil}
    for buffer in report["buffers"]:
        buffer |= {"name": evil, "region": evil}
    for group in (*report["pruning"]["groups"], *report["pruning"]["frozen"]):
        group["name"] = evil
    report["pruning"]["frozen"][0]["reason"] = evil
    return report


def deep_report(layers: int = 2000) -> dict[str, Any]:
    """A network of very many layers with long names."""
    report = small_report()
    first, buffer = report["layers"][0], report["buffers"][0]
    names = [f"stage.{i}.{'very_long_name.' * 20}" for i in range(layers)]
    report["layers"] = [{**first, "name": name, "kernel": "k" * 90} for name in names]
    report["buffers"] = [
        {**buffer, "name": name, "tensors": [name], "offset": 64 * (i % 2), "first_step": i, "last_step": i}
        for i, name in enumerate(names)
    ]
    report["pruning"]["groups"] = [{"name": name, "before": 99, "after": 50} for name in names]
    report["pruning"]["frozen"] = [{"name": name, "reason": "because " * 200} for name in names]
    return report


def small_sweep() -> dict[str, Any]:
    """A sweep of three points, the last of which does not fit."""
    point: dict[str, Any] = {
        "exit_status": 0, "budget": None, "unpruned": None, "settings": "0", "reason": None, "fits": True,
        "flash": 8000, "ram": 2000, "latency_ms": 4.0, "macs": 9000, "parameters": 900, "pruned": False,
    }  # fmt: skip
    accuracy = {"metric": "top-1 accuracy", "float": 0.99, "pruned": None, "int8": 0.99, "emulated": 0.99}
    accuracy["samples"] = 100
    smaller = {
        "number": 2,
        "bundle": "point_2",
        "pruned": True,
        "flash": 4000,
        "ram": 1500,
        "latency_ms": 2.0,
    }
    missing = dict.fromkeys(("flash", "ram", "latency_ms", "macs", "parameters", "accuracy", "pruned"))
    failed = {"number": 3, "bundle": None, "fits": False, "reason": "over budget: flash", **missing}
    return {
        "edgeprune": "0.1.0",
        "model": "tiny",
        "device": "nucleo-f446re",
        "count": 3,
        "points": [
            {**point, "number": 1, "bundle": "point_1", "accuracy": accuracy},
            {**point, **smaller, "accuracy": {**accuracy, "pruned": 0.97, "int8": 0.96, "emulated": 0.96}},
            {**point, **failed},
        ],
        "plots": [],
    }
