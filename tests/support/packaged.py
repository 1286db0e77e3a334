"""Libraries of small networks as packages, and programs around them, compiled, linked and run."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgeprune.codegen import Golden, Sources, generate
from edgeprune.codegen.packages import render
from edgeprune.codegen.semihosting import emulator_command, link_flags, machine_flags
from edgeprune.device import Device
from edgeprune.firmware import WARNINGS
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.plan import Objective, plan
from edgeprune.progress import SilentProgress
from edgeprune.verify import reference_outputs
from tests.support.onnx_models import MODELS

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
OPTIMISATION = ("-O2", "-ffunction-sections", "-fdata-sections")
CPP = ("-std=c++11", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")


def library(network: str, device: Device) -> Sources:
    """The library of a network of `MODELS`, with its self test."""
    graph = simplify(import_onnx(MODELS[network](), network))
    rng = np.random.default_rng(0)
    inputs = tuple(rng.integers(-128, 128, (1, *t.shape)).astype(np.int8) for t in graph.inputs)
    outputs = reference_outputs(graph, inputs, SilentProgress())
    return generate(plan(graph, device, Objective()), network, Golden(inputs, tuple(outputs)))


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """`files` (path -> contents) below `folder`, which is returned."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def call(*command: object, cwd: Path | None = None) -> str:
    """What a command prints; a failure shows it."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def board_files(sources: Sources, device: Device) -> dict[str, str]:
    """Start-up file and linker script of the emulated board, by file name; none where the C library brings them."""
    files = render("cmake", sources, device)
    return {
        Path(name).name: files[name] for name in ("example/startup.c", "example/qemu.ld") if name in files
    }


def program(
    device: Device,
    folder: Path,
    files: Sequence[Path],
    include: Sequence[Path],
    board: Mapping[str, str],
    flags: Sequence[str] = (),
    checked: Sequence[str] = WARNINGS,
) -> Path:
    """A program of C and C++ `files`, each compiled without a warning, linked for the device's emulated board."""
    objects = []
    folder.mkdir(parents=True, exist_ok=True)
    started = list(write(folder / "board", board).glob("*.c")) if board else []
    for index, path in enumerate([*files, *started]):
        is_c = path.suffix == ".c"
        compiler = device.compiler if is_c else device.compiler.removesuffix("gcc") + "g++"
        language = ("-std=c99",) if is_c else CPP
        target = folder / f"{index}_{path.stem}.o"
        folders = [f"-I{place}" for place in include]
        call(
            compiler, *machine_flags(device), *language, *OPTIMISATION, *checked, *flags, *folders,
            "-c", path, "-o", target,
        )  # fmt: skip
        objects.append(target)
    script = ("-T", folder / "board" / "qemu.ld") if "qemu.ld" in board else ()
    elf = folder / "program.elf"
    linked = [
        *machine_flags(device),
        *flags,
        *objects,
        *link_flags(device),
        *script,
        "-Wl,--gc-sections",
        "-lm",
    ]
    call(device.compiler, *linked, "-o", elf)
    return elf


def run(device: Device, elf: Path) -> str:
    """What the program prints, here or in the emulator; it must end with status 0."""
    return call(*emulator_command(device), elf)
