"""`edgeprune profile`: where the cycles of a finished bundle go, layer by layer and line by line."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgeprune.bundle import read_bundle
from edgeprune.cycles import core_models, estimate_image
from edgeprune.cycles.hottest import HotInstruction, hottest_instructions
from edgeprune.cycles.profile import HotLine, LayerProfile, Profile
from edgeprune.cycles.program import read_code
from edgeprune.cycles.source_lines import SourceLines, read_source_lines
from edgeprune.emulate.counters import count
from edgeprune.errors import EnvironmentFailure, UsageError
from edgeprune.firmware import Image, build
from edgeprune.progress import Progress, SilentProgress
from edgeprune.recheck import bundle_device, bundle_graph, bundle_sources

__all__ = ["profile_bundle"]

_HOTTEST = 10
_TIMEOUT_S = 600.0


def profile_bundle(directory: Path, progress: Progress | None = None) -> Profile:
    """Builds the bundle's C again with debug information, runs one sample, and estimates its cycles.

    Args:
        directory: the bundle.
        progress: where to report to.

    Raises:
        UsageError: there is no bundle, it is damaged, or its device is the development machine.
        MissingTool: compiler or emulator is not installed.
        VerificationFailed: the firmware hung, faulted or reported an error.
        EnvironmentFailure: blocks cannot be counted here.
    """
    progress = progress or SilentProgress()
    contents = read_bundle(directory)
    sources = bundle_sources(contents, bundle_graph(contents))
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as scratch:
        device = bundle_device(contents, Path(scratch))
        if device.emulator is None or device.core not in core_models():
            raise UsageError(
                f"There is no model of the cycles of {device.name}: profile a bundle made for a microcontroller."
            )
        with progress.task("Building with debug information"):
            image = build(sources, device, Path(scratch) / "firmware", debug=True)
        sample = tuple(array[:1] for array in contents.inputs)
        with progress.task("Counting blocks"):
            counts, counter = count(image, sample, _TIMEOUT_S, progress)
        if counts.blocks is None:
            raise EnvironmentFailure(
                f"The {counter} counts no blocks of code: install a C compiler and QEMU 7.2 or later."
            )
        with progress.task("Estimating cycles"):
            estimate = estimate_image(image, counts.blocks, sample, _TIMEOUT_S)
            model = core_models()[device.core]
            hottest = hottest_instructions(model, read_code(image.elf), counts.blocks, _HOTTEST)
            lines = read_source_lines(image.elf)
            rows = contents.report["layers"]
            return Profile(
                device=device.name,
                clock_hz=device.clock_hz,
                peak_macs_per_cycle=model.macs_per_cycle,
                estimate=estimate,
                layers=tuple(
                    LayerProfile(row["name"], row["op"], row["kernel"], int(row["macs"]), region)
                    for row, region in zip(rows, estimate.layers, strict=True)
                ),
                hottest=tuple(_hot_line(instruction, lines, image) for instruction in hottest),
            )


def _hot_line(instruction: HotInstruction, lines: SourceLines, image: Image) -> HotLine:
    source = lines.at(instruction.address)
    if source is None or source.file not in image.sources.files:
        return HotLine(instruction, source, "")
    text = image.sources.files[source.file].splitlines()
    return HotLine(instruction, source, text[source.line - 1].strip() if 0 < source.line <= len(text) else "")
