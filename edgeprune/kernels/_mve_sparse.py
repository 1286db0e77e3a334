"""Blocks of output channels that share inputs, as Helium's sparse kernels read them.

Of a block of outputs the inputs that any of them has a weight for are gathered: VLDRB takes 16 bytes from wherever a
vector of offsets says. So they lie side by side, whole vectors of them, and the dense kernels' functions multiply them
with weights packed as theirs. A vector is filled up with input 0 and weights of zero, and a block keeps at least one.

The stream holds for each block how many steps the products take and how many groups of outputs there are, the offsets
of its inputs, in bytes where all inputs of a window are within 256, in halfwords otherwise, and the dense stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _mve
from edgeprune.kernels._fully_connected import is_fully_connected, row_count
from edgeprune.kernels._mve_cost import Work
from edgeprune.kernels._sparsity import OutputBlock, output_blocks, place_type, weight_rows
from edgeprune.kernels.base import Function
from edgeprune.templating import render

__all__ = ["HEAD_BYTES", "SharedInputs", "gather_function", "gather_work", "sparse_row"]

HEAD_BYTES = 8
"""Of a block: steps and groups."""


@dataclass(frozen=True)
class SharedInputs:
    """The outputs of a layer of `taps` inputs in blocks of `size`, each with the inputs that it keeps."""

    taps: int
    size: int
    blocks: tuple[OutputBlock, ...]

    @staticmethod
    def of(rows: Array, size: int) -> SharedInputs:
        """Of weights [out, K]."""
        return SharedInputs(rows.shape[1], size, output_blocks(rows, size, 1))

    @property
    def vectors(self) -> tuple[int, ...]:
        """That hold each block's inputs, at least one."""
        return tuple(max(1, -(-len(kept) // _mve.LANES)) for *_, kept in self.blocks)

    @property
    def outputs(self) -> tuple[int, ...]:
        """Of each block."""
        return tuple(end - first for first, end, _ in self.blocks)

    @property
    def place_bytes(self) -> int:
        """Of an input's offset."""
        return np.dtype(place_type(self.taps)).itemsize

    @property
    def gathered_bytes(self) -> int:
        """Of the largest block's inputs."""
        return _mve.LANES * max(self.vectors)

    @property
    def density(self) -> float:
        """Share of the weights that are stored, at most 1."""
        stored = sum(n * v for n, v in zip(self.outputs, self.vectors, strict=True)) * _mve.LANES
        return min(1.0, stored / (self.taps * self.blocks[-1][1]))

    def stream_bytes(self, together: int) -> int:
        """Flash of `stream`."""
        return sum(
            HEAD_BYTES + _mve.LANES * vectors * self.place_bytes
            + _mve.stream_bytes(outputs, _mve.LANES * vectors, together)
            for outputs, vectors in zip(self.outputs, self.vectors, strict=True)
        )  # fmt: skip

    def stream(self, rows: Array, starts: Array, together: int, steps: tuple[int, ...]) -> Array:
        """Weights `rows` [out, K] and initial sums [out], by so many outputs at a time: int8."""
        return np.concatenate(list(self._parts(rows, starts, together, steps)))

    def _parts(
        self, rows: Array, starts: Array, together: int, steps: tuple[int, ...]
    ) -> Iterator[npt.NDArray[np.int8]]:
        for (first, end, kept), vectors, step in zip(self.blocks, self.vectors, steps, strict=True):
            inputs = np.pad(kept, (0, _mve.LANES * vectors - len(kept)))
            own = rows[first:end][:, inputs]
            own[:, len(kept) :] = 0
            yield np.array([step, -(-(end - first) // together)], "<i4").view(np.int8)
            yield inputs.astype(np.dtype(place_type(self.taps)).newbyteorder("<")).view(np.int8)
            yield _mve.interleaved_stream(own, starts[first:end], together)


def sparse_row(nodes: tuple[Node, ...], device: Device) -> Array | None:
    """The weights [outputs, K] of the one of `nodes`, a single row times a matrix, where zeros may pay."""
    if not device.mve or len(nodes) != 1 or not is_fully_connected(nodes[0]) or row_count(nodes[0]) > 1:
        return None
    return weight_rows(nodes[0])


def gather_function(prefix: str, place_bytes: int) -> Function:
    """The function that lays inputs of windows next to each other."""
    name = f"{prefix}_mve_gather{'' if place_bytes == 1 else '_wide'}"
    values = {"part": "gather", "prefix": prefix, "name": name, "wide": place_bytes > 1}
    return Function(name, render("kernels/_mve_sparse.j2", values))


def gather_work(windows: int, vectors: int, place_bytes: int) -> Work:
    """Of `windows` windows' inputs: a load of offsets, a gather, which has an access for each byte, and a store."""
    return windows * Work((12 if place_bytes == 1 else 16) * vectors, 6) + Work(scalar=25)
