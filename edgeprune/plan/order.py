"""The order in which operators run, chosen for the least memory in use at any step.

A state is the set of nodes that have run; which storages are in use follows from it, whatever the order was.
So the best order through each state is found layer by layer (states of one node, of two, ...), keeping for
every state only the way there with the lowest peak: dynamic programming over the antichains of the graph,
exact as long as no layer holds more states than `_STATES` allows. Beyond that only the most promising states
of a layer are kept. Chains have one state per layer. Ties keep the given order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeprune.graph.ir import Graph, Node
from edgeprune.kernels.base import Candidate
from edgeprune.plan.kept import earlier_nodes, value_names
from edgeprune.plan.lifetimes import Group, activations, storage_names
from edgeprune.plan.overlap import input_distances, span_bytes

__all__ = ["choose_group_order", "peak_bytes"]

_STATES = 24_000
_LEAST_BEAM = 32


@dataclass(frozen=True)
class _Job:
    """The nodes of a step as the search sees them; storages are numbered."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    scratch_bytes: int
    distances: Mapping[int, int]
    after: int
    """Bit set of the jobs that must have run."""


@dataclass(frozen=True)
class _Jobs:
    jobs: tuple[_Job, ...]
    sizes: tuple[int, ...]
    readers: tuple[int, ...]
    """Per storage, the bit set of jobs that read it."""
    pinned: frozenset[int]
    """Storages in use to the end."""
    inputs_bytes: int


@dataclass(frozen=True, slots=True)
class _State:
    """The best way to a set of jobs: its peak, what is in use now, and its last job with the state before."""

    peak: int
    live: int
    job: int = -1
    before: _State | None = None

    def order(self) -> list[int]:
        """The jobs that have run, first to last."""
        found, state = [], self
        while state.before is not None:
            found.append(state.job)
            state = state.before
        return found[::-1]


def choose_group_order(graph: Graph, candidates: Mapping[Group, Candidate]) -> tuple[Group, ...]:
    """The groups of nodes that `candidates` names, in an order whose peak is as low as was found.

    It is never above that of the given order, which must be possible. `candidates` gives a likely candidate per group,
    for scratch and overlap.
    """
    groups = tuple(candidates)
    problem = _jobs(graph, groups, list(candidates.values()))
    given = tuple(range(len(groups)))
    best = _search(problem)
    if _peak(problem, given) <= best.peak:
        return groups
    return tuple(groups[index] for index in best.order())


def peak_bytes(graph: Graph, order: Sequence[Node], candidates: Mapping[Node, Candidate]) -> int:
    """The largest number of bytes any step of `order` needs, overlap and scratch counted."""
    groups = [(node,) for node in order]
    return _peak(_jobs(graph, groups, [candidates[node] for node in order]), tuple(range(len(order))))


def _jobs(graph: Graph, groups: Sequence[Group], candidates: Sequence[Candidate]) -> _Jobs:
    owner, values = storage_names(graph), value_names(graph)
    states = {state.before.name for state in graph.states}
    # A state takes its bytes whatever the order is.
    size_of = {tensor.name: 0 if tensor.name in states else tensor.bytes for tensor in graph.tensors()}
    number = {name: index for index, name in enumerate(dict.fromkeys(owner.values()))}
    writer = {values[t.name]: index for index, nodes in enumerate(groups) for t in nodes[-1].outputs}
    job_of = {node: index for index, nodes in enumerate(groups) for node in nodes}
    earlier = earlier_nodes(graph)
    readers = [0] * len(number)
    jobs = []
    for index, (nodes, candidate) in enumerate(zip(groups, candidates, strict=True)):
        inner = {tensor.name for node in nodes[:-1] for tensor in node.outputs}
        inputs = activations([tensor for node in nodes for tensor in node.inputs if tensor.name not in inner])
        reads = tuple(dict.fromkeys(number[owner[t.name]] for t in inputs))
        for storage in reads:
            readers[storage] |= 1 << index
        distances = {number[name]: d for name, d in input_distances(candidate, owner).items()}
        before = {writer[values[t.name]] for t in inputs if values[t.name] in writer}
        before |= {job_of[reader] for node in nodes for reader in earlier.get(node, ())}
        after = sum(1 << job for job in before)
        writes = tuple(number[owner[tensor.name]] for tensor in nodes[-1].outputs)
        jobs.append(_Job(reads, writes, candidate.scratch_bytes, distances, after))
    lasting = (*(owner[tensor.name] for tensor in graph.outputs), *states)
    pinned = frozenset(number[name] for name in lasting)
    sizes = tuple(size_of[name] for name in number)
    return _Jobs(tuple(jobs), sizes, tuple(readers), pinned, sum(sizes[number[t.name]] for t in graph.inputs))


def _peak(problem: _Jobs, order: Sequence[int]) -> int:
    state, done = _State(0, problem.inputs_bytes), 0
    for index in order:
        done |= 1 << index
        state = _after(problem, state, index, done)
    return state.peak


def _after(problem: _Jobs, state: _State, index: int, done: int) -> _State:
    """The state after job `index`, `done` being the set of jobs that have run then, `index` included."""
    job, sizes = problem.jobs[index], problem.sizes
    dying = [s for s in job.reads if s not in problem.pinned and not problem.readers[s] & ~done]
    overlapping = [(sizes[s], job.distances[s]) for s in dying if s in job.distances]
    main = sizes[job.writes[0]]
    saved = main + sum(size for size, _ in overlapping) - span_bytes(main, overlapping) if overlapping else 0
    written = sum(sizes[s] for s in job.writes)
    need = state.live + written + job.scratch_bytes - saved
    unread = sum(sizes[s] for s in job.writes if not problem.readers[s] and s not in problem.pinned)
    live = state.live + written - unread - sum(sizes[s] for s in dying)
    return _State(max(state.peak, need), live, index, state)


def _search(problem: _Jobs) -> _State:
    count = len(problem.jobs)
    beam = max(_LEAST_BEAM, _STATES // max(count, 1))
    layer = {0: _State(0, problem.inputs_bytes)}
    for _ in range(count):
        following: dict[int, _State] = {}
        for done, state in layer.items():
            for index, job in enumerate(problem.jobs):
                bit = 1 << index
                if done & bit or job.after & ~done:
                    continue
                new = _after(problem, state, index, done | bit)
                old = following.get(done | bit)
                if old is None or new.peak < old.peak:
                    following[done | bit] = new
        if len(following) > beam:
            ranked = sorted(following.items(), key=lambda item: (item[1].peak, item[1].live))
            following = dict(ranked[:beam])
        layer = following
    return next(iter(layer.values()))
