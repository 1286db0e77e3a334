"""Device profiles: the figures of the built-in ones, and one sentence for every mistake in a user's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from edgeprune.device import device_names, load_device
from edgeprune.errors import UsageError

KIB = 1024
GOOD = """
description = "mine"
core = "cortex-m4"
clock = "64 MHz"
[[memories]]
name = "flash"
kind = "flash"
origin = 0
size = "1M"
[[memories]]
name = "ram"
kind = "ram"
origin = 0x20000000
size = 262_144
"""
CACHE = """
[flash]
wait_states = 4
line_bytes = 16
instruction_lines = 512
data_lines = 0
"""


DEVICES = [
    ("bluepill-f103c8", "cortex-m3", 72, 64, 20),
    ("ensemble-e3", "cortex-m55", 400, 5632, 4096),
    ("esp32c3", "rv32imc", 160, 4096, 384),
    ("gd32vf103", "rv32imac", 108, 128, 32),
    ("mimxrt1062", "cortex-m7", 600, 8192, 768),
    ("mps2-an385", "cortex-m3", 25, 4096, 4096),
    ("mps2-an386", "cortex-m4", 25, 4096, 4096),
    ("mps2-an500", "cortex-m7", 25, 4096, 4096),
    ("mps2-an505", "cortex-m33", 20, 4096, 4096),
    ("mps3-an547", "cortex-m55", 32, 8192, 4096),
    ("nrf52832", "cortex-m4", 64, 512, 64),
    ("nrf52840", "cortex-m4", 64, 1024, 256),
    ("nrf5340", "cortex-m33", 128, 1024, 512),
    ("nucleo-f446re", "cortex-m4", 180, 512, 128),
    ("nucleo-g0b1re", "cortex-m0plus", 64, 512, 144),
    ("nucleo-g474re", "cortex-m4", 170, 512, 128),
    ("nucleo-h743zi", "cortex-m7", 480, 2048, 512),
    ("nucleo-h7a3zi", "cortex-m7", 280, 2048, 1024),
    ("nucleo-l476rg", "cortex-m4", 80, 1024, 96),
    ("nucleo-l4r5zi", "cortex-m4", 120, 2048, 640),
    ("nucleo-u575zi", "cortex-m33", 160, 2048, 768),
    ("nucleo-wb55rg", "cortex-m4", 64, 1024, 192),
    ("riscv-virt", "rv32imac", 100, 32768, 16384),
    ("rp2040", "cortex-m0plus", 133, 2048, 264),
    ("rp2350", "cortex-m33", 150, 4096, 520),
    ("samd51j19", "cortex-m4", 120, 512, 192),
    ("stm32f407-disco", "cortex-m4", 168, 1024, 128),
    ("stm32f746-disco", "cortex-m7", 216, 1024, 256),
]
MACHINES = {
    "cortex-m0plus": "mps2-an385",
    "cortex-m3": "mps2-an385",
    "cortex-m4": "mps2-an386",
    "cortex-m7": "mps2-an500",
    "cortex-m33": "mps2-an505",
    "cortex-m55": "mps3-an547",
    "rv32imc": "virt",
    "rv32imac": "virt",
}


def test_the_list_of_devices_is_whole() -> None:
    assert device_names() == tuple(sorted(["host", *(name for name, *_ in DEVICES)]))


@pytest.mark.parametrize(("name", "core", "mhz", "flash_k", "ram_k"), DEVICES)
def test_built_in_devices(name: str, core: str, mhz: int, flash_k: int, ram_k: int) -> None:
    device = load_device(name)
    assert (device.name, device.core, device.clock_hz) == (name, core, mhz * 1_000_000)
    assert (device.flash_bytes, device.ram_bytes) == (flash_k * KIB, ram_k * KIB)
    assert device.emulator is not None
    assert device.emulator.machine == MACHINES[core]
    assert device.dsp == device.fpu == (core in {"cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"})
    assert device.mve == (core == "cortex-m55")


@pytest.mark.parametrize("name", [name for name, *_ in DEVICES])
def test_regions_do_not_overlap(name: str) -> None:
    regions = sorted((memory.origin, memory.size_bytes) for memory in load_device(name).memories)
    for (origin, size_bytes), (following, _) in pairwise(regions):
        assert origin + size_bytes <= following


def test_real_devices_say_how_their_flash_is_read() -> None:
    emulated = {"host", "riscv-virt", *(name for name in device_names() if name.startswith("mps"))}
    assert {name for name in device_names() if load_device(name).flash is None} == emulated


@pytest.mark.parametrize(
    ("name", "instruction_bytes", "data_bytes"),
    [
        ("nucleo-l4r5zi", 1024, 256),
        ("nucleo-u575zi", 8 * KIB, 8 * KIB),
        ("stm32f746-disco", 4 * KIB, 4 * KIB),
        ("nucleo-h743zi", 16 * KIB, 16 * KIB),
        ("rp2040", 16 * KIB, 16 * KIB),
        ("bluepill-f103c8", 0, 0),
    ],
)
def test_sizes_of_caches(name: str, instruction_bytes: int, data_bytes: int) -> None:
    flash = load_device(name).flash
    assert flash is not None
    assert (flash.instruction_bytes, flash.data_bytes) == (instruction_bytes, data_bytes)


def test_tightly_coupled_memory() -> None:
    coupled = {m.name for m in load_device("nucleo-h743zi").memories if m.tightly_coupled}
    assert coupled == {"dtcm", "itcm"}


def test_the_host_has_no_emulator() -> None:
    assert load_device("host").emulator is None
    assert "host" in device_names()


def test_a_profile_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(GOOD)
    device = load_device(str(path))
    assert (device.name, device.clock_hz, device.ram_bytes) == ("board", 64_000_000, 256 * KIB)
    assert device.flags[0] == "-mcpu=cortex-m4"
    assert device.flash is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('core = "cortex-m4"', 'core = "cortex-m85"', "core must be one of cortex-m0plus, cortex-m3"),
        ('core = "cortex-m4"', "", "core is missing"),
        ('core = "cortex-m4"', "core = 4", "core must be a valid string"),
        ('"64 MHz"', '"64 megahertz"', 'clock must be an integer or a text like "120 MHz"'),
        ('"64 MHz"', "0", "clock must be greater than 0"),
        ('"1M"', '"-3K"', r"memories\[0\].size must be an integer or a text like \"640K\""),
        ('"1M"', '"0.3B"', r"memories\[0\].size must come to a whole number"),
        ('kind = "ram"', 'kind = "rom"', r"memories\[1\].kind must be 'flash' or 'ram'"),
        ('kind = "ram"', 'kind = "flash"', 'memories must list at least one memory of kind "flash" and one'),
        ('name = "ram"', 'name = "flash"', "memories must have different names: 'flash' occurs twice"),
        ("0x20000000", "0xFFFFF", "memories must not overlap: 'flash' reaches into 'ram'"),
        ("origin = 0\n", "orgin = 0\n", r"memories\[0\].origin is missing"),
        (
            "origin = 0\n",
            "origin = 0\nsise = 1\n",
            "sise is not a key of a device profile, use one of name, kind",
        ),
        (
            'description = "mine"',
            'description = "mine"\ncolor = 1',
            "color is not a key .* description, core",
        ),
        ("[[memories]]", "[[memories", "is not valid TOML"),
    ],
)
def test_mistakes_in_a_profile_name_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UsageError, match=message) as mistake:
        load_device(str(path))
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("instruction_ways = 3", "flash must have a number of lines that is a multiple of the ways"),
        (
            "unified = true\ndata_ways = 2",
            "flash must not give data_lines or data_ways where unified is true",
        ),
        ("unified = 1", "flash.unified must be a valid boolean"),
        ("ways = 2", "flash.ways is not a key of a device profile, use one of wait_states, line_bytes"),
        ("prefetch = true\nword_bytes = -1", "flash.word_bytes must be greater than or equal to 0"),
    ],
)
def test_mistakes_in_a_cache_name_key_and_remedy(tmp_path: Path, more: str, message: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(GOOD + CACHE + more)
    with pytest.raises(UsageError, match=message):
        load_device(str(path))


def test_a_cache_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(
        GOOD + "tightly_coupled = true\nwait_states = 1\n" + CACHE + "instruction_ways = 2\nunified = true"
    )
    device = load_device(str(path))
    assert (device.memories[1].tightly_coupled, device.memories[1].wait_states) == (True, 1)
    assert device.flash is not None
    assert device.flash.data_bytes == 8 * KIB


def test_an_unknown_device_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no device 'nucleo-l4r5': did you mean 'nucleo-l4r5zi'\?"):
        load_device("nucleo-l4r5")
    with pytest.raises(UsageError, match="use one of bluepill-f103c8, ensemble-e3"):
        load_device("???")


def test_unreadable_profiles(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_device(str(tmp_path / "none.toml"))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read as text"):
        load_device(str(binary))
