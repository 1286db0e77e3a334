"""Compiles a generated library and links it with a test firmware, once plain and once with its callback."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgeprune.codegen.sources import Sources
from edgeprune.device import Device
from edgeprune.errors import EnvironmentFailure, OverBudget, UsageError
from edgeprune.firmware.image import Image
from edgeprune.firmware.sizes import measure_sizes
from edgeprune.firmware.testbed import platform_files, render_testbed
from edgeprune.firmware.toolchain import c_library_flags, require_compiler, run_tool, tool_version

__all__ = ["WARNINGS", "build"]

_OPTIMISATION = ("-std=c99", "-O2", "-ffunction-sections", "-fdata-sections")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
"""Under which every library compiles clean."""

# Nothing of the C library may be in the firmware on its own account: what the library under test pulls in
# would not show in the difference of the two images.
_TESTBED = ("-fno-builtin", "-fno-tree-loop-distribute-patterns")
_BARE_METAL_LINK = ("-nostartfiles", "-T", "testbed.ld")
_HOST_LINK = ("-no-pie",)
_LIBRARIES = ("-lm",)

_Job: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Source, object, flags."""


@dataclass(frozen=True)
class _Compiler:
    """One compiler with a device's flags, at work in one folder."""

    program: str
    device: Device
    directory: Path
    debug: bool

    @property
    def machine(self) -> tuple[str, ...]:
        """Flags that name the core and the C library."""
        return (*self.device.flags, *c_library_flags(self.device.compiler))

    def check_flags(self) -> None:
        """Compile nothing, to learn whether the compiler knows the flags of the device's profile.

        Raises:
            UsageError: it refuses them.
        """
        nothing = [self.program, *self.machine, "-fsyntax-only", "-xc", os.devnull]
        try:
            run_tool(nothing, log=None)
        except EnvironmentFailure as error:
            flags = " ".join(self.device.flags)
            raise UsageError(f"{self.device.name}'s flags {flags!r} are refused: {error}") from error

    def compile(self, source: str, target: str, flags: Sequence[str]) -> str:
        """Compiles `source` to `target`, both relative to the folder; returns `target`."""
        debug = ("-g",) if self.debug else ()
        command = [self.program, *self.machine, *flags, *debug, "-c", source, "-o", target]
        run_tool(command, (self.directory / target).with_suffix(".log"), cwd=self.directory)
        return target

    def link(self, objects: Sequence[str], target: str) -> Path:
        """Links `objects`, dropping what nothing refers to."""
        form = _HOST_LINK if self.device.emulator is None else _BARE_METAL_LINK
        command = [self.program, *self.machine, *form, "-Wl,--gc-sections", *objects]
        log = self.directory / f"{target}.log"
        try:
            run_tool([*command, *_LIBRARIES, "-o", target], log, cwd=self.directory)
        except EnvironmentFailure:
            self._explain_overflow(log)
            raise
        return self.directory / target

    def _explain_overflow(self, log: Path) -> None:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        emulator = self.device.emulator
        for region in ("FLASH", "RAM"):
            if emulator is not None and f"region `{region}' overflowed" in text:
                room = emulator.flash_bytes if region == "FLASH" else emulator.ram_bytes
                raise OverBudget(
                    f"The library does not fit the {room:,} bytes of {region.lower()} of the emulated board "
                    f"{emulator.machine}: the network is too large for {self.device.name}."
                )


def build(sources: Sources, device: Device, directory: Path, *, debug: bool = False) -> Image:
    """Compiles and links the library for `device` in `directory`, and measures what it takes.

    The library is compiled without tolerance for warnings, under -O2 and the device's flags. Two firmwares
    are linked, one of them with the layer callback; a third without the library gives the sizes by
    difference.

    Args:
        sources: the generated C.
        device: what to compile for; "host" compiles for the development machine.
        directory: where sources, objects and images go; made if need be.
        debug: whether the images hold debug information; the code is the same.

    Raises:
        MissingTool: no compiler.
        UsageError: the compiler refuses the flags of the device's profile.
        EnvironmentFailure: it failed; its output is in the file the sentence names.
        OverBudget: the library is larger than the memory of the emulated board.
    """
    compiler = _Compiler(require_compiler(device.compiler), device, directory.resolve(), debug)
    compiler.check_flags()
    library = {f"library/{name}": data for name, data in sources.contents.items()}
    testbed = {name: text.encode() for name, text in render_testbed(sources, device).items()}
    _write(compiler.directory, {**library, **testbed})

    # The library's files have a folder of their own: its name, and so theirs, may be any identifier.
    stems = [f"library/{name.removesuffix('.c')}" for name in sources.c_files]
    weights = f"library/{sources.prefix}_weights"
    jobs = [*_library_jobs(stems, weights, sources.prefix), *_testbed_jobs(device, sources.prefix)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda job: compiler.compile(*job), jobs))

    shared = [_object(name) for name in platform_files(device)]
    plain = [f"{stem}.o" for stem in stems]
    counting = [f"{stem}.o" if stem == weights else f"{stem}.counting.o" for stem in stems]
    archives = [f"library/{name}" for name in sources.archives]
    elf = compiler.link(["testbed.o", *shared, *plain, *archives], "firmware.elf")
    counting_elf = compiler.link(
        ["testbed.counting.o", *shared, *counting, *archives], "firmware.counting.elf"
    )
    bare_elf = compiler.link(["testbed.o", *shared, "stubs.o"], "firmware.bare.elf")
    return Image(
        device=device,
        sources=sources,
        directory=compiler.directory,
        elf=elf,
        counting_elf=counting_elf,
        sizes=measure_sizes(elf, bare_elf, compiler.directory / f"{weights}.o"),
        compiler=tool_version(device.compiler),
        flags=(*_OPTIMISATION, *device.flags),
    )


def _library_jobs(stems: Sequence[str], weights: str, prefix: str) -> Iterator[_Job]:
    """Every file of the library without and with the callback, which the weights know nothing of."""
    strict = (*_OPTIMISATION, *WARNINGS)
    for stem in stems:
        yield f"{stem}.c", f"{stem}.o", strict
        if stem != weights:
            yield f"{stem}.c", f"{stem}.counting.o", (*strict, _callback(prefix))


def _testbed_jobs(device: Device, prefix: str) -> Iterator[_Job]:
    flags = (*_OPTIMISATION, *WARNINGS, *_TESTBED, "-Ilibrary")
    yield "testbed.c", "testbed.o", flags
    yield "testbed.c", "testbed.counting.o", (*flags, _callback(prefix))
    yield "testbed_stubs.c", "stubs.o", flags
    for name in platform_files(device):
        yield name, _object(name), flags if name.endswith(".c") else ()


def _object(source: str) -> str:
    return str(Path(source).with_suffix(".o"))


def _callback(prefix: str) -> str:
    return f"-D{prefix.upper()}_ENABLE_LAYER_CALLBACK"


def _write(directory: Path, files: dict[str, bytes]) -> None:
    try:
        (directory / "library").mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (directory / name).write_bytes(data)
    except OSError as error:
        raise EnvironmentFailure(
            f"The firmware's sources cannot be written to {directory}: {error}."
        ) from None
