"""Data for calibration and verification: from a file, from a recipe's batches, or at random."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.graph.ir import Array, Shape
from edgeprune.model.model import Dataset, Model

if TYPE_CHECKING:
    import torch

__all__ = [
    "InputSpec",
    "all_inputs",
    "check_against",
    "dataset_from_batches",
    "input_specs",
    "load_dataset",
    "random_dataset",
    "recipe_dataset",
    "training_batches",
]

_RANDOM_STEPS = 4


@dataclass(frozen=True)
class InputSpec:
    """One input of a network: `shape` without the batch dimension, and the range random samples are drawn from.

    Floats are drawn from [low, high), integers from low ... high - 1. Where samples `are_sequences`, each has a further
    dimension before those of `shape`, the steps.
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    low: float = 0.0
    high: float = 1.0
    are_sequences: bool = False

    @property
    def outer(self) -> int:
        """Dimensions of data before those of `shape`."""
        return 2 if self.are_sequences else 1


def input_specs(model: Model) -> tuple[InputSpec, ...]:
    """The inputs of `model` that data are given for, in order: all, but for those that an earlier step left."""
    states = {before for before, _ in model.stepping.states}
    specs = [spec for number, spec in enumerate(all_inputs(model)) if number not in states]
    if model.module is not None:
        names = ["x"] if len(specs) == 1 else [f"x_{i}" for i in range(len(specs))]
        specs = [replace(spec, name=name) for spec, name in zip(specs, names, strict=True)]
    return tuple(replace(spec, are_sequences=bool(states)) for spec in specs)


def all_inputs(model: Model) -> tuple[InputSpec, ...]:
    """Every input of `model`, states among them: by the names of an ONNX file, else `input_0`, `input_1` ..."""
    if model.module is not None:
        return tuple(
            InputSpec(f"input_{number}", tuple(tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."))
            for number, tensor in enumerate(model.example_inputs)
        )
    import onnx

    assert model.onnx is not None
    graph = onnx.load_model_from_string(model.onnx).graph
    constants = {initializer.name for initializer in graph.initializer}
    return tuple(_onnx_spec(value) for value in graph.input if value.name not in constants)


def _onnx_spec(value: Any) -> InputSpec:
    import onnx

    kind = value.type.tensor_type
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    return InputSpec(value.name, shape[1:], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)


def load_dataset(path: Path, inputs: Sequence[InputSpec]) -> Dataset:
    """Read an npz file: `x` [N, *shape] (or `x_0`, `x_1` ... for several inputs) and optional labels `y` [N].

    Raises:
        UsageError: the file is missing or no npz, an array is missing or of the wrong shape or type (the
            sentence states expected and found), or a value is NaN or infinite.
    """
    if not path.is_file():
        raise UsageError(f"data file {path} does not exist")
    try:
        with zipfile.ZipFile(path):  # an npz is a zip; np.load would read a plain npy as well
            pass
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UsageError(f"{path} is not a readable npz file of plain arrays ({_line(error)})") from error

    names = ["x"] if len(inputs) == 1 and "x" in arrays else [f"x_{i}" for i in range(len(inputs))]
    if len(inputs) == 1 and names[0] not in arrays:
        names = ["x"]
    values = tuple(
        _checked(path, name, arrays.get(name), spec) for name, spec in zip(names, inputs, strict=True)
    )
    counts = {len(value) for value in values}
    if len({value.shape[: spec.outer] for value, spec in zip(values, inputs, strict=True)}) > len(counts):
        raise UsageError(f"{path}: its arrays disagree about the number of steps")
    labels = arrays.get("y")
    if labels is not None:
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.number):
            found = f"{labels.dtype} {list(labels.shape)}"
            raise UsageError(
                f"{path}: 'y' is {found}, but labels [N], one number for each sample, are expected"
            )
        counts.add(len(labels))
    if len(counts) != 1:
        listed = ", ".join(str(count) for count in sorted(counts))
        raise UsageError(f"{path}: its arrays disagree about the number of samples ({listed})")
    return Dataset(values, labels)


def _checked(path: Path, name: str, array: Array | None, spec: InputSpec) -> Array:
    sizes = ("N", *(["steps"] if spec.are_sequences else []), *map(str, spec.shape))
    wanted = f"{spec.dtype} [{', '.join(sizes)}] is expected for input {spec.name!r}"
    if array is None:
        raise UsageError(f"{path} has no array {name!r}: {wanted}")
    found = f"{array.dtype} {list(array.shape)}"
    floats = np.issubdtype(array.dtype, np.floating)
    if array.ndim < spec.outer or array.shape[spec.outer :] != spec.shape:
        raise UsageError(f"{path}: {name!r} is {found}, but {wanted}")
    wants_float = spec.dtype.startswith("float")
    if floats != wants_float or not np.issubdtype(array.dtype, np.number):
        raise UsageError(f"{path}: {name!r} is {found}, but {wanted}")
    if 0 in array.shape[: spec.outer]:
        raise UsageError(f"{path}: {name!r} holds no samples")
    if floats and not np.isfinite(array).all():
        raise UsageError(f"{path}: {name!r} holds NaN or infinite values")
    limits = None if wants_float else np.iinfo(spec.dtype)
    if limits is not None and (array.min() < limits.min or array.max() > limits.max):
        raise UsageError(f"{path}: {name!r} holds values beyond {spec.dtype}")
    return np.ascontiguousarray(array.astype(spec.dtype))


def random_dataset(inputs: Sequence[InputSpec], samples: int, seed: int = 0) -> Dataset:
    """`samples` seeded uniform random samples over each input's [low, high)."""
    generator = np.random.default_rng(seed)
    return Dataset(tuple(_random(generator, spec, samples) for spec in inputs))


def _random(generator: np.random.Generator, spec: InputSpec, samples: int) -> Array:
    shape = (samples, *([_RANDOM_STEPS] if spec.are_sequences else []), *spec.shape)
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(np.bool_)
    if spec.dtype.startswith("float"):
        return generator.uniform(spec.low, spec.high, shape).astype(spec.dtype)
    return generator.integers(int(spec.low), max(int(spec.high), int(spec.low) + 1), shape, dtype=spec.dtype)


def training_batches(batches: Iterable[Any]) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
    """A recipe's batches (x, y) as (tuple of input tensors, label tensor); x may be a tuple already.

    Raises:
        UsageError: a batch is not a pair, holds other things than tensors or arrays, or is empty.
    """
    for number, batch in enumerate(batches):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise UsageError(
                f"batch {number} of the recipe's data is {_kind(batch)}: a pair (x, y) is expected"
            )
        x, y = batch
        inputs = tuple(_tensor(item, number, "x") for item in (x if isinstance(x, tuple | list) else (x,)))
        labels = _tensor(y, number, "y")
        lengths = {len(item) if item.dim() else 0 for item in (*inputs, labels)}
        if len(lengths) != 1:
            shapes = ", ".join(str(list(item.shape)) for item in (*inputs, labels))
            raise UsageError(f"batch {number} of the recipe's data mixes lengths: its shapes are {shapes}")
        if lengths == {0}:
            raise UsageError(f"batch {number} of the recipe's data is empty")
        yield inputs, labels


def dataset_from_batches(
    batches: Iterable[Any],
    limit: int,
    example_inputs: Sequence[torch.Tensor] | None = None,
    are_sequences: bool = False,
) -> Dataset:
    """The first `limit` samples of a recipe's batches.

    Args:
        batches: Batches (x, y); x a tensor, an array or a tuple of them, whose first dimension is N.
        limit: The largest number of samples to take.
        example_inputs: When given, every x must have their shapes (without batch); floats become float32.
        are_sequences: Whether x has steps before the dimensions of the example.

    Raises:
        UsageError: a batch is malformed, disagrees with `example_inputs`, or there are none.
    """
    taken = 0
    collected: list[tuple[list[Array], Array]] = []
    for inputs, labels in training_batches(batches):
        if example_inputs is not None:
            check_against(inputs, example_inputs, are_sequences)
        count = min(limit - taken, len(labels))
        arrays = [
            tensor[:count].float() if tensor.is_floating_point() else tensor[:count] for tensor in inputs
        ]
        collected.append(([tensor.numpy() for tensor in arrays], labels[:count].numpy()))
        taken += count
        if taken >= limit:
            break
    if not collected:
        raise UsageError("the recipe's data has no batches")
    parts = zip(*(inputs for inputs, _ in collected), strict=True)
    return Dataset(
        tuple(np.ascontiguousarray(np.concatenate(part)) for part in parts),
        np.concatenate([labels for _, labels in collected]),
    )


def recipe_dataset(model: Model, batches: Iterable[Any], limit: int) -> Dataset:
    """The first `limit` samples of a recipe's batches for the inputs of `input_specs`; see `dataset_from_batches`."""
    states = {before for before, _ in model.stepping.states}
    examples = [tensor for number, tensor in enumerate(model.example_inputs) if number not in states]
    return dataset_from_batches(batches, limit, examples, are_sequences=bool(states))


def check_against(
    inputs: Sequence[torch.Tensor], examples: Sequence[torch.Tensor], are_sequences: bool = False
) -> None:
    """Hold the inputs of a batch against the network's example inputs, of which each may be a step of a sequence.

    Raises:
        UsageError: they differ in number, in shape (without batch), or one is of integers and the other is not.
    """
    found = [list(tensor.shape[2 if are_sequences else 1 :]) for tensor in inputs]
    wanted = [list(tensor.shape[1:]) for tensor in examples]
    if found != wanted:
        raise UsageError(
            f"the recipe's data has samples of shape {found}, but example_input() has {wanted} (without "
            f"{'batch and steps' if are_sequences else 'batch'})"
        )
    for given, example in zip(inputs, examples, strict=True):
        if given.is_floating_point() != example.is_floating_point():
            raise UsageError(
                f"the recipe's data is {given.dtype}, but example_input() is {example.dtype}: convert one of them"
            )


def _tensor(item: Any, number: int, name: str) -> torch.Tensor:
    import torch

    if isinstance(item, torch.Tensor) and item.layout is torch.strided and not item.is_meta:
        return item.detach().cpu()
    if isinstance(item, np.ndarray) and item.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(item.astype(item.dtype.newbyteorder("="), copy=False)))
    if (
        name == "y"
        and isinstance(item, tuple | list)
        and all(isinstance(label, int | float) for label in item)
    ):
        return torch.tensor(item)
    raise UsageError(
        f"batch {number} of the recipe's data: {name} is {_kind(item)}: a tensor or an array of numbers is expected"
    )


def _kind(item: Any) -> str:
    import torch

    if isinstance(item, torch.Tensor) and (item.is_meta or item.layout is not torch.strided):
        return f"a tensor that is {'on the meta device' if item.is_meta else str(item.layout)}"
    if isinstance(item, np.ndarray):
        return f"an array of {item.dtype}"
    length = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    return f"a {type(item).__name__}{length}"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
