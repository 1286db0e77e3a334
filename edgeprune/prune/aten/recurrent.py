"""LSTM, GRU and plain recurrent layers: input channels, and hidden units in every gate, layer and direction at once."""

from __future__ import annotations

from edgeprune.prune.aten.rule import Output, Rule, spread
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call, Operand

__all__ = ["RULES"]


def _recurrent(gates: int) -> Rule:
    """The rule of a layer whose parameters stack `gates` blocks of hidden units: LSTM 4, GRU 3, else 1."""

    def rule(call: Call, labels: Labels) -> Output:
        parameters: list[Operand] = call.arguments["params"]
        layers = int(call.arguments["num_layers"])
        directions = 2 if call.arguments["bidirectional"] else 1
        size = len(parameters) // (layers * directions)
        if size != (4 if call.arguments["has_biases"] else 2):
            raise Uncoupled("it projects its hidden state")
        inputs = labels.column(labels.of(call.operand("input")), -1)
        hidden = labels.fresh(parameters[1].shape[1])
        for start in range(0, len(parameters), size):
            from_input, from_hidden, *biases = parameters[start : start + size]
            labels.piece(from_input, 0, hidden.repeat(gates), "produces")
            labels.piece(from_input, 1, inputs, "consumes")
            labels.piece(from_hidden, 0, hidden.repeat(gates), "produces")
            labels.piece(from_hidden, 1, hidden, "consumes")
            for bias in biases:
                labels.piece(bias, 0, hidden.repeat(gates), "produces")
            if (start // size + 1) % directions == 0:
                labels.layer(from_input, inputs, hidden, start // size // directions + 1)
                inputs = hidden.repeat(directions)
        states = call.arguments["hx"]
        for state in states if isinstance(states, list) else [states]:
            labels.tie(labels.column(labels.of(state), -1), hidden)
        outputs, *final = call.output
        return (spread(inputs, -1, outputs), *(spread(hidden, -1, shape) for shape in final))

    return rule


RULES: dict[str, Rule] = {
    "aten.lstm.input": _recurrent(4),
    "aten.gru.input": _recurrent(3),
    "aten.rnn_tanh.input": _recurrent(1),
    "aten.rnn_relu.input": _recurrent(1),
}
