"""The C, assembly and linker script of the test firmware, rendered for one library and one device."""

from __future__ import annotations

from edgeprune.codegen.describe import c_type
from edgeprune.codegen.sources import Sources
from edgeprune.device import Device, Emulator
from edgeprune.templating import render

__all__ = ["STACK_BYTES", "platform_files", "render_testbed"]

STACK_BYTES = 64 * 1024
"""Room for the stack of `run`, painted before every call."""

_HANDLER_STACK_BYTES = 1024
_HOST_STACK_BYTES = 1024 * 1024
_LEAST_ALIGN = 8

# Wide, because a wrong offset misses the arena by much more than a wrong loop bound does.
_GUARD_BYTES = 32 * 1024


def render_testbed(sources: Sources, device: Device) -> dict[str, str]:
    """Texts of the test firmware by file name.

    It calls the library only through its public functions; in the emulator it reads and writes files by
    semihosting, on the development machine by stdio.
    """
    values: dict[str, object] = {
        "prefix": sources.prefix,
        "macro": sources.prefix.upper(),
        "inputs": len(sources.inputs),
        "fed_rows": sources.fed_rows,
        "has_state": sources.has_state,
        "fed_type": c_type(sources.inputs[0].tensor),
        "outputs": len(sources.outputs),
        "more_arenas": sources.more_arenas,
        "more_ram_bytes": 0,
        "layer_outputs": [len(layer.outputs) for layer in sources.layers],
        "guard_bytes": _GUARD_BYTES,
        "guard_align": max(_LEAST_ALIGN, sources.arena_align),
        "functions": _public_functions(sources),
    }
    names = ["testbed.c", "testbed_platform.h", "testbed_stubs.c", *platform_files(device)]
    if device.emulator is None:
        values["stack_bytes"] = _HOST_STACK_BYTES
    else:
        names.append("testbed.ld")
        values |= _machine(device, device.emulator)
    return {name: render(f"firmware/{name}.j2", values) for name in names}


def platform_files(device: Device) -> tuple[str, ...]:
    """The files of the testbed that depend on the kind of machine, to be compiled and linked with the others."""
    if device.emulator is None:
        return ("testbed_host.c",)
    kind = "riscv" if device.emulator.timer == "instret" else "cortex_m"
    return ("testbed_semihosting.c", f"testbed_{kind}.c", f"testbed_calls_{kind}.S")


def _machine(device: Device, emulator: Emulator) -> dict[str, object]:
    value_offset = 4 if emulator.timer == "cmsdk" else 0
    return {
        "machine": emulator.machine,
        "flash_origin": emulator.flash_origin,
        "flash_bytes": emulator.flash_bytes,
        "ram_origin": emulator.ram_origin,
        "ram_bytes": emulator.ram_bytes,
        "more_ram_origin": emulator.more_ram_origin,
        "more_ram_bytes": emulator.more_ram_bytes,
        "entry_origin": emulator.entry_origin,
        "timer": emulator.timer,
        "timer_origin": emulator.timer_origin,
        "timer_value": emulator.timer_origin + value_offset,
        "traps_unaligned": emulator.traps_unaligned,
        "fpu": device.fpu,
        "stack_bytes": STACK_BYTES,
        "handler_stack_bytes": _HANDLER_STACK_BYTES,
    }


def _public_functions(sources: Sources) -> list[str]:
    accessors = [f"output_{index}" for index in range(len(sources.outputs))]
    if sources.fed_rows:
        return [f"{sources.prefix}_{name}" for name in ("init", *accessors, "push_row")]
    accessors = [*(f"input_{index}" for index in range(len(sources.inputs))), *accessors]
    runs = ("reset", "run") if sources.has_state else ("run",)
    return [f"{sources.prefix}_{name}" for name in ("init", *accessors, *runs)]
