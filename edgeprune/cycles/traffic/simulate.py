"""Runs one inference in QEMU with the plugin that simulates the cache in front of the flash, and slow RAM."""

from __future__ import annotations

from pathlib import Path

from edgeprune.cycles.waiting import Traffic
from edgeprune.device import Device, Flash
from edgeprune.emulate.counters.plugin import describe, escaped
from edgeprune.emulate.machine import COUNT, execute
from edgeprune.emulate.plugin import shared_object
from edgeprune.emulate.regions import find_arenas, find_regions
from edgeprune.errors import EnvironmentFailure
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array

__all__ = ["simulate_traffic"]

_SOURCE = Path(__file__).with_name("traffic.c")
_FAST = Flash(wait_states=0, line_bytes=32, instruction_lines=0, data_lines=0)
"""Stands for flash that is never waited for, whose traffic nobody asks for."""


def simulate_traffic(image: Image, sample: tuple[Array, ...], timeout_s: float) -> tuple[Traffic, ...]:
    """What `run` reads and waits for besides its layers, and then what each layer does.

    Args:
        image: what `firmware.build` made, for a device with an emulator.
        sample: one inference's inputs, one array [1, *shape] per input of the library.
        timeout_s: time limit; the inference runs some twenty times slower than without the plugin.

    Raises:
        PluginUnavailable: the plugin cannot be compiled here.
        MissingTool: QEMU is not installed.
        VerificationFailed: the firmware hung, faulted, overwrote a guard zone or reported an error.
        EnvironmentFailure: files cannot be written, or the plugin saw no whole inference.
    """
    regions = find_regions(image)
    plugin = shared_object(image.directory, _SOURCE)
    description, counts = image.directory / "traffic.regions.txt", image.directory / "traffic.counts.txt"
    try:
        description.write_text(describe(regions), encoding="ascii")
        counts.unlink(missing_ok=True)
        paths = f"file={escaped(plugin)},regions={escaped(description)},counts={escaped(counts)}"
        options = ("-plugin", f"{paths},{_geometry(image.device)}{_slow(image)}")
        execute(image, COUNT, sample, counting=False, timeout_s=timeout_s, options=options)
        return _parse(counts.read_text(encoding="ascii"), 1 + len(regions.layers))
    except OSError as error:
        raise EnvironmentFailure(f"QEMU's plugin left no counts in {counts}: {error}.") from None


def _geometry(device: Device) -> str:
    """The plugin's options that describe the flash where the emulated board has it, and its caches."""
    flash, emulator = device.flash or _FAST, device.emulator
    assert emulator is not None, "the device has an emulator"
    values = {
        "low": f"{emulator.flash_origin:x}",
        "high": f"{emulator.flash_origin + emulator.flash_bytes:x}",
        "line": flash.line_bytes,
        "word": flash.word_bytes or flash.line_bytes,
        "code_lines": flash.instruction_lines,
        "code_ways": flash.instruction_ways,
        "data_lines": flash.data_lines,
        "data_ways": flash.data_ways,
        "unified": int(flash.unified),
    }
    return ",".join(f"{name}={value}" for name, value in values.items())


def _slow(image: Image) -> str:
    """The plugin's options that describe the parts of the arena that are waited for."""
    found = zip(find_arenas(image), image.sources.arena_waits, strict=False)
    return "".join(f",slow={low:x}-{high:x}-{waits}" for (low, high), waits in found if waits)


def _parse(text: str, regions: int) -> tuple[Traffic, ...]:
    header, *lines = text.splitlines() or [""]
    if header != "traffic 1 whole" or len(lines) != regions:
        raise EnvironmentFailure(f"QEMU's plugin saw no whole inference: it wrote {header!r}.")
    found = []
    for line in lines:
        sequential, other, data, loads, size, unaligned, waits = (float(word) for word in line.split())
        found.append(Traffic(sequential, other, data, loads, size, unaligned, waits))
    return tuple(found)
