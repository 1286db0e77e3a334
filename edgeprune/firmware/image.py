"""A linked firmware and what it takes, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune.codegen.sources import Sources
from edgeprune.device import Device

__all__ = ["Image", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """What the library adds to an image: linked with it minus the same firmware without it. All bytes.

    flash_bytes = code_bytes + weights_bytes; static_bytes is .data and .bss of the library, context_bytes
    the size of its context struct. `symbols` gives the flash of each of the library's functions and arrays.
    """

    flash_bytes: int
    code_bytes: int
    weights_bytes: int
    static_bytes: int
    context_bytes: int
    symbols: dict[str, int]


@dataclass(frozen=True)
class Image:
    """A built library with its test firmware: what `emulate.run` executes.

    `elf` feeds inputs from a file and writes outputs to one; `counting_elf` is the same with the layer
    callback enabled. For the device "host" both are programs of the development machine.
    """

    device: Device
    sources: Sources
    directory: Path
    elf: Path
    counting_elf: Path
    sizes: Sizes
    compiler: str
    flags: tuple[str, ...]
