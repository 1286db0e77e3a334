"""Memory nobody named a budget for is not spent: expanded weights want a flash budget of their own."""

from __future__ import annotations

import numpy as np

from edgeprune.device import load_device
from edgeprune.graph.ir import Graph
from edgeprune.plan import Objective, Program, plan
from tests.support.cases import conv_node


def planned(flash_bytes: int | None, named: bool = True) -> Program:
    node = conv_node(np.random.default_rng(0), height=16, width=16, in_channels=32, out_channels=32)
    graph = Graph("one", (node,), node.inputs[:1], node.outputs)
    return plan(graph, load_device("nucleo-l4r5zi"), Objective(flash_bytes=flash_bytes, spends_flash=named))


def test_weights_are_expanded_only_under_a_flash_budget() -> None:
    for unnamed in (planned(None), planned(128 << 10, named=False)):
        assert not unnamed.steps[0].candidate.expands_weights
    roomy, tight = planned(128 << 10), planned(12 << 10)
    assert roomy.steps[0].candidate.expands_weights
    assert not tight.steps[0].candidate.expands_weights
    assert roomy.steps[0].candidate.cycles < tight.steps[0].candidate.cycles
