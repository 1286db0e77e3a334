"""The firmware that runs a library on a board: sources, linker script and Makefile, rendered for one device.

It lies beside the library (`../library`), speaks the protocol of `protocol.py` over a serial line, and isolates what
depends on the board in board.c: see docs/boards.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from edgeprune.codegen.sources import Sources
from edgeprune.device import Device, Memory
from edgeprune.errors import UsageError
from edgeprune.firmware import Image
from edgeprune.firmware.toolchain import c_library_flags
from edgeprune.runners.frame import MOST_PAYLOAD
from edgeprune.runners.protocol import VERSION
from edgeprune.templating import render

__all__ = [
    "FOLDER",
    "LIBRARY",
    "RING_BYTES",
    "Line",
    "board_project",
    "bundle_project",
    "check_core",
    "fingerprint",
    "wants_project",
]

FOLDER, LIBRARY = "firmware", "library"
"""Where the project and the library lie in a bundle; the Makefile takes the second to be beside the first."""

RING_BYTES = 1024
"""Of each of the rings in memory that stand in for a serial line under a debug probe."""

Line = Literal["uart", "mailbox"]
"""How bytes come and go: over the board's serial line, or through memory that a debug probe reads and writes."""

_DRIVER = "board.c"
_SOURCES = ("serial_main.c", "serial_frame.c", "serial_cycles.c", "serial_startup.c")
_HEADERS = ("serial_frame.h", "serial_cycles.h", "serial_board.h")

# What the firmware itself and the exception that a fault is need beyond what the library's `run` does.
_OWN_STACK_BYTES = 1024
_LEAST_ALIGN = 8

# Arm application notes DAI 0385, 0386, 0500 and 0505: UART 0, on AN505 at its secure address.
_CMSDK_UARTS: Mapping[str, int] = MappingProxyType(
    {
        "mps2-an385": 0x40004000,
        "mps2-an386": 0x40004000,
        "mps2-an500": 0x40004000,
        "mps2-an505": 0x50200000,
    }
)

_WITHOUT_CYCLE_COUNTER = ("cortex-m0plus",)


def fingerprint(sources: Sources) -> bytes:
    """Eight bytes that tell libraries apart: the beginning of the SHA-256 of their files."""
    digest = hashlib.sha256()
    for name, data in sorted(sources.contents.items()):
        for part in (name.encode(), data):
            digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()[:8]


def check_core(device: Device) -> None:
    """Refuses devices for which there is no firmware.

    Raises:
        UsageError: it is not a Cortex-M.
    """
    if not device.core.startswith("cortex-m"):
        raise UsageError(
            f"there is no firmware for a board with the core {device.core} ({device.name}): boards are run on "
            "Cortex-M only, use --runner qemu"
        )


def board_project(image: Image, stack_bytes: int, line: Line = "uart") -> dict[str, str]:
    """Texts of the project by file name.

    Args:
        image: the library as built and measured.
        stack_bytes: what its `run` needs.
        line: what board.c is.

    Raises:
        UsageError: the device is not a Cortex-M.
    """
    device, sources = image.device, image.sources
    if sources.more_arenas:
        names = ", ".join(name.lower() for name, _ in sources.more_arenas)
        raise UsageError(
            f"the firmware for boards has one memory, and part of the arena lies in {names}: "
            "leave --board-firmware and --runner out, or give --ram what one memory has"
        )
    check_core(device)
    flash, ram = _memory(device, "flash"), _memory(device, "ram")
    values: dict[str, object] = {
        "prefix": sources.prefix,
        "macro": sources.prefix.upper(),
        "inputs": len(sources.inputs),
        "outputs": len(sources.outputs),
        "has_state": sources.has_state,
        "arena_align": max(_LEAST_ALIGN, sources.arena_align),
        "fingerprint": [f"0x{byte:02X}" for byte in fingerprint(sources)],
        "version": VERSION,
        "most_payload": MOST_PAYLOAD,
        "has_cyccnt": device.core not in _WITHOUT_CYCLE_COUNTER,
        "fpu": device.fpu,
        "device": device.name,
        "description": device.description,
        "clock_hz": device.clock_hz,
        "flash": flash,
        "ram": ram,
        "entry_origin": _entry(device, flash),
        "stack_bytes": stack_bytes + _OWN_STACK_BYTES,
        "uart_origin": _CMSDK_UARTS.get(device.name),
        "ring_bytes": RING_BYTES,
        "tool_prefix": device.compiler.removesuffix("gcc"),
        "flags": [*image.flags, *c_library_flags(device.compiler)],
        "sources": [_DRIVER, *_SOURCES],
        "archives": list(sources.archives),
        "library": [name for name in sources.c_files if not name.endswith("_self_test.c")],
    }
    templates = {name: name for name in (*_SOURCES, *_HEADERS, "serial.ld")}
    templates |= {_DRIVER: f"serial_board_{_driver(device, line)}.c", "Makefile": "serial_makefile"}
    return {name: render(f"firmware/{template}.j2", values) for name, template in templates.items()}


def wants_project(bundle: Path, asked: bool) -> bool:
    """Whether a bundle gets the project: when asked for, or when the one it replaces has it."""
    return asked or (bundle / FOLDER / _DRIVER).is_file()


def bundle_project(image: Image, stack_bytes: int, bundle: Path, asked: bool) -> dict[str, str]:
    """Texts of the project that a bundle gets, by file name; none if `wants_project` says so.

    board.c of the bundle that is about to be replaced stays as it is: the user may have written it.

    Raises:
        UsageError: the device is not a Cortex-M; that file is not text.
    """
    if not wants_project(bundle, asked):
        return {}
    path = bundle / FOLDER / _DRIVER
    try:
        own = {_DRIVER: path.read_text(encoding="utf-8")} if path.is_file() else {}
        return board_project(image, stack_bytes) | own
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} would be replaced and cannot be kept: {error}; move it away") from None


def _driver(device: Device, line: Line) -> str:
    if line == "mailbox":
        return "mailbox"
    return "cmsdk" if device.name in _CMSDK_UARTS else "yours"


def _memory(device: Device, kind: str) -> Memory:
    """The largest region of a kind."""
    return max((m for m in device.memories if m.kind == kind), key=lambda memory: memory.size_bytes)


def _entry(device: Device, flash: Memory) -> int | None:
    """Where the vectors are, if not in flash: on an emulated board that is the device itself."""
    emulator = device.emulator
    if emulator is None or emulator.flash_origin != flash.origin:
        return None
    return emulator.entry_origin
