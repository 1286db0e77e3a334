"""How a program that prints and exits by semihosting is linked for a device's emulated board, and run there."""

from __future__ import annotations

from edgeprune.device import Device

__all__ = ["emulator_command", "link_flags", "machine_flags"]

_NEWLIB = ("--specs=nano.specs", "--specs=rdimon.specs", "-nostartfiles")
_PICOLIBC = "--specs=picolibc.specs"
_PAGE_BYTES = 4096


def machine_flags(device: Device) -> tuple[str, ...]:
    """Flags of every compilation: the core, and the C library where the compiler has none of its own."""
    needs_library = device.emulator is not None and not device.core.startswith("cortex-m")
    return (*device.flags, *((_PICOLIBC,) if needs_library else ()))


def link_flags(device: Device) -> tuple[str, ...]:
    """Further flags of the link, besides a start-up file and a linker script on Cortex-M; nothing for "host"."""
    board = device.emulator
    if board is None:
        return ()
    if device.core.startswith("cortex-m"):
        return _NEWLIB
    # Picolibc's own start-up and linker script; the whole program lies in the RAM that the board starts from.
    start = board.ram_origin if board.entry_origin is None else board.entry_origin
    half = board.ram_bytes // 2 // _PAGE_BYTES * _PAGE_BYTES
    memory = {"__flash": start, "__flash_size": half, "__ram": start + half, "__ram_size": half}
    memory["__stack_size"] = half // 8
    symbols = ",".join(f"--defsym={name}={value:#x}" for name, value in memory.items())
    return ("--crt0=hosted", "--oslib=semihost", f"-Wl,{symbols}")


def emulator_command(device: Device) -> tuple[str, ...]:
    """QEMU's command line up to the name of the program; nothing for "host"."""
    board = device.emulator
    if board is None:
        return ()
    cpu = () if board.cpu is None else ("-cpu", board.cpu)
    bios = () if board.program == "qemu-system-arm" else ("-bios", "none")
    quiet = ("-display", "none", "-serial", "null", "-monitor", "null")
    semihosting = ("-semihosting-config", "enable=on,target=native")
    return (board.program, "-M", board.machine, *cpu, *bios, *quiet, *semihosting, "-kernel")
