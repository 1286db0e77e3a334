"""What a candidate's overlap distances mean for memory: pairs that may share bytes, and what a step needs.

A kernel that writes its output behind its own reading may run with address(input) - address(output) as small
as its overlap distance d, instead of the output's whole size, provided the input is not needed afterwards. The same
goes for scratch that is first used when the beginning of the input has been read for the last time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from edgeprune.kernels.base import Candidate
from edgeprune.plan.lifetimes import Storage

__all__ = ["input_distances", "need_of", "scratch_distances", "span_bytes", "step_need_bytes"]


def input_distances(candidate: Candidate, owner: Mapping[str, str]) -> dict[str, int]:
    """For each storage the candidate may overwrite while reading it, the least distance above its output.

    `owner` names the storage of each activation. A storage read under two names keeps the stricter distance.
    """
    return _distances(candidate, candidate.overlap, owner)


def scratch_distances(candidate: Candidate, owner: Mapping[str, str]) -> dict[str, int]:
    """The same above its scratch."""
    return _distances(candidate, candidate.scratch_overlap, owner)


def _distances(candidate: Candidate, least: Sequence[int | None], owner: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int | None] = {}
    for name, distance in zip(candidate.activation_inputs, least, strict=False):
        storage = owner[name]
        previous = found.get(storage, 0)
        found[storage] = None if distance is None or previous is None else max(distance, previous, 0)
    return {storage: distance for storage, distance in found.items() if distance is not None}


def span_bytes(lower_bytes: int, inputs: Iterable[tuple[int, int]]) -> int:
    """The fewest bytes that hold an output or scratch and, each at its distance or more above, (size, distance) inputs.

    Inputs are disjoint from one another. Stacking them in order of distance is optimal, by the argument that
    schedules single-machine jobs with release dates.
    """
    top = 0
    for size, distance in sorted(inputs, key=lambda item: item[1]):
        top = max(top, min(distance, lower_bytes)) + size
    return max(top, lower_bytes)


def step_need_bytes(
    alive: Sequence[Storage], step: int, candidate: Candidate, owner: Mapping[str, str]
) -> int:
    """Bytes without which `step` cannot run: activations in use, less what may overlap, plus scratch.

    `alive` are the activations' storages in use at `step`.
    """
    target = next(s for s in alive if s.name == owner[candidate.nodes[-1].output.name])
    return need_of(alive, target, candidate, owner, lambda storage: storage.dies_at(step))


def need_of(
    alive: Iterable[Storage],
    target: Storage,
    candidate: Candidate,
    owner: Mapping[str, str],
    dies: Callable[[Storage], bool],
) -> int:
    """Bytes that hold the storages `alive` and the candidate's scratch, those that die as near as they may come.

    `target` is that of its output. An input that may share bytes with output and scratch shares them with one of the
    two: they lie apart, and above the lower byte of either.
    """
    over_output = {} if target.kept else input_distances(candidate, owner)
    over_scratch = scratch_distances(candidate, owner)
    apart, ways = 0, list[list[tuple[bool, int, int]]]()
    for storage in alive:
        if storage is target:
            continue
        found = [
            (above is over_scratch, storage.size_bytes, above[storage.name])
            for above in (over_output, over_scratch)
            if dies(storage) and storage.name in above
        ]
        if found:
            ways.append(found)
        else:
            apart += storage.size_bytes
    return apart + min(
        span_bytes(target.size_bytes, [(size, d) for scratch, size, d in way if not scratch])
        + span_bytes(candidate.scratch_bytes, [(size, d) for scratch, size, d in way if scratch])
        for way in itertools.product(*ways)
    )
