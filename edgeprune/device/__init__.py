"""Device profiles: core, memories, clock, flash timing, compiler flags, emulator machine."""

from edgeprune.device.load import device_names, load_device
from edgeprune.device.profile import Device, Emulator, Flash, Memory

__all__ = ["Device", "Emulator", "Flash", "Memory", "device_names", "load_device"]
