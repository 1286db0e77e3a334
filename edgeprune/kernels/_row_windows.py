"""What kernels that run by rows share: the window of a convolution, and costs of all rows from those of one."""

from __future__ import annotations

from edgeprune.graph.ir import Node
from edgeprune.kernels import add_s8_dsp
from edgeprune.kernels._dsp_conv import Cost
from edgeprune.kernels._operands import sum_shortcut
from edgeprune.kernels.base import RowWindow
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["rows_cost", "window_rows", "windows_with_sum"]


def window_rows(g: ConvGeometry) -> RowWindow:
    """The rows of its input that a row of a convolution reads."""
    return RowWindow(g.kernel_height, g.stride_height, g.dilation_height, g.pad_top)


def windows_with_sum(nodes: tuple[Node, ...]) -> dict[str, RowWindow] | None:
    """The rows that a convolution takes, alone or with the sum behind it; None where no words make that."""
    windows = {nodes[0].inputs[0].name: window_rows(conv_geometry(nodes[0]))}
    if len(nodes) == 2:
        shortcut = sum_shortcut(*nodes)
        if shortcut is None or shortcut.name in windows or not add_s8_dsp.is_exact(nodes[1]):
            return None
        windows[shortcut.name] = RowWindow()
    return windows


def rows_cost(one: Cost, rows: int) -> Cost:
    """What `rows` rows cost where one costs `one`; rows overlap nothing."""
    return Cost(
        flash_bytes=one["flash_bytes"],
        cycles=rows * one["cycles"],
        scratch_bytes=one["scratch_bytes"],
        overlap=(),
    )
