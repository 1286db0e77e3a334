"""Convolutions with the sum behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeprune.graph.ir import Node, Quant, Tensor
from tests.support import cases
from tests.support.host_kernel import random_stored

__all__ = ["stored", "with_add"]


def with_add(
    rng: np.random.Generator,
    conv: Node,
    op: str = "Add",
    *,
    first: bool = True,
    shortcut: Tensor | None = None,
    clamp: tuple[int, int] = (-128, 127),
) -> tuple[Node, Node]:
    """`conv` with the output c, and the Add or Sub of it and `shortcut`, by default a new input s."""
    c = replace(conv.output, name="c")
    s = shortcut or cases.activation(rng, "s", c.shape)
    scale = float(np.float32((c.scale + s.scale) * rng.uniform(0.4, 1.2)))
    y = Tensor("y", c.shape, "int8", Quant.per_tensor(scale, int(rng.integers(-128, 128))))
    add = Node(op, "add", (c, s) if first else (s, c), (y,), {"clamp": clamp})
    return replace(conv, outputs=(c,)), add


def stored(rng: np.random.Generator, nodes: tuple[Node, Node]) -> dict[str, np.ndarray]:
    """Random values for the inputs of both, extremes included."""
    tensors = {t.name: t for node in nodes for t in node.inputs if t.value is None and t.name != "c"}
    return {name: random_stored(rng, tensor.shape) for name, tensor in tensors.items()}
