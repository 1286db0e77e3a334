"""From counted blocks to cycles: the model of the device's core on each block, and waiting for its memories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeprune.cycles.cost import Cause, Cost, total
from edgeprune.cycles.instruction import Kind
from edgeprune.cycles.model import UNVALIDATED, CoreModel, core_models
from edgeprune.cycles.parts import Part, cycle_parts
from edgeprune.cycles.program import Code, read_code
from edgeprune.cycles.waiting import Traffic, waiting_cost
from edgeprune.device import Device, Flash
from edgeprune.emulate.blocks import BlockCounts, RegionCounts
from edgeprune.firmware import Image

__all__ = ["CycleEstimate", "RegionEstimate", "estimate"]

_VALIDATED_FLASH_SHARE = 0.18
"""The largest part of a case's cycles that waited for flash, over the cases the flash's rules were chosen on."""

_NEGLIGIBLE = 0.01
"""Part of the instructions that may be of a kind the model was never compared on."""

_FLASH_CAUSES = (Cause.FLASH_CODE, Cause.FLASH_DATA)
_PARTS = {
    Cause.FLASH_CODE: Part.FLASH_CODE,
    Cause.FLASH_DATA: Part.FLASH_DATA,
    Cause.RAM: Part.RAM,
}
"""Parts that waiting for a memory is; of an access that is not aligned it is of the operands."""
_LEFT_OUT = "waiting for memories is left out"


@dataclass(frozen=True)
class RegionEstimate:
    """What one layer costs, or `run` besides the layers.

    Attributes:
        name: the C function.
        cost: cycles, with the stalls among them by cause.
        classes: instructions executed, by kind.
        functions: cycles of each function that ran, waits for memories not among them.
        flash_bytes: bytes that loads read from flash; None if that was not simulated.
        parts: the cycles by what they are for; they add up to all, but for rounding.
    """

    name: str
    cost: Cost
    classes: Mapping[Kind, int]
    functions: Mapping[str, Cost]
    flash_bytes: int | None
    parts: Mapping[Part, float]

    @property
    def cycles(self) -> int:
        """Cycles, rounded."""
        return round(self.cost.cycles)

    @property
    def instructions(self) -> int:
        """Instructions executed."""
        return sum(self.classes.values())


@dataclass(frozen=True)
class CycleEstimate:
    """Cycles of one inference by a named model, with the error at which it was validated or "unvalidated".

    `layers` follows the order of `Sources.layers`; `run` is what belongs to no layer.
    """

    model: str
    error: str
    run: RegionEstimate
    layers: tuple[RegionEstimate, ...]

    @property
    def cost(self) -> Cost:
        """Everything together."""
        return total(region.cost for region in (self.run, *self.layers))

    @property
    def cycles(self) -> int:
        """Cycles of the inference, rounded."""
        return round(self.cost.cycles)


def estimate(
    image: Image, blocks: BlockCounts, device: Device, traffic: Sequence[Traffic] | None = None
) -> CycleEstimate:
    """Estimates the cycles of one inference on `device`.

    Args:
        image: the firmware that was counted.
        blocks: how often its blocks ran.
        device: names the core, and says how its flash is read.
        traffic: what was read from flash, and waited for of slow RAM, in `run` besides the layers, and in each layer;
            None if that was not simulated, which the error then says.

    Raises:
        KeyError: no model knows the device's core.
    """
    model, code = core_models()[device.core], read_code(image.elf)
    regions = (blocks.run, *blocks.layers)
    found: Sequence[Traffic | None] = traffic if traffic is not None else [None] * len(regions)
    run, *layers = (
        _region(model, code, region, device.flash, seen) for region, seen in zip(regions, found, strict=True)
    )
    waits = any(image.sources.arena_waits) or (device.flash is not None and device.flash.wait_states > 0)
    return CycleEstimate(
        model=f"{model.name} ({model.source})",
        error=_error(model, (run, *layers), left_out=waits and traffic is None),
        run=run,
        layers=tuple(layers),
    )


def _region(
    model: CoreModel, code: Code, region: RegionCounts, flash: Flash | None, traffic: Traffic | None
) -> RegionEstimate:
    classes: Counter[Kind] = Counter()
    functions: dict[str, Cost] = {}
    for block in region.blocks:
        instructions = code.decode(block.address, block.size_bytes)
        for instruction in instructions:
            classes[instruction.kind] += block.executions
        cost = model.cost(instructions, block.executions, block.taken)
        name = code.function(block.address)
        functions[name] = functions.get(name, Cost()) + cost
    cost = total(functions.values())
    parts = cycle_parts(model, code, region.blocks)
    if traffic is not None:
        waiting = waiting_cost(traffic, flash, model.flash_load_cycles, model.unaligned_cycles)
        cost += waiting
        for cause, cycles in waiting.stalls.items():
            part = _PARTS.get(cause, Part.OPERANDS)
            parts[part] = parts.get(part, 0.0) + cycles
    return RegionEstimate(
        name=region.name,
        cost=cost,
        classes=dict(classes),
        functions=functions,
        flash_bytes=None if traffic is None or flash is None else round(traffic.load_bytes),
        parts=parts,
    )


def _error(model: CoreModel, regions: Sequence[RegionEstimate], *, left_out: bool) -> str:
    """The error at which the model was validated, or that it was not, for what ran here.

    `left_out`: memories are waited for, and that was not simulated.
    """
    cost = total(region.cost for region in regions)

    def waiting(*causes: Cause) -> float:
        return sum(cost.stalls.get(cause, 0.0) for cause in causes) / max(1.0, cost.cycles)

    slow = f"; {waiting(Cause.RAM):.0%} of these cycles wait for slow RAM, if nothing caches it"
    return _model_error(model, regions, waiting(*_FLASH_CAUSES), left_out) + (
        slow if waiting(Cause.RAM) else ""
    )


def _model_error(
    model: CoreModel, regions: Sequence[RegionEstimate], flash_share: float, left_out: bool
) -> str:
    if model.validation is None:
        return f"{UNVALIDATED}: {_LEFT_OUT}" if left_out else UNVALIDATED
    instructions = max(1, sum(region.instructions for region in regions))

    def share(kind: Kind) -> float:
        return sum(region.classes.get(kind, 0) for region in regions) / instructions

    if share(Kind.FLOAT) > _NEGLIGIBLE and not model.float_validated:
        return f"{UNVALIDATED} for floating-point code"
    if share(Kind.UNKNOWN) > _NEGLIGIBLE:
        return f"{UNVALIDATED}: {share(Kind.UNKNOWN):.0%} of the instructions are unknown to it"
    text = str(model.validation)
    if left_out:
        return f"{UNVALIDATED}: {_LEFT_OUT}"
    if flash_share > _VALIDATED_FLASH_SHARE:
        text += (
            f"; {flash_share:.0%} of these cycles wait for flash, where at most {_VALIDATED_FLASH_SHARE:.0%} of the "
            "validated ones do"
        )
    return text
