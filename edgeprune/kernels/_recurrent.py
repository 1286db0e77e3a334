"""What the kernels of Lstm and Gru share: candidates, packed constants, and the layer's description in C."""

from __future__ import annotations

from typing import ClassVar, TypeGuard

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node, Tensor
from edgeprune.kernels.base import (
    Candidate,
    Code,
    Constant,
    Function,
    KernelFamily,
    LayerNames,
    Weights,
)
from edgeprune.ops import operator_for
from edgeprune.ops._gates import TANH_TABLE, Rescale
from edgeprune.ops._recurrent import Recurrent
from edgeprune.templating import render

__all__ = ["RecurrentPortable"]


class RecurrentPortable(KernelFamily):
    """Portable C around the time step that a subclass's template holds."""

    op: ClassVar[str]
    keeps_state: ClassVar[bool] = True
    """Whether scratch holds a 32-bit state per unit."""
    row_words: ClassVar[int]
    """Words per unit of the constant `rows`."""
    code_bytes: ClassVar[int]
    """Machine code of the kernel with its helpers and their table."""
    cycles_per_unit: ClassVar[int]
    """Cycles of a unit in a time step beside its products."""

    def helpers(self, node: Node) -> tuple[tuple[str, str], ...]:
        """(suffix of the C name, part of the shared template) of the helpers the step calls, in order."""
        raise NotImplementedError

    def cycles_per_mac(self, node: Node) -> float:
        """Cycles of a multiply-accumulate, loads and loop included."""
        raise NotImplementedError

    def interleaved(self, node: Node) -> bool:
        """Whether a unit's rows are interleaved element by element, else one after the other."""
        return True

    def pack_rows(self, node: Node, over_x: Array, over_h: Array, offsets: Array) -> Array:
        """`rows` as int32 [D, H, row_words], from multipliers [D, H, G] and offsets [D, H, biases]."""
        raise NotImplementedError

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        if len(nodes) != 1 or nodes[0].op != self.op:
            return ()
        node = nodes[0]
        operator, hidden = _operator(node), node.int("hidden")
        steps, batch, _ = node.inputs[0].shape
        units = steps * batch * hidden * len(node.ints("reverse"))
        rows_bytes = 4 * self.row_words * hidden * len(node.ints("reverse"))
        constants = sum(t.bytes for t in node.inputs if t.value is not None) - node.inputs[3].bytes
        buffers = 1 + (not node.ints("emits")[0]) + (not self.interleaved(node))
        candidate = Candidate(
            self.name,
            self.name,
            nodes,
            flash_bytes=self.code_bytes + constants + rows_bytes,
            cycles=round(operator.macs(node) * self.cycles_per_mac(node) + units * self.cycles_per_unit),
            scratch_bytes=(4 * self.keeps_state + buffers) * hidden,
        )
        return (_with_overlap(candidate, node),)

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        node = candidate.nodes[0]
        operator, hidden, directions = _operator(node), node.int("hidden"), len(node.ints("reverse"))
        w, r, b = (weights[tensor.name] for tensor in node.inputs[1:4])
        m = operator.multipliers(node)
        by_unit = (directions, operator.gates, hidden)
        over_x, over_h = (np.swapaxes(row.reshape(by_unit), 1, 2) for row in (m.over_x, m.over_h))
        offsets = np.swapaxes(operator.row_offsets(node, w, r, b), 1, 2)
        rows = self.pack_rows(node, over_x, over_h, offsets).astype(np.int32)
        order = (0, 2, 3, 1) if self.interleaved(node) else (0, 2, 1, 3)
        packed = [
            Constant(role, "int8_t", values.reshape(*by_unit, -1).transpose(order))
            for role, values in (("weights", w), ("recurrent", r))
        ]
        initial = zip(("h0", "c0"), operator.initial_states(node), strict=True)
        states = [
            Constant(role, "int8_t", weights[t.name]) for role, t in initial if t and t.value is not None
        ]
        return (*packed, Constant("rows", "int32_t", rows), *states)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        node, prefix = candidate.nodes[0], names.prefix
        operator = _operator(node)
        h0, c0 = operator.initial_states(node)
        y, y_h, y_c = operator.emitted(node)
        variant = {
            "state": self.keeps_state,
            "cell": operator.states == 2,
            "initial_h": h0 is not None,
            "initial_c": c0 is not None,
            "wide_h0": h0 is not None and h0.dtype == "int32",
            "wide_c0": c0 is not None and c0.dtype == "int32",
            "wide_h": y_h is not None and y_h.dtype == "int32",
            "wide_c": y_c is not None and y_c.dtype == "int32",
            "emits_y": y is not None,
            "emits_h": y_h is not None,
            "emits_c": y_c is not None,
            "reset": not self.interleaved(node),
            "gates": operator.gates,
            "row_words": self.row_words,
        }
        function = self.render(f"{prefix}_{self.op.lower()}", {"prefix": prefix, "v": variant})
        states = [
            names.tensors.get(tensor.name) or names.constants[role]
            for role, tensor in (("h0", h0), ("c0", c0))
            if tensor
        ]
        outputs = [names.tensors[tensor.name] for tensor in node.outputs]
        operands = ", ".join([names.tensors[node.inputs[0].name], *states, *outputs, names.scratch])
        body = f"{self._layer(node, names)}\n{function.name}(&layer, {operands});"
        helpers = [_helper(prefix, suffix, part) for suffix, part in self.helpers(node)]
        return Code((*helpers, function), body)

    def _layer(self, node: Node, names: LayerNames) -> str:
        """The C definition of `layer`."""
        operator = _operator(node)
        steps, batch, inputs = node.inputs[0].shape
        h0, c0 = operator.initial_states(node)
        _, y_h, y_c = operator.emitted(node)
        reverse = (*node.ints("reverse"), 0)[:2]
        fields = {
            **{role: names.constants[role] for role in ("weights", "recurrent", "rows")},
            "steps": steps,
            "batch": batch,
            "inputs": inputs,
            "hidden": node.int("hidden"),
            "directions": len(node.ints("reverse")),
            "reverse": f"{{{reverse[0]}, {reverse[1]}}}",
            "shift": operator.multipliers(node).shift,
            "quantize_hidden": _rescale(operator.quantize_state(operator.hidden_quant(node))),
            "load_hidden": _rescale(operator.load_state(h0) if _is_stored(h0) else None),
            "load_cell": _rescale(operator.load_state(c0) if _is_stored(c0) else None),
            "final_hidden": _rescale(operator.final_hidden(node, y_h) if _is_stored(y_h) else None),
            "final_cell": _rescale(operator.quantize_state(y_c.quant) if _is_stored(y_c) else None),
        }
        lines = "\n".join(f"    .{field} = {value}," for field, value in fields.items())
        return f"static const {names.prefix}_recurrent_t layer = {{\n{lines}\n}};"


def _operator(node: Node) -> Recurrent:
    operator = operator_for(node)
    assert isinstance(operator, Recurrent)
    return operator


def _is_stored(state: Tensor | None) -> TypeGuard[Tensor]:
    """Whether there is such a state and it is int8, not in Q16 as it is within the layer."""
    return state is not None and state.dtype == "int8"


def _rescale(rescale: Rescale | None) -> str:
    if rescale is None:
        return "{0, 0, 0, 0}"
    return f"{{{rescale.zero_in}, {rescale.multiplier}, {rescale.shift}, {rescale.zero_out}}}"


def _helper(prefix: str, suffix: str, part: str) -> Function:
    name = f"{prefix}_{suffix}"
    gates = int(suffix[-1]) if part == "dot" else 0
    values = {"name": name, "prefix": prefix, "part": part, "table": TANH_TABLE, "gates": gates}
    return Function(name, render("kernels/_recurrent.c.j2", values))


def _with_overlap(candidate: Candidate, node: Node) -> Candidate:
    """`candidate` with the distances at which output 0 may overwrite inputs.

    Only for one sequence in one direction, where each input is read once from front to back. Initial states are
    read before anything is written. Without Y, outputs are written after everything is read. Else step t reads
    x[t] while it writes Y[t], so that (t + 1) * H <= distance + t * I must hold for every t.
    """
    steps, batch, inputs = node.inputs[0].shape
    hidden, emits_y = node.int("hidden"), bool(node.ints("emits")[0])
    distances: dict[str, int | None] = dict.fromkeys(candidate.activation_inputs)
    if batch == 1 and len(node.ints("reverse")) == 1:
        distances.update({t.name: 0 for t in node.inputs[4:] if t.value is None})
        distances[node.inputs[0].name] = (
            0 if not emits_y else max(hidden, steps * hidden - (steps - 1) * inputs)
        )
        if emits_y and node.ints("reverse")[0]:
            distances[node.inputs[0].name] = None
    overlap = tuple(distances[name] for name in candidate.activation_inputs)
    return Candidate(**{**candidate.__dict__, "overlap": overlap})
