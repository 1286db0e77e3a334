"""How a network is run step by step: which of its inputs are what an earlier run left. ONNX files have a note of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeprune.errors import UsageError
from edgeprune.onnx_notes import note_of, with_note

__all__ = ["Stepping", "parse_states", "stepping_of", "with_stepping"]

_KEY = "edgeprune.stepping"


@dataclass(frozen=True)
class Stepping:
    """What a network keeps between runs.

    `states` are pairs of an input and the output that is its value in the next run, by their numbers. With `frames` the
    network takes a whole sequence, and the library a frame of it at each run.
    """

    states: tuple[tuple[int, int], ...] = ()
    frames: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is kept: each run is an inference of its own."""
        return not self.states and not self.frames


def parse_states(
    given: Sequence[str], inputs: Sequence[str], outputs: Sequence[str], model: str
) -> tuple[tuple[int, int], ...]:
    """Numbers of the inputs and outputs that `given` names, each as `INPUT=OUTPUT`.

    Raises:
        UsageError: a pair is none, names what the network does not have, or two pairs name the same.
    """
    found: list[tuple[int, int]] = []
    for text in given:
        before, separator, after = text.partition("=")
        if not separator:
            raise UsageError(f"--state {text!r} is not INPUT=OUTPUT, such as h=h_out")
        found.append((_number(before, inputs, "input", model), _number(after, outputs, "output", model)))
    for place, kind, names in ((0, "input", inputs), (1, "output", outputs)):
        numbers = [pair[place] for pair in found]
        twice = next((number for number in numbers if numbers.count(number) > 1), None)
        if twice is not None:
            raise UsageError(f"--state names the {kind} {names[twice]!r} twice: leave one of them out")
    if found and len(found) == len(inputs):
        raise UsageError(f"--state leaves {model} no input: one at least must be new at every run")
    if found and len(found) == len(outputs):
        raise UsageError(f"--state leaves {model} no output: one at least must be given at every run")
    return tuple(found)


def _number(name: str, names: Sequence[str], kind: str, model: str) -> int:
    if name not in names:
        listed = ", ".join(names)
        raise UsageError(f"--state names the {kind} {name!r}, but those of {model} are {listed}")
    return list(names).index(name)


def with_stepping(onnx: bytes, stepping: Stepping) -> bytes:
    """The ONNX file `onnx` with a note of `stepping`; as it is where nothing is kept between runs."""
    if stepping.is_whole:
        return onnx
    return with_note(onnx, _KEY, {"states": stepping.states, "frames": stepping.frames})


def stepping_of(onnx: bytes) -> Stepping:
    """What `with_stepping` wrote; a `Stepping` that keeps nothing where it wrote nothing.

    Raises:
        UsageError: the note does not say what it should.
    """
    return note_of(onnx, _KEY, _read) or Stepping()


def _read(values: Any) -> Stepping:
    states = tuple((int(before), int(after)) for before, after in values["states"])
    return Stepping(states, bool(values["frames"]))
