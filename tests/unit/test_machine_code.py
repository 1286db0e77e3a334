"""Objects by LLVM: those of each core link with what the core's own compiler makes, and hold nothing of TVM's."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import onnx
import pytest
from elftools.elf.elffile import ELFFile

from edgeprune.codegen.archive import archive
from edgeprune.device import Device, load_device
from edgeprune.tvm import Nest, compile_model
from edgeprune.tvm.machine import machine_of
from edgeprune.tvm.machine_code import object_code
from tests.support.float_models import separable
from tests.support.tools import lacking

pytest.importorskip("tvm")

CORES = {
    "nucleo-g0b1re": ("EM_ARM", "soft"),
    "mps2-an385": ("EM_ARM", "soft"),
    "mps2-an386": ("EM_ARM", "hard"),
    "nucleo-h743zi": ("EM_ARM", "hard"),
    "stm32f746-disco": ("EM_ARM", "hard"),
    "mps2-an505": ("EM_ARM", "hard"),
    "mps3-an547": ("EM_ARM", "hard"),
    "riscv-virt": ("EM_RISCV", "soft"),
    "esp32c3": ("EM_RISCV", "soft"),
    "host": (None, None),
}
SYMBOL = "kws_kernel_12ab"


def nests() -> list[Nest]:
    """Of a convolution and a softmax: what is multiplied, what is divided, and functions of the C library."""
    kernels = compile_model(onnx.ModelProto.FromString(separable())).kernels
    found = [kernel.nest for kernel in kernels if kernel.nest is not None]
    return [found[0], found[-1]]


def symbols(elf: ELFFile) -> dict[str, bool]:
    """Names that linkers see -> whether the object defines them."""
    table = elf.get_section_by_name(".symtab")
    assert table is not None
    seen = (one for one in table.iter_symbols() if one["st_info"]["bind"] != "STB_LOCAL")
    return {one.name: one["st_shndx"] != "SHN_UNDEF" for one in seen}


@pytest.mark.parametrize("name", CORES)
def test_an_object_is_one_function_of_the_core(name: str) -> None:
    device, (machine, float_abi) = load_device(name), CORES[name]
    for nest in nests():
        data = object_code(nest, SYMBOL, device)
        assert b"TVM" not in data
        elf = ELFFile(io.BytesIO(data))
        assert machine is None or elf["e_machine"] == machine
        assert elf["e_type"] == "ET_REL"
        assert [one for one, defined in symbols(elf).items() if defined] == [SYMBOL]
        loaded = [
            section for section in elf.iter_sections() if section["sh_flags"] & 2 and section["sh_size"]
        ]
        names = {section.name for section in loaded if section["sh_flags"] & 4}
        assert names == {f".text.{SYMBOL}"}, "one section of code, which linkers drop where nothing calls it"
        assert not any(section["sh_flags"] & 1 for section in loaded), "nothing is writable"
        if machine == "EM_ARM":
            assert (attribute(elf, "TAG_ABI_VFP_ARGS") == 1) is (float_abi == "hard")
        if machine == "EM_RISCV":
            assert elf["e_flags"] & 0x6 == 0, "floats in integer registers, as in ilp32"


def attribute(elf: ELFFile, tag: str) -> int | None:
    section = elf.get_section_by_name(".ARM.attributes")
    assert section is not None
    found = [one.value for one in section.subsections[0].subsubsections[0].attributes if one.tag == tag]
    return found[0] if found else None


def test_flags_of_the_profile_decide() -> None:
    assert machine_of(load_device("esp32c3")).flags == (
        "-mtriple=riscv32-unknown-unknown-elf -mcpu=generic-rv32 -mattr=+m,+c -mabi=ilp32"
    )
    single = machine_of(load_device("stm32f746-disco"))
    assert "-fp64" in single.attributes
    assert "-fp64" not in machine_of(load_device("nucleo-h743zi")).attributes


@pytest.mark.parametrize("name", ["mps2-an386", "nucleo-g0b1re", "riscv-virt", "host"])
def test_an_archive_links_and_what_is_not_called_goes(name: str, tmp_path: Path) -> None:
    """Each object is taken by the cross linker from our archive, and only what is called stays."""
    device = load_device(name)
    if lacking(device.compiler):
        pytest.skip(f"{device.compiler} is not installed")
    first, second = (object_code(nest, f"kws_{i}", device) for i, nest in enumerate(nests()))
    (tmp_path / "libkws.a").write_bytes(archive({"kws_0": first, "kws_1": second}))
    listed = run(device, "nm", "--print-armap", str(tmp_path / "libkws.a"))
    assert "kws_0 in kws_0.o" in listed and "kws_1 in kws_1.o" in listed
    (tmp_path / "main.c").write_text("void kws_0(void);\nvoid start(void) { kws_0(); }\n")
    flags = [*device.flags, "-r", "-nostdlib"]
    out = tmp_path / "linked.o"
    run(device, "gcc", *flags, str(tmp_path / "main.c"), str(tmp_path / "libkws.a"), "-o", str(out))
    with out.open("rb") as file:
        found = symbols(ELFFile(file))
    assert found["kws_0"] and "kws_1" not in found


def run(device: Device, tool: str, *arguments: str) -> str:
    program = device.compiler.removesuffix("gcc") + tool
    return subprocess.run(
        [program, *arguments], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_the_same_objects_give_the_same_archive() -> None:
    objects = {"a_name_that_is_longer_than_fifteen": b"odd", "short": b"even"}
    assert archive(objects) == archive(dict(objects))
    assert archive(objects).startswith(b"!<arch>\n/               0 ")
