"""The operator order: valid, never worse than the given one, and optimal where everything can be tried."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given, settings

from edgeprune.graph.ir import Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.lifetimes import storage_names, work_nodes
from edgeprune.plan.order import choose_group_order, peak_bytes
from tests.unit.plan_fakes import DEVICE, FakeFamily, faked, graphs, tensor, work


@pytest.fixture(autouse=True, scope="module")
def _fakes() -> Iterator[None]:
    with faked():
        yield


def choose_order(graph: Graph, candidates: dict[Node, Candidate]) -> tuple[Node, ...]:
    groups = choose_group_order(graph, {(node,): candidates[node] for node in work_nodes(graph)})
    return tuple(node for (node,) in groups)


def first_candidates(graph: Graph) -> dict[Node, Candidate]:
    return {node: FakeFamily().candidates((node,), DEVICE)[0] for node in work_nodes(graph)}


def is_valid(graph: Graph, order: tuple[Node, ...]) -> bool:
    owner = storage_names(graph)
    known = {tensor.name for tensor in graph.inputs}
    for node in order:
        if not {owner[tensor.name] for tensor in node.inputs} <= known:
            return False
        known |= {tensor.name for tensor in node.outputs}
    return len(order) == len(work_nodes(graph))


@settings(max_examples=60, deadline=None)
@given(graphs(most=6))
def test_small_graphs_are_ordered_optimally(graph: Graph) -> None:
    candidates = first_candidates(graph)
    order = choose_order(graph, candidates)
    assert is_valid(graph, order)
    valid = [p for p in permutations(work_nodes(graph)) if is_valid(graph, p)]
    assert peak_bytes(graph, order, candidates) == min(peak_bytes(graph, p, candidates) for p in valid)


@settings(max_examples=40, deadline=None)
@given(graphs(most=25))
def test_larger_graphs_are_never_ordered_worse_than_given(graph: Graph) -> None:
    candidates = first_candidates(graph)
    order = choose_order(graph, candidates)
    assert is_valid(graph, order)
    assert peak_bytes(graph, order, candidates) <= peak_bytes(graph, work_nodes(graph), candidates)


def wide(branches: int, length: int) -> Graph:
    """Branches that first grow and then shrink: running them one after another keeps the peak low."""
    source = tensor("in", 16)
    nodes = []
    current = dict.fromkeys(range(branches), source)
    for level in range(length):
        for branch in range(branches):
            size = 8 if level == length - 1 else 512
            output = tensor(f"b{branch}_{level}", size)
            nodes.append(work(f"n{branch}_{level}", [current[branch]], [output]))
            current[branch] = output
    tips = list(current.values())
    nodes.append(work("join", tips, [tensor("out", 8)]))
    return Graph("wide", tuple(nodes), (source,), (nodes[-1].output,))


def test_branches_run_one_after_another() -> None:
    graph = wide(4, 3)
    candidates = first_candidates(graph)
    order = choose_order(graph, candidates)
    assert peak_bytes(graph, order, candidates) == 512 * 2 + 16 + 2 * 8
    assert peak_bytes(graph, work_nodes(graph), candidates) > 4 * 512


def test_very_wide_graphs_are_searched_in_bounded_time() -> None:
    graph = wide(16, 8)
    candidates = first_candidates(graph)
    order = choose_order(graph, candidates)
    assert is_valid(graph, order)
    assert peak_bytes(graph, order, candidates) <= 512 * 3 + 16 + 16 * 8


def test_a_tie_keeps_the_given_order() -> None:
    a, b, c, d = (tensor(name, 8) for name in "abcd")
    nodes = (work("second", [a], [c]), work("first", [a], [b]), work("join", [b, c], [d]))
    graph = Graph("g", nodes, (a,), (d,))
    assert choose_order(graph, first_candidates(graph)) == nodes
