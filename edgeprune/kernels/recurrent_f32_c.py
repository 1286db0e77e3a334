"""Portable C for ONNX's LSTM, GRU and RNN in float32, which TVM's importer lacks: one unit at a time.

A unit's rows of weights are interleaved, so that each value of the input is loaded once for all gates. The scratch
holds the hidden vector, its successor and, for LSTM, the cell; for a GRU whose reset gate is applied before the
recurrent product, the reset hidden vector. ONNX operators LSTM-14, GRU-14 and RNN-14, with their default activations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeprune.device import Device
from edgeprune.graph.ir import Array, Node, Tensor
from edgeprune.kernels import _cost
from edgeprune.kernels._cost import Kind
from edgeprune.kernels.base import Candidate, Code, Constant, KernelFamily, LayerNames, Weights
from edgeprune.ops import operator_for
from edgeprune.ops._onnx_model import node_proto

__all__ = ["FAMILY", "RecurrentFloat"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_OPERANDS = ("x", "w", "r", "bias", "lengths", "h", "c", "peepholes")
_RESULTS = ("y", "y_h", "y_c")
_REFUSED = ("activation_alpha", "activation_beta", "activations", "clip")
_INSTRUCTIONS_PER_UNIT = 420
"""Of a step, beside its products: the activation functions."""
_CODE_BYTES = 500


@dataclass(frozen=True, eq=False)
class _Layer:
    """A node taken apart: operands and results by role, what its attributes say."""

    kind: str
    operands: dict[str, Tensor]
    results: dict[str, Tensor]
    direction: str
    reset_first: bool

    @property
    def gates(self) -> int:
        return _GATES[self.kind]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps, batch, inputs."""
        steps, batch, inputs = self.operands["x"].shape
        return steps, batch, inputs

    @property
    def directions(self) -> int:
        return self.operands["r"].shape[0]

    @property
    def hidden(self) -> int:
        return self.operands["r"].shape[2]

    @property
    def vectors(self) -> int:
        """Of the scratch: hidden, next, and the cell or the reset hidden vector."""
        return 3 if self.kind == "LSTM" or self.reset_first else 2


class RecurrentFloat(KernelFamily):
    """float32 LSTM, GRU and RNN."""

    name = "recurrent_f32_c"

    def candidates(self, nodes: tuple[Node, ...], device: Device) -> tuple[Candidate, ...]:
        layer = _taken_apart(nodes[0]) if len(nodes) == 1 else None
        if layer is None:
            return ()
        node, constants = nodes[0], sum(t.bytes for t in nodes[0].inputs if t.value is not None)
        steps, batch, _ = layer.shape
        units = steps * batch * layer.hidden * layer.directions
        per_product = 2.0 + 5.0 / layer.gates
        instructions = operator_for(node).macs(node) * per_product + units * _INSTRUCTIONS_PER_UNIT
        return (
            Candidate(
                self.name,
                f"{layer.kind.lower()}_f32_c",
                nodes,
                flash_bytes=constants + _CODE_BYTES,
                cycles=round(_cost.cycles(device, {Kind.SUMS: instructions})),
                scratch_bytes=4 * layer.vectors * layer.hidden,
            ),
        )

    def pack(self, candidate: Candidate, weights: Weights) -> tuple[Constant, ...]:
        layer = _taken_apart(candidate.nodes[0])
        assert layer is not None
        by_gate = (layer.directions, layer.gates, layer.hidden, -1)
        packed = [
            Constant(role, "float", weights[layer.operands[role].name].reshape(by_gate).transpose(0, 2, 3, 1))
            for role in ("w", "r")
        ]
        states = [
            Constant(f"initial_{role}", "float", weights[layer.operands[role].name])
            for role in ("h", "c")
            if role in layer.operands and layer.operands[role].value is not None
        ]
        return (*packed, Constant("bias", "float", _biases(layer, weights)), *states)

    def emit(self, candidate: Candidate, names: LayerNames) -> Code:
        layer = _taken_apart(candidate.nodes[0])
        assert layer is not None
        steps, batch, inputs = layer.shape
        initial = [role for role in ("h", "c") if role in layer.operands]
        over_x, over_h = _sums(layer)
        sums = list(dict.fromkeys(sum_ for _, sum_ in (*over_x, *over_h)))
        function = self.render(
            f"{names.prefix}_{layer.kind.lower()}_{layer.hidden}",
            {
                "prefix": names.prefix,
                "kind": layer.kind,
                "steps": steps,
                "batch": batch,
                "inputs": inputs,
                "hidden": layer.hidden,
                "gates": layer.gates,
                "directions": layer.directions,
                "direction": layer.direction,
                "reset_first": layer.reset_first,
                "states": ("h", "c") if layer.kind == "LSTM" else ("h",),
                "initial": initial,
                "results": list(layer.results),
                "sums": sums,
                "biases": 3 if layer.reset_first else len(sums),
                "bias_of": _bias_positions(layer, sums),
                "over_x": over_x,
                "over_h": over_h,
            },
        )
        states = [_state(layer.operands[role], f"initial_{role}", names) for role in initial]
        results = [names.tensors[tensor.name] for tensor in layer.results.values()]
        constants = [names.constants[role] for role in ("w", "r", "bias")]
        x = names.tensors[layer.operands["x"].name]
        arguments = ",\n    ".join([x, *constants, *states, *results, names.scratch])
        return Code((function,), f"{function.name}(\n    {arguments});")


def _taken_apart(node: Node) -> _Layer | None:
    """The layer that `node` is; None where it is another operator, or asks for what this kernel does not do."""
    kind = operator_for(node).title(node) if node.op == "Onnx" else ""
    if kind not in _GATES:
        return None
    proto = node_proto(node)
    attributes = {a.name: a for a in proto.attribute}
    given = iter(node.inputs)
    operands = {role: next(given) for role, name in zip(_OPERANDS, proto.input, strict=False) if name}
    left = iter(node.outputs)
    results = {role: next(left) for role, name in zip(_RESULTS, proto.output, strict=False) if name}
    constant = all(operands[role].value is not None for role in ("w", "r", "bias") if role in operands)
    unusual = any(name in attributes and attributes[name].i != 0 for name in ("input_forget", "layout"))
    if "lengths" in operands or "peepholes" in operands or unusual or not constant:
        return None
    if any(name in attributes for name in _REFUSED) or operands["x"].value is not None:
        return None
    direction = attributes["direction"].s.decode() if "direction" in attributes else "forward"
    before = "linear_before_reset" in attributes and attributes["linear_before_reset"].i != 0
    return _Layer(kind, operands, results, direction, kind == "GRU" and not before)


def _sums(layer: _Layer) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Which sum each gate's products with the input, and with the hidden vector, go to; gates in ONNX's order."""
    if layer.kind == "LSTM":
        both = list(enumerate(("input", "output", "forget", "cell")))
        return both, both
    if layer.kind == "RNN":
        return [(0, "sum")], [(0, "sum")]
    if layer.reset_first:
        both = [(0, "update"), (2, "candidate")]
        return both, both
    gates = [(0, "update"), (1, "reset"), (2, "candidate")]
    return gates, [*gates[:2], (2, "recurrent")]


def _biases(layer: _Layer, weights: Weights) -> Array:
    """What each unit's sums start at, [directions, hidden, sums]."""
    shape = (layer.directions, 2, layer.gates, layer.hidden)
    given = weights[layer.operands["bias"].name] if "bias" in layer.operands else np.zeros(shape, np.float32)
    over_x, over_h = np.moveaxis(given.reshape(shape), 1, 0)
    if layer.kind == "GRU" and layer.reset_first:
        sums = [over_x[:, gate] + over_h[:, gate] for gate in (0, 2)]
        # The reset gate is made apart, but its bias stands with the others.
        return np.stack([sums[0], over_x[:, 1] + over_h[:, 1], sums[1]], axis=-1).astype(np.float32)
    if layer.kind == "GRU":
        gates = [over_x[:, gate] + over_h[:, gate] for gate in (0, 1)]
        return np.stack([*gates, over_x[:, 2], over_h[:, 2]], axis=-1).astype(np.float32)
    return np.moveaxis(over_x + over_h, 1, -1).astype(np.float32)


def _bias_positions(layer: _Layer, sums: list[str]) -> dict[str, int]:
    """Where each sum's start stands among a unit's biases."""
    if layer.reset_first:
        return {"update": 0, "reset": 1, "candidate": 2}
    return {sum_: position for position, sum_ in enumerate(sums)}


def _state(tensor: Tensor, role: str, names: LayerNames) -> str:
    return names.constants[role] if tensor.value is not None else names.tensors[tensor.name]


FAMILY = RecurrentFloat()
