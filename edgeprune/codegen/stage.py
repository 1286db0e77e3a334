"""The C of a stage: a function per layer that computes one row, tables of where rows lie, and the order of turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.codegen.arenas import arena_of, arenas, in_arena
from edgeprune.codegen.describe import c_type
from edgeprune.graph.ir import Array, Tensor
from edgeprune.kernels.base import LayerNames, RowWindow
from edgeprune.plan.program import Program, Step
from edgeprune.plan.rows import image_rows, row_bytes
from edgeprune.plan.stage_types import Line, StageCandidate, StageLayer
from edgeprune.templating import c_comment

__all__ = ["FedSource", "RowTable", "StageSource", "row_names", "row_pointers", "stage_source", "turn_rows"]

_UNIT = 8
"""The rows of a turn start at multiples of so many bytes."""


@dataclass(frozen=True, eq=False)
class RowTable:
    """A const array of the offsets of a tensor's rows in the arena, in units of 8 bytes or of 1."""

    symbol: str
    ctype: str
    values: Array
    comment: str


@dataclass(frozen=True)
class FedSource:
    """How rows of the input arrive: `place` is the address of row `row` in C, for the `layers`-th kind of turn."""

    layers: int
    rows: int
    row_bytes: int
    place: str
    tensor_ctype: str


@dataclass(frozen=True, eq=False)
class StageSource:
    """What the template needs to write a stage: `functions` are those of its layers, by which `order` counts."""

    function: str
    order: Array
    order_symbol: str
    functions: tuple[str, ...]
    tables: tuple[RowTable, ...]
    held: tuple[str, ...]
    """Lines of the comment: what is held of each tensor."""
    copies: tuple[str, ...]
    """Statements that copy constants to RAM."""
    fed: FedSource | None
    first: int
    last: int


class _Rows:
    """Where the rows of the tensors of a stage are, as C expressions."""

    def __init__(self, program: Program, step: Step, stage: StageCandidate, prefix: str, first: int) -> None:
        self._program, self._lines = program, stage.lines or {}
        self._base = 0 if step.scratch is None else step.scratch.offset
        self._arena = arena_of(arenas(program), self._base)
        outputs = [layer.form.nodes[-1].output.name for layer in stage.layers]
        self._symbols = {name: f"{prefix}_rows_{first + index}" for index, name in enumerate(outputs)}
        if stage.fed is not None:
            self._symbols[stage.fed] = f"{prefix}_rows_of_input"

    def at(self, tensor: Tensor, row: str) -> str:
        """The address of row number `row` of `tensor`."""
        line = self._lines.get(tensor.name)
        if line is None:
            start, rows = self._in_arena(self._program.buffer_of(tensor.name).offset), image_rows(tensor)
            return start + (f" + {_factor(row)} * {row_bytes(tensor)}" if rows > 1 else "")
        if len(set(line.offsets)) == 1:
            return self._in_arena(self._base + line.offsets[0])
        return f"{self._arena.pointer} + {self._unit(line)} * {self._symbols[tensor.name]}[{row}]"

    def _in_arena(self, offset: int) -> str:
        return in_arena(self._program, offset)

    def _unit(self, line: Line) -> int:
        """Bytes by which the table of the line's rows counts: rows behind others may lie anywhere."""
        return _UNIT if all(offset % _UNIT == 0 for offset in self._places(line)) else 1

    def _places(self, line: Line) -> list[int]:
        """Of the line's rows in their arena."""
        return [self._base - self._arena.start + offset for offset in line.offsets]

    def tables(self) -> tuple[RowTable, ...]:
        """The tables of all rows that change their place."""
        return tuple(
            self._table(name, line) for name, line in self._lines.items() if len(set(line.offsets)) > 1
        )

    def _table(self, name: str, line: Line) -> RowTable:
        unit = self._unit(line)
        units = np.array(self._places(line)) // unit
        ctype = "uint16_t" if units.max() <= np.iinfo(np.uint16).max else "uint32_t"
        comment = f"rows of {c_comment(name, 60)}, in units of {unit} {'bytes' if unit > 1 else 'byte'}"
        return RowTable(self._symbols[name], ctype, units, comment)


def row_names(
    program: Program, step: Step, layer: StageLayer, constants: Mapping[str, str], prefix: str, first: int
) -> LayerNames:
    """The expressions that the kernel of `layer` is emitted with."""
    stage, rows = _stage(step), _Rows(program, step, _stage(step), prefix, first)
    pointers = {}
    for index, (tensor, window) in enumerate(_windows(layer)):
        place = rows.at(tensor, _times("row", window))
        pointers[tensor.name] = (
            f"x{index}"
            if window.kernel > 1 or layer.form.rows > 1
            else f"(const {c_type(tensor)} *)(const void *)({place})"
        )
    output = layer.form.nodes[-1].output
    row = "0" if layer.form.state_bytes else "row"
    pointers[output.name] = f"({c_type(output)} *)(void *)({rows.at(output, row)})"
    base = 0 if step.scratch is None else step.scratch.offset
    scratch = f"({in_arena(program, base)})" if layer.form.candidate.scratch_bytes else "NULL"
    state = "NULL" if layer.state_offset is None else f"({in_arena(program, base + layer.state_offset)})"
    assert stage.scratch_bytes == 0 or step.scratch is not None
    return LayerNames(prefix, pointers, constants, scratch, "row", state, "rows")


def turn_rows(layer: StageLayer) -> str:
    """The C that says which rows are those of number `turn` where a turn computes several."""
    height, most = image_rows(layer.form.nodes[-1].output), layer.form.rows
    if most == 1:
        return ""
    early = layer.first_rows < most
    lines = [
        f"const int32_t row = turn * {most}{f' - {most - layer.first_rows}' if early else ''};",
        f"const int32_t rows = {height} - row < {most} ? {height} - row : {most};",
    ]
    if early:
        lines = [
            f"const int32_t end = turn * {most} + {layer.first_rows};",
            f"const int32_t row = turn == 0 ? 0 : end - {most};",
            f"const int32_t rows = (end < {height} ? end : {height}) - row;",
        ]
    return "\n".join(lines)


def row_pointers(program: Program, step: Step, layer: StageLayer, prefix: str, first: int) -> str:
    """The C that finds the rows of the windows of `layer`, as arrays x0, x1 and so on."""
    rows, lines = _Rows(program, step, _stage(step), prefix, first), []
    several = layer.form.rows > 1
    for index, (tensor, window) in enumerate(_windows(layer)):
        if window.kernel == 1 and not several:
            continue
        height, span = image_rows(tensor), window.span(layer.form.rows)
        outside = [f"ky >= taken_{index}"] if several else []
        if several:
            more = window.kernel - window.stride
            taken = "rows" if window.stride == 1 else f"rows * {window.stride}"
            taken += f" {'+' if more > 0 else '-'} {abs(more)}" if more else ""
            lines.append(f"const int32_t taken_{index} = {taken};")
        outside += [] if window.pad == 0 else ["from < 0"]
        last = (image_rows(layer.form.nodes[-1].output) if several else layer.turns) - 1
        outside += [f"from >= {height}"] if window.last(last) >= height else []
        place = f"(const {c_type(tensor)} *)(const void *)({rows.at(tensor, 'from')})"
        tap = "ky" if window.dilation == 1 else f"{window.dilation} * ky"
        count = span if several else window.kernel
        lines += [
            f"const {c_type(tensor)} *x{index}[{count}];",
            f"for (int32_t ky = 0; ky < {count}; ky++) {{",
            f"    const int32_t from = {_times('row', window)} + {tap};",
            f"    x{index}[ky] = {' || '.join(outside)} ? NULL : {place};"
            if outside
            else f"    x{index}[ky] = {place};",
            "}",
        ]
    return "\n".join(lines)


def stage_source(
    program: Program,
    step: Step,
    functions: Sequence[str],
    copies: Sequence[str],
    prefix: str,
    number: int,
    first: int,
) -> StageSource:
    """The stage of `step`, number `number`, whose layers are `functions`, number `first` and the following.

    It begins with the statements `copies`.
    """
    stage = _stage(step)
    assert len(stage.layers) <= np.iinfo(np.uint8).max, "a turn's layer, or the arrival of a row, is one byte"
    held = tuple(
        f"{c_comment(line.tensor.name, 60)}: {line.held_rows} of {len(line.offsets)} rows of {line.row_bytes} bytes"
        for line in (stage.lines or {}).values()
    )
    return StageSource(
        function=f"{prefix}_stage_{number}",
        order=np.array(stage.order, np.uint8),
        order_symbol=f"{prefix}_turns_{number}",
        functions=tuple(functions),
        tables=_Rows(program, step, stage, prefix, first).tables(),
        held=held,
        copies=tuple(copies),
        fed=_fed_source(program, step, prefix, first),
        first=first,
        last=first + len(functions) - 1,
    )


def _fed_source(program: Program, step: Step, prefix: str, first: int) -> FedSource | None:
    stage = _stage(step)
    if stage.fed is None:
        return None
    assert stage.lines is not None
    tensor = stage.lines[stage.fed].tensor
    place = _Rows(program, step, stage, prefix, first).at(tensor, "row")
    return FedSource(len(stage.layers), image_rows(tensor), row_bytes(tensor), place, c_type(tensor))


def _stage(step: Step) -> StageCandidate:
    assert isinstance(step.candidate, StageCandidate)
    return step.candidate


def _windows(layer: StageLayer) -> list[tuple[Tensor, RowWindow]]:
    tensors = {tensor.name: tensor for node in layer.form.nodes for tensor in node.inputs}
    return [(tensors[name], window) for name, window in layer.form.windows.items()]


def _times(row: str, window: RowWindow) -> str:
    scaled = row if window.stride == 1 else f"{row} * {window.stride}"
    return scaled if window.pad == 0 else f"{scaled} - {window.pad}"


def _factor(expression: str) -> str:
    return expression if expression.isidentifier() or expression.isdigit() else f"({expression})"
