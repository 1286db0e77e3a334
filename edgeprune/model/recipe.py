"""Loading a recipe: the user's Python file with a network and its data (DESIGN.md section 10)."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeprune.errors import UsageError
from edgeprune.model.defaults import cross_entropy, top1_accuracy
from edgeprune.model.model import Model, Training
from edgeprune.model.torch_checks import batch_of_one, check_outputs, check_values, check_weights
from edgeprune.model.user_code import GuardedIterable, guarded, running_user_code

__all__ = ["load_recipe"]


def load_recipe(path: Path, *, needs_data: bool) -> Model:
    """Run the recipe at `path` and build its network, in evaluation mode on the CPU.

    Raises:
        UsageError: a function is missing, raises or returns the wrong type; the sentence has file and line.
    """
    import torch

    recipe = _run(path)
    build = _function(recipe, path, "model")
    example = _function(recipe, path, "example_input")
    training = _training(recipe, path, needs_data)

    module = build()
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{path}: model() returns a {type(module).__name__}: a torch.nn.Module is needed")
    check_values(module, f"{path}: model()")
    module = module.cpu().float().eval()
    check_weights(module, f"{path}: model()")
    inputs = batch_of_one(example(), f"{path}: example_input()")
    with running_user_code(path, "model() called on example_input()"):
        check_outputs(module, inputs, f"{path}: model()")
    return Model(
        path.stem,
        path,
        "torch",
        module=module,
        example_inputs=inputs,
        training=training,
        declared_states=_states(recipe, path),
    )


def _states(recipe: ModuleType, path: Path) -> tuple[str, ...]:
    given = getattr(recipe, "states", ())
    if not isinstance(given, tuple | list) or not all(isinstance(text, str) for text in given):
        raise UsageError(f"{path}: states is {given!r}; it must be a list such as ['input_1=output_1']")
    return tuple(given)


def _run(path: Path) -> ModuleType:
    """Import the file under a name of its own; its directory is importable meanwhile, for its helper modules."""
    name = f"edgeprune_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    directory = str(path.resolve().parent)
    sys.modules[name] = module  # where pickle, and so a data loader's worker processes, look for its classes
    sys.path.insert(0, directory)
    try:
        with running_user_code(path, "the recipe"):
            spec.loader.exec_module(module)
    finally:
        sys.path.remove(directory)
    return module


def _function(recipe: ModuleType, path: Path, name: str) -> Callable[..., Any]:
    function = getattr(recipe, name, None)
    if function is None:
        raise UsageError(f"{path} lacks the function {name}(), which every recipe must define")
    if not callable(function):
        raise UsageError(f"{path}: {name} is a {type(function).__name__}; it must be a function")
    return guarded(path, name, function)


def _optional(recipe: ModuleType, path: Path, name: str) -> Callable[..., Any] | None:
    return _function(recipe, path, name) if hasattr(recipe, name) else None


def _training(recipe: ModuleType, path: Path, needs_data: bool) -> Training | None:
    lacking = [f"{name}()" for name in ("train_data", "test_data") if not hasattr(recipe, name)]
    if lacking and needs_data:
        raise UsageError(f"{path} lacks {' and '.join(lacking)}, needed to calibrate, fine-tune and verify")
    if lacking:
        return None
    metric = _metric(recipe, path)
    higher_is_better = getattr(recipe, "higher_is_better", True)
    if not isinstance(higher_is_better, bool):
        raise UsageError(f"{path}: higher_is_better is {higher_is_better!r}; it must be True or False")
    return Training(
        train_data=_data(recipe, path, "train_data"),
        test_data=_data(recipe, path, "test_data"),
        loss=_loss(recipe, path),
        metric=metric or top1_accuracy,
        metric_name="metric" if metric else "top-1 accuracy",
        higher_is_better=higher_is_better,
        fine_tune=_optional(recipe, path, "fine_tune"),
    )


def _loss(recipe: ModuleType, path: Path) -> Callable[..., Any]:
    """The recipe's loss, held to one number that can be differentiated; cross-entropy without one."""
    import torch

    function = _optional(recipe, path, "loss")
    if function is None:
        return cross_entropy

    def loss(*args: Any) -> torch.Tensor:
        value = function(*args)
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            return value
        found = f"shape {list(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise UsageError(f"{path}: loss() returns {found}; a tensor of one number is needed")

    return loss


def _metric(recipe: ModuleType, path: Path) -> Callable[..., float] | None:
    """The recipe's metric, held to a finite number."""
    function = _optional(recipe, path, "metric")
    if function is None:
        return None

    def metric(*args: Any) -> float:
        found = function(*args)
        try:
            value = float(found)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"{path}: metric() returns {type(found).__name__}; a number is needed"
            ) from error
        if not math.isfinite(value):
            raise UsageError(f"{path}: metric() returns {value}; a finite number is needed")
        return value

    return metric


def _data(recipe: ModuleType, path: Path, name: str) -> Callable[[], GuardedIterable]:
    """`name` of the recipe; a loader that can be iterated again is made once, because making it may take long."""
    function = _function(recipe, path, name)
    kept: list[GuardedIterable] = []

    def data() -> GuardedIterable:
        if kept:
            return kept[0]
        batches = function()
        if not hasattr(batches, "__iter__"):
            raise UsageError(
                f"{path}: {name}() returns a {type(batches).__name__}: an iterable of (x, y) is needed"
            )
        loader = GuardedIterable(path, name, batches)
        if not hasattr(batches, "__next__"):
            kept.append(loader)
        return loader

    return data
