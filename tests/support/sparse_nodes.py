"""Layers whose weights are zero in the patterns that sparse kernels look for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeprune.graph.ir import Array, Node
from tests.support import cases
from tests.support.dsp_kernels import scaled_by, with_weights

__all__ = [
    "MASKS",
    "SPARSE",
    "SPARSE_MVE",
    "SPARSE_PORTABLE",
    "WHOLE",
    "columns",
    "of_extremes",
    "pruned",
    "singles",
    "unclamped",
]

SPARSE_PORTABLE = "conv_s8_c_indexed"
SPARSE = {
    "conv_s8_dsp_gathered",
    "conv_s8_dsp_picked",
    "conv_s8_dsp_blocks",
    "conv_s8_dsp_blocks_strips",
    "conv_s8_dsp_singles",
    "fully_connected_s8_dsp_gathered",
    "fully_connected_s8_dsp_blocks",
}
"""The families that skip zeros: for any core, and for the DSP extension."""
SPARSE_MVE = {
    "conv_s8_mve_gathered",
    "conv_s8_mve_blocks",
    "fully_connected_s8_mve_gathered",
    "fully_connected_s8_mve_blocks",
}
"""Those for Helium."""
WHOLE = (-128, 127)
Mask = Callable[[np.random.Generator, int, int], np.ndarray]


def singles(density: float) -> Mask:
    """Weights kept one by one."""
    return lambda rng, outputs, inputs: rng.random((outputs, inputs)) < density


def columns(size: int, density: float) -> Mask:
    """Inputs kept by blocks of `size` outputs, the last block being smaller; one block at most loses all."""

    def mask(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
        kept = rng.random((-(-outputs // size), inputs)) < density
        return np.repeat(kept, size, axis=0)[:outputs]

    return mask


def nothing(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """An empty layer."""
    return np.zeros((outputs, inputs), bool)


def one_weight(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """The very last weight alone."""
    mask = np.zeros((outputs, inputs), bool)
    mask[-1, -1] = True
    return mask


def one_block(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """All inputs of the first outputs, none of the others."""
    mask = np.zeros((outputs, inputs), bool)
    mask[:2] = True
    return mask


def dense_rows(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    """Density 1 but for an eighth of the rows, without whose zeros no sparse kernel is asked."""
    mask = np.ones((outputs, inputs), bool)
    mask[::8] = False
    return mask


MASKS: dict[str, Mask] = {
    "nothing": nothing,
    "one weight": one_weight,
    "one block": one_block,
    "dense rows": dense_rows,
    "shared by 16": columns(16, 0.3),
    "blocks": columns(2, 0.4),
    "unstructured": singles(0.1),
}


def pruned(node: Node, mask: Mask, rng: np.random.Generator) -> Node:
    """`node` with inputs x, w, b, and the weights that `mask` of its outputs and inputs keeps."""
    w, b = node.inputs[1].value, node.inputs[2].value
    assert w is not None
    assert b is not None
    kept = mask(rng, len(w), w[0].size).reshape(w.shape)
    return with_weights(node, np.where(kept, np.where(w == 0, 1, w), 0), b)


def of_extremes(
    rng: np.random.Generator, zero_point: int, lowest: int, inputs: tuple[int, ...]
) -> tuple[Node, dict[str, Array]]:
    """A pointwise layer whose four weights of an output are `lowest` and 127 in every way, and inputs likewise.

    The weights stand at `inputs`, the others are zero; biases are zero, and the input's zero point is `zero_point`.
    """
    node = cases.conv_node(
        rng, height=4, width=4, in_channels=8, out_channels=16, zero_point=zero_point, **cases.POINTWISE
    )
    w = np.zeros((16, 8), int)
    w[:, inputs] = [[127 if bit >> i & 1 else lowest for i in range(4)] for bit in range(16)]
    x = np.array([[127 if pixel >> (i % 4) & 1 else -128 for i in range(8)] for pixel in range(16)], np.int8)
    return with_weights(node, w.reshape(16, 1, 1, 8), np.zeros(16)), {"x": x.reshape(1, 4, 4, 8)}


def unclamped(node: Node, zero: int, real: float = 0.01) -> Node:
    """`node` with multipliers up to `real`, which need right shifts alone, and no clamp."""
    return scaled_by(node, real, zero, WHOLE)
