"""How large a tile of results is made at a time: as many sums as registers hold, for the fewest loads per product."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["REGISTERS", "Tile", "column_tile", "divisors", "pair_tile", "unrolled"]

REGISTERS = (32, 26, 20)
"""How many a tile may count on: those of the core, and fewer."""
_LOOP_INSTRUCTIONS = 4
_MOST_ROWS = 16
_PRODUCTS_IN_A_LOOP = 160
"""Code for more would gain nothing: the loop around it is then a few percent."""


@dataclass(frozen=True)
class Tile:
    """`rows` operands of one side, each multiplied with each of `columns` of the other."""

    rows: int
    columns: int

    @property
    def registers(self) -> int:
        """The sums, one side's operands, and one operand of the other side at a time."""
        return self.rows * self.columns + min(self.rows, self.columns) + 1

    @property
    def instructions_per_product(self) -> float:
        products = self.rows * self.columns
        return (products + self.rows + self.columns + _LOOP_INSTRUCTIONS) / products


def divisors(extent: int, most: int) -> list[int]:
    """Of `extent`, up to `most`."""
    return [size for size in range(1, min(extent, most) + 1) if extent % size == 0]


def pair_tile(rows: int, columns: int, registers: int) -> Tile:
    """The tile that takes the fewest instructions a product, of those that divide `rows` by `columns` results.

    It keeps within `registers`: a compiler that loads ahead may run out of the core's before the tile does.
    """
    tiles = [Tile(r, c) for r in divisors(rows, _MOST_ROWS) for c in divisors(columns, _MOST_ROWS)]
    fitting = [tile for tile in tiles if tile.registers <= registers]
    return min(fitting, key=lambda tile: (tile.instructions_per_product, tile.rows))


def column_tile(results: int, taps: int, columns: int, stride: int, registers: int) -> int:
    """How many of a row's `results` a depthwise filter makes at a time, its taps and a row of inputs in registers."""
    sizes = divisors(results, _MOST_ROWS)
    return max(n for n in sizes if n == 1 or n + (n - 1) * stride + columns + min(taps, 9) <= registers - 3)


def unrolled(steps: int, tile: Tile) -> int:
    """How many of `steps` are written out, so that the loop around them weighs little."""
    most = max(1, _PRODUCTS_IN_A_LOOP // (tile.rows * tile.columns))
    return max(divisors(steps, min(most, 8)))
