"""What kernels that run by rows share: the window of a convolution, and costs of all rows from those of one."""

from __future__ import annotations

from edgeprune.kernels._dsp_conv import Cost
from edgeprune.kernels.base import RowWindow
from edgeprune.ops._convolution import ConvGeometry

__all__ = ["rows_cost", "window_rows"]


def window_rows(g: ConvGeometry) -> RowWindow:
    """The rows of its input that a row of a convolution reads."""
    return RowWindow(g.kernel_height, g.stride_height, g.dilation_height, g.pad_top)


def rows_cost(one: Cost, rows: int) -> Cost:
    """What `rows` rows cost where one costs `one`; rows overlap nothing."""
    return Cost(
        flash_bytes=one["flash_bytes"],
        cycles=rows * one["cycles"],
        scratch_bytes=one["scratch_bytes"],
        overlap=(),
    )
