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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from edgeprune.graph.build import replace_tensors
from edgeprune.graph.ir import DTYPES, Array, Graph
from edgeprune.plan import Objective, plan

__all__ = ["CASES", "EXCLUDED", "batches", "node_cases", "run_cases", "run_in_process"]

_FOLDER = Path(__file__).resolve().parents[1] / "tests" / "conformance"
CASES: Mapping[str, list[str]] = json.loads((_FOLDER / "cases.json").read_text(encoding="utf-8"))
"""The names of the cases of each tier."""
_FLAGS = ("-std=c99", "-shared", "-fPIC", "-O0", *WARNINGS)
EXCLUDED: Mapping[str, str] = json.loads((_FOLDER / "excluded.json").read_text(encoding="utf-8"))
"""Cases that no library for a microcontroller has to pass, with the reason."""


_BATCH = 8


def batches(names: Sequence[str]) -> list[list[str]]:
    """`names` in parts of a library's size."""
    return [list(names[first : first + _BATCH]) for first in range(0, len(names), _BATCH)]


@lru_cache(maxsize=1)
def node_cases() -> Mapping[str, Any]:
    """ONNX's node tests by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A case as a graph whose names no other case has, with its stored inputs."""

    name: str
    graph: Graph
    stored: tuple[Array, ...]


def run_cases(names: Sequence[str], device: str, directory: Path) -> dict[str, str | None]:
    """Why each case fails on `device`, as one sentence; None where it passes.

    The cases are one library, and run in one go; where that fails, each by itself.
    """
    found: dict[str, str | None] = {}
    prepared = []
    for name in names:
        try:
            prepared.append(_prepared(name, device))
        except EdgepruneError as error:
            found[name] = str(error)
        except Exception as error:  # noqa: BLE001  a defect: it is one case's result, and the others still run
            found[name] = f"DEFECT {type(error).__name__}: {error}"
    if not prepared:
        return found
    try:
        outputs = _outputs(prepared, device, directory)
    except EdgepruneError as error:
        if len(prepared) == 1:
            return found | {prepared[0].name: str(error)}
        for one in prepared:
            found |= run_cases([one.name], device, directory)
        return found
    for one in prepared:
        own, outputs = outputs[: len(one.graph.outputs)], outputs[len(one.graph.outputs) :]
        found[one.name] = _difference(one.name, own)
    return found


def _prepared(name: str, device: str) -> _Prepared:
    case = node_cases()[name]
    arrays = [_array(value) for value in case.data_sets[0][0]]
    model, fed = _with_constants(case.model, arrays)
    graph = lower(model, "case", dtype="float32")
    stored = tuple(
        np.ascontiguousarray(fed[tensor.name].astype(tensor.dtype)[None]) for tensor in graph.inputs
    )
    renamed = _renamed(graph, name)
    plan(renamed, load_device(device), Objective())
    return _Prepared(name, renamed, stored)


def _renamed(graph: Graph, stem: str) -> Graph:
    swap = {tensor.name: replace(tensor, name=f"{stem}_{tensor.name}") for tensor in graph.tensors()}
    inputs, outputs = (tuple(swap[tensor.name] for tensor in ends) for ends in (graph.inputs, graph.outputs))
    return Graph(graph.name, replace_tensors(graph.nodes, swap), inputs, outputs)


def _outputs(cases: Sequence[_Prepared], device: str, directory: Path) -> list[Array]:
    """The outputs of all cases, one behind another, from one library."""
    whole = Graph(
        "cases",
        tuple(node for case in cases for node in case.graph.nodes),
        tuple(tensor for case in cases for tensor in case.graph.inputs),
        tuple(tensor for case in cases for tensor in case.graph.outputs),
    )
    profile = load_device(device)
    sources = generate(plan(whole, profile, Objective()), "cases")
    stored = tuple(array for case in cases for array in case.stored)
    if profile.emulator is None:
        return run_in_process(sources, stored, directory)
    return list(run(build(sources, profile, directory), stored).outputs)


def _difference(name: str, outputs: Sequence[Array]) -> str | None:
    """How the outputs differ from what the case expects; None where they are within its tolerances."""
    case = node_cases()[name]
    for value, got in zip(case.data_sets[0][1], outputs, strict=True):
        want = _array(value)
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
    parser.add_argument("--excluded", action="store_true", help="run the excluded cases, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    results: dict[str, dict[str, str | None]] = {}
    for tier, names in CASES.items():
        if given.tier in (None, tier):
            results[tier] = {name: EXCLUDED.get(name) for name in given.names or names}
            running = [name for name, reason in results[tier].items() if reason is None or given.excluded]
            for batch in batches(running):
                with tempfile.TemporaryDirectory() as directory:
                    found = run_cases(batch, given.device, Path(directory))
                results[tier] |= found
                failed = {name: reason for name, reason in found.items() if reason is not None}
                print(f"{tier} {batch[0]} ...: {failed or 'pass'}", file=sys.stderr, flush=True)
    for tier, found in results.items():
        counts = Counter(
            "passed" if reason is None else "excluded" if name in EXCLUDED else "failed"
            for name, reason in found.items()
        )
        print(f"{tier}: {counts['passed']} of {len(found)} pass, {counts['excluded']} excluded", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
