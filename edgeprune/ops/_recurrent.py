"""What Lstm and Gru share: the IR node and the integer arithmetic around a time step.

The IR node (D directions, T steps, batch N, inputs I, hidden units H, G gates; ONNX's layout 0):

* inputs: x int8 [T, N, I]; w int8 [D * G * H, I] and r int8 [D * G * H, H] with one scale per row (axis 0) and
  zero points 0; b int32 in Q16 (see `_gates`) [D * biases * H]; then, as `initial` says, h0 int8 [D, N, H] and
  c0 int8 [D, N, H]. Rows are ordered direction, gate, unit, with ONNX's order of gates.
* outputs: those of Y int8 [T, D, N, H], Y_h int8 [D, N, H] and Y_c int8 [D, N, H] that `emits` lists.
* attributes: `hidden` = H; `reverse`, a 0 or 1 per direction; `initial` and `emits`, a 0 or 1 per possible
  initial state (h0, c0) and output (Y, Y_h, Y_c). An absent initial state is zero.
* in a network that is run step by step, the state that is kept in 32 bits (c where there is a cell, else h) may be
  int32 in Q16, as it is within the node, before and after it: then a step is exactly a step of the whole sequence.

The hidden vector is fed back as int8 at the scale of Y; without Y, of Y_h; with neither, 1 / 128. A
pre-activation of row j is, with the stored x and h as they are,

    P = ((mw[j] * sum(w[j] x) + mr[j] * sum(r[j] h) + 2**(s - 1)) >> s) + offset[j], saturated at +-2**30,

where mw = round(2**(16 + s) * scale_x * scale_w[j]), mr likewise, and s is the largest shift up to 40 at which
all of them stay below 2**30; offset is b[j] less the zero points' part, (mw zero_x sum(w[j]) + mr zero_h
sum(r[j])) / 2**s, rounded. Rows shorter than 2**17 keep both sums within int32 (128 * 128 * 2**17 = 2**31), and
then the products' sum fits int64: 2 * 2**30 * 2**31 + 2**39 < 2**63.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Array, Attributes, Node, Quant, Shape, Tensor
from edgeprune.ops._fixed_point import quantize_multiplier
from edgeprune.ops._gates import FRACTION_BITS, Rescale
from edgeprune.ops._recurrent_lowering import lower_recurrent
from edgeprune.ops.base import OnnxNode, Operator

__all__ = ["Q16", "Direction", "Multipliers", "Recurrent"]

_MULTIPLIER_BITS = 30
_LARGEST_SHIFT = 40
_LONGEST_ROW = (1 << 17) - 1
_LARGEST_STATE = 1 << 14
_UNIT = float(1 << FRACTION_BITS)
Q16 = Quant.per_tensor(1 / _UNIT, 0)
"""Of a 32-bit state."""


@dataclass(frozen=True, eq=False)
class Multipliers:
    """mw and mr of every row (int32 [rows]) and their common shift s."""

    over_x: Array
    over_h: Array
    shift: int


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction's part of a node, for the reference.

    `r` is float64 [G * H, H] (products of small integers are exact), `multiplier_h` int64 [G * H] and
    `offset` int64 [biases, H].
    """

    r: Array
    multiplier_h: Array
    offset: Array
    shift: int
    hidden: Rescale

    def hidden_products(self, h: Array) -> Array:
        """mr * sum(r h) of each row, int64 [N, G * H], for the stored h [N, H]."""
        products: Array = (h.astype(np.float64) @ self.r.T).astype(np.int64) * self.multiplier_h
        return products


class Recurrent(Operator):
    """A recurrent layer of one or two directions."""

    gates: ClassVar[int]
    """Rows of W per hidden unit."""
    states: ClassVar[int]
    """Initial states, and final states: 2 with a cell, else 1."""
    activations: ClassVar[tuple[str, ...]]
    """ONNX activations of one direction, in lower case."""
    refused: ClassVar[tuple[str, ...]]
    """ONNX attributes that may not be set."""
    keeps_wide: ClassVar[bool] = True
    """Whether a step reads a state in 32 bits besides the stored hidden vector."""
    natural_quant = Quant.per_tensor(1 / 128, 0)

    def fold_bias(self, node: OnnxNode, w_bias: Array, r_bias: Array) -> Array:
        """The real bias [D, biases, H] from ONNX's Wb and Rb, each [D, G, H]."""
        raise NotImplementedError

    def offsets(self, node: Node, over_x: Array, over_h: Array, bias: Array) -> Array:
        """The rows' offsets in Q16, int64 [D, biases, H].

        Args:
            node: the IR node.
            over_x: the inputs' zero-point part, mw * zero_x * sum(w), int64 [D, G, H].
            over_h: the hidden vector's, likewise.
            bias: b as int64 [D, biases, H].
        """
        raise NotImplementedError

    def step(
        self, node: Node, rows: Direction, products: Array, stored: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        """One time step of the reference: the new h and c in Q16, int64 [N, H].

        Args:
            node: the IR node.
            rows: this direction's parameters.
            products: mw * sum(w x) of each row, int64 [N, G * H].
            stored: the hidden vector as int8 [N, H].
            h: the hidden vector in Q16.
            c: the cell in Q16.
        """
        raise NotImplementedError

    def float_step(
        self, node: Node, x: Array, r: Array, bias: Array, h: Array, c: Array
    ) -> tuple[Array, Array]:
        """One time step on real numbers: new h and c, for x = W x [N, G, H], r [G, H, H], bias [biases, H]."""
        raise NotImplementedError

    def extra_attributes(self, node: OnnxNode) -> Attributes:
        """Attributes of this operator alone."""
        return {}

    def lower(self, node: OnnxNode, build: Builder) -> None:
        lower_recurrent(self, node, build)

    def infer_shapes(self, node: Node) -> tuple[Shape, ...]:
        steps, batch, _ = node.inputs[0].shape
        state = (len(node.ints("reverse")), batch, node.int("hidden"))
        return tuple(
            (steps, *state) if index == 0 else state for index, used in enumerate(node.ints("emits")) if used
        )

    def check(self, node: Node) -> None:
        x, w, r = node.inputs[:3]
        hidden = node.int("hidden")
        rows = len(node.ints("reverse")) * self.gates * hidden
        if w.shape != (rows, x.shape[2]) or r.shape != (rows, hidden):
            raise ValueError(
                f"weights {w.shape} and {r.shape} do not fit {x.shape[2]} inputs, {hidden} units"
            )
        if max(x.shape[2], hidden) > _LONGEST_ROW:
            raise ValueError(f"a row longer than {_LONGEST_ROW} may overflow its int32 sum")
        wide = {tensor.name for tensor in self.wide_tensors(node)}
        for tensor in (x, *node.inputs[4:], *node.outputs):
            if tensor.quant is None or tensor.quant.axis is not None:
                raise ValueError(f"{tensor.name} must have one scale and one zero point")
            if tensor.dtype != "int8" and (tensor.name not in wide or tensor.quant != Q16):
                raise ValueError(f"{tensor.name} must be int8, or a state in Q16")
        given = [tensor for tensor in node.inputs[4:] if tensor.dtype == "int8"]
        if x.shape[0] + sum(255 * tensor.scale for tensor in given) >= _LARGEST_STATE:
            raise ValueError(f"steps and the initial state together must stay below {_LARGEST_STATE}")

    def updates(self, node: Node) -> tuple[tuple[int, int], ...]:
        # One sequence in one direction: its states are read before anything is written.
        if node.inputs[0].shape[1] != 1 or len(node.ints("reverse")) != 1:
            return ()
        places = {id(tensor): number for number, tensor in enumerate((*node.inputs, *node.outputs))}
        pairs = zip(self.initial_states(node), self.emitted(node)[1:], strict=True)
        return tuple(
            (places[id(before)], places[id(after)] - len(node.inputs))
            for before, after in pairs
            if before is not None and after is not None and before.bytes == after.bytes
        )

    def wide_tensors(self, node: Node) -> tuple[Tensor, ...]:
        """The 32-bit state before and after, where the node takes and leaves it in Q16 and not as int8."""
        if not self.keeps_wide:
            return ()
        which = self.states - 1
        found = (self.initial_states(node)[which], self.emitted(node)[1 + which])
        return tuple(tensor for tensor in found if tensor is not None and tensor.dtype == "int32")

    def step_states(self, node: Node) -> tuple[tuple[str, Quant], ...]:
        """Types of the states that one step hands to the next, so that it is exactly a step of the whole sequence.

        A hidden vector is kept as products read it, and what else takes part in a step in 32 bits.
        """
        hidden = ("int8", self.hidden_quant(node))
        return (
            (*(hidden,) * (self.states - 1), ("int32", Q16)) if self.keeps_wide else (hidden,) * self.states
        )

    def macs(self, node: Node) -> int:
        steps, batch, inputs = node.inputs[0].shape
        return steps * batch * node.inputs[1].shape[0] * (inputs + node.int("hidden"))

    def hidden_quant(self, node: Node) -> Quant:
        """Scale and zero point at which the hidden vector is fed back."""
        quant = node.output.quant if any(node.ints("emits")[:2]) else self.natural_quant
        assert quant is not None, node.name
        return quant

    def emitted(self, node: Node) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Y, Y_h and Y_c, None where the node does not have them."""
        found = iter(node.outputs)
        y, y_h, y_c = (next(found) if used else None for used in (*node.ints("emits"), 0)[:3])
        return y, y_h, y_c

    def initial_states(self, node: Node) -> tuple[Tensor | None, Tensor | None]:
        """h0 and c0, None where they are zero."""
        found = iter(node.inputs[4:])
        h0, c0 = (next(found) if used else None for used in (*node.ints("initial"), 0)[:2])
        return h0, c0

    def multipliers(self, node: Node) -> Multipliers:
        """mw, mr and s."""
        x, w, r = node.inputs[:3]
        assert w.quant is not None and r.quant is not None
        real_x = np.array(w.quant.scale) * x.scale * _UNIT
        real_h = np.array(r.quant.scale) * self.hidden_quant(node).scale[0] * _UNIT
        bits = math.frexp(max(real_x.max(), real_h.max()))[1]
        shift = max(1, min(_LARGEST_SHIFT, _MULTIPLIER_BITS - 1 - bits))
        over_x, over_h = np.rint(real_x * 2.0**shift), np.rint(real_h * 2.0**shift)
        assert max(over_x.max(), over_h.max()) < 1 << _MULTIPLIER_BITS, node.name
        return Multipliers(over_x.astype(np.int32), over_h.astype(np.int32), shift)

    def row_offsets(self, node: Node, w: Array, r: Array, b: Array) -> Array:
        """The rows' offsets for these weights, in Q16, int64 [D, biases, H]."""
        m = self.multipliers(node)
        shape = (len(node.ints("reverse")), -1, node.int("hidden"))
        zero_x, zero_h = node.inputs[0].zero_point, self.hidden_quant(node).zero_point[0]
        over_x = m.over_x.astype(np.int64) * zero_x * w.sum(axis=1, dtype=np.int64)
        over_h = m.over_h.astype(np.int64) * zero_h * r.sum(axis=1, dtype=np.int64)
        bias = b.astype(np.int64).reshape(shape)
        return self.offsets(node, over_x.reshape(shape), over_h.reshape(shape), bias)

    def quantize_state(self, quant: Quant | None) -> Rescale:
        """Q16 -> int8 at `quant`."""
        assert quant is not None
        return Rescale(0, *quantize_multiplier(1 / (_UNIT * quant.scale[0])), quant.zero_point[0])

    def final_hidden(self, node: Node, y_h: Tensor) -> Rescale:
        """The hidden vector's int8 -> Y_h."""
        quant = self.hidden_quant(node)
        return Rescale(quant.zero_point[0], *quantize_multiplier(quant.scale[0] / y_h.scale), y_h.zero_point)

    def load_state(self, state: Tensor) -> Rescale:
        """An int8 initial state -> Q16."""
        return Rescale(state.zero_point, *quantize_multiplier(state.scale * _UNIT))

    def reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, r, b = inputs[:4]
        (steps, batch, _), hidden, reverse = x.shape, node.int("hidden"), node.ints("reverse")
        initial = iter(inputs[4:])
        h0, c0 = (
            np.zeros((len(reverse), batch, hidden), np.int64)
            if state is None
            else self._loaded(state, next(initial))
            for state in self.initial_states(node)
        )
        m, offsets = self.multipliers(node), self.row_offsets(node, w, r, b)
        quantize = self.quantize_state(self.hidden_quant(node))
        y = np.zeros((steps, len(reverse), batch, hidden), np.int8)
        last_c, last_h, wide_h = np.zeros_like(c0), np.zeros(h0.shape, np.int8), np.zeros_like(h0)
        for d, backwards in enumerate(reverse):
            part = slice(d * self.gates * hidden, (d + 1) * self.gates * hidden)
            over_h = m.over_h[part].astype(np.int64)
            rows = Direction(r[part].astype(np.float64), over_h, offsets[d], m.shift, quantize)
            products = (x.astype(np.float64) @ w[part].astype(np.float64).T).astype(np.int64) * m.over_x[part]
            h, c, stored = h0[d], c0[d], quantize.to_int8(h0[d])
            for t in reversed(range(steps)) if backwards else range(steps):
                h, c = self.step(node, rows, products[t], stored, h, c)
                y[t, d] = stored = quantize.to_int8(h)
            last_h[d], wide_h[d], last_c[d] = stored, h, c
        _, y_h, y_c = self.emitted(node)
        results = [y] if node.ints("emits")[0] else []
        if y_h is not None:
            wide = y_h.dtype == "int32"
            results.append(wide_h.astype(np.int32) if wide else self.final_hidden(node, y_h).to_int8(last_h))
        if y_c is not None:
            wide = y_c.dtype == "int32"
            results.append(
                last_c.astype(np.int32) if wide else self.quantize_state(y_c.quant).to_int8(last_c)
            )
        return tuple(results)

    def _loaded(self, state: Tensor, values: Array) -> Array:
        """An initial state in Q16."""
        if state.dtype == "int32":
            return values.astype(np.int64)
        return self.load_state(state).apply(values)

    def float_reference(self, node: Node, *inputs: Array) -> tuple[Array, ...]:
        x, w, r, b = inputs[:4]
        (steps, batch, _), hidden, reverse = x.shape, node.int("hidden"), node.ints("reverse")
        initial = iter(inputs[4:])
        shape = (len(reverse), batch, hidden)
        h0, c0 = (np.zeros(shape) if s is None else next(initial) for s in self.initial_states(node))
        y, last_h, last_c = np.zeros((steps, *shape)), np.zeros(shape), np.zeros(shape)
        for d, backwards in enumerate(reverse):
            products = x @ w.reshape(len(reverse), -1, w.shape[1])[d].T
            products = products.reshape(steps, batch, self.gates, hidden)
            recurrent = r.reshape(len(reverse), self.gates, hidden, hidden)[d]
            bias, h, c = b.reshape(len(reverse), -1, hidden)[d], h0[d], c0[d]
            for t in reversed(range(steps)) if backwards else range(steps):
                h, c = self.float_step(node, products[t], recurrent, bias, h, c)
                y[t, d] = h
            last_h[d], last_c[d] = h, c
        return tuple(
            value
            for value, tensor in zip((y, last_h, last_c), self.emitted(node), strict=True)
            if tensor is not None
        )
