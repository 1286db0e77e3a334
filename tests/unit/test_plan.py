"""The planner as a whole, on networks made of fake operators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings

from edgeprune.errors import OverBudget, UsageError
from edgeprune.graph.ir import Graph, Node
from edgeprune.plan import Objective, plan
from edgeprune.plan.check import check_program
from tests.support.row_simulator import simulate
from tests.unit.plan_fakes import DEVICE, FakeFamily, faked, graphs, tensor, view, work

LATENCY = Objective("latency")


@pytest.fixture(autouse=True, scope="module")
def _fakes() -> Iterator[None]:
    with faked():
        yield


def chain(*sizes: int, **attrs: tuple[int, ...]) -> Graph:
    tensors = [tensor(f"t{i}", size) for i, size in enumerate(sizes)]
    nodes = [work(f"n{i}", [a], [b], **attrs) for i, (a, b) in enumerate(pairwise(tensors))]
    return Graph("chain", tuple(nodes), (tensors[0],), (tensors[-1],))


def test_a_chain_needs_its_largest_neighbours() -> None:
    program = plan(chain(64, 128, 32, 256), DEVICE, LATENCY)
    assert program.arena_bytes == program.lower_bound_bytes == 288
    assert [step.name for step in program.steps] == ["n0", "n1", "n2"]


def test_in_place_steps_share_bytes_and_the_bound_without_overlap_is_kept_for_the_report() -> None:
    program = plan(chain(64, 64, 64, overlap=(0,)), DEVICE, LATENCY)
    assert (program.arena_bytes, program.lower_bound_bytes) == (64, 128)


def test_an_input_that_is_read_again_is_not_overwritten() -> None:
    a, b, c = tensor("a", 64), tensor("b", 64), tensor("c", 64)
    nodes = (work("n0", [a], [b], overlap=(0,)), work("n1", [a, b], [c], overlap=(0,)))
    program = plan(Graph("g", nodes, (a,), (c,)), DEVICE, LATENCY)
    assert program.arena_bytes == 128


def test_views_take_no_step_and_no_bytes() -> None:
    a, b = tensor("a", 64), tensor("b", 64)
    node = view(b, "c")
    graph = Graph("g", (work("n0", [a], [b]), node, work("n1", [node.output], [tensor("d", 8)])), (a,), ())
    graph = replace(graph, outputs=(graph.nodes[-1].output,))
    program = plan(graph, DEVICE, LATENCY)
    assert len(program.steps) == 2
    assert program.views == {"c": "b"}
    assert program.buffer_of("c") is program.buffer_of("b")
    assert program.arena_bytes == 128


def test_a_view_of_an_input_may_be_an_output_and_outputs_may_repeat() -> None:
    a = tensor("a", 64)
    node = view(a, "b")
    nodes = (node, work("n0", [a], [tensor("c", 64)], overlap=(0,)))
    c = nodes[1].output
    program = plan(Graph("g", nodes, (a,), (node.output, c, c, a)), DEVICE, LATENCY)
    assert program.arena_bytes == 128
    only = plan(Graph("g", (node,), (a,), (node.output,)), DEVICE, LATENCY)
    assert (only.steps, only.arena_bytes, only.buffer_of("b").offset) == ((), 64, 0)


def test_inputs_are_apart_even_when_one_is_never_read() -> None:
    a, b, c = tensor("a", 64), tensor("b", 32), tensor("c", 8)
    program = plan(Graph("g", (work("n0", [a], [c]),), (a, b), (c,)), DEVICE, LATENCY)
    assert program.arena_bytes == 104


def test_a_constant_output_is_refused() -> None:
    import numpy as np

    from edgeprune.graph.build import constant

    with pytest.raises(UsageError, match="output 'k' of the network is a constant"):
        plan(Graph("g", (), (tensor("a", 8),), (constant("k", np.zeros(4, np.int8)),)), DEVICE, LATENCY)


def test_a_node_without_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeFamily, "candidates", lambda self, nodes, device: ())
    with pytest.raises(UsageError, match=r"no kernel for Work \(int8\[8\], int8\[8\]\) on board.*'n0'"):
        plan(chain(8, 8), DEVICE, LATENCY)


def test_weights_that_no_kernel_admits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeFamily, "admits", lambda self, candidate, weights: False)
    with pytest.raises(UsageError, match="weights of Work node 'n0'"):
        plan(chain(8, 8), DEVICE, LATENCY)


def two_ways(overlap: tuple[int, ...] = (-1, -1)) -> Graph:
    """Each step: fast with 100 bytes of scratch and 30 of flash, or slow with neither."""
    return chain(80, 80, 40, cycles=(10, 50), scratch=(100, 0), flash=(30, 10), overlap=overlap)


def names(graph: Graph, objective: Objective) -> list[str]:
    return [step.candidate.name for step in plan(graph, DEVICE, objective).steps]


def test_the_objective_decides_and_budgets_bind() -> None:
    assert names(two_ways(), LATENCY) == ["fake_0", "fake_0"]
    assert names(two_ways(), Objective("flash")) == ["fake_1", "fake_1"]
    assert names(two_ways(), Objective("ram", ram_exchange=0)) == ["fake_1", "fake_1"]
    assert names(two_ways(), Objective("latency", ram_bytes=224)) == ["fake_1", "fake_0"]
    assert names(two_ways(), Objective("latency", flash_bytes=40)).count("fake_0") == 1
    assert names(two_ways(), Objective("latency", flash_bytes=5)) == ["fake_1", "fake_1"]


def test_ram_ties_are_broken_by_cycles() -> None:
    graph = chain(200, 200, 8, 8, cycles=(10, 50), scratch=(100, 0))
    assert names(graph, Objective("ram", ram_exchange=0)) == ["fake_1", "fake_0", "fake_0"]


def test_ram_is_given_for_time_where_it_is_worth_that() -> None:
    """A quarter more arena for a third of the cycles is taken; a half more is beyond what may be given."""
    a_little = chain(200, 200, 8, 8, cycles=(10, 50), scratch=(100, 0))
    assert names(a_little, Objective("ram")) == ["fake_0", "fake_0", "fake_0"]
    too_much = chain(200, 200, 8, 8, cycles=(10, 50), scratch=(210, 0))
    assert names(too_much, Objective("ram")) == ["fake_1", "fake_0", "fake_0"]


def test_the_least_needs_are_not_taken_where_they_pack_worse() -> None:
    """Each slow step needs 8 bytes less than a fast one, but moves its output 8 bytes further down."""
    graph = chain(*(96,) * 8, cycles=(5, 10), scratch=(16, 0), overlap=(0, 8))
    program = plan(graph, DEVICE, Objective("ram"))
    assert program.arena_bytes == 112
    assert {step.candidate.name for step in program.steps} == {"fake_0"}


def test_the_runner_up_is_reported() -> None:
    step = plan(two_ways(), DEVICE, LATENCY).steps[0]
    assert step.next_best is not None
    assert step.next_best.name == "fake_1"


def test_too_little_ram_names_the_step_that_binds() -> None:
    with pytest.raises(OverBudget, match="'n0' 't0' 80 B and 't1' 80 B are alive together"):
        plan(two_ways(), DEVICE, Objective("latency", ram_bytes=100))


def test_persistent_bytes_need_an_explicit_ram_budget_and_stay_apart() -> None:
    graph = chain(64, 64, 64, cycles=(10, 50), persistent=(48, 0))
    assert names(graph, LATENCY) == ["fake_1", "fake_1"]
    program = plan(graph, DEVICE, Objective("latency", ram_bytes=190))
    assert sorted(step.candidate.name for step in program.steps) == ["fake_0", "fake_1"]
    assert (program.persistent_bytes, program.arena_bytes) == (48, 176)


def test_planning_is_deterministic() -> None:
    graph = two_ways((0, -1))
    assert plan(graph, DEVICE, LATENCY).buffers == plan(graph, DEVICE, LATENCY).buffers


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_random_graphs_are_planned_safely(graph: Graph) -> None:
    program = plan(graph, DEVICE, LATENCY)
    check_program(program)
    simulate(program)
    assert program.arena_bytes <= program.lower_bound_bytes * 1.25 + 16
    for tensor_ in graph.tensors():
        assert tensor_.name in program.buffer_of(tensor_.name).tensors


def test_the_check_refuses_a_program_whose_buffers_collide() -> None:
    program = plan(chain(64, 128, 32), DEVICE, LATENCY)
    moved = tuple(replace(buffer, offset=0) for buffer in program.buffers)
    with pytest.raises(AssertionError, match="share bytes while both are alive"):
        check_program(replace(program, buffers=moved))


def test_duplicate_node_names_do_not_confuse_lifetimes() -> None:
    a, b, c = tensor("a", 8), tensor("b", 8), tensor("c", 8)
    nodes = (Node("Work", "same", (a,), (b,)), Node("Work", "same", (b,), (c,)))
    assert len(plan(Graph("g", nodes, (a,), (c,)), DEVICE, LATENCY).steps) == 2
