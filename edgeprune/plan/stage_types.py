"""What a stage is as a value: a candidate with its layers, their turns, and where rows lie (see `plan.stage`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.graph.ir import Tensor
from edgeprune.kernels.base import Candidate, RowForm

__all__ = ["STAGE", "Line", "StageCandidate", "StageLayer"]

STAGE = "stage"
"""The family of stages, which run kernels of other families."""


@dataclass(frozen=True, eq=False)
class Line:
    """The rows of a tensor between two layers: offset in the stage's scratch by row."""

    tensor: Tensor
    row_bytes: int
    offsets: tuple[int, ...]
    held_rows: int
    """Rows in use at one time, at most."""


@dataclass(frozen=True, eq=False)
class StageLayer:
    """A layer of a stage, which runs `turns` times.

    The first turn computes `first_rows` rows, the others as many as the form does in one, the last what is left.

    In the stage's scratch lie, at `state_offset`, its sums, where it keeps such, and at `copy_offset` the copy of its
    constants, where its candidate is staged.
    """

    form: RowForm
    turns: int
    state_offset: int | None = None
    copy_offset: int | None = None
    first_rows: int = 1

    def rows_of(self, turn: int) -> tuple[int, int]:
        """The first row that `turn` computes, and the one after its last, perhaps below the image."""
        end = self.first_rows + turn * self.form.rows
        return max(0, end - self.form.rows), end


@dataclass(frozen=True, eq=False)
class StageCandidate(Candidate):
    """A way to run `nodes` as a stage: `order` names the layer of each turn, each layer taking its rows in order.

    The rows of the input `fed` are no tensor of the arena but handed over by the caller, one at a turn of number n of n
    layers.
    """

    layers: tuple[StageLayer, ...] = ()
    lines: Mapping[str, Line] | None = None
    order: tuple[int, ...] = ()
    fed: str | None = None

    @property
    def activation_inputs(self) -> tuple[str, ...]:
        """Without the one whose rows are handed over."""
        return tuple(name for name in super().activation_inputs if name != self.fed)
