"""Compiles the plugin with the machine's own compiler, once per source, compiler and flags."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from edgeprune.errors import EnvironmentFailure
from edgeprune.firmware.toolchain import run_tool, tool_version

__all__ = ["PluginUnavailable", "cache_dir", "shared_object"]

_SOURCE = Path(__file__).with_name("plugin.c")
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")
_LIBRARIES = ("-ldl",)

# QEMU itself provides the functions that the plugin calls; macOS's linker wants to be told.
_PLATFORM_FLAGS = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()


class PluginUnavailable(Exception):
    """The plugin cannot be compiled here; the text says why."""


def shared_object(fallback: Path, source: Path = _SOURCE) -> Path:
    """The compiled plugin, from the user's cache if it is there.

    Args:
        fallback: folder to compile it in where the cache cannot be written.
        source: its C file.

    Raises:
        PluginUnavailable: there is no compiler or it fails.
    """
    compiler = next((name for name in _COMPILERS if shutil.which(name)), None)
    if compiler is None:
        raise PluginUnavailable(f"none of the compilers {', '.join(_COMPILERS)} is installed")
    try:
        name = _name(compiler, source)
        try:
            return _compiled(compiler, source, cache_dir() / name)
        except OSError:
            return _compiled(compiler, source, fallback / name)
    except (EnvironmentFailure, OSError) as failure:
        raise PluginUnavailable(str(failure)) from failure


def cache_dir() -> Path:
    """The user's cache folder of edgeprune: XDG Base Directory Specification, or macOS's custom."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if configured and Path(configured).is_absolute():
        return Path(configured) / "edgeprune"
    home = Path(os.path.expanduser("~"))  # noqa: PTH111, Path.home() raises where there is none
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "edgeprune"


def _name(compiler: str, source: Path) -> str:
    """A name that changes with the source, its headers, the compiler and the flags."""
    identity = "\n".join((tool_version(compiler), *_FLAGS, *_PLATFORM_FLAGS, *_LIBRARIES)).encode()
    headers = sorted(header for folder in {source.parent, _SOURCE.parent} for header in folder.glob("*.h"))
    code = b"\n".join(file.read_bytes() for file in (source, *headers))
    digest = hashlib.sha256(identity + b"\n" + code).hexdigest()
    return f"{source.stem}-{digest[:20]}.so"


def _compiled(compiler: str, source: Path, target: Path) -> Path:
    """Compiles beside `target` and renames, so that several processes can do so at a time."""
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as folder:
        fresh = Path(folder) / target.name
        command = [
            compiler,
            *_FLAGS,
            *_PLATFORM_FLAGS,
            f"-I{_SOURCE.parent}",
            str(source),
            "-o",
            str(fresh),
            *_LIBRARIES,
        ]
        run_tool(command, log=None)
        fresh.replace(target)
    return target
