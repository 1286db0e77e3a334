"""Building the test firmware: sizes by difference, strictness, and failures in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeprune.device import load_device
from edgeprune.errors import EnvironmentFailure, MissingTool, OverBudget, UsageError
from edgeprune.firmware import build, doctor
from edgeprune.firmware.toolchain import run_tool
from tests.support.fake_library import fake_sources

DEVICE = load_device("nucleo-l4r5zi")


def _with(old: str, new: str, file: str = "fake.c"):
    sources = fake_sources()
    return replace(sources, files={**sources.files, file: sources.files[file].replace(old, new)})


def test_sizes_are_the_library_alone(tmp_path: Path) -> None:
    sizes = build(fake_sources(), DEVICE, tmp_path).sizes
    assert sizes.symbols["fake_weights_first"] == sizes.weights_bytes == 8
    assert sizes.flash_bytes == sizes.code_bytes + sizes.weights_bytes
    assert 0 <= sizes.flash_bytes - sum(sizes.symbols.values()) <= 16
    assert sizes.context_bytes == 4
    assert sizes.static_bytes == 0
    assert not any(name.startswith("testbed") for name in sizes.symbols)


def test_what_the_library_pulls_in_counts(tmp_path: Path) -> None:
    plain = build(fake_sources(), DEVICE, tmp_path / "plain").sizes
    divide = _with(
        "context->arena = arena;",
        "context->arena = arena;\n    context->arena[0] = (int8_t)(INT64_MAX / (int64_t)arena_bytes);",
    )
    sizes = build(divide, DEVICE, tmp_path / "divide").sizes
    assert "__aeabi_ldivmod" in sizes.symbols
    assert sizes.flash_bytes > plain.flash_bytes + 100


def test_variables_of_the_library_count_as_static(tmp_path: Path) -> None:
    keep = _with(
        "context->arena = arena;", "static int kept[5] = {1};\n    kept[0]++;\n    context->arena = arena;"
    )
    sizes = build(keep, DEVICE, tmp_path).sizes
    assert sizes.static_bytes == 20
    assert "kept" not in "".join(sizes.symbols)


def test_a_warning_in_the_library_is_a_failure(tmp_path: Path) -> None:
    narrowing = _with(
        "const int value = 2 * context->arena[i];", "const int8_t value = 2 * context->arena[i];"
    )
    with pytest.raises(EnvironmentFailure, match=r"status 1, its output is in .*fake\.log") as failure:
        build(narrowing, DEVICE, tmp_path)
    log = Path(str(failure.value).rpartition(" in ")[2].rstrip("."))
    assert "[-Werror=" in log.read_text()


def test_flags_that_the_compiler_refuses_are_the_profiles_mistake(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"flags '-mcpu=cortex-m99' are refused: arm-none-eabi-gcc ended .* -mcpu"
    ):
        build(fake_sources(), replace(DEVICE, flags=("-mcpu=cortex-m99",)), tmp_path)
    assert not any(tmp_path.iterdir())


def test_weights_larger_than_the_board_are_over_budget(tmp_path: Path) -> None:
    sources = fake_sources()
    huge = sources.files["fake_weights.c"].replace("[8]", "[5000000]")
    files = {
        **sources.files,
        "fake_weights.c": huge,
        "fake.c": sources.files["fake.c"].replace("fake_weights_first[8]", "fake_weights_first[5000000]"),
    }
    with pytest.raises(OverBudget, match="4,194,304 bytes of flash of the emulated board mps2-an386"):
        build(replace(sources, files=files), DEVICE, tmp_path)


def test_a_missing_compiler_comes_with_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingTool, match="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        build(fake_sources(), DEVICE, tmp_path)


def test_a_missing_risc_v_compiler_comes_with_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        MissingTool, match="apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"
    ):
        build(fake_sources(), load_device("esp32c3"), tmp_path)


@pytest.mark.parametrize("name", ["nucleo-g0b1re", "ensemble-e3", "esp32c3", "gd32vf103"])
def test_sizes_on_every_kind_of_core(name: str, tmp_path: Path) -> None:
    sizes = build(fake_sources(), load_device(name), tmp_path).sizes
    assert (sizes.weights_bytes, sizes.static_bytes, sizes.context_bytes) == (8, 0, 4)
    assert 0 <= sizes.flash_bytes - sum(sizes.symbols.values()) <= 16
    assert "fake_run" in sizes.symbols


def test_doctor_names_every_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [status.name for status in doctor()]
    arm = ["arm-none-eabi-gcc", "newlib", "qemu-system-arm"]
    riscv = ["riscv64-unknown-elf-gcc", "picolibc", "qemu-system-riscv32"]
    assert names == ["gcc", *arm, *riscv]
    monkeypatch.setenv("PATH", "")
    assert all(status.version is None and "apt-get" in status.remedy for status in doctor())


def test_a_tool_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match=r"sleep did not end within 0\.2 s, its output is in .*log"):
        run_tool(["sleep", "5"], tmp_path / "log", time_limit_s=0.2)


def test_the_same_sources_give_the_same_image(tmp_path: Path) -> None:
    images = [build(fake_sources(), DEVICE, tmp_path / name).elf.read_bytes() for name in ("a", "b")]
    assert images[0] == images[1]
