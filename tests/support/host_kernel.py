"""Compiles one kernel candidate with the host compiler and sanitizers, and runs it in this process by ctypes."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from edgeprune.graph.ir import DTYPES, Array, Node
from edgeprune.kernels.base import Candidate, LayerNames, families
from edgeprune.ops import operator_for
from edgeprune.templating import c_array, render

FLAGS = [
    "-std=c99",
    "-O2",
    "-fPIC",
    "-shared",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
    "-fsanitize=undefined",
    "-fno-sanitize-recover=undefined",
]
C_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t", "float32": "float"}


def weights_of(nodes: tuple[Node, ...]) -> dict[str, Array]:
    """Values of the nodes' constant inputs, by name."""
    return {t.name: t.value for node in nodes for t in node.inputs if t.value is not None}


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
    candidate: Candidate, values: dict[str, Array], flags: tuple[str, ...] = ()
) -> dict[str, Array]:
    """Outputs of the candidate for the activations in `values`, by tensor name; poisons output and scratch."""
    text, tensors = emit_file(candidate)
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "layer.c"), Path(folder, "layer.so")
        source.write_text(text)
        done = subprocess.run(
            ["gcc", *FLAGS, *flags, str(source), "-o", str(library), "-lm"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + "\n" + text
        function = ctypes.CDLL(str(library)).run_layer
        arrays = []
        for tensor in tensors:
            given = values.get(tensor.name)
            array = (
                np.array(given, order="C")
                if given is not None
                else np.full(tensor.shape, 0x55, DTYPES[tensor.dtype])
            )
            arrays.append(_aligned(array))
        scratch = _aligned(np.full(max(candidate.scratch_bytes, 1) + 64, 0xA5, np.uint8))
        function(
            *(a.ctypes.data_as(ctypes.c_void_p) for a in arrays), scratch.ctypes.data_as(ctypes.c_void_p)
        )
        assert (scratch[candidate.scratch_bytes :] == 0xA5)[-32:].all(), "the kernel wrote beyond its scratch"
        inputs = set(candidate.activation_inputs)
        return {t.name: a for t, a in zip(tensors, arrays, strict=True) if t.name not in inputs}


def _aligned(array: Array, align: int = 16) -> Array:
    raw = np.empty(array.nbytes + align, np.uint8)
    start = -raw.ctypes.data % align
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view
