"""Copies of constants that a stage makes in RAM before its first row."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

from edgeprune.device import Device
from edgeprune.kernels.base import RowForm
from edgeprune.plan.placement import staged_candidate, without_waits
from edgeprune.plan.rows import RowForms
from edgeprune.plan.stage_types import StageCandidate

__all__ = ["with_copies"]

_COPY_ALIGN = 8


def with_copies(stage: StageCandidate, device: Device) -> Iterator[StageCandidate]:
    """`stage` as it is, with the copy of constants that saves most for its bytes, with the next besides, and so on."""
    yield stage
    layers, cycles, top = list(stage.layers), stage.cycles, stage.scratch_bytes
    apart = (None,) * len(stage.scratch_overlap)  # copies are made before any row is read
    copies = [(index, _copied(layer.form, device)) for index, layer in enumerate(layers)]
    gains = [
        ((layers[index].form.candidate.cycles - form.candidate.cycles), index, form)
        for index, form in copies
        if form is not None
    ]
    for gain, index, form in sorted(gains, key=lambda one: (-one[0] / one[2].candidate.copied_bytes, one[1])):
        top = -(-top // _COPY_ALIGN) * _COPY_ALIGN
        cycles -= gain
        layers[index] = replace(layers[index], form=form, copy_offset=top)
        top += form.candidate.copied_bytes
        copied = sum(layer.copy_offset is not None for layer in layers)
        yield replace(
            stage,
            name=f"{stage.name}+staged{copied}",
            cycles=cycles,
            scratch_bytes=top,
            scratch_overlap=apart,
            layers=tuple(layers),
        )


@functools.lru_cache(maxsize=4096)
def _copied(form: RowForm, device: Device) -> RowForm | None:
    """`form` reading a copy of its constants; None where that saves nothing."""
    if device.flash is None:
        return None
    one = form.candidate
    unwaited = RowForms(without_waits(device)).all(form.nodes)
    fast = next((other for other in unwaited if other.candidate.name == one.name), None)
    if fast is None or fast.candidate.cycles >= one.cycles:
        return None
    staged = staged_candidate(one, fast.candidate.cycles, device)
    return replace(form, candidate=staged) if staged.cycles < one.cycles else None
