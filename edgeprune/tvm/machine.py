"""What LLVM calls a device's core: triple, processor, extensions and calling convention, from the compiler's flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeprune.device import Device

__all__ = ["Machine", "machine_of"]

_ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {
        "cortex-m0plus": "thumbv6m",
        "cortex-m3": "thumbv7m",
        "cortex-m4": "thumbv7em",
        "cortex-m7": "thumbv7em",
        "cortex-m33": "thumbv8m.main",
        "cortex-m55": "thumbv8.1m.main",
    }
)
"""Arm's cores -> the first part of LLVM's triple."""
_FPUS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fpv4-sp-d16": ("+vfp4d16sp", "-fp64"),
        "fpv5-sp-d16": ("+fp-armv8d16sp", "-fp64"),
        "fpv5-d16": ("+fp-armv8d16",),
    }
)
_HOSTS: Mapping[str, str] = MappingProxyType({"x86_64": "x86-64", "aarch64": "generic"})
"""The least processor that LLVM is to compile for where nothing is known of the machine but its instruction set."""


@dataclass(frozen=True)
class Machine:
    """LLVM's terms: `-mtriple`, `-mcpu`, `-mattr`, `-mabi` and `-mfloat-abi`; the last two are empty where idle."""

    triple: str
    cpu: str
    attributes: tuple[str, ...] = ()
    abi: str = ""
    float_abi: str = ""

    @property
    def flags(self) -> str:
        """As one would give them to LLVM's tools."""
        named = {"mattr": ",".join(self.attributes), "mabi": self.abi, "mfloat-abi": self.float_abi}
        given = [f"-{name}={value}" for name, value in named.items() if value]
        return " ".join([f"-mtriple={self.triple}", f"-mcpu={self.cpu}", *given])


def machine_of(device: Device) -> Machine:
    """How LLVM compiles what links with objects that the device's own compiler makes with the profile's flags."""
    flags = dict(re.findall(r"-m([a-z-]+)=(\S+)", " ".join(device.flags)))
    if device.core in _ARCHITECTURES:
        return _arm(device.core, flags)
    if device.emulator is None:
        return _host()
    return _riscv(flags)


def _arm(core: str, flags: Mapping[str, str]) -> Machine:
    """GNU's variant of the ABI: floats by `__aeabi_fmul` and its kin, memory by `memset` and not `__aeabi_memset`."""
    soft = flags.get("float-abi", "soft") == "soft"
    triple = f"{_ARCHITECTURES[core]}-none-unknown-gnueabi" + ("" if soft else "hf")
    if soft:
        return Machine(triple, core, ("+soft-float",), float_abi="soft")
    return Machine(triple, core, _FPUS.get(flags.get("fpu", "auto"), ()), float_abi="hard")


def _riscv(flags: Mapping[str, str]) -> Machine:
    """Of `-march=rv32imac` every letter behind the base instruction set."""
    extensions = tuple(f"+{letter}" for letter in flags["arch"].partition("_")[0].removeprefix("rv32i"))
    return Machine("riscv32-unknown-unknown-elf", "generic-rv32", extensions, abi=flags["abi"])


def _host() -> Machine:
    from tvm.target import codegen

    triple = str(codegen.llvm_get_system_triple())
    return Machine(triple, _HOSTS.get(triple.partition("-")[0], "generic"))
