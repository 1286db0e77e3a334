"""Training by SGD, step by step, in a way that can be killed at any moment and gone on with."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from edgeprune.errors import UsageError
from edgeprune.model.model import Model
from edgeprune.model.user_code import running_user_code
from edgeprune.progress import Progress
from edgeprune.prune.calibration import Batch
from edgeprune.train.checkpoint import CheckpointFile
from edgeprune.train.companion import Companion
from edgeprune.train.data import best_device, endless, on_device
from edgeprune.train.distillation import distillation_loss
from edgeprune.train.random_stream import RandomStream, generator_states, restore_generators
from edgeprune.train.schedule import Plateau, Rate, Schedule

__all__ = ["TrainingDiverged", "descend"]

_SNAPSHOT_EVERY = 50


class TrainingDiverged(UsageError):
    """The loss stopped being a number at `step`; `last_good` is the network some steps before.

    `checkpoint` is the file that holds the values of that network, where states are kept.
    """

    def __init__(
        self,
        step: int,
        loss: float,
        last_good: torch.nn.Module,
        checkpoint: Path | None = None,
        title: str = "fine-tuning",
    ) -> None:
        self.step = step
        self.last_good = last_good
        self.checkpoint = checkpoint
        kept = f" (the last good network's values are in {checkpoint})" if checkpoint is not None else ""
        super().__init__(
            f"{title} stopped at step {step}: the loss is {loss}; check the training data and the recipe's "
            f"loss, or give the recipe a fine_tune of its own{kept}"
        )


def descend(
    model: Model,
    subject: torch.nn.Module,
    steps: int,
    *,
    seed: int,
    teacher: torch.nn.Module | None,
    progress: Progress,
    schedule: Schedule,
    companions: Sequence[Companion],
    file: CheckpointFile,
    title: str,
) -> torch.nn.Module:
    """Train `subject` in place; the global generators, seeded by the caller, are the network's.

    Args:
        model: Where data and loss come from.
        subject: The network.
        steps: Optimizer steps.
        seed: Of the data's random stream.
        teacher: A network whose answers to imitate.
        progress: Told of every step.
        schedule: How SGD goes.
        companions: What goes along, attached already.
        file: Where the state is kept; a state in it is gone on from.
        title: What the progress is called.

    Raises:
        TrainingDiverged: the loss, or at the end a weight, is not a finite number.
    """
    assert model.training is not None
    device = best_device()
    subject.to(device)
    _enter_training(subject)
    guide = copy.deepcopy(teacher).to(device).eval() if teacher is not None else None
    run = _Run(subject, steps, schedule, companions)
    stream = RandomStream(seed)
    batches = endless(model.training.train_data, seed, model.example_inputs)
    saved = file.load()
    if saved is not None:
        run.restore(saved)
        with stream.drawing():
            for _ in range(run.step if run.step < run.rate.last_step else 0):
                next(batches)
        restore_generators(saved["generators"])
    good = copy.deepcopy(subject.state_dict())

    with progress.task(title, steps) as task:
        task.advance(run.step)
        while run.step < run.rate.last_step:
            state = run.state() if file.is_due() else None
            step = run.step + 1
            with stream.drawing():
                batch = next(batches)
            loss = _loss(model, subject, guide, on_device(batch, device), schedule)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise _diverged(step, value, subject, good, file, title)
            if state is not None:  # only now, when its weights are known to give a loss that is a number
                file.save(state)
            if step % _SNAPSHOT_EVERY == 0:
                good = copy.deepcopy(subject.state_dict())
            run.descend(loss, value)
            task.advance(note=f"loss {value:.3f}")
        task.advance(steps - run.step)
    if not all(bool(parameter.isfinite().all()) for parameter in subject.parameters()):
        raise _diverged(run.step, math.nan, subject, good, file, title)
    if saved is None or saved["step"] < run.step:
        file.save(run.state())
    return subject


def _diverged(
    step: int, loss: float, subject: torch.nn.Module, good: dict[str, Any], file: CheckpointFile, title: str
) -> TrainingDiverged:
    """The error, with the last good network, whose values are kept beside the states of training."""
    subject.load_state_dict(good)
    subject.cpu().eval()
    return TrainingDiverged(step, loss, subject, file.keep_good(subject.state_dict()), title)


def _enter_training(subject: torch.nn.Module) -> None:
    """Training mode, except for normalisations whose parameters the user froze: their statistics stay too."""
    subject.train()
    for part in subject.modules():
        own = list(part.parameters(recurse=False))
        if isinstance(part, _NormBase) and own and not any(value.requires_grad for value in own):
            part.eval()


def _loss(
    model: Model, subject: torch.nn.Module, guide: torch.nn.Module | None, batch: Batch, schedule: Schedule
) -> torch.Tensor:
    assert model.training is not None
    inputs, target = batch
    with running_user_code(model.path, "training the network"):
        try:
            output = subject(*inputs)
        except ValueError as error:
            if len(target) > 1 or not any(isinstance(part, _BatchNorm) for part in subject.modules()):
                raise
            raise UsageError(
                f"a batch of train_data() of {model.name} holds one sample, of which batch normalisation cannot"
                " learn: make batches larger, and give a DataLoader drop_last=True"
            ) from error
        loss = model.training.loss(output, target)
    if not loss.requires_grad:
        raise UsageError(
            f"the loss of {model.name} does not depend on the network's weights: compute it from the output that"
            " loss() is given, without detach(), item() or argmax()"
        )
    if guide is None:
        return loss
    with torch.no_grad():
        answer = guide(*inputs)
    share = schedule.distillation
    return (1 - share) * loss + share * distillation_loss(output, answer, target)


class _Run:
    """Everything a training must remember from step to step."""

    def __init__(
        self, subject: torch.nn.Module, steps: int, schedule: Schedule, companions: Sequence[Companion]
    ) -> None:
        self.subject = subject
        self.step = 0
        self._largest_gradient = schedule.largest_gradient
        self._companions = companions
        self._trainable = [parameter for parameter in subject.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.SGD(
            self._trainable,
            schedule.peak_rate,
            momentum=schedule.momentum,
            weight_decay=schedule.weight_decay,
            nesterov=schedule.momentum > 0,
        )
        self.rate = Rate(self._optimizer, schedule, steps)
        self._plateau = Plateau(schedule.patience, math.ceil(schedule.warm_up * steps))

    def descend(self, loss: torch.Tensor, value: float) -> None:
        """One step down the gradient of `loss`."""
        self.step += 1
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._trainable, self._largest_gradient)
        self._optimizer.step()
        for companion in self._companions:
            companion.after_step(self.step)
        if self._plateau.reached(self.step, value):
            self.rate.cut_short(self.step)
        self.rate.advance(self.step)

    def state(self) -> dict[str, Any]:
        """A copy of it all, with the random states of the network."""
        return copy.deepcopy(
            {
                "step": self.step,
                "module": self.subject.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "rate": self.rate.state(),
                "plateau": self._plateau.state(),
                "companions": [companion.state() for companion in self._companions],
                "generators": generator_states(),
            }
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.step = state["step"]
        self.subject.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.rate.restore(state["rate"])
        self._plateau.restore(state["plateau"])
        for companion, own in zip(self._companions, state["companions"], strict=True):
            companion.restore(own)
