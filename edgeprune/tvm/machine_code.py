"""A kernel's loops as an object file, by the LLVM in TVM's package: one function, and no word of TVM's in it."""

from __future__ import annotations

import functools
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from edgeprune.device import Device
from edgeprune.errors import UsageError
from edgeprune.tvm.helpers import MATH_CALLS
from edgeprune.tvm.installed import require_tvm, tvm_version
from edgeprune.tvm.machine import Machine, machine_of
from edgeprune.tvm.raw_loops import raw_loops
from edgeprune.tvm.routine import Nest

__all__ = ["compiler_name", "object_code"]

_OPTIMISATION = 3
_SCALAR_BITS = 32
"""Of LLVM's vectors on a core without any; without a number TVM assumes 128 and says so."""
_C_LIBRARY = frozenset(
    ["memcpy", "memmove", "memset", "fmaf"]
    + [f"{name}{suffix}" for name in MATH_CALLS.values() for suffix in ("", "f")]
)
_COMPILER_LIBRARY = re.compile(r"__(aeabi_\w+|[a-z]+[sdt]?[ifdu]\w*)$")
"""Of libgcc and LLVM's compiler-rt: `__aeabi_fmul`, `__mulsf3`, `__divdi3`."""
_DEBUG = (r",? ?!dbg ![0-9]+", r"(?m)^!llvm\.dbg\.cu = .*\n", r"(?m)^ *#dbg_.*\n")


def compiler_name(device: Device) -> str:
    """What compiles the kernels of `device`, with its version and flags, for the report."""
    from tvm.target import codegen

    version = f"LLVM {codegen.llvm_version_major()} of apache-tvm {tvm_version()}"
    return f"{version} {machine_of(device).flags} -O{_OPTIMISATION}"


def object_code(nest: Nest, symbol: str, device: Device) -> bytes:
    """A relocatable object for the device's core that defines the function `symbol`, in a section of its own.

    Its parameters are pointers, as `nest.parameters` says. It calls nothing but functions of the C library and of the
    compiler's own library for what the core has no instruction for.

    Raises:
        UsageError: the loops use what only TVM's runtime has, or LLVM refuses them.
        MissingTool: TVM is not installed.
    """
    require_tvm("machine code")
    return _compiled(nest, symbol, machine_of(device))


@functools.lru_cache(maxsize=256)
def _compiled(nest: Nest, symbol: str, machine: Machine) -> bytes:
    import tvm

    target = _target(machine)
    function = raw_loops(nest.loops, symbol, nest.stored).with_attr({"target": target})
    module = tvm.tirx.transform.LowerIntrin()(tvm.IRModule({symbol: function}))
    try:
        compiled = tvm.get_global_func("target.build.llvm")(module, target)
    except Exception as error:  # TVM's own types, assertions included
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"LLVM has no form of {symbol}: {lines[-1].strip()[:200]}") from error
    data = _assembled(_tidied(str(compiled.inspect_source("ll")), symbol))
    _check_symbols(data, symbol)
    return data


def _check_symbols(data: bytes, symbol: str) -> None:
    """Refuse an object that defines more than `symbol`, or calls what a firmware does not have."""
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection), "LLVM writes a table of symbols"
    named = [one for one in table.iter_symbols() if one["st_info"]["bind"] != "STB_LOCAL"]
    called = {one.name for one in named if one["st_shndx"] == "SHN_UNDEF"}
    assert {one.name for one in named} - called == {symbol}, f"the object of {symbol} defines more than it"
    lacking = sorted(name for name in called if name not in _C_LIBRARY and not _COMPILER_LIBRARY.match(name))
    if lacking:
        raise UsageError(f"{symbol} calls {lacking[0]}, which no firmware has")


def _target(machine: Machine) -> Any:
    import tvm

    given = {
        "mtriple": machine.triple,
        "mcpu": machine.cpu,
        "mattr": list(machine.attributes),
        "mabi": machine.abi,
        "mfloat-abi": machine.float_abi,
    }
    options = {name: value for name, value in given.items() if value}
    return tvm.target.Target(
        {"kind": "llvm", "opt-level": _OPTIMISATION, "vector-width": _SCALAR_BITS, **options}
    )


def _tidied(text: str, symbol: str) -> str:
    """LLVM's text of a module less what TVM adds to each: conversions of half floats, and debug information."""
    for pattern in _DEBUG:
        text = re.sub(pattern, "", text)
    text = re.sub(r"(?m)^source_filename = .*$", f'source_filename = "{symbol}.c"', text)
    functions = list(_definitions(text))
    for name, whole in functions:
        if name != symbol:
            text = text.replace(whole, "")
    head = re.search(rf"(?m)^define .*@{symbol}\(.*\{{$", text)
    assert head is not None, f"LLVM's module does not define {symbol}"
    placed = re.sub(r"( #\d+)? \{$", rf'\1 section ".text.{symbol}" {{', head[0]).replace("dllexport ", "")
    return text.replace(head[0], placed)


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    """Name and text of each function that a module defines."""
    for found in re.finditer(r"(?ms)^define [^\n]*?@([\w.]+)\(.*?^\}\n", text):
        yield found[1], found[0]


def _assembled(text: str) -> bytes:
    """The object file of a module that was given as LLVM's text."""
    import tvm

    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        source, target = Path(folder) / "kernel.ll", Path(folder) / "kernel.o"
        source.write_text(text, encoding="utf-8")
        tvm.runtime.load_module(str(source)).write_to_file(str(target), "o")
        return target.read_bytes()
