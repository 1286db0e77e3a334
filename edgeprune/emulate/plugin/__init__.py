"""A plugin for QEMU that counts blocks of code: its C source, and how it is compiled, loaded and read."""

from edgeprune.emulate.plugin.build import PluginUnavailable, cache_dir, shared_object
from edgeprune.emulate.plugin.dump import parse_dump

__all__ = ["PluginUnavailable", "cache_dir", "parse_dump", "shared_object"]
