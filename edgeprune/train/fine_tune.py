"""`fine_tune`: train a pruned network until it has recovered, the recipe's own way or by SGD."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from edgeprune.errors import UsageError
from edgeprune.model.model import Model
from edgeprune.model.torch_checks import check_outputs, check_values, check_weights
from edgeprune.model.user_code import running_user_code
from edgeprune.progress import Progress, SilentProgress
from edgeprune.seeding import seeded
from edgeprune.train.checkpoint import CheckpointFile, fingerprint
from edgeprune.train.companion import Companion, HeldZeros
from edgeprune.train.descend import descend
from edgeprune.train.random_stream import generator_states, network_seed, seed_loader
from edgeprune.train.schedule import Schedule

__all__ = ["DEFAULT_STEPS", "accompanied", "fine_tune"]

DEFAULT_STEPS = 1000
"""Optimizer steps of a deployment that sets no effort: ResNet-8, distilled, takes them in four minutes on two cores."""


def fine_tune(
    model: Model,
    module: torch.nn.Module,
    steps: int,
    *,
    seed: int = 0,
    teacher: torch.nn.Module | None = None,
    progress: Progress | None = None,
    schedule: Schedule | None = None,
    resume_from: Path | None = None,
    hold_zeros: bool = False,
) -> torch.nn.Module:
    """A trained copy of `module`, on the CPU and in evaluation mode.

    Killed at any moment and called again with the same `resume_from`, it goes on, and on the CPU gives the bytes
    it would have given without the interruption. That holds for data whose order and content follow from torch's,
    NumPy's and Python's global generators, or a DataLoader's own.

    Args:
        model: Where data, loss and perhaps a fine_tune of the recipe's own come from.
        module: The network to train; it is not changed, and parameters that need no gradient stay as they are.
        steps: Optimizer steps.
        seed: Makes shuffling and dropout repeatable.
        teacher: A network whose answers to imitate, usually the unpruned one.
        progress: Told of every step.
        schedule: How SGD goes; the recipe's own fine_tune sees none of it.
        resume_from: A file in which the state is kept every 20 seconds and at the end, and from which it is gone
            on where it is of the same training. A fine_tune of the recipe's own is kept only at its end.
        hold_zeros: Weights that are zero stay zero: a sparse network stays sparse.

    Raises:
        TrainingDiverged: the loss is not a finite number.
        UsageError: there is no training data, the network cannot be trained, or the file is damaged.
    """
    companions = (HeldZeros(),) if hold_zeros else ()
    return accompanied(
        model,
        module,
        steps,
        companions,
        seed=seed,
        teacher=teacher,
        progress=progress,
        schedule=schedule,
        resume_from=resume_from,
        title="fine-tuning",
    )


def accompanied(
    model: Model,
    module: torch.nn.Module,
    steps: int,
    companions: Sequence[Companion],
    *,
    seed: int,
    teacher: torch.nn.Module | None,
    progress: Progress | None,
    schedule: Schedule | None,
    resume_from: Path | None,
    title: str,
) -> torch.nn.Module:
    """`fine_tune` with `companions`; see there for arguments, result and errors. `title` names the progress."""
    if model.training is None:
        raise UsageError(
            f"{model.name} has no training data; give a recipe with train_data() to fine-tune it"
        )
    check_values(module, f"the network of {model.name}")
    subject = copy.deepcopy(module)
    for companion in companions:
        companion.attach(subject)
    try:
        if steps < 1 or not any(parameter.requires_grad for parameter in subject.parameters()):
            return subject.eval()
        schedule = schedule or Schedule()
        names = [companion.name for companion in companions]
        taught_by = fingerprint(teacher) if teacher is not None else None
        own = model.training.fine_tune is not None
        file = CheckpointFile(
            resume_from, fingerprint(module, title, steps, seed, schedule, own, names, taught_by)
        )
        # Dropout draws from the global generators: seed them here and put them back after.
        with seeded(seed if own else network_seed(seed), with_torch=True):
            if own:
                return _the_recipes_way(model, module, subject, steps, companions, seed, file)
            descend(
                model,
                subject,
                steps,
                seed=seed,
                teacher=teacher,
                progress=progress or SilentProgress(),
                schedule=schedule,
                companions=companions,
                file=file,
                title=title,
            )
        return subject.cpu().eval()
    finally:
        for companion in companions:
            companion.finish(subject)


def _the_recipes_way(
    model: Model,
    module: torch.nn.Module,
    subject: torch.nn.Module,
    steps: int,
    companions: Sequence[Companion],
    seed: int,
    file: CheckpointFile,
) -> torch.nn.Module:
    """What the recipe's own fine_tune makes of `subject`, a copy of `module`; every optimizer's steps are seen."""
    training = model.training
    assert training is not None
    assert training.fine_tune is not None
    saved = file.load()
    if saved is not None:
        return _with_values(module, saved["module"])
    numbers = count(1)

    def after_step(*_: object) -> None:
        step = next(numbers)
        for companion in companions:
            companion.after_step(step)

    train, test = training.train_data(), training.test_data()
    seed_loader(train, seed)
    hook = register_optimizer_step_post_hook(after_step)
    try:
        trained = training.fine_tune(subject, train, test, steps)
    finally:
        hook.remove()
    if not isinstance(trained, torch.nn.Module):
        raise UsageError(f"the recipe's fine_tune returns {type(trained).__name__}; return the module")
    check_weights(trained, f"{model.path}: fine_tune()")
    trained = trained.cpu().eval()
    if model.example_inputs:
        with running_user_code(model.path, "calling the network that fine_tune() returns"):
            check_outputs(trained, model.example_inputs, f"{model.path}: fine_tune()'s network")
    if not _same_shape(trained, module):
        return trained
    for companion in companions:
        companion.finish(trained)
    file.save({"step": steps, "module": trained.state_dict(), "generators": generator_states()})
    return _with_values(module, trained.state_dict()) if companions else trained


def _with_values(module: torch.nn.Module, values: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    result = copy.deepcopy(module)
    result.load_state_dict(values)
    return result.cpu().eval()


def _same_shape(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    """Whether the values of one fit into the other."""
    shapes = [{name: value.shape for name, value in one.state_dict().items()} for one in (left, right)]
    return type(left) is type(right) and shapes[0] == shapes[1]
