"""The graph's values: five small frozen types carry a network from ONNX to C; three of them live here.

Conventions of the IR, which every operator, pass and kernel may rely on:

* Tensors are identified by name; names are unique in a graph.
* Spatial operators are channel-last: images are N, H, W, C with N = 1; a 1-D signal is N, 1, L, C inside
  convolutions and pools. Weights of Conv are [out, kh, kw, in / group].
* uint8 is the image that a library takes as bytes: a graph input without scale, which FromBytes reads.
* int8 activations carry one scale and one zero point; int8 weights one scale per output channel and zero
  points of 0. A bias is int32 at scale input * weight[channel].
* A node lists every input its operator defines; optional inputs that ONNX allows to be absent are made
  explicit by the importer (a missing bias is zeros).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "DTYPES",
    "AttributeValue",
    "Attributes",
    "Frames",
    "Graph",
    "Node",
    "Quant",
    "Shape",
    "State",
    "Tensor",
    "freeze",
]

Shape: TypeAlias = tuple[int, ...]
AttributeValue: TypeAlias = int | float | str | bytes | tuple[int, ...] | tuple[float, ...]
Attributes: TypeAlias = Mapping[str, AttributeValue]
Array: TypeAlias = npt.NDArray[Any]

DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {name: np.dtype(name) for name in ("int8", "uint8", "int16", "int32", "int64", "float32", "bool")}
)


@dataclass(frozen=True)
class Quant:
    """Affine quantisation: real = scale * (stored - zero_point).

    `scale` and `zero_point` have one entry (per tensor, `axis` None) or one per index along `axis`.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    @staticmethod
    def per_tensor(scale: float, zero_point: int) -> Quant:
        return Quant((float(scale),), (int(zero_point),))


@dataclass(frozen=True, eq=False)
class Tensor:
    """A named value of the graph: an activation, or a constant when `value` is set (then read-only)."""

    name: str
    shape: Shape
    dtype: str
    quant: Quant | None = None
    value: Array | None = None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * DTYPES[self.dtype].itemsize

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantised tensor."""
        assert self.quant is not None and self.quant.axis is None, self.name
        return self.quant.scale[0]

    @property
    def zero_point(self) -> int:
        """The zero point of a per-tensor quantised tensor."""
        assert self.quant is not None and self.quant.axis is None, self.name
        return self.quant.zero_point[0]


@dataclass(frozen=True, eq=False)
class Node:
    """One operator application. `name` is the layer's qualified name, kept from the model to C and report."""

    op: str
    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attrs: Attributes = field(default_factory=dict)

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    def ints(self, key: str) -> tuple[int, ...]:
        """The attribute `key` as a tuple of integers."""
        value = self.attrs[key]
        assert isinstance(value, tuple), (self.name, key)
        return tuple(int(item) for item in value)

    def int(self, key: str) -> int:
        """The attribute `key` as an integer."""
        value = self.attrs[key]
        assert isinstance(value, int), (self.name, key)
        return value


@dataclass(frozen=True, eq=False)
class State:
    """What lasts from one run to the next: a run reads `before`, and leaves `after`, which is the next run's `before`.

    Both have one shape, type and quantisation; neither is among the graph's inputs and outputs for its own sake.
    """

    before: Tensor
    after: Tensor

    @property
    def zero(self) -> int:
        """The stored value of the real number 0, which a reset leaves."""
        return 0 if self.before.quant is None else self.before.zero_point


@dataclass(frozen=True)
class Frames:
    """What a run takes and gives of the sequence that the model takes at once, `steps` frames long.

    `axes` has, for each input and output that has frames, the model's axis (its batch axis counted) of which a run has
    one position. An output without is what the model gives for a sequence that ends with the run's frame.
    """

    steps: int
    axes: Mapping[str, int]
    late: Mapping[str, int] = field(default_factory=dict)
    """For outputs that begin later than the sequence, in the model, how many frames later."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in a valid execution order, with the graph's inputs and outputs, and what it keeps between runs.

    `layouts` maps an input's or output's name to the permutation from the model's axes to the library's
    (a channel-first image that the library takes channel-last has (0, 2, 3, 1)); absent means unchanged.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layouts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    states: tuple[State, ...] = ()
    frames: Frames | None = None

    @property
    def state_bytes(self) -> int:
        """Bytes that last between runs."""
        return sum(state.before.bytes for state in self.states)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor once: inputs, then node by node."""
        seen: set[str] = set()
        befores = tuple(state.before for state in self.states)
        groups = [self.inputs, befores, *(node.inputs + node.outputs for node in self.nodes), self.outputs]
        for tensor in (tensor for group in groups for tensor in group):
            if tensor.name not in seen:
                seen.add(tensor.name)
                yield tensor

    def producers(self) -> dict[str, Node]:
        """The node that computes each tensor, by tensor name."""
        return {tensor.name: node for node in self.nodes for tensor in node.outputs}

    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each tensor, in order, by tensor name."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(tensor.name for tensor in node.inputs):
                readers.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}


def freeze(array: Array) -> Array:
    """A read-only, contiguous copy of `array`, as `Tensor.value` wants it."""
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy
