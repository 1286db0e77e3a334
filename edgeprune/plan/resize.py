"""A weighted layer with other numbers of channels: shapes as they would be, values absent.

Constants stay constants, since kernels tell weights from activations by that, but hold nothing but ones that
share one byte of memory: where the layer will have zeros, for which sparse kernels look, is not known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from edgeprune.graph.ir import DTYPES, AttributeValue, Node, Quant, Tensor

__all__ = ["resized"]

Number = TypeVar("Number", int, float)


def resized(node: Node, inputs: int, outputs: int) -> Node:
    """`node` (a Conv, ConvTranspose, FullyConnected, Gather, Gru, Lstm or Rnn) with so many input and output channels.

    Of a grouped convolution whose channels shrink, groups go as a whole where that is possible (always in a
    depthwise one, whose inputs and outputs shrink together), and groups get narrower otherwise.
    """
    if "hidden" in node.attrs:
        return _recurrent(node, inputs, outputs)
    if node.op == "Gather":
        table, indices = node.inputs
        smaller = _with_shape(table, (*table.shape[:-1], outputs))
        return replace(node, inputs=(smaller, indices), outputs=(_with_last(node.output, outputs),))
    x, w, b = node.inputs
    attrs: dict[str, AttributeValue] = dict(node.attrs)
    group = node.int("group") if "group" in attrs else 1
    if group > 1:
        group = _groups(group, x.shape[-1], inputs, outputs)
        attrs["group"] = group
    return replace(
        node,
        inputs=(
            _with_last(x, inputs),
            _with_shape(w, (outputs, *w.shape[1:-1], max(inputs // group, 1))),
            _with_shape(b, (outputs,)),
        ),
        outputs=(_with_last(node.output, outputs),),
        attrs=attrs,
    )


def _recurrent(node: Node, inputs: int, hidden: int) -> Node:
    """A recurrent layer: rows of weights go with the hidden units, in every gate and direction."""
    x, w, r, b, *states = node.inputs
    before = node.int("hidden")
    rows = w.shape[0] // before * hidden
    return replace(
        node,
        inputs=(
            _with_last(x, inputs),
            _with_shape(w, (rows, inputs)),
            _with_shape(r, (rows, hidden)),
            _with_shape(b, (b.shape[0] // before * hidden,)),
            *(
                _with_last(s, hidden) if s.value is None else _with_shape(s, (*s.shape[:-1], hidden))
                for s in states
            ),
        ),
        outputs=tuple(_with_last(tensor, hidden) for tensor in node.outputs),
        attrs={**node.attrs, "hidden": hidden},
    )


def _groups(group: int, full_inputs: int, inputs: int, outputs: int) -> int:
    """The number of groups that is left: of the old width if that divides the channels, else a divisor."""
    width = full_inputs // group
    wanted = inputs // width if inputs % width == 0 else group
    return next(
        count for count in range(max(wanted, 1), 0, -1) if inputs % count == 0 and outputs % count == 0
    )


def _with_last(tensor: Tensor, channels: int) -> Tensor:
    return replace(tensor, shape=(*tensor.shape[:-1], channels))


def _with_shape(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    quant = tensor.quant
    if quant is not None and quant.axis is not None:
        quant = _resized_quant(quant, shape[quant.axis])
    value = np.broadcast_to(np.ones((), DTYPES[tensor.dtype]), shape)
    return replace(tensor, shape=shape, quant=quant, value=value)


def _resized_quant(quant: Quant, channels: int) -> Quant:
    return replace(
        quant,
        scale=_cut_or_extended(quant.scale, channels),
        zero_point=_cut_or_extended(quant.zero_point, channels),
    )


def _cut_or_extended(values: tuple[Number, ...], count: int) -> tuple[Number, ...]:
    return values[:count] + values[-1:] * (count - len(values))
