"""The plugin's two interfaces, its files, its cache, and the loops it is told about."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgeprune.emulate.blocks import BlockCount
from edgeprune.emulate.loops import is_straight, loops_in, riscv_branch, thumb_branch, thumb_lengths
from edgeprune.emulate.plugin import PluginUnavailable, parse_dump, shared_object
from edgeprune.emulate.plugin.build import cache_dir
from edgeprune.errors import EnvironmentFailure

HOST = Path(__file__).parents[1] / "support" / "plugin_host.c"
PLUGIN = Path(shared_object.__code__.co_filename).with_name("plugin.c")
REGIONS = "start 100\nstop 300\nrun 100 110\nlayer 200\nloop 204 208\nstraight 20a 20e\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("host") / "host"
    subprocess.run(
        ["gcc", "-std=gnu99", "-rdynamic", "-w", str(HOST), "-o", str(program), "-ldl"], check=True
    )
    return program


@pytest.mark.parametrize("api", [2, 3, 5])
def test_the_interface_of_qemu_9_and_later(api: int, host: Path, tmp_path: Path) -> None:
    regions, counts = tmp_path / "regions", tmp_path / "counts"
    regions.write_text(REGIONS, encoding="ascii")
    command = [str(host), str(shared_object(tmp_path)), str(regions), str(counts), str(api)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run, layer = parse_dump(counts.read_text(encoding="ascii"), 2)
    assert run == (BlockCount(0x100, 6, 2, 1, 1), BlockCount(0x106, 2, 1, 1, 1))
    assert layer == (
        BlockCount(0x200, 4, 2, 1, 0),
        BlockCount(0x204, 4, 2, 5, 4),
        BlockCount(0x208, 2, 1, 1, 0),
        BlockCount(0x20A, 2, 1, 3, 0),
        BlockCount(0x20C, 2, 1, 4, 2),
        BlockCount(0x20E, 2, 1, 2, 2),
    )


def test_a_layer_out_of_order_is_noticed(host: Path, tmp_path: Path) -> None:
    regions, counts = tmp_path / "regions", tmp_path / "counts"
    regions.write_text(REGIONS + "layer 400\n", encoding="ascii")
    subprocess.run([str(host), str(shared_object(tmp_path)), str(regions), str(counts), "2"], check=True)
    with pytest.raises(EnvironmentFailure, match="not every layer ran"):
        parse_dump(counts.read_text(encoding="ascii"), 3)


def test_a_run_that_never_began_is_noticed() -> None:
    with pytest.raises(EnvironmentFailure, match="never entered"):
        parse_dump("counts 1 unstarted\n", 1)


@pytest.mark.parametrize("text", ["", "counts 2 whole\n", "nonsense"])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(EnvironmentFailure, match="where its counts should begin"):
        parse_dump(text, 1)


def test_the_plugin_compiles_without_a_warning(tmp_path: Path) -> None:
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
    command = [
        "gcc",
        "-std=gnu11",
        *warnings,
        "-fPIC",
        "-shared",
        str(PLUGIN),
        "-o",
        str(tmp_path / "plugin.so"),
    ]
    subprocess.run(command, check=True)


def test_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = shared_object(tmp_path / "unused")
    made = first.stat().st_mtime_ns
    assert first.parent == cache_dir() == tmp_path / "edgeprune"
    assert shared_object(tmp_path / "unused").stat().st_mtime_ns == made
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_without_a_cache_it_is_compiled_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert shared_object(tmp_path / "here").parent == tmp_path / "here"


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PluginUnavailable, match="none of the compilers"):
        shared_object(tmp_path)


def test_thumb_instructions_have_two_lengths() -> None:
    assert thumb_lengths(bytes.fromhex("0021 00f07df8 01f1ff31 7047".replace(" ", ""))) == [2, 4, 4, 2]


@pytest.mark.parametrize(
    ("code", "loops"),
    [
        ("00bf 0139 fdd1 7047", [(2, 6)]),  # nop; 1: subs r1, #1; bne 1b; bx lr
        ("0139 7ff4 fdaf", [(0, 6)]),  # 1: subs r1, #1; bne.w 1b
        ("00f0 7df8 fdd1", []),  # goes back into the middle of an instruction
        ("0139 01d1 00bf 00bf", []),  # forward
    ],
)
def test_tight_thumb_loops_are_found(code: str, loops: list[tuple[int, int]]) -> None:
    data = bytes.fromhex(code.replace(" ", ""))
    assert list(loops_in(data, thumb_branch, lambda halfword: 4 if halfword >> 11 >= 0x1D else 2)) == loops


@pytest.mark.parametrize(
    ("code", "loops"),
    [
        ("1305f5ff e31e05fe", [(0, 8)]),  # 1: addi a0, a0, -1; bnez a0, 1b
        ("7d15 7dfd", [(0, 4)]),  # the same, compressed
    ],
)
def test_tight_riscv_loops_are_found(code: str, loops: list[tuple[int, int]]) -> None:
    data = bytes.fromhex(code.replace(" ", ""))
    assert list(loops_in(data, riscv_branch, lambda halfword: 4 if halfword & 3 == 3 else 2)) == loops


@pytest.mark.parametrize(
    ("machine", "code", "straight"),
    [
        ("EM_ARM", "0139 00bf fcd1", True),  # subs, nop, bne
        ("EM_ARM", "00b1 0139 fcd1", False),  # cbz
        ("EM_ARM", "8746 0139 fcd1", False),  # mov pc, r0
        ("EM_ARM", "00f07df8 fcd1", False),  # bl
        ("EM_ARM", "fff7fffd fcd1", False),  # unknown
        ("EM_RISCV", "0100 7dfd", True),  # c.nop, c.bnez
        ("EM_RISCV", "8280 7dfd", False),  # c.jr ra
    ],
)
def test_a_loop_is_straight_if_only_its_end_leaves_it(machine: str, code: str, straight: bool) -> None:
    assert is_straight(bytes.fromhex(code.replace(" ", "")), machine) is straight
