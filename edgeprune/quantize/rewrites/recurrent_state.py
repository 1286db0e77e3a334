"""Initial states of LSTM, GRU and RNN that are zeros are left out: that is what ONNX takes by default."""

from __future__ import annotations

import onnx_ir as ir

from edgeprune.quantize.operators import RECURRENT
from edgeprune.quantize.rewrites.edit import constant_array

__all__ = ["apply"]

_SEQUENCE_LENGTHS, _FIRST_STATE = 4, 5


def apply(model: ir.Model) -> None:
    """Drop zero initial states, then trailing absent inputs."""
    for node in model.graph:
        if node.op_type not in RECURRENT:
            continue
        for index in range(_FIRST_STATE, min(len(node.inputs), _FIRST_STATE + 2)):
            state = constant_array(node.inputs[index])
            if state is not None and not state.any():
                node.replace_input_with(index, None)
        while node.inputs and node.inputs[-1] is None:
            node.resize_inputs(len(node.inputs) - 1)
