"""Words of four inputs that a few outputs have weights for, as Helium's sparse kernels read them.

VLDRW gathers four words from wherever a vector of places says: 16 inputs, four accesses, one for each beat, so that it
takes no longer than a load in one piece. So the kernels pick their inputs where they lie, and those that no weight is
left for cost nothing. Windows and inputs start at multiples of four bytes and words are whole: channels, or inputs of
a row, are a multiple of four. (Activations are aligned so by every plan; a distance to the input is rounded up.)

The stream holds for each group of outputs their initial sums, the number of records, and these: the places of four
words, counted in words from the window's start, in bytes where they are within 256 and halfwords otherwise, then 16
weights of each output. A last record is filled up with place 0 and weights of zero. Behind the last record there are
as many bytes as the next one's first loads would take, because these are before the loop's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprune.graph.ir import Array
from edgeprune.kernels import _mve
from edgeprune.kernels._sparsity import kept_words, place_type

__all__ = ["LARGEST_INPUTS", "WORD", "SharedWords"]

WORD = 4
"""Inputs of a word, and words of a record."""
LARGEST_INPUTS = 1 << 16
"""Whose words a halfword reaches."""
_AHEAD_BYTES = 24
"""Behind the last record: places and weights of one output, up to 8 and 16 bytes."""


@dataclass(frozen=True)
class SharedWords:
    """The words that each group of `together` outputs of a layer keeps; the last group is filled up with no weights."""

    together: int
    outputs: int
    words: tuple[npt.NDArray[np.int64], ...]
    count: int
    """Of the words of a window."""

    @staticmethod
    def of(rows: Array, together: int) -> SharedWords:
        """Of weights [out, K], K a multiple of four."""
        whole = np.pad(rows, ((0, -len(rows) % together), (0, 0)))
        words = tuple(np.flatnonzero(kept) for kept in kept_words(whole, together))
        return SharedWords(together, len(rows), words, rows.shape[1] // WORD)

    @property
    def records(self) -> tuple[int, ...]:
        """Of each group."""
        return tuple(-(-len(words) // WORD) for words in self.words)

    @property
    def place_bytes(self) -> int:
        """Of a word's place."""
        return np.dtype(place_type(self.count)).itemsize

    @property
    def density(self) -> float:
        """Share of the weights that are stored, at most 1."""
        stored = _mve.LANES * self.together * sum(self.records)
        return min(1.0, stored / (self.outputs * self.count * WORD))

    @property
    def stream_bytes(self) -> int:
        """Flash of `stream`."""
        record = WORD * self.place_bytes + _mve.LANES * self.together
        return (4 * self.together + 4) * len(self.words) + record * sum(self.records) + _AHEAD_BYTES

    def stream(self, rows: Array, starts: Array) -> Array:
        """Weights `rows` [out, K] and initial sums [out]: int8."""
        return np.concatenate([*self._parts(rows, starts), np.zeros(_AHEAD_BYTES, np.int8)])

    def _parts(self, rows: Array, starts: Array) -> Iterator[npt.NDArray[np.int8]]:
        missing = -len(rows) % self.together
        groups = np.pad(rows, ((0, missing), (0, 0))).reshape(-1, self.together, self.count, WORD)
        sums = np.pad(starts, (0, missing)).reshape(-1, self.together)
        places_type = np.dtype(place_type(self.count)).newbyteorder("<")
        for group, start, words, records in zip(groups, sums, self.words, self.records, strict=True):
            places = np.pad(words, (0, WORD * records - len(words)))
            own = group[:, places]
            own[:, len(words) :] = 0
            own = own.reshape(self.together, records, _mve.LANES).transpose(1, 0, 2)
            yield np.array([*start, records], "<i4").view(np.int8)
            at = places.astype(places_type).view(np.int8).reshape(records, WORD * self.place_bytes)
            yield np.concatenate([at, own.reshape(records, self.together * _mve.LANES)], axis=1).ravel()
