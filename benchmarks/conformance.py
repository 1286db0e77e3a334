"""ONNX's own node tests through the generated C: which pass, which are refused, and why.

The cases are those of the onnx package, named in tiers by tests/conformance/cases.json; the expected outputs are
theirs. A case passes where the library's outputs are within the case's own tolerances, or 1e-4 of the largest result.
"""

from __future__ import annotations

import argparse
import json
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

from edgeprune.compile import compile_network
from edgeprune.device import load_device
from edgeprune.emulate import run
from edgeprune.errors import EdgepruneError
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress

__all__ = ["CASES", "EXCLUDED", "node_cases", "run_case"]

_FOLDER = Path(__file__).resolve().parents[1] / "tests" / "conformance"
CASES: Mapping[str, list[str]] = json.loads((_FOLDER / "cases.json").read_text(encoding="utf-8"))
"""The names of the cases of each tier."""
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
        built = compile_network(
            model, "case", load_device(device), Objective(), directory, SilentProgress(), dtype="float32"
        )
        ports = built.sources.inputs
        stored = tuple(
            np.ascontiguousarray(fed[port.tensor.name].astype(port.tensor.dtype)[None]) for port in ports
        )
        outputs = run(built.image, stored).outputs
    except EdgepruneError as error:
        return str(error)
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


def _array(value: Any) -> np.ndarray[Any, Any]:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


_DATA = {
    "ConvTranspose": (0,),
    "Conv": (0,),
    "Gemm": (0, 1, 2),
}
_CONSTANTS = frozenset(
    [
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
        "TopK",
        "OneHot",
        "Range",
        "ConstantOfShape",
        "CumSum",
    ]
)


def _with_constants(
    model: onnx.ModelProto, arrays: list[np.ndarray[Any, Any]]
) -> tuple[bytes, dict[str, np.ndarray[Any, Any]]]:
    """The case's model with what networks have as constants made such: shapes, axes, weights of recurrent layers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    node = copy.graph.node[0]
    fed: dict[str, np.ndarray[Any, Any]] = {}
    kept = []
    for position, (value, array) in enumerate(zip(copy.graph.input, arrays, strict=True)):
        recurrent = node.op_type in ("LSTM", "GRU", "RNN") and position > 0
        reducing = node.op_type.startswith("Reduce") and position > 0
        if position > 0 and (node.op_type in _CONSTANTS or recurrent or reducing):
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
