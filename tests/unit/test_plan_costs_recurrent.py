"""The cost table of recurrent layers: a narrower one costs what the same layer of that size does."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.graph.ir import Graph, Node
from edgeprune.graph.skeleton import LayerGroups, Skeleton
from edgeprune.plan import Objective, costs, plan
from edgeprune.plan.resize import resized
from tests.support.recurrent_nodes import Recurrence, lower
from tests.unit.plan_fakes import DEVICE

LATENCY = Objective("latency")


def node(shape: Recurrence) -> Node:
    (found,) = lower(shape, np.random.default_rng(0))
    return found


def graph(layer: Node) -> Graph:
    return Graph("net", (layer,), layer.inputs[:1], layer.outputs)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_resized_layer_has_the_shapes_of_one_of_that_size(op: str, direction: str) -> None:
    emits = (1, 1, 1) if op == "LSTM" else (1, 1)
    whole = node(Recurrence(op, inputs=6, hidden=12, direction=direction, emits=emits, states="constant"))
    small = node(Recurrence(op, inputs=4, hidden=8, direction=direction, emits=emits, states="constant"))
    found = resized(whole, 4, 8)
    assert found.attrs == small.attrs
    assert [t.shape for t in found.inputs] == [t.shape for t in small.inputs]
    assert [t.shape for t in found.outputs] == [t.shape for t in small.outputs]
    assert all(
        (t.value is None) == (s.value is None) for t, s in zip(found.inputs, small.inputs, strict=True)
    )


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_the_table_prices_hidden_units(op: str) -> None:
    emits = (1, 0, 0) if op == "LSTM" else (1, 0)
    layer = node(Recurrence(op, inputs=8, hidden=16, emits=emits))
    layers = {layer.name: LayerGroups((None,) * 8, ("h",) * 16)}
    table = costs(Skeleton(graph(layer), layers, {"h": (4, 8, 12, 16)}), DEVICE, LATENCY)
    for hidden in (4, 8, 12, 16):
        program = plan(graph(node(Recurrence(op, inputs=8, hidden=hidden, emits=emits))), DEVICE, LATENCY)
        (step,) = program.steps
        assert table.flash_bytes({"h": hidden}) == step.candidate.flash_bytes
        assert table.cycles({"h": hidden}) == step.candidate.cycles
        assert (
            table.ram_bytes({"h": hidden})
            <= program.arena_bytes
            <= table.ram_bytes({"h": hidden}) * 1.05 + 16
        )


def test_stacked_layers_of_one_group_shrink_together() -> None:
    layer = node(Recurrence("LSTM", inputs=16, hidden=16))
    layers = {layer.name: LayerGroups(("h",) * 16, ("h",) * 16)}
    table = costs(Skeleton(graph(layer), layers, {"h": (4, 8, 12, 16)}), DEVICE, LATENCY)
    (entry,) = [cost for cost in table.layers if cost.group_in]
    assert (entry.group_in, entry.group_out) == ("h", "h")
    assert all(entry.cycles[i][j] == 0 for i in range(4) for j in range(4) if i != j)
    assert np.diff([entry.cycles[i][i] for i in range(4)]).min() > 0
