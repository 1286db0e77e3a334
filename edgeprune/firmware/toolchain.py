"""Compilers and other tools of the machine: finding them, their versions, and running them with a time limit."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import EnvironmentFailure, MissingTool

__all__ = [
    "Tool",
    "ToolStatus",
    "c_library_flags",
    "doctor",
    "require",
    "require_compiler",
    "run_tool",
    "tool_version",
]

_TIME_LIMIT_S = 300.0


@dataclass(frozen=True)
class Tool:
    """A program edgeprune needs, and the Debian packages that bring it."""

    program: str
    purpose: str
    packages: tuple[str, ...]

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"apt-get install {' '.join(self.packages)}"

    @property
    def remedy(self) -> str:
        """What to do when it is missing."""
        return f"install it with `{self.install}`"


@dataclass(frozen=True)
class CLibrary:
    """The C library that firmware of a cross compiler is linked with.

    `flags` select it; its `header` defines `macro` as the version.
    """

    name: str
    purpose: str
    flags: tuple[str, ...]
    header: str
    macro: str


_ARM_COMPILER = Tool(
    "arm-none-eabi-gcc", "compiles for Cortex-M", ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi")
)
_RISCV_COMPILER = Tool(
    "riscv64-unknown-elf-gcc",
    "compiles for RISC-V",
    ("gcc-riscv64-unknown-elf", "picolibc-riscv64-unknown-elf"),
)
_TOOLS = (
    Tool("gcc", "compiles libraries for the development machine", ("gcc", "libc6-dev")),
    _ARM_COMPILER,
    Tool("qemu-system-arm", "runs Cortex-M firmware", ("qemu-system-arm",)),
    _RISCV_COMPILER,
    Tool("qemu-system-riscv32", "runs RISC-V firmware", ("qemu-system-misc",)),
)
_LIBRARIES = {
    _ARM_COMPILER.program: CLibrary(
        "newlib", "C library for Cortex-M", ("--specs=nano.specs",), "_newlib_version.h", "_NEWLIB_VERSION"
    ),
    _RISCV_COMPILER.program: CLibrary(
        "picolibc", "C library for RISC-V", ("--specs=picolibc.specs",), "picolibc.h", "__PICOLIBC_VERSION__"
    ),
}


@dataclass(frozen=True)
class ToolStatus:
    """What `doctor` found: `version` is None when the tool is missing; `remedy` is the command that installs it."""

    name: str
    purpose: str
    version: str | None
    remedy: str


def doctor() -> tuple[ToolStatus, ...]:
    """Every outside tool, found or not, the C libraries of the cross compilers included."""
    found = []
    for tool in _TOOLS:
        version = tool_version(tool.program) if shutil.which(tool.program) else None
        found.append(ToolStatus(tool.program, tool.purpose, version, tool.install))
        library = _LIBRARIES.get(tool.program)
        if library is not None:
            version = None if version is None else _library_version(tool.program, library)
            found.append(ToolStatus(library.name, library.purpose, version, tool.install))
    return tuple(found)


def c_library_flags(compiler: str) -> tuple[str, ...]:
    """What tells `compiler` to use the C library that firmware is linked with; nothing for the host's."""
    library = _LIBRARIES.get(compiler)
    return () if library is None else library.flags


@functools.cache
def _library_version(compiler: str, library: CLibrary) -> str | None:
    """The version, from the compiler's own preprocessor; None where the library is not installed."""
    command = [compiler, *library.flags, "-E", "-dM", "-include", library.header, "-xc", os.devnull]
    try:
        macros = run_tool(command, log=None)
    except EnvironmentFailure:
        return None
    match = re.search(rf'#define {library.macro} "([^"]+)"', macros)
    return match[1] if match else None


def require(program: str) -> str:
    """The path of a tool.

    Raises:
        MissingTool: it is not installed; the sentence carries the command that installs it.
    """
    path = shutil.which(program)
    if path is None:
        remedy = next((tool.remedy for tool in _TOOLS if tool.program == program), "put it on the PATH")
        raise MissingTool(f"{program} is not installed: {remedy}.")
    return path


def require_compiler(program: str) -> str:
    """The path of a compiler that has its C library.

    Raises:
        MissingTool: compiler or library is not installed; the sentence carries the command that installs it.
    """
    path = require(program)
    library = _LIBRARIES.get(program)
    if library is not None and _library_version(program, library) is None:
        remedy = next(tool.remedy for tool in _TOOLS if tool.program == program)
        raise MissingTool(f"{library.name}, the C library of {program}, is not installed: {remedy}.")
    return path


@functools.cache
def tool_version(program: str) -> str:
    """The first line of what `program --version` says."""
    return run_tool([require(program), "--version"], log=None).splitlines()[0].strip()


def run_tool(
    command: Sequence[str], log: Path | None, cwd: Path | None = None, time_limit_s: float = _TIME_LIMIT_S
) -> str:
    """Runs a compiler or one of its kin; returns its standard output.

    Args:
        command: program and arguments.
        log: where its output is kept if it fails; None for short questions such as `--version`.
        cwd: its working directory.
        time_limit_s: after this many seconds it is ended.

    Raises:
        EnvironmentFailure: it failed, cannot be started, or took longer than the limit.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        kept = _keep(log, command, _text(late.stdout) + _text(late.stderr))
        raise EnvironmentFailure(f"{name} did not end within {time_limit_s:g} s{kept}.") from None
    except OSError as error:
        raise EnvironmentFailure(f"{name} could not be started: {error}.") from None
    if done.returncode != 0:
        kept = _keep(log, command, done.stdout + done.stderr)
        raise EnvironmentFailure(f"{name} ended with status {done.returncode}{kept}.")
    return done.stdout


def _keep(log: Path | None, command: Sequence[str], output: str) -> str:
    if log is None:
        return f" and said {output.strip()[:200]!r}"
    log.write_text(f"{' '.join(command)}\n{output}", encoding="utf-8")
    return f", its output is in {log}"


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
