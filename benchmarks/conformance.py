"""ONNX's own node tests through the generated C: which pass, which are refused, and why.

The cases are those of the onnx package, named in tiers by tests/conformance/cases.json; the expected outputs are
theirs. A case passes where the library's outputs are within the case's own tolerances, or 1e-4 of the largest result.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgeprune.codegen import Sources, generate
from edgeprune.compile import lower
from edgeprune.device import load_device
from edgeprune.emulate import run
from edgeprune.errors import EdgepruneError
from edgeprune.firmware import WARNINGS, build
from edgeprune.firmware.toolchain import run_tool
from edgeprune.graph.ir import DTYPES, Array
from edgeprune.plan import Objective, plan

__all__ = ["CASES", "EXCLUDED", "node_cases", "run_case"]

_FOLDER = Path(__file__).resolve().parents[1] / "tests" / "conformance"
CASES: Mapping[str, list[str]] = json.loads((_FOLDER / "cases.json").read_text(encoding="utf-8"))
"""The names of the cases of each tier."""
_FLAGS = ("-std=c99", "-shared", "-fPIC", "-O0", *WARNINGS)
EXCLUDED: Mapping[str, str] = json.loads((_FOLDER / "excluded.json").read_text(encoding="utf-8"))
"""Cases that no library for a microcontroller has to pass, with the reason."""


@lru_cache(maxsize=1)
def node_cases() -> Mapping[str, Any]:
    """ONNX's node tests by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


def run_case(name: str, device: str, directory: Path) -> str | None:
    """Why a case fails on `device`, as one sentence; None where it passes."""
    case = node_cases()[name]
    arrays, expected = ([_array(value) for value in part] for part in case.data_sets[0])
    model, fed = _with_constants(case.model, arrays)
    try:
        profile = load_device(device)
        graph = lower(model, "case", dtype="float32")
        sources = generate(plan(graph, profile, Objective()), "case")
        stored = tuple(
            np.ascontiguousarray(fed[port.tensor.name].astype(port.tensor.dtype)[None])
            for port in sources.inputs
        )
        if profile.emulator is None:
            outputs = run_in_process(sources, stored, directory)
        else:
            outputs = run(build(sources, profile, directory), stored).outputs
    except EdgepruneError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  a defect: it is one case's result, and the others still run
        return f"DEFECT {type(error).__name__}: {error}"
    for want, got in zip(expected, outputs, strict=True):
        found = got.reshape(want.shape)
        if want.dtype.kind in "biu":
            if not np.array_equal(found, want):
                return "an output differs"
            continue
        scale = float(np.abs(want[np.isfinite(want)]).max(initial=0.0))
        allowed = max(case.atol, 1e-4 * scale)
        if not np.allclose(found, want, rtol=case.rtol, atol=allowed, equal_nan=True):
            return f"an output differs by {float(np.nanmax(np.abs(found - want))):.3g}"
    return None


def run_in_process(sources: Sources, stored: tuple[Array, ...], directory: Path) -> list[Array]:
    """The outputs of one inference of a library that is built for this machine, without warnings, and loaded here."""
    for name, text in sources.files.items():
        (directory / name).write_text(text, encoding="utf-8")
    library = directory / "library.so"
    command = ["gcc", *_FLAGS, *sources.c_files, "-o", library.name, "-lm"]
    run_tool(command, directory / "gcc.log", cwd=directory)
    loaded, prefix = ctypes.CDLL(str(library)), sources.prefix
    arena = np.zeros(sources.arena_bytes // 8 + 1, np.uint64)
    context = (ctypes.c_uint64 * 8)()
    size = ctypes.c_size_t(arena.nbytes)
    assert loaded[f"{prefix}_init"](context, ctypes.c_void_p(arena.ctypes.data), size) == 0

    def pointer(name: str) -> int:
        function = loaded[f"{prefix}_{name}"]
        function.restype = ctypes.c_void_p
        return int(function(context) or 0)

    for index, array in enumerate(stored):
        ctypes.memmove(pointer(f"input_{index}"), array.ctypes.data, array.nbytes)
    assert loaded[f"{prefix}_run"](context) == 0
    return [
        np.frombuffer(
            ctypes.string_at(pointer(f"output_{index}"), port.tensor.bytes), DTYPES[port.tensor.dtype]
        )
        for index, port in enumerate(sources.outputs)
    ]


def _array(value: Any) -> np.ndarray[Any, Any]:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


_SHAPING = (
    "Reshape",
    "Expand",
    "Tile",
    "Pad",
    "Slice",
    "Resize",
    "Upsample",
    "Squeeze",
    "Unsqueeze",
    "Split",
)
_CONSTANTS = frozenset((*_SHAPING, "TopK", "OneHot", "Range", "ConstantOfShape", "CumSum"))
"""Operators whose further inputs are shapes, axes and the like."""


def _with_constants(
    model: onnx.ModelProto, arrays: list[np.ndarray[Any, Any]]
) -> tuple[bytes, dict[str, np.ndarray[Any, Any]]]:
    """The case's model with what networks have as constants made such: shapes, axes, scales, recurrent weights."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    node = copy.graph.node[0]
    fed: dict[str, np.ndarray[Any, Any]] = {}
    kept = []
    for position, (value, array) in enumerate(zip(copy.graph.input, arrays, strict=True)):
        recurrent = node.op_type in ("LSTM", "GRU", "RNN") and position > 0
        reducing = node.op_type.startswith("Reduce") and position > 0
        scaling = re.search("_(scale|zero_points?)$", value.name) is not None
        if scaling or (position > 0 and (node.op_type in _CONSTANTS or recurrent or reducing)):
            copy.graph.initializer.append(numpy_helper.from_array(array, value.name))
        else:
            kept.append(value)
            fed[value.name] = array
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    return copy.SerializeToString(), fed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="host")
    parser.add_argument("--tier", choices=list(CASES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    results: dict[str, dict[str, str | None]] = {}
    for tier, names in CASES.items():
        if given.tier in (None, tier):
            for name in given.names or names:
                with tempfile.TemporaryDirectory() as directory:
                    reason = EXCLUDED.get(name) or run_case(name, given.device, Path(directory))
                results.setdefault(tier, {})[name] = reason
                if reason is not None:
                    print(f"{tier} {name}: {reason}", file=sys.stderr, flush=True)
    for tier, found in results.items():
        counts = Counter(
            "excluded" if name in EXCLUDED else "passed" if reason is None else "failed"
            for name, reason in found.items()
        )
        print(f"{tier}: {counts['passed']} of {len(found)} pass, {counts['excluded']} excluded", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
