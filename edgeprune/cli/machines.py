"""The verbs about devices and tools; they load nothing of the pipeline."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgeprune.cli.ending import Outcome
from edgeprune.device import Device, device_names, load_device
from edgeprune.errors import MissingTool

__all__ = ["devices_verb", "doctor_verb"]


def devices_verb(show: str | None) -> Outcome:
    """All devices, or everything about one."""
    if show is not None:
        device = load_device(show)
        return Outcome(asdict(device), _one(device))
    table = Table("device", "what it is", "core", box=None, header_style="bold")
    for title in ("clock", "flash", "RAM"):
        table.add_column(title, justify="right")
    found = [load_device(name) for name in device_names()]
    for device in found:
        row = (device.name, device.description, device.core, *_numbers(device))
        table.add_row(*(Text(cell) for cell in row))
    return Outcome([asdict(device) for device in found], table)


def doctor_verb() -> Outcome:
    """Which tools are installed; status 5 when one is missing."""
    from edgeprune.firmware import doctor

    tools = doctor()
    table = Table("", "tool", "what for", "version", box=None, header_style="bold")
    for tool in tools:
        mark = Text("\N{CHECK MARK}", "green") if tool.version else Text("\N{BALLOT X}", "red")
        table.add_row(mark, tool.name, tool.purpose, Text(tool.version or "missing"))
    remedies = sorted({tool.remedy for tool in tools if tool.version is None})
    advice = [Text(f"Missing: install with `{remedy}`.", "red") for remedy in remedies]
    status = MissingTool.exit_status if remedies else 0
    return Outcome({"tools": [asdict(tool) for tool in tools]}, Group(table, *advice), status)


def _one(device: Device) -> Table:
    table = Table(box=None, show_header=False)
    clock, flash, ram = _numbers(device)
    rows = {
        "device": device.name,
        "what it is": device.description,
        "core": f"{device.core}{', DSP extension' if device.dsp else ''}{', FPU' if device.fpu else ''}",
        "clock": clock,
        "flash": flash,
        "RAM, largest region": ram,
        "compiler": " ".join((device.compiler, *device.flags)),
        "emulated by": "nothing: it is this machine" if device.emulator is None else device.emulator.machine,
    }
    for memory in device.memories:
        rows[f"memory {memory.name}"] = f"{memory.kind}, {memory.size_bytes:,} B at {memory.origin:#010x}"
    if device.flash is not None:
        rows["flash wait states"] = str(device.flash.wait_states)
    for name, value in rows.items():
        table.add_row(Text(name, "bold"), Text(value))
    return table


def _numbers(device: Device) -> tuple[str, str, str]:
    clock = "" if device.emulator is None else f"{device.clock_hz / 1e6:g} MHz"
    return clock, f"{device.flash_bytes // 1024:,} KB", f"{device.ram_bytes // 1024:,} KB"
