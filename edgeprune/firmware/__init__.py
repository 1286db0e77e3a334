"""Toolchains, linking, ELF sizes."""

from edgeprune.firmware.build import WARNINGS, build
from edgeprune.firmware.image import Image, Sizes
from edgeprune.firmware.toolchain import ToolStatus, doctor

__all__ = ["WARNINGS", "Image", "Sizes", "ToolStatus", "build", "doctor"]
