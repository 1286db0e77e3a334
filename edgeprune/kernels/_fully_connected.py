"""What the kernels of fully connected layers share: which nodes are one, and how they look as a matrix."""

from __future__ import annotations

import math

from edgeprune.graph.ir import Node
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["as_pointwise", "is_fully_connected", "matrix_shape", "row_count"]


def is_fully_connected(node: Node) -> bool:
    """Whether `node` multiplies rows with one matrix: FullyConnected, or a Conv whose window is the image."""
    if node.op == "FullyConnected":
        return True
    if node.op != "Conv" or node.int("group") != 1:
        return False
    g = conv_geometry(node)
    return not g.is_padded and g.batch == 1 and g.taps == node.inputs[0].elements


def matrix_shape(node: Node) -> tuple[int, int]:
    """Outputs and inputs of the matrix of weights."""
    shape = node.inputs[1].shape
    return shape[0], math.prod(shape[1:])


def row_count(node: Node) -> int:
    """Rows that are multiplied with the matrix."""
    return node.inputs[0].elements // matrix_shape(node)[1]


def as_pointwise(node: Node) -> ConvGeometry:
    """The rows of `node` as the pixels of an image one pixel high."""
    rows, (outputs, inputs) = row_count(node), matrix_shape(node)
    return ConvGeometry(
        batch=1,
        in_height=1,
        in_width=rows,
        in_channels=inputs,
        out_height=1,
        out_width=rows,
        out_channels=outputs,
        kernel_height=1,
        kernel_width=1,
        stride_height=1,
        stride_width=1,
        dilation_height=1,
        dilation_width=1,
        pad_top=0,
        pad_left=0,
        pad_bottom=0,
        pad_right=0,
        group=1,
    )
