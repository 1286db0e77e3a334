"""Compiles a row form with the host compiler and sanitizers, and runs it row by row, each apart from the others."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edgeprune.graph.ir import Array, Tensor
from edgeprune.kernels.base import LayerNames, RowForm, families, weights_of
from edgeprune.plan.rows import image_rows, row_bytes
from edgeprune.templating import c_array, render
from tests.support.host_kernel import FLAGS, _compile

__all__ = ["run_rows_on_host"]


def _row_file(form: RowForm) -> str:
    """A C file whose function `run_layer` computes one row from arrays of pointers to rows."""
    candidate, family = form.candidate, families()[form.candidate.family]
    weights = weights_of(form.nodes)
    assert family.admits(candidate, weights)
    constants = family.pack(candidate, weights)
    tensors = {
        name: f"rows_{i}" if window.kernel > 1 or form.rows > 1 else f"rows_{i}[0]"
        for i, (name, window) in enumerate(form.windows.items())
    }
    tensors[form.nodes[-1].output.name] = "y"
    roles = {constant.name: f"constant_{constant.name}" for constant in constants}
    names = LayerNames("net", tensors, roles, "scratch", "row", "state", "rows")
    code = (family.emit_row if form.is_own else family.emit)(candidate, names)
    lines = [render("library/kernel_prologue.c.j2", {"prefix": "net"})]
    lines += [
        f"static const {c.ctype} constant_{c.name}[{np.size(c.values)}] __attribute__((aligned({c.align}))) = {{\n"
        f"{c_array(c.values)}\n}};"
        for c in constants
    ]
    lines += [function.text for function in dict.fromkeys(code.functions)]
    parameters = [f"const int8_t *const *rows_{i}" for i in range(len(form.windows))]
    own = "int8_t *y, uint8_t *scratch, uint8_t *state, int32_t row, int32_t rows"
    head = f"void run_layer({', '.join(parameters)}, {own})"
    unused = "".join(f"    (void){name};\n" for name in ("scratch", "state", "row", "rows"))
    lines.append(f"{head};\n{head}\n{{\n{unused}    {code.body}\n}}")
    return "\n".join(lines)


def run_rows_on_host(form: RowForm, values: dict[str, Array], first_rows: int = 1) -> Array:
    """The output of all rows; every row and the scratch lie in memory of their own, with guards around them.

    The first turn computes `first_rows` rows, the others as many as the form takes.
    """
    run = _compile(_row_file(form), tuple(FLAGS))
    tensors = {tensor.name: tensor for node in form.nodes for tensor in node.inputs}
    output = form.nodes[-1].output
    rows = {name: _rows(values[name], tensors[name]) for name in form.windows}
    scratch, state = _buffer(form.candidate.scratch_bytes), _buffer(form.state_bytes)
    height, found = image_rows(output), []
    begins = [0, *range(first_rows, height, form.rows)]
    if form.state_bytes:
        begins = list(range(max(map(len, rows.values()))))
    for number, begin in enumerate(begins):
        count = 1 if form.state_bytes else (*begins, height)[number + 1] - begin
        if not form.state_bytes or not found:
            found.append(_buffer(count * row_bytes(output)))
        scratch[: form.candidate.scratch_bytes] = 0xA5
        pointers = []
        for name, window in form.windows.items():
            step = window.dilation if form.rows == 1 else 1
            entries = window.kernel if form.rows == 1 else window.span(form.rows)
            taken = [window.first(begin) + i * step for i in range(entries)]
            inside = [0 <= at < len(rows[name]) and at <= window.last(begin + count - 1) for at in taken]
            addresses = (
                rows[name][at].ctypes.data if is_there else None
                for at, is_there in zip(taken, inside, strict=True)
            )
            pointers.append((ctypes.c_void_p * len(taken))(*addresses))
        run(
            *pointers,
            *map(_pointer, (found[-1], scratch, state)),
            ctypes.c_int32(begin),
            ctypes.c_int32(count),
        )
        assert (found[-1][count * row_bytes(output) :] == 0x77).all(), "the kernel wrote beyond its rows"
    for array, size in ((scratch, form.candidate.scratch_bytes), (state, form.state_bytes)):
        assert (array[size:] == 0x77).all(), "the kernel wrote beyond its memory"
    return np.concatenate([block[:-64] for block in found]).view(np.int8).reshape(output.shape)


def _rows(value: Array, tensor: Tensor) -> list[Array]:
    return [np.array(row, order="C") for row in value.reshape(image_rows(tensor), -1)]


def _buffer(size: int) -> Array:
    """`size` bytes, aligned to 8, and a guard."""
    raw = np.full(size + 72, 0x77, np.uint8)
    start = -raw.ctypes.data % 8
    return raw[start : start + size + 64]


def _pointer(array: Array) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)
