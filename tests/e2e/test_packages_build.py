"""Every package, built as its build system builds it, and its example run: on this machine and in the emulator.

CMake and Make are the real ones; of Zephyr and ESP-IDF there are stand-ins that real CMake runs, and of Arduino,
PlatformIO and CMSIS-Pack the documented search paths are compiled: see support/build_systems.
"""

from __future__ import annotations

import functools
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from edgeprune.codegen import Sources
from edgeprune.codegen.packages import packages, render
from edgeprune.codegen.semihosting import emulator_command, link_flags
from edgeprune.device import load_device
from tests.support.packaged import board_files, call, library, program, run, write
from tests.support.tools import lacking

DEVICE = "nucleo-l4r5zi"
STAND_INS = Path(__file__).resolve().parents[1] / "support" / "build_systems"
PASSES = "residual: the self test passes"

needs_cmake = pytest.mark.skipif(lacking("cmake"), reason="CMake is not installed")


@functools.cache
def sources(device: str = DEVICE) -> Sources:
    return library("residual", load_device(device))


def package(name: str, folder: Path, device: str = DEVICE) -> Path:
    return write(folder / name, render(name, sources(device), load_device(device)))


def test_every_format_has_a_test_here() -> None:
    assert packages() == ("amalgamation", "arduino", "cmake", "cmsis-pack", "esp-idf", "platformio", "zephyr")


@needs_cmake
@pytest.mark.parametrize(
    ("device", "target"),
    [(DEVICE, "host"), *((name, "device") for name in (DEVICE, "nucleo-g0b1re", "ensemble-e3", "esp32c3"))],
)
def test_cmake(device: str, target: str, tmp_path: Path) -> None:
    folder = package("cmake", tmp_path, device)
    toolchain = ["--toolchain", "cmake/toolchain.cmake"] if target == "device" else []
    call("cmake", "-S", ".", "-B", "build", *toolchain, "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON", cwd=folder)
    assert "warning" not in call("cmake", "--build", "build", cwd=folder)
    assert PASSES in call("ctest", "--test-dir", "build", "--verbose", cwd=folder)


@pytest.mark.parametrize(("device", "target"), [(DEVICE, "host"), (DEVICE, "device"), ("esp32c3", "device")])
def test_make(device: str, target: str, tmp_path: Path) -> None:
    folder = package("cmake", tmp_path, device)
    said = call("make", f"TARGET={target}", "CFLAGS=-Wall -Wextra -Werror", "run", cwd=folder)
    assert PASSES in said
    assert (folder / "build" / target / "libresidual.a").is_file()


@needs_cmake
def test_cmake_as_part_of_a_project_with_a_network_named_test(tmp_path: Path) -> None:
    """A project brings in two packages; CMake reserves the name of one."""
    device = load_device("host")
    for network, name in (("residual", "test"), ("flatten", "install")):
        renamed = {
            path.replace(network, name): text.replace(network, name).replace(network.upper(), name.upper())
            for path, text in render("cmake", library(network, device), device).items()
        }
        write(tmp_path / name, renamed)
    lists = "cmake_minimum_required(VERSION 3.13)\nproject(firmware C)\nenable_testing()\n"
    lists += "add_subdirectory(test)\nadd_subdirectory(install)\nadd_executable(firmware main.c)\n"
    lists += "target_link_libraries(firmware PRIVATE test::test install::install)\n"
    main = '#include "test.h"\n#include "install.h"\n\nint main(void)\n{\n'
    main += "    test_context_t one = { 0 };\n    install_context_t other = { 0 };\n"
    main += "    return test_run(&one) == TEST_OK || install_run(&other) == INSTALL_OK;\n}\n"
    write(tmp_path, {"CMakeLists.txt": lists, "main.c": main})
    call("cmake", "-S", ".", "-B", "build", cwd=tmp_path)
    call("cmake", "--build", "build", cwd=tmp_path)
    call(tmp_path / "build" / "firmware")
    assert not list((tmp_path / "build").rglob("*self_test")), "examples are built only on their own"


def _cmake_with_stand_in(project: Path, device: str, defines: list[str], program_name: str) -> None:
    """Configures and builds `project` with the toolchain file of the CMake package, and runs it in the emulator."""
    plain = package("cmake", project / "plain", device)
    startup = plain / "example" / "startup.c"
    link = [*link_flags(load_device(device)), "-Wl,--gc-sections"]
    if startup.is_file():
        link += [f"-T{plain / 'example' / 'qemu.ld'}"]
        defines = [*defines, f"-DSTARTUP={startup}"]
    toolchain = plain / "cmake" / "toolchain.cmake"
    defines = [*defines, f"-DLINK={';'.join(link)}", "-DCMAKE_C_FLAGS_DEBUG=-Wall -Wextra -Werror"]
    call("cmake", "-S", project, "-B", project / "build", "-G", "Unix Makefiles", "--toolchain", toolchain,
         "-DCMAKE_BUILD_TYPE=Debug", *defines)  # fmt: skip
    call("cmake", "--build", project / "build")
    assert PASSES in call(*emulator_command(load_device(device)), project / "build" / program_name)


@needs_cmake
def test_zephyr(tmp_path: Path) -> None:
    sample = package("zephyr", tmp_path) / "samples" / "self_test"
    _cmake_with_stand_in(sample, DEVICE, [f"-DZephyr_DIR={STAND_INS / 'zephyr'}"], "app")
    flags = next((sample / "build").rglob("edgeprune_residual.dir/flags.make")).read_text()
    assert "-O2" in flags, "by the symbol that is on by default"


@needs_cmake
@pytest.mark.parametrize("device", ["esp32c3", DEVICE])
def test_esp_idf(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDF_PATH", str(STAND_INS / "esp_idf"))
    example = package("esp-idf", tmp_path, device) / "residual" / "examples" / "self_test"
    _cmake_with_stand_in(example, device, [], "residual_self_test.elf")


@pytest.mark.parametrize("device", [DEVICE, "host"])
def test_arduino(device: str, tmp_path: Path) -> None:
    """All sources below src/, which is the only folder on the search path; sketches are C++ behind Arduino.h."""
    profile = load_device(device)
    folder = package("arduino", tmp_path, device) / "residual"
    sketch = folder / "examples" / "SelfTest" / "SelfTest.ino"
    translated = (
        write(tmp_path, {"SelfTest.cpp": f"#include <Arduino.h>\n{sketch.read_text()}"}) / "SelfTest.cpp"
    )
    files = [*sorted((folder / "src").rglob("*.c")), translated]
    include = [folder / "src", STAND_INS / "arduino"]
    elf = program(profile, tmp_path / "out", files, include, board_files(sources(device), profile))
    assert PASSES in run(profile, elf)


@pytest.mark.parametrize("device", [DEVICE, "host"])
def test_platformio(device: str, tmp_path: Path) -> None:
    """All sources below srcDir; includeDir and srcDir are on the search path of the library and of its users."""
    profile = load_device(device)
    folder = package("platformio", tmp_path, device) / "residual"
    files = [*sorted((folder / "src").rglob("*.c")), folder / "examples" / "self_test" / "src" / "main.c"]
    include = [folder / "include", folder / "src"]
    elf = program(profile, tmp_path / "out", files, include, board_files(sources(device), profile))
    assert PASSES in run(profile, elf)


def test_cmsis_pack(tmp_path: Path) -> None:
    """What the component lists: sources are compiled, folders of headers and of includes are on the search path."""
    device = load_device(DEVICE)
    folder = package("cmsis-pack", tmp_path)
    listed = ElementTree.parse(folder / "edgeprune.residual.pdsc").findall(".//component/files/file")
    by_category = {category: [] for category in ("doc", "include", "header", "source")}
    for file in listed:
        by_category[file.attrib["category"]].append(folder / file.attrib["name"])
    include = [*by_category["include"], *{path.parent for path in by_category["header"]}]
    elf = program(device, tmp_path / "out", by_category["source"], include, board_files(sources(), device))
    assert PASSES in run(device, elf)


@pytest.mark.parametrize("device", [DEVICE, "ensemble-e3", "esp32c3", "host"])
def test_amalgamation(device: str, tmp_path: Path) -> None:
    profile = load_device(device)
    folder = package("amalgamation", tmp_path, device)
    assert sorted(path.name for path in folder.glob("*.[ch]")) == [
        "residual.c",
        "residual.h",
        "residual_example.c",
    ]
    alone = tmp_path / "alone"
    write(alone, {"residual.c": (folder / "residual.c").read_text()})
    files = [alone / "residual.c", folder / "residual_example.c"]
    elf = program(profile, tmp_path / "out", files, [folder], board_files(sources(device), profile))
    assert PASSES in run(profile, elf)
