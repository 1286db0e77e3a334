"""Running networks that keep states step by step over sequences: what an output was is an input of the next step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.progress import Progress, SilentProgress
from edgeprune.quantize.run import Session

__all__ = ["run_sequences", "unroll"]

States = Sequence[tuple[int, int]]
"""Numbers of an input and of the output that it is in the next step."""


def run_sequences(
    data: bytes, sequences: Sequence[Array], states: States, progress: Progress | None = None
) -> tuple[Array, ...]:
    """The outputs [N, steps, *shape] that are no states, for sequences [N, steps, *shape] of the inputs that are none.

    Raises:
        UsageError: onnxruntime refuses the model or the inputs.
    """
    count, steps = sequences[0].shape[:2]
    kept = {after for _, after in states}
    found: list[list[Array]] = []
    with (progress or SilentProgress()).task("running onnxruntime", count * steps) as task:
        for _, outputs in _steps(data, sequences, states):
            found.append([array for number, array in enumerate(outputs) if number not in kept])
            task.advance()
    return tuple(
        np.concatenate(arrays).reshape(count, steps, *arrays[0].shape[1:])
        for arrays in zip(*found, strict=True)
    )


def unroll(data: bytes, sequences: Sequence[Array], states: States) -> tuple[Array, ...]:
    """Every step of `sequences` as a sample of its own: all inputs [N * steps, *shape], states among them.

    Raises:
        UsageError: onnxruntime refuses the model or the inputs.
    """
    rows = zip(*(inputs for inputs, _ in _steps(data, sequences, states)), strict=True)
    return tuple(np.concatenate(arrays) for arrays in rows)


def _steps(
    data: bytes, sequences: Sequence[Array], states: States
) -> Iterator[tuple[list[Array], list[Array]]]:
    """All inputs and all outputs of every step, sequence after sequence; states are zeros at the first step of each."""
    session = Session(data)
    count, steps = sequences[0].shape[:2]
    for sample in range(count):
        kept = {before: session.zeros(before) for before, _ in states}
        for step in range(steps):
            given = iter(sequences)
            inputs = [
                kept[number] if number in kept else next(given)[sample, step][None]
                for number in range(len(kept) + len(sequences))
            ]
            outputs = session.run(inputs)
            yield inputs, outputs
            kept = {before: outputs[after] for before, after in states}
