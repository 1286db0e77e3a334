"""Compiles one kernel candidate with the host compiler and sanitizers, and runs it in this process by ctypes."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeprune.firmware import WARNINGS
from edgeprune.graph.ir import DTYPES, Array, Node
from edgeprune.kernels.base import Candidate, LayerNames, families, weights_of
from edgeprune.ops import operator_for
from edgeprune.templating import c_array, render

FLAGS = (
    "-std=c99",
    "-O2",
    "-fPIC",
    "-shared",
    *WARNINGS,
    "-fsanitize=undefined",
    "-fno-sanitize-recover=undefined",
)
C_TYPES = {name: f"{name}_t" for name in ("int8", "uint8", "int16", "int32", "int64")} | {"float32": "float"}


def random_stored(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "int8") -> Array:
    """Random stored values with a tenth at each extreme."""
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    draw = rng.random(shape)
    values[draw < 0.1] = info.min
    values[draw > 0.9] = info.max
    return values


def reference(nodes: tuple[Node, ...], values: dict[str, Array]) -> dict[str, Array]:
    """All tensors' stored values after the nodes ran by their operators' references."""
    known = {**weights_of(nodes), **values}
    for node in nodes:
        results = operator_for(node).reference(node, *(known[t.name] for t in node.inputs))
        known.update({t.name: r for t, r in zip(node.outputs, results, strict=True)})
    return known


def emit_file(candidate: Candidate) -> tuple[str, list]:
    """A C file whose function `run_layer` executes the candidate; and the tensors it takes, in order."""
    family = families()[candidate.family]
    weights = weights_of(candidate.nodes)
    assert family.admits(candidate, weights)
    constants = family.pack(candidate, weights)
    produced = {t.name for node in candidate.nodes for t in node.outputs}
    by_name = {
        t.name: t for node in candidate.nodes for t in (*node.inputs, *node.outputs) if t.value is None
    }
    inputs = [by_name[name] for name in candidate.activation_inputs]
    outputs = list(candidate.nodes[-1].outputs)
    assert {t.name for t in outputs} <= produced
    tensors = {t.name: f"t{i}" for i, t in enumerate([*inputs, *outputs])}
    names = LayerNames("net", tensors, {c.name: f"constant_{c.name}" for c in constants}, "scratch")
    code = family.emit(candidate, names)
    lines = [render("library/kernel_prologue.c.j2", {"prefix": "net"})]
    for c in constants:
        size = np.size(c.values)
        lines.append(
            f"static const {c.ctype} constant_{c.name}[{size}] __attribute__((aligned({c.align}))) = {{\n"
            f"{c_array(c.values)}\n}};"
        )
    lines += [f.text for f in dict.fromkeys(code.functions)]
    params = [f"const {C_TYPES[t.dtype]} *t{i}" for i, t in enumerate(inputs)]
    params += [f"{C_TYPES[t.dtype]} *t{i + len(inputs)}" for i, t in enumerate(outputs)]
    params.append("uint8_t *scratch")
    lines.append(
        f"void run_layer({', '.join(params)});\nvoid run_layer({', '.join(params)})\n{{\n    (void)scratch;\n"
        f"    {code.body}\n}}"
    )
    return "\n".join(lines), [*inputs, *outputs]


def run_on_host(
    candidate: Candidate,
    values: dict[str, Array],
    flags: tuple[str, ...] = (),
    overlapped: str | None = None,
    align: int = 1,
) -> dict[str, Array]:
    """Outputs of the candidate for the activations in `values`, by tensor name; poisons output and scratch.

    The input `overlapped` lies in the first output's buffer, as many bytes above its start as the candidate
    declares, rounded up to `align`.
    """
    text, tensors = emit_file(candidate)
    function = _compile(text, (*FLAGS, *flags))
    inputs = set(candidate.activation_inputs)
    arrays = {}
    for tensor in tensors:
        given = values.get(tensor.name)
        poison = np.full(tensor.shape, 0x55, DTYPES[tensor.dtype])
        arrays[tensor.name] = _aligned(poison if given is None else np.array(given, order="C"))
    if overlapped is not None:
        output = candidate.nodes[-1].outputs[0].name
        distance = candidate.overlap[candidate.activation_inputs.index(overlapped)]
        assert distance is not None
        arrays.update(_share(overlapped, output, -(-distance // align) * align, arrays))
    scratch = _aligned(np.full(max(candidate.scratch_bytes, 1) + 64, 0xA5, np.uint8))
    pointers = [arrays[tensor.name].ctypes.data_as(ctypes.c_void_p) for tensor in tensors]
    function(*pointers, scratch.ctypes.data_as(ctypes.c_void_p))
    assert (scratch[candidate.scratch_bytes :] == 0xA5).all(), "the kernel wrote beyond its scratch"
    return {name: array for name, array in arrays.items() if name not in inputs}


@functools.lru_cache(maxsize=4)
def _compile(text: str, flags: tuple[str, ...]) -> Callable[..., None]:
    """The function run_layer of a C file, loaded into this process."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "layer.c"), Path(folder, "layer.so")
        source.write_text(text)
        done = subprocess.run(
            ["gcc", *flags, str(source), "-o", str(library), "-lm"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + "\n" + text
        return ctypes.CDLL(str(library)).run_layer


def _share(above: str, below: str, distance: int, arrays: dict[str, Array]) -> dict[str, Array]:
    """The two arrays in one buffer, `above` starting `distance` bytes after `below`."""
    upper, lower = arrays[above], arrays[below]
    memory = _aligned(np.full(max(distance + upper.nbytes, lower.nbytes), 0x55, np.uint8))
    views = {
        name: memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        for name, array, start in ((above, upper, distance), (below, lower, 0))
    }
    views[above][...] = upper
    return views


def _aligned(array: Array, align: int = 16) -> Array:
    raw = np.empty(array.nbytes + align, np.uint8)
    start = -raw.ctypes.data % align
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view
