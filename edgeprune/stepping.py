"""How a network is run step by step: which of its inputs are what an earlier run left.

An ONNX file says so in a line of its metadata, which ONNX Runtime ignores: it travels with the int8 network, so that
whatever reads the file makes the same library of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from edgeprune.errors import UsageError

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
    """The ONNX file `onnx` with `stepping` in its metadata; as it is where nothing is kept between runs."""
    if stepping.is_whole:
        return onnx
    from onnx import helper, load_model_from_string

    model = load_model_from_string(onnx)
    kept = {item.key: item.value for item in model.metadata_props}
    line = json.dumps({"states": stepping.states, "frames": stepping.frames})
    helper.set_model_props(model, {**kept, _KEY: line})
    return bytes(model.SerializeToString(deterministic=True))


def stepping_of(onnx: bytes) -> Stepping:
    """What `with_stepping` wrote; a `Stepping` that keeps nothing where it wrote nothing.

    Raises:
        UsageError: the line does not say what it should.
    """
    from onnx import load_model_from_string

    for item in load_model_from_string(onnx).metadata_props:
        if item.key == _KEY:
            return _read(item.value)
    return Stepping()


def _read(text: str) -> Stepping:
    try:
        values = json.loads(text)
        states = tuple((int(before), int(after)) for before, after in values["states"])
        return Stepping(states, bool(values["frames"]))
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise UsageError(f"the ONNX model's metadata {_KEY!r} is damaged: {text!r}") from error
