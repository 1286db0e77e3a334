"""Where a step reads its constants from: flash, or a copy in RAM that lasts for the step or for good.

Kernels take their constants by pointer, so any candidate may read a copy. What that saves is what it waits for
flash: the family is asked again what its candidate costs on the device whose constants are never waited for. Against
that stand the bytes of the copy and, where each run makes it anew (staged), the cycles of making it.

A staged copy is read from flash once, by words, whatever the kernel's loops do. So a kernel that works in place,
pixel block by pixel block, and reads all its weights for each block, waits for each weight once all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeprune.device import Device
from edgeprune.kernels import _cost
from edgeprune.kernels.base import Candidate, Constant, Placement, families, weights_of
from edgeprune.plan.objective import Objective

__all__ = [
    "COPY_BYTES",
    "element_bytes",
    "padded_bytes",
    "placed_candidates",
    "staged_candidate",
    "without_waits",
]

COPY_BYTES = 16
"""Copies are made by so many bytes at a time; constants that are copied are padded to a multiple."""
_SCRATCH_ALIGN = 8
_CALL_FLASH_BYTES = 16
"""Code that copies one constant: the call and its arguments."""
_ELEMENT_BYTES = {
    "int8_t": 1,
    "uint8_t": 1,
    "int16_t": 2,
    "uint16_t": 2,
    "int32_t": 4,
    "uint32_t": 4,
    "int64_t": 8,
    "float": 4,
}


def element_bytes(constant: Constant) -> int:
    """Size of an element of `constant` in C."""
    return _ELEMENT_BYTES[constant.ctype]


def padded_bytes(constant: Constant) -> int:
    """Size of the copy of `constant` in RAM, a multiple of `COPY_BYTES`."""
    return _rounded(constant.values.size * element_bytes(constant), COPY_BYTES)


def placed_candidates(
    candidates: Sequence[Candidate], device: Device, objective: Objective
) -> tuple[Candidate, ...]:
    """`candidates` of one step, and those of their placements in RAM that wait less.

    Persistent copies are among them only where `objective` names a RAM budget. Stages read flash: they run kernels of
    several families, each for a row at a time.
    """
    if device.flash is None:
        return tuple(candidates)
    unwaited = without_waits(device)
    found = list(candidates)
    for candidate in candidates:
        if candidate.family not in families():
            continue
        cycles = _cycles_on(unwaited, candidate)
        if cycles < candidate.cycles:
            found += _placements(candidate, cycles, device, objective)
    return tuple(found)


def without_waits(device: Device) -> Device:
    """`device` as one whose constants are never waited for."""
    flash = device.flash
    return device if flash is None else replace(device, flash=replace(flash, holds_constants=False))


def staged_candidate(candidate: Candidate, cycles: int, device: Device) -> Candidate:
    """`candidate`, which takes `cycles` without waits, reading a copy of its constants outside its scratch."""
    constants = families()[candidate.family].pack(candidate, weights_of(candidate.nodes))
    size = sum(map(padded_bytes, constants))
    return replace(
        candidate,
        name=f"{candidate.name}+staged",
        placement=Placement.STAGED,
        copied_bytes=size,
        flash_bytes=candidate.flash_bytes + _CALL_FLASH_BYTES * len(constants),
        cycles=cycles + round(sum(_cost.copy_cycles(device, padded_bytes(one)) for one in constants)),
    )


def _cycles_on(device: Device, candidate: Candidate) -> int:
    """What the same kernel takes on `device`; what it takes already where it is not offered there."""
    offered = families()[candidate.family].candidates(candidate.nodes, device)
    same = (
        other.cycles
        for other in offered
        if other.name == candidate.name and other.parameters == candidate.parameters
    )
    return next(same, candidate.cycles)


def _placements(candidate: Candidate, cycles: int, device: Device, objective: Objective) -> list[Candidate]:
    """The placements in RAM of `candidate`, which takes `cycles` there, where they are faster than it is."""
    constants = families()[candidate.family].pack(candidate, weights_of(candidate.nodes))
    size = sum(map(padded_bytes, constants))
    placed = replace(
        candidate, copied_bytes=size, flash_bytes=candidate.flash_bytes + _CALL_FLASH_BYTES * len(constants)
    )
    found = []
    staged_cycles = cycles + round(sum(_cost.copy_cycles(device, padded_bytes(one)) for one in constants))
    if staged_cycles < candidate.cycles:
        found.append(
            replace(
                placed,
                name=f"{candidate.name}+staged",
                placement=Placement.STAGED,
                cycles=staged_cycles,
                scratch_bytes=_rounded(candidate.scratch_bytes, _SCRATCH_ALIGN) + size,
            )
        )
    if objective.copies_flash:
        found.append(
            replace(
                placed,
                name=f"{candidate.name}+persistent",
                placement=Placement.PERSISTENT,
                cycles=cycles,
                persistent_bytes=candidate.persistent_bytes + size,
            )
        )
    return found


def _rounded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
