"""A plugin for QEMU that counts blocks of code: its C source, and how it is compiled, loaded and read."""

from edgeprune.emulate.plugin.build import PluginUnavailable, shared_object
from edgeprune.emulate.plugin.dump import parse_dump

__all__ = ["PluginUnavailable", "parse_dump", "shared_object"]
