"""Where the elements of a resized axis lie in the input: ONNX's coordinate modes, in float32 as ONNX Runtime."""

from __future__ import annotations

import numpy as np

from edgeprune.graph.ir import Array

__all__ = ["NEAREST_MODES", "WEIGHT_BITS", "linear_weights", "nearest_indices", "positions"]

WEIGHT_BITS = 11
NEAREST_MODES = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def positions(length: int, resized: int, scale: float | None, coordinates: str) -> Array:
    """The position in an input of `length` elements of each of `resized` outputs: float32 [resized].

    Args:
        length: elements of the input.
        resized: elements of the output.
        scale: resized / length as the model states it; None to compute it.
        coordinates: ONNX's coordinate_transformation_mode.

    Raises:
        KeyError: an unknown mode.
    """
    i, ratio, half = (
        np.arange(resized, dtype=np.float32),
        np.float32(scale or resized / length),
        np.float32(0.5),
    )
    if resized == length and ratio == 1:
        return i
    if coordinates == "pytorch_half_pixel":
        coordinates = "half_pixel" if resized > 1 else "align_corners"
    if coordinates == "asymmetric":
        return i / ratio
    if coordinates == "half_pixel":
        return (i + half) / ratio - half
    if coordinates == "align_corners":
        return i * np.float32(length - 1) / np.float32(max(resized - 1, 1))
    if coordinates == "half_pixel_symmetric":
        adjustment = np.float32(resized) / (ratio * np.float32(length))
        return np.float32(length / 2) * (1 - adjustment) + (i + half) / ratio - half
    if coordinates == "tf_half_pixel_for_nn":
        return (i + half) / ratio
    raise KeyError(coordinates)


def nearest_indices(position: Array, length: int, rounding: str) -> tuple[int, ...]:
    """The input index nearest to each position by ONNX's nearest_mode `rounding`."""
    half = np.float32(0.5)
    below, above = np.ceil(position - half), np.floor(position + half)
    rounded = dict(zip(NEAREST_MODES, (below, above, np.floor(position), np.ceil(position)), strict=True))
    return tuple(int(index) for index in np.clip(rounded[rounding], 0, length - 1))


def linear_weights(position: Array, length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each position the index at or below it, and the weight of the next in 2**-11; 0 at the last index."""
    inside = np.clip(position.astype(np.float64), 0, length - 1)
    index = np.floor(inside)
    weight = np.rint((inside - index) * 2**WEIGHT_BITS)
    carried = weight == 2**WEIGHT_BITS
    index, weight = np.where(carried, index + 1, index), np.where(carried, 0, weight)
    return tuple(int(value) for value in index), tuple(int(value) for value in weight)
