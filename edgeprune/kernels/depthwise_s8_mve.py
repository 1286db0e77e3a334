"""Depthwise convolution for cores with Helium: 16 channels at a time, any kernel, stride, dilation and padding.

The inputs of an output row are laid out as one strip (see `_mve`) per 16 channels, in which the taps of a window are
vectors one after the other, as are the weights. VMULLB and VMULLT multiply the even and the odd channels to
halfwords. Two taps' products are summed in halfwords before they are widened to words:

    |x0 w0 + x1 w1| <= 2 * 128 * 127 = 32512 < 2**15

so weights must be within [-127, 127]; a kernel's last tap, if their number is odd, is widened alone. The words start
from the sums that fold the zero point in, and wrap harmlessly. Widening and the narrowing of outputs take the lanes
apart and together in the same order, so that no lane is ever moved.

Overlap: the strips of a row, those of all channels, are complete before the row's first output is stored; see
`row_distance`.
"""

from __future__ import annotations

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node
from edgeprune.kernels import _mve, _mve_strips
from edgeprune.kernels._mve_cost import Work, cycles, depthwise_work, strip_work
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops._convolution import ConvGeometry, conv_geometry

__all__ = ["FAMILY", "DepthwiseMve"]

_CODE_BYTES = 800
"""Of a layer's own function and the rows it shares, about."""


class DepthwiseMve(KernelFamily):
    """int8 Conv whose every channel is a group of its own."""

    name = "depthwise_s8_mve"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if not device.mve or len(nodes) != 1 or nodes[0].op != "Conv" or nodes[0].inputs[1].dtype != "int8":
            return ()
        (node,) = nodes
        g = conv_geometry(node)
        if not g.group == g.in_channels == g.out_channels or not _mve_strips.Strip.of(g).copies:
            return ()
        scaling = _mve.Scaling.of(node)
        return (
            Candidate(
                self.name,
                self.name,
                nodes,
                flash_bytes=_CODE_BYTES + _constant_bytes(g, scaling),
                cycles=_cycles(g, scaling, device),
                scratch_bytes=_groups(g) * _group_bytes(g),
                overlap=(_mve_strips.row_distance(g),),
            ),
        )

    def admits(self, candidate: Candidate, weights: Weights) -> bool:
        return bool(weights[candidate.nodes[0].inputs[1].name].min(initial=0) >= -127)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        (node,) = candidate.nodes
        x, w, b = node.inputs
        g, values = conv_geometry(node), weights[w.name]
        # Column by column, as strips are: [taps, channels], then [groups, taps, 16].
        taps = values[..., 0].transpose(2, 1, 0).reshape(g.taps, -1)
        lanes = np.pad(taps, ((0, 0), (0, -g.in_channels % _mve.LANES)))
        grouped = lanes.reshape(g.taps, -1, _mve.LANES).transpose(1, 0, 2)
        starts = _mve.initial_sums(values.reshape(g.in_channels, -1), weights[b.name], x.zero_point)
        scaling = _mve.Scaling.of(node).table()
        stream = [
            np.ascontiguousarray(part).view(np.int8).reshape(_groups(g), -1)
            for part in (_mve.take_apart(starts), grouped, scaling)
        ]
        comment = "initial sums, weights, multipliers and shifts of 16 channels"
        constant = Constant("stream", "int8_t", np.concatenate(stream, axis=1), comment, align=8)
        return (constant, *_mve_strips.places_constant(_places(g)))

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        (node,) = candidate.nodes
        g, scaling, prefix = conv_geometry(node), _mve.Scaling.of(node), names.prefix
        shared = {"prefix": prefix, "scaling": scaling}
        row = self.render(f"{prefix}_mve_depthwise_{scaling.suffix}", {"part": "row", **shared})
        stem = (
            f"{prefix}_depthwise_{g.kernel_height}x{g.kernel_width}_"
            f"{g.in_height}x{g.in_width}x{g.in_channels}"
        )
        places = _places(g)
        values = {
            "part": "layer",
            **shared,
            "g": g,
            "row": row.name,
            "stream_bytes": _mve.LANES * (4 + g.taps + 4 * scaling.words),
            "strip": _mve_strips.Strip.of(g),
            "group_bytes": _group_bytes(g),
            "groups": _groups(g),
            "places": places is not None,
        }
        layer = self.render(stem, values)
        x, y = names.tensors[node.inputs[0].name], names.tensors[node.output.name]
        zero_x, strip = node.inputs[0].zero_point, f"(int8_t *){names.scratch}"
        more = [] if places is None else [names.constants["places"]]
        arguments = [x, names.constants["stream"], y, strip, *more, str(zero_x), scaling.arguments]
        copy = _mve_strips.copy_function(prefix, places)
        return Code((copy, row, layer), f"{stem}({', '.join(arguments)});")


def _places(g: ConvGeometry) -> Array | None:
    """Where columns go that are laid out several at a time."""
    return _mve_strips.scattered(_mve_strips.Strip.of(g).copies, g.in_channels, g.kernel_height * _mve.LANES)


def _groups(g: ConvGeometry) -> int:
    """Vectors of channels."""
    return -(-g.in_channels // _mve.LANES)


def _group_bytes(g: ConvGeometry) -> int:
    """A strip of 16 channels."""
    return _mve_strips.Strip.of(g).columns * g.kernel_height * _mve.LANES


def _constant_bytes(g: ConvGeometry, scaling: _mve.Scaling) -> int:
    return _mve.padded(g.in_channels) * (g.taps + 4) + scaling.flash_bytes


def _cycles(g: ConvGeometry, scaling: _mve.Scaling, device: Device) -> int:
    rows, groups = g.batch * g.out_height, _groups(g)
    work = rows * groups * (g.out_width * depthwise_work(g.taps, scaling) + Work(scalar=40))
    work += (
        rows * g.kernel_height * strip_work(_mve_strips.Strip.of(g), g.in_channels, _places(g) is not None)
    )
    constants = _constant_bytes(g, scaling)
    return cycles(
        device, work, code_bytes=_CODE_BYTES, constants=constants, blocks=rows * g.out_width, passes=rows
    )


FAMILY = DepthwiseMve()
