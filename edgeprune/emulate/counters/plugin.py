"""Counting by a plugin in QEMU: blocks and taken branches, layer by layer, at QEMU's full speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeprune.emulate.blocks import BlockCounts, RegionCounts
from edgeprune.emulate.counters.base import CounterUnavailable, Counts
from edgeprune.emulate.loops import Loop, find_loops
from edgeprune.emulate.machine import COUNT, execute
from edgeprune.emulate.plugin import PluginUnavailable, parse_dump, shared_object
from edgeprune.emulate.regions import Regions, find_regions
from edgeprune.errors import EnvironmentFailure, MissingTool
from edgeprune.firmware import Image
from edgeprune.graph.ir import Array

__all__ = ["PluginCounter", "describe", "escaped"]


class PluginCounter:
    """Runs the firmware without the callback once; what it counts is the code that ships."""

    name = "QEMU plugin"

    def count(self, image: Image, sample: tuple[Array, ...], timeout_s: float) -> Counts:
        """See `Counter.count`."""
        try:
            return Counts.of_blocks(_run(image, sample, timeout_s))
        except (PluginUnavailable, EnvironmentFailure, MissingTool) as failure:
            raise CounterUnavailable(str(failure)) from failure


def _run(image: Image, sample: tuple[Array, ...], timeout_s: float) -> BlockCounts:
    """Executes the firmware with the plugin and reads what it counted."""
    regions = find_regions(image)
    plugin = shared_object(image.directory)
    description, counts = image.directory / "plugin.regions.txt", image.directory / "plugin.counts.txt"
    try:
        description.write_text(describe(regions, find_loops(image.elf)), encoding="ascii")
        counts.unlink(missing_ok=True)
        option = f"file={escaped(plugin)},regions={escaped(description)},counts={escaped(counts)}"
        execute(image, COUNT, sample, counting=False, timeout_s=timeout_s, options=("-plugin", option))
        blocks = parse_dump(counts.read_text(encoding="ascii"), 1 + len(regions.layers))
    except OSError as error:
        raise EnvironmentFailure(f"QEMU's plugin left no counts in {counts}: {error}.") from None
    run, *layers = (RegionCounts(*named) for named in zip(regions.names, blocks, strict=True))
    return BlockCounts(run, tuple(layers))


def describe(regions: Regions, loops: Sequence[Loop] = ()) -> str:
    """The lines that plugin.c reads."""
    lines = [f"start {regions.start:x}", f"stop {regions.stop:x}"]
    lines += [f"run {low:x} {high:x}" for low, high in regions.run]
    lines += [f"layer {entry:x}" for entry in regions.layers]
    lines += [f"{'straight' if loop.straight else 'loop'} {loop.low:x} {loop.high:x}" for loop in loops]
    return "\n".join(lines) + "\n"


def escaped(path: Path) -> str:
    """A path in an option of QEMU, where a comma ends a value unless it is doubled."""
    return str(path).replace(",", ",,")
