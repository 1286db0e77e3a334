"""Copies of constants that a stage makes in RAM before its first row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgeprune.device import Device
from edgeprune.kernels.base import RowForm
from edgeprune.plan.placement import staged_candidate, without_waits
from edgeprune.plan.rows import RowForms
from edgeprune.plan.stage_types import StageCandidate, StageLayer

__all__ = ["Staging"]

_COPY_ALIGN = 8


class Staging:
    """Stages whose layers' constants are copied to RAM before the first row, one layer after another."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._unwaited = RowForms(without_waits(device))

    def of(self, stage: StageCandidate) -> Iterator[StageCandidate]:
        """`stage` as it is, with the copy that saves most for its bytes, with the next besides, and so on."""
        yield stage
        layers, cycles, top = list(stage.layers), stage.cycles, stage.scratch_bytes
        gains = [
            (gain, index, form) for index in range(len(layers)) for gain, form in self._gain(layers[index])
        ]
        for _, index, form in sorted(
            gains, key=lambda one: (-one[0] / one[2].candidate.copied_bytes, one[1])
        ):
            top = -(-top // _COPY_ALIGN) * _COPY_ALIGN
            cycles += form.candidate.cycles - layers[index].form.candidate.cycles
            layers[index] = replace(layers[index], form=form, copy_offset=top)
            top += form.candidate.copied_bytes
            copied = sum(layer.copy_offset is not None for layer in layers)
            yield replace(
                stage,
                name=f"{stage.name}+staged{copied}",
                cycles=cycles,
                scratch_bytes=top,
                layers=tuple(layers),
            )

    def _gain(self, layer: StageLayer) -> Iterator[tuple[int, RowForm]]:
        """What the copy of the layer's constants saves, and the form that reads it; nothing where it saves nothing."""
        if self._device.flash is None:
            return
        one = layer.form.candidate
        fast = next((f for f in self._unwaited.all(layer.form.nodes) if f.candidate.name == one.name), None)
        if fast is None or fast.candidate.cycles >= one.cycles:
            return
        staged = staged_candidate(one, fast.candidate.cycles, self._device)
        if staged.cycles < one.cycles:
            yield one.cycles - staged.cycles, replace(layer.form, candidate=staged)
