"""States in the plan: where each lies, who must run before it changes, and copies where it cannot be computed in place.

A state has one place, in the part of the arena that lasts between runs. Before the step that stores its new value
there, every step that reads the old one must have run; besides data flow, that is an edge of the order. The node that
computes the new value stores it at once where these edges close no circle, and where it does not itself read the old
value or may do so at the same address (`Operator.updates`). Elsewhere the value is computed into the free part of the
arena, and a copy behind all readers, which nothing waits for and so closes no circle, stores it. An output that is
what a state was before the run is copied, too: its place has the new value when the run ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from edgeprune.graph.build import Builder
from edgeprune.graph.ir import Graph, Node, State, Tensor
from edgeprune.ops import operator_for

__all__ = ["earlier_nodes", "is_view", "state_names", "touches_state", "value_names", "with_copies"]


def is_view(node: Node) -> bool:
    """Whether `node` only renames the bytes of an activation."""
    return operator_for(node).is_view and node.inputs[0].value is None


def value_names(graph: Graph) -> dict[str, str]:
    """For every activation of `graph`, the name of the tensor that it is, or is a view of."""
    owner = {tensor.name: tensor.name for tensor in graph.inputs}
    owner.update({state.before.name: state.before.name for state in graph.states})
    for node in graph.nodes:
        for tensor in node.outputs:
            owner[tensor.name] = owner[node.inputs[0].name] if is_view(node) else tensor.name
    return owner


def state_names(graph: Graph) -> dict[str, str]:
    """For the value that each state becomes, the name of the state, in whose place it is computed."""
    owner = value_names(graph)
    return {owner[state.after.name]: state.before.name for state in graph.states}


def touches_state(graph: Graph) -> frozenset[Node]:
    """The nodes that read or store a state."""
    owner = value_names(graph)
    kept = {name for state in graph.states for name in (state.before.name, owner[state.after.name])}
    return frozenset(
        node
        for node in graph.nodes
        if any(owner.get(tensor.name) in kept for tensor in (*node.inputs, *node.outputs))
    )


def earlier_nodes(graph: Graph) -> dict[Node, tuple[Node, ...]]:
    """For each node that stores a state, the nodes that read what it was before."""
    owner, makers = value_names(graph), graph.producers()
    found: dict[Node, tuple[Node, ...]] = {}
    for state in graph.states:
        maker = makers[owner[state.after.name]]
        found[maker] = (*found.get(maker, ()), *_readers(graph, owner, state, maker))
    return found


def with_copies(graph: Graph) -> Graph:
    """`graph` with a copy for each state that no node can store in place, and nodes in an order that can be run."""
    if not graph.states:
        return graph
    build = Builder({tensor.name for tensor in graph.tensors()})
    graph = _with_outputs_of_their_own(graph, build)
    bare = replace(graph, states=(), inputs=(*graph.inputs, *(state.before for state in graph.states)))
    stored: list[State] = []
    for state in graph.states:
        direct = replace(bare, states=(*stored, state))
        if _is_computed_apart(graph, state) and _ordered(direct) is not None:
            stored.append(state)
            continue
        after = state.after
        if value_names(graph)[after.name] in {one.before.name for one in graph.states}:
            after = _copied(build, after, f"{after.name}_earlier")
        stored.append(State(state.before, _copied(build, after, f"{state.before.name}_next")))
        bare = replace(bare, nodes=(*bare.nodes, *build.nodes))
        build.nodes.clear()
    complete = replace(bare, states=tuple(stored), inputs=graph.inputs)
    nodes = _ordered(complete)
    assert nodes is not None, "copies close no circle"
    return replace(complete, nodes=nodes)


def _with_outputs_of_their_own(graph: Graph, build: Builder) -> Graph:
    """`graph` with copies of outputs that are what a state was before the run, which is gone at its end."""
    owner, befores = value_names(graph), {state.before.name for state in graph.states}
    outputs, layouts = list(graph.outputs), dict(graph.layouts)
    for number, tensor in enumerate(graph.outputs):
        if owner[tensor.name] in befores:
            outputs[number] = _copied(build, tensor, f"{tensor.name}_earlier")
            if tensor.name in layouts:
                layouts[outputs[number].name] = layouts[tensor.name]
    nodes = (*graph.nodes, *build.nodes)
    build.nodes.clear()
    return replace(graph, nodes=nodes, outputs=tuple(outputs), layouts=layouts)


def _is_computed_apart(graph: Graph, state: State) -> bool:
    """Whether a node computes what `state` becomes, for it alone, and may store it where the old value was."""
    owner = value_names(graph)
    value = owner[state.after.name]
    others = [owner[one.after.name] for one in graph.states if one is not state]
    maker = graph.producers().get(value)
    if maker is None or value in others:
        return False
    reads = [i for i, tensor in enumerate(maker.inputs) if owner.get(tensor.name) == state.before.name]
    place = [tensor.name for tensor in maker.outputs].index(value)
    in_place = operator_for(maker).updates(maker)
    if any(
        (index, place) not in in_place or maker.inputs[index].name != state.before.name for index in reads
    ):
        return False
    # Such nodes run in groups (`plan.grouping`), whose parts cannot be told apart here.
    return not any(
        node.op == "Onnx"
        for node in (maker, *_readers(graph, owner, state, maker), *graph.consumers().get(value, ()))
    )


def _copied(build: Builder, tensor: Tensor, name: str) -> Tensor:
    result = build.tensor(name, tensor.shape, tensor.dtype, tensor.quant)
    none = (0,) * len(tensor.shape)
    attrs = {"starts": none, "steps": (1,) * len(none), "sizes": tensor.shape}
    build.add("Slice", result.name, [tensor], [result], attrs)
    return result


def _readers(graph: Graph, owner: Mapping[str, str], state: State, maker: Node) -> Iterator[Node]:
    for node in graph.nodes:
        reads = any(owner.get(tensor.name) == state.before.name for tensor in node.inputs)
        if reads and node is not maker and not is_view(node):
            yield node


def _ordered(graph: Graph) -> tuple[Node, ...] | None:
    """The nodes in their order as far as edges of data and states let them; None where these close a circle."""
    makers, earlier = graph.producers(), earlier_nodes(graph)
    waits = {
        node: {
            *(makers[tensor.name] for tensor in node.inputs if tensor.name in makers),
            *earlier.get(node, ()),
        }
        for node in graph.nodes
    }
    done: dict[Node, None] = {}
    left: Sequence[Node] = graph.nodes
    while left:
        following = []
        for node in left:
            if waits[node] <= done.keys():
                done[node] = None
            else:
                following.append(node)
        if len(following) == len(left):
            return None
        left = following
    return tuple(done)
