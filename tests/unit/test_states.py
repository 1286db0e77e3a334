"""States: which are stored in place, which are copied, and that no step reads one that is already overwritten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.errors import UsageError
from edgeprune.graph.build import constant
from edgeprune.graph.execute import execute, execute_runs
from edgeprune.graph.ir import Graph, Node, Quant, State, Tensor
from edgeprune.graph.passes import keep_states
from edgeprune.graph.verify import verify
from edgeprune.plan import Objective, Program, plan
from edgeprune.plan.check import check_program
from edgeprune.plan.kept import earlier_nodes, with_copies
from edgeprune.plan.lifetimes import storage_names
from edgeprune.stepping import Stepping, parse_states, stepping_of, with_stepping
from tests.support.onnx_models import residual_net

QUANT = Quant.per_tensor(0.05, 3)
DEVICE = load_device("nucleo-l4r5zi")


def tensor(name: str, quant: Quant = QUANT) -> Tensor:
    return Tensor(name, (1, 8), "int8", quant)


def add(a: Tensor, b: Tensor, y: Tensor) -> Node:
    return Node("Add", y.name, (a, b), (y,), {"clamp": (-128, 127)})


def layer(x: Tensor, y: Tensor, seed: int) -> Node:
    rng = np.random.default_rng(seed)
    w = constant(
        f"{y.name}_w", rng.integers(-127, 128, (8, 8)).astype(np.int8), Quant((0.01,) * 8, (0,) * 8, 0)
    )
    b = constant(f"{y.name}_b", rng.integers(-99, 99, 8).astype(np.int32), Quant((0.0005,) * 8, (0,) * 8, 0))
    return Node("FullyConnected", y.name, (x, w, b), (y,), {"clamp": (-128, 127)})


X, A, B, C, Y, P, R = (tensor(name) for name in ("x", "a", "b", "c", "y", "p", "r"))
VIEW = Node("Reshape", "view", (B,), (C,), {"shape": (1, 8)})


def network(nodes: tuple[Node, ...], outputs: tuple[Tensor, ...], states: dict[str, Tensor]) -> Graph:
    befores = {"a": A, "b": B}
    kept = tuple(State(befores[name], after) for name, after in states.items())
    return verify(Graph("net", nodes, (X,), outputs, states=kept))


GRAPHS = {
    # The new value is made of the old one by way of others: it is stored in place.
    "in place": (network((layer(A, P, 1), add(P, X, Y)), (Y,), {"a": Y}), 0),
    # The node itself reads the old value: no kernel promises that at one address.
    "at once": (network((add(A, X, Y),), (Y,), {"a": Y}), 1),
    # A node reads the old value beside the new one, or beside what is made of that.
    "late reader": (network((layer(X, P, 1), add(P, A, Y)), (Y,), {"a": P}), 1),
    "later reader": (network((layer(X, P, 1), layer(P, R, 2), add(R, A, Y)), (Y,), {"a": P}), 1),
    # Nodes that only happen to stand in the other order.
    "reordered": (network((layer(X, P, 1), add(X, A, Y)), (Y,), {"a": P}), 0),
    # A delay line, whose values only move on.
    "delay line": (network((add(A, B, Y),), (Y,), {"a": X, "b": A}), 3),
    # States that change places.
    "swap": (network((add(A, X, Y),), (Y,), {"a": B, "b": A}), 4),
    "crossed": (network((layer(A, P, 1), layer(B, R, 2), add(P, X, Y)), (Y,), {"a": R, "b": P}), 1),
    # Old values that are returned are gone at the end of the run.
    "old output": (network((layer(X, P, 1), add(P, X, Y)), (Y, A), {"a": P}), 1),
    "old output of a delay line": (network((add(A, B, Y),), (Y, B, A), {"a": X, "b": A}), 5),
    # The second state is read under another shape.
    "view": (network((layer(X, P, 1), VIEW, add(P, C, Y)), (Y,), {"a": Y, "b": P}), 1),
    "one value for two": (network((layer(X, P, 1), add(A, B, Y)), (Y,), {"a": P, "b": P}), 2),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_states_are_copied_where_they_must_be(name: str) -> None:
    graph, copies = GRAPHS[name]
    stored = verify(with_copies(graph))
    assert len(stored.nodes) - len(graph.nodes) == copies
    rng = np.random.default_rng(0)
    inputs = (rng.integers(-128, 128, (6, 1, 8)).astype(np.int8),)
    runs = zip(execute_runs(graph, inputs), execute_runs(stored, inputs), strict=True)
    for want, got in runs:
        for before, after in zip(graph.outputs, stored.outputs, strict=True):
            np.testing.assert_array_equal(want[before.name], got[after.name])
    program = plan(stored, DEVICE, Objective())
    check_program(program)
    _simulate(program, inputs)


def _simulate(program: Program, inputs: tuple[np.ndarray, ...]) -> None:
    """Runs the steps by their references on states in one place each, which the writer overwrites at once."""
    graph = program.graph
    places = storage_names(graph)
    memory = {state.before.name: np.full((1, 8), state.zero, np.int8) for state in graph.states}
    for run, want in enumerate(execute_runs(graph, inputs)):
        memory["x"] = inputs[0][run]
        for step in program.steps:
            for node in step.nodes:
                one = replace(graph, nodes=(node,), inputs=tuple(t for t in node.inputs if t.value is None))
                one = replace(one, outputs=(), states=())
                given = [memory[places.get(t.name, t.name)] for t in one.inputs]
                results = execute(one, given)
                memory |= {places.get(t.name, t.name): results[t.name] for t in node.outputs}
        for tensor in graph.outputs:
            np.testing.assert_array_equal(memory[places.get(tensor.name, tensor.name)], want[tensor.name])


def test_a_reader_that_comes_too_late_is_found() -> None:
    program = plan(with_copies(GRAPHS["reordered"][0]), DEVICE, Objective())
    (writer,) = earlier_nodes(program.graph)
    steps = sorted(program.steps, key=lambda step: writer not in step.nodes)
    with pytest.raises(AssertionError, match="read the state that step 'p' has overwritten"):
        check_program(replace(program, steps=tuple(steps)))


def test_states_lie_below_what_is_free_between_runs() -> None:
    program = plan(with_copies(GRAPHS["delay line"][0]), DEVICE, Objective())
    ends = [buffer.offset + buffer.size_bytes for buffer in program.states]
    assert program.persistent_bytes == program.graph.state_bytes == 16
    assert max(ends) <= program.scratch_offset
    free = [buffer.offset for buffer in program.buffers if buffer not in program.lasting]
    assert min(free) >= program.scratch_offset


def test_a_state_has_the_layout_and_scale_of_its_input() -> None:
    other = Quant.per_tensor(0.1, -4)
    before, after = Tensor("h", (1, 2, 3), "int8", QUANT), Tensor("z", (1, 3, 2), "int8", other)
    turn = Node("Transpose", "turn", (before,), (Tensor("t", (1, 3, 2), "int8", QUANT),), {"perm": (0, 2, 1)})
    scale = Node("Requantize", "scale", turn.outputs, (after,))
    graph = Graph("net", (turn, scale), (X, before), (X, after), {"z": (0, 2, 1)})
    kept = verify(keep_states.run(graph, ((1, 1),)))
    assert [tensor.name for tensor in (*kept.inputs, *kept.outputs)] == ["x", "x"]
    (state,) = kept.states
    assert (state.after.shape, state.after.quant) == (before.shape, before.quant)
    with pytest.raises(UsageError, match="both must be of one shape and type"):
        keep_states.run(graph, ((0, 1),))
    with pytest.raises(UsageError, match="not as many inputs"):
        keep_states.run(graph, ((2, 1),))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("h",), "is not INPUT=OUTPUT"),
        (("h=y2",), "the output 'y2', but those of m.onnx are y, h_out"),
        (("z=h_out",), "the input 'z'"),
        (("h=h_out", "h=y"), "the input 'h' twice"),
        (("h=h_out", "x=y"), "leaves m.onnx no input"),
    ],
)
def test_pairs_that_name_nothing_are_refused(given: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_states(given, ("x", "h"), ("y", "h_out"), "m.onnx")


def test_what_is_kept_travels_with_the_file() -> None:
    onnx = residual_net()
    assert stepping_of(onnx).is_whole
    assert with_stepping(onnx, Stepping()) == onnx
    for stepping in (Stepping(((1, 0),)), Stepping(frames=True)):
        assert stepping_of(with_stepping(onnx, stepping)) == stepping
