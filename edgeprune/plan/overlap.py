"""What a candidate's overlap distances mean for memory: pairs that may share bytes, and what a step needs.

A kernel that writes its output behind its own reading may run with address(input) - address(output) as small
as its overlap distance d, instead of the output's whole size, provided the input is not needed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgeprune.kernels.base import Candidate
from edgeprune.plan.lifetimes import Storage

__all__ = ["input_distances", "span_bytes", "step_need_bytes"]


def input_distances(candidate: Candidate, owner: Mapping[str, str]) -> dict[str, int]:
    """For each storage the candidate may overwrite while reading it, the least distance above its output.

    `owner` names the storage of each activation. A storage read under two names keeps the stricter distance.
    """
    found: dict[str, int | None] = {}
    for name, distance in zip(candidate.activation_inputs, candidate.overlap, strict=False):
        storage = owner[name]
        previous = found.get(storage, 0)
        found[storage] = None if distance is None or previous is None else max(distance, previous, 0)
    return {storage: distance for storage, distance in found.items() if distance is not None}


def span_bytes(output_bytes: int, inputs: Iterable[tuple[int, int]]) -> int:
    """The fewest bytes that hold an output and, each at its distance or more above it, (size, distance) inputs.

    Inputs are disjoint from one another. Stacking them in order of distance is optimal, by the argument that
    schedules single-machine jobs with release dates.
    """
    top = 0
    for size, distance in sorted(inputs, key=lambda item: item[1]):
        top = max(top, min(distance, output_bytes)) + size
    return max(top, output_bytes)


def step_need_bytes(
    alive: Sequence[Storage], step: int, candidate: Candidate, owner: Mapping[str, str]
) -> int:
    """Bytes without which `step` cannot run: activations in use, less what may overlap, plus scratch.

    `alive` are the activations' storages in use at `step`.
    """
    total = sum(storage.size_bytes for storage in alive) + candidate.scratch_bytes
    target = next(s for s in alive if s.name == owner[candidate.nodes[-1].output.name])
    distances = {} if target.kept else input_distances(candidate, owner)
    dying = [
        (storage.size_bytes, distances[storage.name])
        for storage in alive
        if storage.dies_at(step) and storage.name in distances
    ]
    apart = target.size_bytes + sum(size for size, _ in dying)
    return total - apart + span_bytes(target.size_bytes, dying)
