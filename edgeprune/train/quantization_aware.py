"""`quantization_aware`: train a network with int8's rounding in its forward, so that int8 costs it less."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from edgeprune.model.model import Model
from edgeprune.progress import Progress
from edgeprune.train.companion import Companion, HeldZeros
from edgeprune.train.fake_quantization import ActivationRanges, ImitatedInt8
from edgeprune.train.fine_tune import accompanied
from edgeprune.train.schedule import Schedule

__all__ = ["QUANTIZATION_AWARE_SCHEDULE", "quantization_aware"]

QUANTIZATION_AWARE_SCHEDULE = Schedule(peak_rate=0.01, distillation=0.5)
"""A network that is trained already, moved a little."""


def quantization_aware(
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
    """A copy of `module`, of the same class, trained to lose less by int8; a float network still.

    During training every layer reads activations and weights rounded as int8 rounds them (see
    `edgeprune.train.fake_quantization`), and batch norms keep the statistics they have. What comes out is
    quantised like any other network: ranges are found anew then.

    Args:
        model: Where data, loss and perhaps a fine_tune of the recipe's own come from.
        module: The trained float network; it is not changed.
        steps: Optimizer steps; some tens to hundreds do.
        seed: Makes shuffling and dropout repeatable.
        teacher: A network whose answers to imitate; the float network `module` itself if None.
        progress: Told of every step.
        schedule: How SGD goes; None is `QUANTIZATION_AWARE_SCHEDULE`.
        resume_from: See `fine_tune`.
        hold_zeros: See `fine_tune`.

    Raises:
        TrainingDiverged: the loss is not a finite number.
        UsageError: there is no training data, the network cannot be trained, or the file is damaged.
    """
    companions: tuple[Companion, ...] = (_Int8(),)
    if hold_zeros:
        companions = (HeldZeros(), *companions)
    return accompanied(
        model,
        module,
        steps,
        companions,
        seed=seed,
        teacher=module if teacher is None else teacher,
        progress=progress,
        schedule=schedule or QUANTIZATION_AWARE_SCHEDULE,
        resume_from=resume_from,
        title="quantisation-aware training",
    )


class _Int8:
    """Puts `ImitatedInt8` around every call of the network, whoever makes it."""

    name = "int8"

    def __init__(self) -> None:
        self._ranges = ActivationRanges()
        self._running: list[tuple[ImitatedInt8, ExitStack]] = []
        self._hooks: list[Any] = []

    def attach(self, subject: torch.nn.Module) -> None:
        """Have calls of `subject` imitate int8."""
        self._hooks = [
            subject.register_forward_pre_hook(self._enter),
            subject.register_forward_hook(self._leave, always_call=True),
        ]

    def after_step(self, step: int) -> None:
        """Nothing: ranges move as values are seen."""

    def finish(self, trained: torch.nn.Module) -> None:
        """Have calls of the network be as they were."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def state(self) -> dict[str, Any]:
        """The ranges of activations."""
        return dict(self._ranges.state())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with those ranges."""
        self._ranges.restore(state)

    def _enter(self, subject: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        self._ranges.observing = subject.training
        mode, stack = ImitatedInt8(self._ranges), ExitStack()
        stack.enter_context(mode)
        self._running.append((mode, stack))

    def _leave(self, subject: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        mode, stack = self._running.pop()
        stack.close()
        return None if output is None else mode.output(output)
