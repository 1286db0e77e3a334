"""`fine_tune`: train a pruned network until it has recovered, the recipe's own way or by SGD."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch

from edgeprune.errors import UsageError
from edgeprune.model.model import Model
from edgeprune.model.user_code import running_user_code
from edgeprune.progress import Progress, SilentProgress
from edgeprune.train.data import best_device, endless, on_device
from edgeprune.train.distillation import distillation_loss

__all__ = ["DEFAULT_STEPS", "Schedule", "TrainingDiverged", "fine_tune"]

DEFAULT_STEPS = 1000
"""Optimizer steps of a deployment that sets no effort: ResNet-8, distilled, takes them in four minutes on two cores."""

_SNAPSHOT_EVERY = 50


@dataclass(frozen=True)
class Schedule:
    """How SGD goes: Nesterov momentum and a one-cycle learning rate (Smith and Topin, 2018)."""

    peak_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warm_up: float = 0.15
    largest_gradient: float = 5.0
    distillation: float = 0.5
    """The teacher's share of the loss."""


class TrainingDiverged(UsageError):
    """The loss stopped being a number at `step`; `last_good` is the network some steps before."""

    def __init__(self, step: int, loss: float, last_good: torch.nn.Module) -> None:
        self.step = step
        self.last_good = last_good
        super().__init__(
            f"fine-tuning stopped at step {step}: the loss is {loss}; check the training data and the recipe's "
            f"loss, or give the recipe a fine_tune of its own"
        )


def fine_tune(
    model: Model,
    module: torch.nn.Module,
    steps: int,
    *,
    seed: int = 0,
    teacher: torch.nn.Module | None = None,
    progress: Progress | None = None,
    schedule: Schedule | None = None,
) -> torch.nn.Module:
    """A trained copy of `module`, on the CPU and in evaluation mode.

    Args:
        model: Where data, loss and perhaps a fine_tune of the recipe's own come from.
        module: The network to train; it is not changed, and parameters that need no gradient stay as they are.
        steps: Optimizer steps.
        seed: Makes shuffling and dropout repeatable.
        teacher: A network whose answers to imitate, usually the unpruned one.
        progress: Told of every step.
        schedule: How SGD goes; the recipe's own fine_tune sees none of it.

    Raises:
        TrainingDiverged: the loss is not a finite number.
        UsageError: there is no training data.
    """
    if model.training is None:
        raise UsageError(
            f"{model.name} has no training data; give a recipe with train_data() to fine-tune it"
        )
    subject = copy.deepcopy(module)
    trainable = [parameter for parameter in subject.parameters() if parameter.requires_grad]
    if steps < 1 or not trainable:
        return subject.eval()
    # Data loaders shuffle and dropout draws from the global generator: seed it here and put it back after.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if model.training.fine_tune is not None:
            own = model.training.fine_tune
            trained = own(subject, model.training.train_data(), model.training.test_data(), steps)
            if not isinstance(trained, torch.nn.Module):
                raise UsageError(
                    f"the recipe's fine_tune returns {type(trained).__name__}; return the module"
                )
        else:
            trained = _descend(
                model, subject, steps, teacher, progress or SilentProgress(), schedule or Schedule()
            )
    return trained.cpu().eval()


def _descend(
    model: Model,
    subject: torch.nn.Module,
    steps: int,
    teacher: torch.nn.Module | None,
    progress: Progress,
    schedule: Schedule,
) -> torch.nn.Module:
    training = model.training
    assert training is not None
    device = best_device()
    subject.to(device).train()
    guide = copy.deepcopy(teacher).to(device).eval() if teacher is not None else None
    trainable = [parameter for parameter in subject.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(
        trainable,
        schedule.peak_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
        nesterov=schedule.momentum > 0,
    )
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.peak_rate, total_steps=steps + 1, pct_start=schedule.warm_up, cycle_momentum=False
    )
    good = copy.deepcopy(subject.state_dict())
    batches = endless(training.train_data)
    with progress.task("fine-tuning", steps) as task:
        for step in range(1, steps + 1):
            inputs, target = on_device(next(batches), device)
            with running_user_code(model.path, "training the network"):
                output = subject(*inputs)
                loss = training.loss(output, target)
            if guide is not None:
                with torch.no_grad():
                    answer = guide(*inputs)
                share = schedule.distillation
                loss = (1 - share) * loss + share * distillation_loss(output, answer, target)
            value = float(loss.detach())
            if not math.isfinite(value):
                subject.load_state_dict(good)
                raise TrainingDiverged(step, value, subject.cpu().eval())
            if step % _SNAPSHOT_EVERY == 0:
                good = copy.deepcopy(subject.state_dict())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(trainable, schedule.largest_gradient)
            optimizer.step()
            rate.step()
            task.advance(note=f"loss {value:.3f}")
    return subject
