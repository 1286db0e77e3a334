"""Recurrent layers of ONNX's layout 1, the batch first, as those of layout 0 between transposes.

ONNX, Operators.md, LSTM: with layout 1, X is [batch, steps, inputs], Y is [batch, steps, directions, hidden], and
initial and last states are [batch, directions, hidden].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.ops._onnx_edit import Edit, attributes_of, rewritten

if TYPE_CHECKING:
    import onnx

__all__ = ["steps_first"]

_KINDS = ("GRU", "LSTM", "RNN")
_SEQUENCE, _STATES = 0, (5, 6)
"""Operands with a batch: the sequence, and the initial states."""
_SWAP = [1, 0, 2]
_RESULTS = ([2, 0, 1, 3], _SWAP, _SWAP)
"""Permutations from the results of layout 0, [steps, directions, batch, hidden] and states, to those of layout 1."""


def steps_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without layers whose batch comes first; itself where there are none."""
    if not any(node.op_type in _KINDS and attributes_of(node).get("layout") for node in model.graph.node):
        return model
    return rewritten(model, dict.fromkeys(_KINDS, _transposed))


def _transposed(node: onnx.NodeProto, edit: Edit) -> bool:
    from onnx import helper

    attributes = attributes_of(node)
    if not attributes.pop("layout", 0):
        return False
    operands = [
        edit.add("Transpose", name, perm=_SWAP) if name and position in (_SEQUENCE, *_STATES) else name
        for position, name in enumerate(node.input)
    ]
    inner = [f"{name}_steps_first" if name else "" for name in node.output]
    edit.nodes.append(helper.make_node(node.op_type, operands, inner, name=node.name, **attributes))
    for name, found, order in zip(node.output, inner, _RESULTS, strict=False):
        if name:
            edit.add("Transpose", found, result=name, perm=order)
    return True
