"""Cycles of a kernel before it is compiled: instructions, times what the core takes for them, plus flash waits.

Kernels count the instructions of the code generated for Cortex-M4 (portable ones: Cortex-M3), by the kind of code
they are in, and the constants they read. What a core takes for such an instruction follows from its cycle model
(`edgeprune.cycles`, whose sources stand there), averaged over compiled kernels of that kind; where the instruction
set needs several in place of one, as Armv6-M does for a 64-bit product, they are in the figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from edgeprune.device import Device, Flash

__all__ = ["Kind", "code_waits", "copy_cycles", "cycles", "lookup_waits", "read_waits"]


class Kind(Enum):
    """Kinds of code that differ in how many instructions load, store, branch or depend on the one before."""

    MULTIPLY = "words of constants multiplied with words of activations in registers (DSP extension)"
    SCALE = "sums requantised in registers"
    GATHER = "windows copied and widened"
    PLANES = "planes of channels split and correlated (depthwise, DSP extension)"
    STREAM = "four elements at a time, in a long loop"
    TIGHT = "a loop of about five instructions, one of them a load"
    SUMS = "products of single elements (portable)"
    SCALAR = "compiled C without any of these"


def _rates(*figures: float) -> Mapping[Kind, float]:
    return MappingProxyType(dict(zip(Kind, figures, strict=True)))


_CORTEX_M4 = _rates(1.475, 1.2, 1.45, 1.38, 1.125, 1.6, 1.5, 1.38)
_RV32 = _rates(1.04, 1.04, 1.04, 1.04, 1.0, 1.2, 1.8, 1.0)

# Cycles per instruction in the order of Kind; on cores without the DSP extension the first kinds are those of the
# kernels for a 32-bit multiplication, which count the instructions of each core.
_CYCLES_PER_INSTRUCTION: Mapping[str, Mapping[Kind, float]] = MappingProxyType(
    {
        "cortex-m0plus": _rates(1.22, 1.27, 1.5, 1.2, 1.75, 1.75, 2.5, 2.9),
        "cortex-m3": _rates(1.62, 1.37, 1.45, 1.6, 1.25, 1.6, 1.83, 1.5),
        "cortex-m4": _CORTEX_M4,
        "cortex-m7": _rates(1.06, 0.97, 0.73, 1.0, 0.75, 0.78, 1.07, 0.88),
        "cortex-m33": _rates(1.39, 1.16, 1.12, 1.33, 1.08, 1.38, 1.26, 1.2),
        "cortex-m55": _rates(1.38, 1.2, 1.1, 1.33, 1.0, 0.95, 1.5, 1.2),
        "rv32imc": _RV32,
        "rv32imac": _RV32,
        "host": _CORTEX_M4,
    }
)

_INSTRUCTIONS_PER_BRANCH = _rates(100, 60, 30, 30, 60, 5, 12, 18)
"""Instructions from one taken branch to the next."""

_FLASH_LOAD_CYCLES: Mapping[str, int] = MappingProxyType({"cortex-m33": 1})
"""What a load from flash takes besides, cached or not, where code and constants share one path."""

_LOOP_BYTES = 256
"""A code cache smaller than this holds no kernel's loop."""

_COPIED_BYTES, _COPY_INSTRUCTIONS, _COPY_CALL_INSTRUCTIONS = 16, 12, 12
"""Of the function that copies constants: bytes and instructions of a turn of its loop, instructions of a call."""

_HOT_CODE_BYTES = 700
"""What the code of a loop takes of a cache that it shares with the constants."""


def cycles(device: Device, instructions: Mapping[Kind, float]) -> float:
    """Cycles of `instructions` by the kind of code they are in, waiting for branch targets included.

    Raises:
        KeyError: no figures are known for the device's core.
    """
    rates, flash = _CYCLES_PER_INSTRUCTION[device.core], device.flash
    waited = flash.wait_states if flash is not None and flash.instruction_bytes < _LOOP_BYTES else 0
    return sum(
        count * (rates[kind] + waited / _INSTRUCTIONS_PER_BRANCH[kind])
        for kind, count in instructions.items()
    )


def code_waits(device: Device, code_bytes: int) -> float:
    """Cycles until code is in the cache, where there is one: each word of flash is waited for once."""
    flash = device.flash
    if flash is None or flash.instruction_bytes < _LOOP_BYTES:
        return 0.0
    return flash.wait_states * code_bytes / _word_bytes(flash)


def read_waits(device: Device, size: int, *, loads: float, passes: float = 1) -> float:
    """Cycles that reading `size` bytes of constants from first to last, `passes` times, waits for flash.

    Args:
        device: whose flash and data cache are read through.
        size: bytes of the constants.
        loads: load instructions of all passes together.
        passes: how often the constants are read through; what is read again within a pass is cached.
    """
    flash = device.flash
    if flash is None or not flash.holds_constants or not size:
        return 0.0
    waits = loads * _FLASH_LOAD_CYCLES.get(device.core, 0)
    if not flash.data_bytes:
        return waits + loads * flash.wait_states
    lines = -(-size // flash.line_bytes)
    words = size / _word_bytes(flash)
    repeated = words * _lines_lost(flash, lines) / lines
    return waits + flash.wait_states * (words + max(0.0, passes - 1) * repeated)


def copy_cycles(device: Device, size: int) -> float:
    """Cycles of copying `size` bytes of constants to RAM once, 16 at a time: library/copy.c.j2."""
    blocks = -(-size // _COPIED_BYTES)
    instructions = {Kind.STREAM: _COPY_INSTRUCTIONS * blocks + _COPY_CALL_INSTRUCTIONS}
    return cycles(device, instructions) + read_waits(device, size, loads=size / 4)


def lookup_waits(device: Device, table_bytes: int, lookups: int, *, runs: int = 1, repeats: int = 1) -> float:
    """Cycles that reading words of a table in no order waits for flash, all equally likely.

    Args:
        device: whose flash and data cache are read through.
        table_bytes: size of the table.
        lookups: in one run.
        runs: how often other words are looked up.
        repeats: how often a run's words are looked up before the next run.
    """
    flash = device.flash
    if flash is None or not flash.holds_constants:
        return 0.0
    loads = lookups * runs * repeats
    waits = loads * _FLASH_LOAD_CYCLES.get(device.core, 0)
    if not flash.data_bytes:
        return waits + loads * flash.wait_states
    lines, held = -(-table_bytes // flash.line_bytes), flash.data_bytes // flash.line_bytes

    def distinct(count: int) -> float:
        return lines * (1.0 - (1.0 - 1.0 / lines) ** count)

    if lines <= held:
        return waits + flash.wait_states * distinct(lookups * runs)
    touched = distinct(lookups)
    return waits + flash.wait_states * runs * (touched + (repeats - 1) * max(0.0, touched - held))


def _word_bytes(flash: Flash) -> int:
    return flash.word_bytes or flash.line_bytes


def _lines_lost(flash: Flash, lines: int) -> int:
    """Of consecutive `lines` read in a cycle, those that are gone from the cache before their turn comes again.

    Where more lines fall into a set than it has ways, replacing the one used longest ago loses every one of them.
    """
    held = flash.instruction_lines if flash.unified else flash.data_lines
    code = -(-_HOT_CODE_BYTES // flash.line_bytes) if flash.unified else 0
    ways = (flash.instruction_ways if flash.unified else flash.data_ways) or held
    sets = held // ways
    per_set, fuller = divmod(lines + code, sets)
    lost = fuller * (per_set + 1) if per_set + 1 > ways else 0
    lost += (sets - fuller) * per_set if per_set > ways else 0
    return min(lines, lost)
