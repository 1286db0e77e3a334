"""Loop nests scheduled for a core with a scalar FPU of 32 registers.

Convolutions and products of matrices are made a tile of results at a time: as many sums as fit the registers, which
share the operands that are loaded for them. Weights that are constants are laid out in the order the tile reads them.
What follows a sum, as a bias or an activation function, is done to the tile on its way to memory. Padding is made for
the rows at hand only. Any other sum is made in a register where its reader wants it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeprune.graph.ir import Array
from edgeprune.tvm.tiles import column_tile, pair_tile, unrolled

__all__ = ["Packing", "Scheduled", "is_tiled", "scheduled"]

_REDUCTION = 2
"""tirx.IterVar's type of a reduction axis."""
_UNROLLED_TAPS, _UNROLLED_FILTER = 5, 9
"""Columns of a filter, and all of its taps, up to which they are written out for a tile."""

Packing = Callable[[Array], Array]
"""From a constant as the function took it to the constant as it takes it now."""


@dataclass(frozen=True, eq=False)
class Scheduled:
    """A scheduled PrimFunc, and how constants among its parameters are laid out for it, by position."""

    function: Any
    packings: Mapping[int, Packing] = field(default_factory=dict)


def scheduled(function: Any, constants: Collection[int], registers: int) -> Scheduled:
    """The PrimFunc `function`, scheduled for so many registers; its parameters `constants` may be laid out anew."""
    from tvm.s_tir import Schedule
    from tvm.s_tir.schedule import ScheduleError

    for method in (_tiled, _plain):
        schedule = Schedule(function)
        try:
            packings = method(schedule, constants, registers)
        except ScheduleError:
            continue
        if packings is not None:
            return Scheduled(schedule.mod["main"], packings)
    return Scheduled(function)


def is_tiled(function: Any) -> bool:
    """Whether the schedule of the PrimFunc `function` may depend on how many registers there are."""
    from tvm.s_tir import Schedule

    schedule = Schedule(function)
    return any(schedule.get(block).name_hint in _TILINGS for block in _blocks(schedule))


def _tiled(schedule: Any, constants: Collection[int], registers: int) -> dict[int, Packing] | None:
    """One convolution or product with what is done to its results; None where `schedule` is of anything else."""
    sums = [block for block in _blocks(schedule) if _reduces(schedule, block)]
    if len(sums) != 1:
        return None
    name = schedule.get(sums[0]).name_hint
    if name not in _TILINGS:
        return None
    _inline(schedule, but_padding=True)
    block = schedule.get_sblock(name)
    blocks = _blocks(schedule)
    padding = [b for b in blocks if not _reduces(schedule, b) and _is_padding(schedule, b)]
    results = [b for b in blocks if not _reduces(schedule, b) and not _is_padding(schedule, b)]
    result = results[0] if results else schedule.cache_write(block, 0, "global")
    if len(results) > 1 or len(padding) > 1:
        return None
    return _TILINGS[name](schedule, block, result, padding, constants, registers)


def _convolution(
    schedule: Any, block: Any, result: Any, padding: list[Any], constants: Collection[int], registers: int
) -> dict[int, Packing] | None:
    """conv2d_nchw: a tile of channels by columns, with the rows that it reads padded once for all channels."""
    n, c, y, x = schedule.get_loops(result)
    depth, rows, columns = (int(axis.dom.extent) for axis in schedule.get(block).iter_vars[4:7])
    tile = pair_tile(_extent(schedule, c), _extent(schedule, x), registers)
    outer_c, inner_c = schedule.split(c, [None, tile.rows])
    outer_x, inner_x = schedule.split(x, [None, tile.columns])
    schedule.reorder(n, y, outer_c, outer_x, inner_c, inner_x)
    schedule.compute_at(block, outer_x, preserve_unit_loops=True)
    if padding:
        schedule.compute_at(padding[0], y)
    _, tile_c, _, tile_x, over_depth, over_rows, over_columns = schedule.get_loops(block)[-7:]
    steps = unrolled(depth, tile) if rows * columns == 1 else 1
    outer, inner = schedule.split(over_depth, [None, steps])
    schedule.reorder(outer, over_rows, over_columns, inner, tile_x, tile_c)
    start = schedule.decompose_reduction(block, outer)
    if columns <= _UNROLLED_TAPS:
        schedule.unroll(over_columns)
        if rows * columns <= _UNROLLED_FILTER:
            schedule.unroll(over_rows)
    _unroll(schedule, inner, tile_c, tile_x, inner_c, inner_x, *_inside(schedule, start, outer_x))
    return _packed_filters(schedule, block, constants, tile.rows)


def _depthwise(
    schedule: Any, block: Any, result: Any, padding: list[Any], constants: Collection[int], registers: int
) -> dict[int, Packing] | None:
    """group_conv2d_nchw: with one channel a group, a row of results at a time, each channel padded by itself."""
    depth, rows, columns = (int(axis.dom.extent) for axis in schedule.get(block).iter_vars[4:7])
    if depth != 1:
        return None
    _, c, _, x = schedule.get_loops(result)
    results_a_row = _extent(schedule, x)
    inputs_a_row = int(_image(schedule, block).ty.shape[-1])
    stride = max(1, (inputs_a_row - columns) // max(1, results_a_row - 1))
    outer_x, inner_x = schedule.split(
        x, [None, column_tile(results_a_row, rows * columns, columns, stride, registers)]
    )
    schedule.compute_at(block, outer_x, preserve_unit_loops=True)
    if padding:
        schedule.compute_at(padding[0], c)
    tile_x, over_depth, over_rows, over_columns = schedule.get_loops(block)[-4:]
    schedule.reorder(over_depth, over_rows, over_columns, tile_x)
    start = schedule.decompose_reduction(block, over_depth)
    if rows * columns <= _UNROLLED_TAPS**2:
        _unroll(schedule, over_rows, over_columns)
    _unroll(schedule, tile_x, inner_x, *_inside(schedule, start, outer_x))
    return {}


def _product(
    schedule: Any, block: Any, result: Any, padding: list[Any], constants: Collection[int], registers: int
) -> dict[int, Packing] | None:
    """matmul: a tile of rows by columns; for a single row, as many columns as there are registers for."""
    loops = schedule.get_loops(result)
    axes = schedule.get(block).iter_vars
    if padding or len(loops) < 2 or len(axes) != len(loops) + 1:
        return None
    rows, columns = loops[-2:]
    tile = pair_tile(_extent(schedule, columns), _extent(schedule, rows), registers)
    outer_r, inner_r = schedule.split(rows, [None, tile.columns])
    outer_c, inner_c = schedule.split(columns, [None, tile.rows])
    schedule.reorder(outer_c, outer_r, inner_r, inner_c)
    schedule.compute_at(block, outer_r, preserve_unit_loops=True)
    tile_r, tile_c, over = schedule.get_loops(block)[-3:]
    outer, inner = schedule.split(over, [None, unrolled(int(axes[-1].dom.extent), tile)])
    schedule.reorder(outer, inner, tile_r, tile_c)
    start = schedule.decompose_reduction(block, outer)
    _unroll(schedule, inner, tile_r, tile_c, inner_r, inner_c, *_inside(schedule, start, outer_r))
    return _packed_matrix(schedule, block, constants, tile.rows)


_TILINGS: Mapping[str, Callable[..., dict[int, Packing] | None]] = {
    "conv2d_nchw": _convolution,
    "group_conv2d_nchw": _depthwise,
    "matmul": _product,
}


def _packed_filters(schedule: Any, block: Any, constants: Collection[int], rows: int) -> dict[int, Packing]:
    """Filters [O, I, kh, kw] as [O / rows, I, kh, kw, rows], where they are constants."""
    position = _constant_read(schedule, block, constants, 4)
    if position is None or rows == 1:
        return {}
    read, parameter = position
    schedule.transform_layout(block, ("read", read), lambda o, i, h, w: (o // rows, i, h, w, o % rows))
    return {parameter: lambda a: a.reshape(-1, rows, *a.shape[1:]).transpose(0, 2, 3, 4, 1).copy()}


def _packed_matrix(schedule: Any, block: Any, constants: Collection[int], columns: int) -> dict[int, Packing]:
    """A matrix [K, N] as [N / columns, K, columns], where it is a constant."""
    position = _constant_read(schedule, block, constants, 2)
    if position is None or columns == 1:
        return {}
    read, parameter = position
    if read != 1:
        return {}
    schedule.transform_layout(block, ("read", read), lambda k, n: (n // columns, k, n % columns))
    return {parameter: lambda a: a.reshape(a.shape[0], -1, columns).transpose(1, 0, 2).copy()}


def _image(schedule: Any, block: Any) -> Any:
    """The operand of a convolution that its filters move over: of its four axes, the one read first."""
    return next(region.source for region in schedule.get(block).reads if len(region.source.ty.shape) == 4)


def _constant_read(
    schedule: Any, block: Any, constants: Collection[int], rank: int
) -> tuple[int, int] | None:
    """Which of a block's operands is a constant of so many axes, and which parameter of the function that is."""
    parameters = list(schedule.mod["main"].params)
    for read, region in enumerate(schedule.get(block).reads):
        for position, parameter in enumerate(parameters):
            if parameter.same_as(region.source) and position in constants and len(parameter.ty.shape) == rank:
                return read, position
    return None


def _plain(schedule: Any, constants: Collection[int], registers: int) -> dict[int, Packing]:
    """Any function: element by element work joined, each sum in a register where that makes none twice."""
    from tvm.s_tir.schedule import ScheduleError

    _inline(schedule)
    for block in _blocks(schedule):
        if not _reduces(schedule, block):
            continue
        readers = schedule.get_consumers(block)
        alone = len(readers) == 1 and not _reduces(schedule, readers[0])
        with contextlib.suppress(ScheduleError):
            if alone and _as_often(schedule, block, readers[0]):
                schedule.compute_at(block, schedule.get_loops(readers[0])[-1], preserve_unit_loops=True)
        kinds = [axis.iter_type for axis in schedule.get(block).iter_vars]
        loops = schedule.get_loops(block)[-len(kinds) :]
        first = next((loop for loop, kind in zip(loops, kinds, strict=False) if kind == _REDUCTION), None)
        with contextlib.suppress(ScheduleError):
            if first is not None:
                schedule.decompose_reduction(block, first)
    return {}


def _inline(schedule: Any, *, but_padding: bool = False) -> None:
    """Every block without a reduction becomes part of its one reader, or of the one that it reads."""
    from tvm.s_tir.schedule import ScheduleError

    def inlined() -> bool:
        for block in _blocks(schedule):
            if _reduces(schedule, block) or len(schedule.get_consumers(block)) > 1:
                continue
            if but_padding and _is_padding(schedule, block):
                continue
            for inline in (schedule.compute_inline, schedule.reverse_compute_inline):
                with contextlib.suppress(ScheduleError):
                    inline(block)
                    return True
        return False

    while inlined():
        pass


def _is_padding(schedule: Any, block: Any) -> bool:
    """Whether `block` copies an input of a convolution and zeros around it."""
    described = schedule.get(block)
    return described.name_hint.startswith("pad_temp") and "if_then_else" in str(described.body)


def _blocks(schedule: Any) -> list[Any]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _reduces(schedule: Any, block: Any) -> bool:
    return any(axis.iter_type == _REDUCTION for axis in schedule.get(block).iter_vars)


def _extent(schedule: Any, loop: Any) -> int:
    return int(schedule.get(loop).extent)


def _inside(schedule: Any, block: Any, outer: Any) -> list[Any]:
    """The loops of `block` below the loop `outer`."""
    loops = schedule.get_loops(block)
    depth = next(i for i, loop in enumerate(loops) if schedule.get(loop).same_as(schedule.get(outer)))
    return list(loops[depth + 1 :])


def _unroll(schedule: Any, *loops: Any) -> None:
    for loop in loops:
        schedule.unroll(loop)


def _as_often(schedule: Any, block: Any, reader: Any) -> bool:
    """Whether `reader` runs once for each sum of `block`, so that none would be made twice."""
    sums = _runs(axis for axis in schedule.get(block).iter_vars if axis.iter_type != _REDUCTION)
    return sums == _runs(schedule.get(reader).iter_vars)


def _runs(axes: Iterable[Any]) -> int:
    return math.prod(int(axis.dom.extent) for axis in axes)
