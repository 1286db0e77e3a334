"""How a depthwise convolution lies in planes of halfwords: its axes, strips of rows, and what they may overlap.

The rows of a plane are rows of the image, or columns where the window is longer downwards: pairs of taps that one
SMLAD multiplies are neighbours in a row of the plane. All that differs is the bytes from one input to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.ops._convolution import ConvGeometry

__all__ = ["Axis", "Planes", "axes", "highest_strip", "least_distance"]


@dataclass(frozen=True)
class Axis:
    """The convolution along one axis; steps are in bytes from an input, an output, a weight to the next."""

    kernel: int
    stride: int
    dilation: int
    pad: int
    inputs: int
    outputs: int
    input_step: int
    output_step: int
    tap_step: int

    @property
    def window(self) -> int:
        """Inputs from the first tap to the last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def reach(self) -> int:
        """Inputs, padding before the first included, up to the last tap of the last output."""
        return (self.outputs - 1) * self.stride + self.window


def axes(g: ConvGeometry) -> tuple[Axis, Axis]:
    """The axes of height and width."""
    channels = g.in_channels
    down = Axis(
        g.kernel_height,
        g.stride_height,
        g.dilation_height,
        g.pad_top,
        g.in_height,
        g.out_height,
        g.in_width * channels,
        g.out_width * channels,
        g.kernel_width,
    )
    right = Axis(
        g.kernel_width,
        g.stride_width,
        g.dilation_width,
        g.pad_left,
        g.in_width,
        g.out_width,
        channels,
        channels,
        1,
    )
    return down, right


@dataclass(frozen=True)
class Planes:
    """How a strip of `strip` rows of outputs lies in scratch, `planes` channels (4 or 2) at a time.

    Rows of a plane follow `along`; `across` leads from one to the next. A row is `row_words` pairs of inputs. Of a
    row's inputs, `whole_pairs` words hold two each; before them stands one input alone where the padding is odd,
    after them one where `single_last`; zeros fill `left_words` and `right_words`. `table_words` are a channel's own.
    """

    across: Axis
    along: Axis
    strip: int
    planes: int
    row_words: int
    table_words: int

    @staticmethod
    def of(across: Axis, along: Axis, strip: int, planes: int, table_words: int) -> Planes:
        """Planes whose rows are as long as windows reach."""
        return Planes(across, along, strip, planes, (along.reach + 1) // 2, table_words)

    @property
    def window_rows(self) -> int:
        """Rows from the first of a window to its last."""
        return self.across.window

    @property
    def plane_rows(self) -> int:
        """Rows of a plane."""
        return (self.strip - 1) * self.across.stride + self.window_rows

    @property
    def plane_words(self) -> int:
        """Words of a plane."""
        return self.plane_rows * self.row_words

    @property
    def scratch_bytes(self) -> int:
        """The planes and a channel's table; a multiple of 8."""
        return -(-(self.planes * self.plane_words + self.table_words) // 2) * 8

    @property
    def whole_pairs(self) -> int:
        """Words with two inputs."""
        return self._paired // 2

    @property
    def single_last(self) -> bool:
        """Whether the last input stands alone."""
        return self._paired % 2 == 1

    @property
    def left_words(self) -> int:
        """Words of padding before a row's inputs."""
        return self.along.pad // 2

    @property
    def filled_words(self) -> int:
        """Words of a row that hold inputs."""
        return self.along.pad % 2 + self.whole_pairs + self.single_last

    @property
    def right_words(self) -> int:
        """Words of padding after a row's inputs."""
        return self.row_words - self.left_words - self.filled_words

    @property
    def has_outer_rows(self) -> bool:
        """Whether windows leave the image above or below."""
        return self.across.pad > 0 or self.across.reach > self.across.inputs

    @property
    def _paired(self) -> int:
        inputs = min(self.along.inputs, 2 * self.row_words - self.along.pad)
        return inputs - self.along.pad % 2


def highest_strip(across: Axis, along: Axis, limit: int, table_words: int) -> int:
    """The rows of the highest equal strips, four planes of which are within `limit` bytes, at least 1."""
    for strips in range(1, across.outputs + 1):
        strip = -(-across.outputs // strips)
        if Planes.of(across, along, strip, 4, table_words).scratch_bytes <= limit:
            return strip
    return 1


def least_distance(p: Planes) -> int:
    """The least address(input) - address(output), not below 0, at which no unread input is overwritten.

    While the strip of rows a to b of outputs is computed, no output beyond the last of row b is stored, and no input
    before the first of a's windows is read: the latter less the former, at most, is how far outputs run ahead.
    """
    begin = np.arange(0, p.across.outputs, p.strip)
    end = np.minimum(begin + p.strip, p.across.outputs)
    unread = np.clip(begin * p.across.stride - p.across.pad, 0, p.across.inputs)
    pixel = min(p.across.output_step, p.along.output_step)
    stored = (end - 1) * p.across.output_step + (p.along.outputs - 1) * p.along.output_step + pixel
    return max(0, int((stored - unread * p.across.input_step).max()))
