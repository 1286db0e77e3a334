"""Device profiles: the figures of the built-in ones, and one sentence for every mistake in a user's."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("name", "core", "mhz", "flash_k", "ram_k", "machine"),
    [
        ("nucleo-l4r5zi", "cortex-m4", 120, 2048, 640, "mps2-an386"),
        ("nucleo-f446re", "cortex-m4", 180, 512, 128, "mps2-an386"),
        ("nucleo-h743zi", "cortex-m7", 480, 2048, 512, "mps2-an500"),
        ("nucleo-u575zi", "cortex-m33", 160, 2048, 768, "mps2-an505"),
        ("bluepill-f103c8", "cortex-m3", 72, 64, 20, "mps2-an385"),
    ],
)
def test_built_in_devices(name: str, core: str, mhz: int, flash_k: int, ram_k: int, machine: str) -> None:
    device = load_device(name)
    assert (device.name, device.core, device.clock_hz) == (name, core, mhz * 1_000_000)
    assert (device.flash_bytes, device.ram_bytes) == (flash_k * KIB, ram_k * KIB)
    assert device.emulator is not None
    assert device.emulator.machine == machine
    assert device.dsp == device.fpu == (core != "cortex-m3")


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


def test_an_unknown_device_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no device 'nucleo-l4r5': did you mean 'nucleo-l4r5zi'\?"):
        load_device("nucleo-l4r5")
    with pytest.raises(UsageError, match="use one of bluepill-f103c8, host"):
        load_device("???")


def test_unreadable_profiles(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_device(str(tmp_path / "none.toml"))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read as text"):
        load_device(str(binary))
