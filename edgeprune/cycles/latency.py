"""Puts the estimate of cycles into a measurement."""

from __future__ import annotations

from dataclasses import replace

from edgeprune.cycles.estimate import CycleEstimate, estimate
from edgeprune.cycles.model import core_models
from edgeprune.cycles.traffic import simulate_traffic
from edgeprune.cycles.waiting import Traffic
from edgeprune.emulate import Measurement, first_run
from edgeprune.emulate.blocks import BlockCounts
from edgeprune.emulate.plugin import PluginUnavailable
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array
from edgeprune.progress import Progress, SilentProgress

__all__ = ["estimate_image", "with_cycles"]


def with_cycles(
    measurement: Measurement,
    image: Image,
    inputs: tuple[Array, ...],
    *,
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> Measurement:
    """The measurement with cycles by the model of the device's core.

    It is returned as it is, its cycles a constant number per instruction and marked `unvalidated`, where blocks
    could not be counted or no model knows the core.

    Args:
        measurement: of `image`.
        image: what was run.
        inputs: stored values, one array [N, *shape] per input; the first sample is the one that was counted.
        timeout_s: time limit of the memories' simulation.
        progress: told about it.

    Raises:
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error.
        EnvironmentFailure: files cannot be written or QEMU itself failed.
    """
    latency = measurement.latency
    if latency is None or latency.blocks is None or image.device.core not in core_models():
        return measurement
    with (progress or SilentProgress()).task("Estimating cycles"):
        found = estimate_image(image, latency.blocks, inputs, timeout_s)
    estimated = replace(
        latency,
        cycles=found.cycles,
        layer_cycles=tuple(layer.cycles for layer in found.layers),
        layer_parts=tuple(
            {part.value: cycles for part, cycles in layer.parts.items()} for layer in found.layers
        ),
        cycles_model=found.model,
        cycles_error=found.error,
        ms=found.cycles / image.device.clock_hz * 1e3,
    )
    return replace(measurement, latency=estimated)


def estimate_image(
    image: Image, blocks: BlockCounts, inputs: tuple[Array, ...], timeout_s: float
) -> CycleEstimate:
    """Simulates the memories that are waited for, where there are any and QEMU takes plugins, and estimates cycles."""
    traffic: tuple[Traffic, ...] | None = None
    if image.device.flash is not None or any(image.sources.arena_waits):
        try:
            traffic = simulate_traffic(image, first_run(image, inputs), timeout_s)
        except PluginUnavailable:
            traffic = None  # the estimate's error then says that waiting for memories is left out
    return estimate(image, blocks, image.device, traffic)
