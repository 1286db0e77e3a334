"""Functions for Cortex-M cores with the DSP extension that sum windows of any size over planes of halfwords.

A row of outputs is computed `columns` at a time, their sums in registers. For every kernel row the words of inputs
pass once, from left to right; each is multiplied into every sum whose window holds it, by one SMLAD where both its
inputs are neighbouring taps, and by SMLABB and its kin where only one is, at an end or with dilation. Weights are
pairs of halfwords 2*w, so that sums are twice the accumulator: |accumulator| < 2**23 and |2*w| <= 256 leave room in
both words. Which inputs and weights are in which register, and when they are loaded, is decided here: a value gives
way to another when it is the one whose next use is farthest (Belady), and neighbours wanted soon are loaded as two.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeprune.kernels._dsp_planes import Axis, Planes

__all__ = ["LARGEST_STRIDE", "LARGEST_WINDOW", "Pair", "Window", "weight_halves", "weight_pairs", "window_of"]

LARGEST_STRIDE, LARGEST_WINDOW = 256, 512
"""Inputs from an output to the next and from first tap to last: offsets in a row stay within what loads reach."""
_LOOP_BYTES = 800
"""What the code of a row may take: with a little more it has to stay within a flash cache of 1 KB."""
_REACH, _PAIR_REACH = 4095, 1020
"""The largest offsets of a load and of a load of two words."""
_POOL = ("r3", "r12", "lr", "r11", "r10", "r9", "r8", "r7", "r6", "r5")
"""Registers for inputs and weights; sums take r4 and those after it."""

Pair = tuple[int, int | None]
_Value = tuple[str, int]
"""What a register holds: a word of inputs "x" or of weights "w", by its place in the plane or table."""


@dataclass(frozen=True)
class Window:
    """The code for a row of outputs: `tiles` times that of `columns` outputs, `tile`, then that of the rest, `tail`.

    Code is lines of assembly with r0 at the inputs, r1 at the channel's table, r2 at the outputs; sums are in r4 and
    after it. `next_row` moves on to the next row. The table holds the initial sum twice, the pairs of weights of each
    kernel row, multiplier, offset and shift. `instructions` are those of a row.
    """

    columns: int
    tiles: int
    tile: tuple[str, ...]
    tail: tuple[str, ...]
    next_row: tuple[str, ...]
    instructions: int

    @property
    def code_bytes(self) -> int:
        """About what a row's code takes."""
        return 4 * (len(self.tile) + len(self.tail) + len(self.next_row))


@dataclass(frozen=True)
class _Product:
    """One instruction: adds a word of inputs times one of weights to a sum; `halves` of each where a tap is alone."""

    column: int
    inputs: int
    weights: int
    halves: str


def weight_pairs(axis: Axis) -> tuple[Pair, ...]:
    """The taps of a kernel row that share a word of weights."""
    starts = (0, 1) if axis.stride % 2 and axis.outputs > 1 else (0,)
    paired = {tap for start in starts for tap, both in _taps(axis, start) if both}
    covered = {tap + half for tap in paired for half in (0, 1)}
    alone = [tap for tap in range(axis.kernel) if tap not in covered]
    rest: list[Pair] = [(pair[0], pair[1] if len(pair) > 1 else None) for pair in _by_two(alone)]
    return tuple(sorted([*((tap, tap + 1) for tap in paired), *rest], key=lambda pair: pair[0]))


def weight_halves(axis: Axis) -> list[int]:
    """For each tap the place of a halfword that holds its weight, among those of its kernel row."""
    places = {tap: 2 * i + half for i, pair in enumerate(weight_pairs(axis)) for half, tap in enumerate(pair)}
    return [places[tap] for tap in range(axis.kernel)]


@functools.lru_cache(maxsize=256)
def window_of(planes: Planes, kind: str) -> Window:
    """The code of the fewest instructions for a row of `planes`.

    `kind` is that of the scaling, "positive" or "fast", or "sums" to store the sums as they are.
    """
    along = planes.along
    widths = [
        n for n in (4, 3, 2, 1) if n == along.outputs or (n < along.outputs and n * along.stride % 2 == 0)
    ]
    coders = [
        _Coder(planes, kind, unrolled) for unrolled in (True, False) if not unrolled or _can_unroll(planes)
    ]
    windows = [coder.window(columns) for coder in coders for columns in widths]
    short = [window for window in windows if window.code_bytes <= _LOOP_BYTES]
    return min(short or windows[-1:], key=lambda window: window.instructions)


def _can_unroll(p: Planes) -> bool:
    """Whether loads reach the inputs and weights of all kernel rows, and their code may be short enough."""
    rows = p.across.kernel
    inputs = 4 * p.row_words * p.across.dilation * (rows - 1) + 2 * (4 * p.along.stride + p.along.window)
    pairs = rows * len(weight_pairs(p.along))
    return inputs <= _REACH and 4 * pairs <= _LOOP_BYTES


def _taps(axis: Axis, start: int) -> Iterable[tuple[int, bool]]:
    """The taps of a window that starts at input `start`, and whether each is multiplied along with the next."""
    tap = 0
    while tap < axis.kernel:
        both = axis.dilation == 1 and (start + tap) % 2 == 0 and tap + 1 < axis.kernel
        yield tap, both
        tap += 1 + both


def _by_two(taps: Sequence[int]) -> list[Sequence[int]]:
    return [taps[i : i + 2] for i in range(0, len(taps), 2)]


@dataclass(frozen=True)
class _Coder:
    """Writes the code of tiles of any width; kernel rows are one after the other if `unrolled`, else in a loop."""

    planes: Planes
    kind: str
    unrolled: bool

    def window(self, columns: int) -> Window:
        """The code of a row by tiles of `columns` outputs."""
        p = self.planes
        tiles, rest = divmod(p.along.outputs, columns)
        if not rest and tiles == 1:
            tiles, rest = 0, columns
        tile, tile_count = self._tile(columns, followed=True) if tiles else ([], 0)
        tail, tail_count = self._tile(rest, followed=False) if rest else ([], 0)
        step = 2 * columns * p.along.stride
        next_row = [*_add("r0", 4 * p.row_words * p.across.stride - tiles * step)]
        if self.kind != "sums":
            next_row += _add("r2", p.across.output_step - p.along.outputs * p.along.output_step)
        turns = 2 + (tile_count + 3) * tiles if tiles > 1 else tile_count
        count = turns + tail_count + len(next_row) + 4
        return Window(columns, tiles, tuple(tile), tuple(tail), tuple(next_row), count)

    def _tile(self, columns: int, *, followed: bool) -> tuple[list[str], int]:
        """The code of `columns` outputs, at whose end r0 is at the next tile if it is `followed`; its instructions."""
        p = self.planes
        rows, words = p.across.kernel, len(weight_pairs(p.along))
        gap = 4 * p.row_words * p.across.dilation
        sums = [f"r{4 + column}" for column in range(columns)]
        lines = _load_bias(sums)
        pool = [register for register in _POOL if register not in sums]
        if self.unrolled or rows == 1:
            products = [q for row in range(rows) for q in self._products(columns, row, gap // 4, words)]
            lines += _multiplied(products, pool)
            count, constants, moved = len(lines), 8 + 4 * rows * words, 0
        else:
            pool.remove("r3")
            body = _multiplied(self._products(columns, 0, 0, 0), pool)
            body += [*_add("r0", gap), *_add("r1", 4 * words), "subs r3, r3, #1", "bne 5b"]
            back = _add("r0", -gap * rows)
            lines += [f"movw r3, #{rows}", "5:", *body, *back]
            count = len(lines) - 1 + (rows - 1) * len(body)
            constants, moved = 8, 4 * words * rows
        end = self._scaled(sums, constants) if self.kind != "sums" else _stored(sums)
        end += _add("r1", -moved)
        end += _add("r0", 2 * columns * p.along.stride) if followed else []
        return lines + end, count + len(end)

    def _products(self, columns: int, row: int, gap_words: int, row_weights: int) -> list[_Product]:
        """Those of one kernel row, inputs from left to right."""
        along = self.planes.along
        pairs = weight_pairs(along)
        halves_of = weight_halves(along)
        found = []
        for column in range(columns):
            start = column * along.stride
            for tap, both in _taps(along, start):
                place = start + tap * along.dilation
                weights, half = divmod(halves_of[tap], 2)
                if both:
                    weights = pairs.index((tap, tap + 1))
                halves = "" if both else "bt"[place % 2] + "bt"[half]
                found.append(
                    _Product(column, row * gap_words + place // 2, row * row_weights + weights, halves)
                )
        return sorted(found, key=lambda product: (product.inputs, -product.column))

    def _scaled(self, sums: list[str], constants: int) -> list[str]:
        """Requantises the sums by the constants at that offset of the table, and stores them: see `_dsp.Scaling`.

        "fast" takes 1 from the products h of negative sums rather than from negative h. That differs where a
        negative sum has h = 0, and there (offset - 1) >> n = offset >> n = zero: offset = 2**(n - 1) + zero * 2**n.
        """
        step = self.planes.along.output_step
        lines = [*_load_two("r3", "r12", "r1", constants), f"ldr lr, [r1, #{constants + 8}]"]
        for value in sums:
            if self.kind == "positive":
                lines.append(f"smmlar {value}, {value}, r3, r12")
            else:
                lines += [f"smmlar r8, {value}, r3, r12", f"add {value}, r8, {value}, asr #31"]
            lines += [f"asr {value}, {value}, lr", f"ssat {value}, #8, {value}"]
        if step * (len(sums) - 1) <= _REACH:
            lines += [f"strb {value}, [r2, #{column * step}]" for column, value in enumerate(sums)]
            return [*lines, *_add("r2", len(sums) * step)]
        lines += _constant("r3", step)
        for value in sums:
            lines += [f"strb {value}, [r2]", "add r2, r2, r3"]
        return lines


def _multiplied(products: list[_Product], pool: list[str]) -> list[str]:
    """The products, and before them the loads they need into registers of `pool`."""
    uses: dict[_Value, list[int]] = {}
    for position, product in enumerate(products):
        for value in (("x", product.inputs), ("w", product.weights)):
            uses.setdefault(value, []).append(position)
    held: dict[_Value, str] = {}
    lines = []
    for position, product in enumerate(products):
        operands = (("x", product.inputs), ("w", product.weights))
        for operand in operands:
            if operand not in held:
                lines += _loaded(operand, operands, position, uses, held, pool)
        inputs, weights = held[operands[0]], held[operands[1]]
        total = f"r{4 + product.column}"
        lines.append(f"smla{product.halves or 'd'} {total}, {inputs}, {weights}, {total}")
    return lines


def _loaded(
    value: _Value,
    operands: tuple[_Value, _Value],
    position: int,
    uses: dict[_Value, list[int]],
    held: dict[_Value, str],
    pool: list[str],
) -> list[str]:
    """Loads `value`, with a neighbour where that is wanted sooner than what it replaces; updates `held`."""

    def next_use(other: _Value) -> int:
        return next((use for use in uses.get(other, ()) if use >= position), len(pool) << 20)

    def room() -> list[tuple[int, str]]:
        """Registers by when they are wanted again, never first."""
        wanted = {register: next_use(other) for other, register in held.items()}
        kept = {held[operand] for operand in operands if operand in held}
        found = [
            (wanted.get(register, len(pool) << 20), register) for register in pool if register not in kept
        ]
        return sorted(found, key=lambda entry: -entry[0])

    def hold(other: _Value, register: str) -> str:
        for replaced in [old for old, its in held.items() if its == register]:
            del held[replaced]
        held[other] = register
        return register

    (_, register), *more = room()
    base, offset = ("r0", 4 * value[1]) if value[0] == "x" else ("r1", 8 + 4 * value[1])
    for neighbour in ((value[0], value[1] + 1), (value[0], value[1] - 1)):
        if neighbour in held or not more or next_use(neighbour) >= more[0][0]:
            continue
        first, second = hold(value, register), hold(neighbour, more[0][1])
        if neighbour < value:
            first, second, offset = second, first, offset - 4
        return _load_two(first, second, base, offset)
    return [f"ldr {hold(value, register)}, [{base}, #{offset}]"]


def _load_bias(sums: list[str]) -> list[str]:
    pairs = [sums[i : i + 2] for i in range(0, len(sums), 2)]
    return [f"ldrd {pair[0]}, {pair[1]}, [r1]" if len(pair) > 1 else f"ldr {pair[0]}, [r1]" for pair in pairs]


def _load_two(first: str, second: str, base: str, offset: int) -> list[str]:
    if offset <= _PAIR_REACH:
        return [f"ldrd {first}, {second}, [{base}, #{offset}]"]
    return [f"ldr {first}, [{base}, #{offset}]", f"ldr {second}, [{base}, #{offset + 4}]"]


def _stored(sums: list[str]) -> list[str]:
    return [f"stmia r2!, {{{', '.join(sums)}}}"] if len(sums) > 1 else ["str r4, [r2], #4"]


def _constant(register: str, value: int) -> list[str]:
    high = [f"movt {register}, #{value >> 16}"] if value >> 16 else []
    return [f"movw {register}, #{value & 0xFFFF}", *high]


def _add(register: str, value: int) -> list[str]:
    """Adds a constant of any sign; a large one goes through r12."""
    if not value:
        return []
    name = "add" if value > 0 else "sub"
    if abs(value) <= _REACH:
        return [f"{name}w {register}, {register}, #{abs(value)}"]
    return [*_constant("r12", abs(value)), f"{name} {register}, {register}, r12"]
