"""The C, assembly and linker script of the test firmware, rendered for one library and one device."""

from __future__ import annotations

from edgeprune.codegen.sources import Sources
from edgeprune.device import Device
from edgeprune.templating import render

__all__ = ["STACK_BYTES", "render_testbed"]

STACK_BYTES = 64 * 1024
"""Room for the stack of `run`, painted before every call."""

_HANDLER_STACK_BYTES = 1024
_HOST_STACK_BYTES = 1024 * 1024
_LEAST_ALIGN = 8

# Wide, because a wrong offset misses the arena by much more than a wrong loop bound does.
_GUARD_BYTES = 32 * 1024


def render_testbed(sources: Sources, device: Device) -> dict[str, str]:
    """Texts of the test firmware by file name.

    It calls the library only through its public functions; on a Cortex-M it talks to the emulator by
    semihosting, on the development machine by stdio.
    """
    values = {
        "prefix": sources.prefix,
        "macro": sources.prefix.upper(),
        "inputs": len(sources.inputs),
        "outputs": len(sources.outputs),
        "layer_outputs": [len(layer.outputs) for layer in sources.layers],
        "guard_bytes": _GUARD_BYTES,
        "guard_align": max(_LEAST_ALIGN, sources.arena_align),
        "functions": _public_functions(sources),
    }
    names = ["testbed.c", "testbed_platform.h", "testbed_stubs.c"]
    if device.emulator is None:
        names.append("testbed_host.c")
        values["stack_bytes"] = _HOST_STACK_BYTES
    else:
        names += ["testbed_cortex_m.c", "testbed_calls.S", "testbed.ld"]
        emulator = device.emulator
        values |= {
            "machine": emulator.machine,
            "flash_origin": emulator.flash_origin,
            "flash_bytes": emulator.flash_bytes,
            "ram_origin": emulator.ram_origin,
            "ram_bytes": emulator.ram_bytes,
            "timer_origin": emulator.timer_origin,
            "fpu": device.fpu,
            "stack_bytes": STACK_BYTES,
            "handler_stack_bytes": _HANDLER_STACK_BYTES,
        }
    return {name: render(f"firmware/{name}.j2", values) for name in names}


def _public_functions(sources: Sources) -> list[str]:
    accessors = [f"input_{index}" for index in range(len(sources.inputs))]
    accessors += [f"output_{index}" for index in range(len(sources.outputs))]
    return [f"{sources.prefix}_{name}" for name in ("init", *accessors, "run")]
