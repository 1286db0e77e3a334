"""Toolchains, linking, ELF sizes."""

from edgeprune.firmware.build import build
from edgeprune.firmware.image import Image, Sizes
from edgeprune.firmware.toolchain import ToolStatus, doctor

__all__ = ["Image", "Sizes", "ToolStatus", "build", "doctor"]
