"""An arena in several memories: what goes where, the library that takes a pointer for each, and its outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeprune import deploy, pipeline
from edgeprune.cli import app
from edgeprune.codegen import generate
from edgeprune.config import Budget
from edgeprune.device import Device, Memory, load_device
from edgeprune.emulate.counters.unicorn import UnicornCounter
from edgeprune.errors import OverBudget
from edgeprune.firmware import build
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.plan import Objective, Program, plan
from edgeprune.plan.check import check_program
from edgeprune.plan.lifetimes import Storage
from edgeprune.plan.regions import Problem, pack_regions
from edgeprune.progress import SilentProgress
from edgeprune.report.memory_map import memory_maps
from edgeprune.runners import QemuRunner
from tests.support.onnx_models import QdqBuilder, conv_block
from tests.support.row_simulator import simulate

BOARD = load_device("nucleo-f446re")
FLASH = next(memory for memory in BOARD.memories if memory.kind == "flash")


def network() -> Graph:
    """A shortcut around two convolutions, so that three feature maps are in use at once."""
    b = QdqBuilder(3)
    x = conv_block(b, b.input(1, 3, 16, 16), 3, 8)
    y = conv_block(b, conv_block(b, x, 8, 8), 8, 8)
    x = b.op("Add", [y, x], 0.06, -128)
    return simplify(import_onnx(b.model(b.op("GlobalAveragePool", [x])), "net"))


def board(*sizes: int, waits: tuple[int, ...] = (), like: Device = BOARD) -> Device:
    """`like` with RAM of these sizes in several memories."""
    waits = waits or (0,) * len(sizes)
    ram = [
        Memory(f"bank{i}", "ram", 0x20000000 + (i << 24), size, wait)
        for i, (size, wait) in enumerate(zip(sizes, waits, strict=True))
    ]
    flash = next(memory for memory in like.memories if memory.kind == "flash")
    return replace(like, memories=(flash, *ram))


def least() -> int:
    return plan(network(), BOARD, Objective("ram", ram_exchange=0)).arena_bytes


def planned(device: Device, optimize: str = "latency") -> Program:
    found = plan(network(), device, Objective(optimize, ram_bytes=device.all_ram_bytes, spends_ram=False))
    check_program(found)
    simulate(found)
    assert found.fits_memories
    return found


def test_what_fits_the_largest_memory_stays_whole() -> None:
    program = planned(board(8 * 1024, 4 * 1024, like=BOARD))
    assert program.parts == (("bank0", program.arena_bytes),)
    assert {buffer.region for buffer in program.buffers} == {"bank0"}


def test_two_memories_hold_what_one_does_not() -> None:
    size = least() * 3 // 4 // 8 * 8
    with pytest.raises(OverBudget, match="the arena takes"):
        plan(network(), board(size), Objective("ram", ram_bytes=size))
    program = planned(board(size, size))
    assert [name for name, _ in program.parts] == ["bank0", "bank1"]
    assert all(0 < used <= size for _, used in program.parts)


def test_a_refusal_names_the_memories_and_no_size_that_nothing_has() -> None:
    problem = Problem(tuple(Storage(name, (), 60, 0, 0) for name in "abc"), {}, 0, step_cycles=(1,), align=4)
    packing = pack_regions(problem, board(100, 90).data_memories)
    assert (packing.misses, dict(packing.offsets)) == ((100, 90), {})
    with pytest.raises(
        OverBudget, match=r"^no way was found to lay the arena in memories of 800 and 640 B: at"
    ):
        plan(network(), board(800, 640), Objective("ram", ram_bytes=1440))


def test_the_firmware_for_boards_is_planned_for_one_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not refused after all work is done."""
    asked: list[tuple[tuple[str, ...], int | None]] = []

    def compress(_model: object, device: Device, budget: Budget, *_: object) -> None:
        asked.append((tuple(memory.name for memory in device.data_memories), budget.ram_bytes))
        raise OverBudget("enough is known")

    monkeypatch.setattr(pipeline, "compress", compress)
    b = QdqBuilder(3)
    (tmp_path / "net.onnx").write_bytes(b.model(conv_block(b, b.input(1, 3, 4, 4), 3, 8)))
    (tmp_path / "banks.toml").write_text(BOARD_FILE.format(size=1536, waits=0))
    for firmware in (False, True):
        deploy(tmp_path / "net.onnx", device=str(tmp_path / "banks.toml"), board_firmware=firmware)
    assert asked == [(("sram1", "sram2"), 3072), (("sram1",), 1536)]


def test_what_lies_beside_the_arena_needs_a_place_of_its_own() -> None:
    """Fragments of two memories hold no stack, whatever their sum."""
    device = board(1000, 1000)
    parts = (("bank0", 900), ("bank1", 700))
    program = Program(network(), device, (), (), 1600, 8, 0, 0, parts=parts)
    assert program.leaves_room(300)
    assert not program.leaves_room(301)


def test_what_is_used_most_for_its_bytes_is_in_the_fast_memory() -> None:
    storages = (Storage("large", (), 96, 0, 3), Storage("hot", (), 40, 0, 3), Storage("cold", (), 40, 3, 3))
    problem = Problem(storages, {}, lasting_bytes=16, step_cycles=(1000, 1000, 1000, 10), align=8)
    fast, slow = board(100, 1000, waits=(0, 6)).data_memories
    packing = pack_regions(problem, (fast, slow))
    assert packing.parts == (("bank0", 56 + 40), ("bank1", 96))
    assert packing.offsets == {"hot": 16, "cold": 56, "large": 96}


def test_little_lies_in_slow_memory() -> None:
    """Not what a fast kernel's large scratch would be, whose time there nobody knows."""
    program = planned(board(least() * 3 // 4, 1 << 20, waits=(0, 4)))
    assert {buffer.region for buffer in program.buffers} == {"bank0", "bank1"}
    assert program.arena_bytes <= 1.1 * least()


def test_the_instruction_memory_at_address_zero_holds_no_arena() -> None:
    device = load_device("nucleo-h743zi")
    assert [memory.name for memory in device.data_memories] == ["axi-sram", "d2-sram", "dtcm", "d3-sram"]


def test_copies_of_weights_may_lie_in_the_other_memory() -> None:
    """A budget beyond one memory: the constants that it does not hold are copied to the next one."""
    slow_flash = load_device("nucleo-l4r5zi")
    used = plan(network(), slow_flash, Objective()).arena_bytes
    device = board(-(-used // 8) * 8, 64 * 1024, like=slow_flash)
    device = replace(
        device, memories=(device.memories[0], *sorted(device.memories[1:], key=lambda m: m.name))
    )
    objective = Objective(ram_bytes=device.all_ram_bytes)
    program = plan(network(), device, objective)
    simulate(program)
    assert program.persistent_bytes > 0


def test_a_second_memory_is_used_for_what_is_optimized() -> None:
    """Not for cycles where flash comes first."""
    objective = Objective("flash", ram_bytes=8000)
    whole = plan(network(), board(4000), replace(objective, ram_bytes=4000))
    program = plan(network(), board(4000, 4000), objective)
    sizes = [sum(step.candidate.flash_bytes for step in one.steps) for one in (program, whole)]
    assert sizes[0] < sizes[1]


def test_an_arena_that_fits_the_fast_memory_stays_out_of_the_slow_one() -> None:
    """What little time copies of constants there save is by estimates that know nothing of its waits."""
    program = plan(network(), board(4000, 4000, waits=(0, 6)), Objective(ram_bytes=8000))
    assert [name for name, _ in program.parts] == ["bank0"]


@pytest.mark.parametrize(
    "target", ["nucleo-f446re", "mps2-an500", "mps2-an505", "mps3-an547", "riscv-virt", "host"]
)
def test_bit_exact_with_each_part_in_a_memory_of_its_own(target: str, tmp_path: Path) -> None:
    """In QEMU both parts lie between guard zones, on Arm's boards in different memories."""
    machine = load_device(target)
    size = least() * 3 // 4 // 8 * 8
    graph, program = network(), planned(board(size, size))
    sources = generate(replace(program, device=machine), "net")
    assert (
        "net_init(net_context_t *context, void *arena, size_t arena_bytes, void *arena_bank1"
        in sources.files["net.h"]
    )
    image = build(sources, machine, tmp_path)
    x = np.random.default_rng(0).integers(-128, 128, (2, *graph.inputs[0].shape)).astype(np.int8)
    outputs = QemuRunner().run(image, (x,), progress=SilentProgress()).outputs[0]
    for sample, got in zip(x, outputs, strict=True):
        np.testing.assert_array_equal(got, execute(graph, [sample])[graph.outputs[0].name])


def test_unicorn_counts_an_arena_in_two_memories(tmp_path: Path) -> None:
    size = least() * 3 // 4 // 8 * 8
    program = replace(planned(board(size, size)), device=load_device("nucleo-f446re"))
    assert len(program.parts) == 2
    image = build(generate(program, "net"), program.device, tmp_path)
    x = np.zeros((1, *program.graph.inputs[0].shape), np.int8)
    assert UnicornCounter().count(image, (x,), 60).total > 0


def test_rows_from_the_caller_and_a_stage_lie_in_several_memories(tmp_path: Path) -> None:
    """All buffers in the second memory, under names that C has other uses for."""
    graph, machine = network(), load_device("host")
    program = plan(graph, BOARD, Objective("ram"), stream_input=True)
    simulate(program)
    moved = {one.name: replace(one, offset=one.offset + 8, region="a b") for one in program.buffers}
    program = replace(
        program,
        device=machine,
        parts=(("scratch", 8), ("a b", program.arena_bytes)),
        arena_bytes=program.arena_bytes + 8,
        buffers=tuple(moved.values()),
        steps=tuple(
            step if step.scratch is None else replace(step, scratch=moved[step.scratch.name])
            for step in program.steps
        ),
    )
    check_program(program)
    sources = generate(program, "net")
    assert "NET_ARENA_A_B_BYTES" in sources.files["net.h"]
    image = build(sources, machine, tmp_path)
    x = np.random.default_rng(0).integers(-128, 128, (2, *graph.inputs[0].shape)).astype(np.int8)
    outputs = QemuRunner().run(image, (x,), progress=SilentProgress()).outputs[0]
    for sample, got in zip(x, outputs, strict=True):
        np.testing.assert_array_equal(got, execute(graph, [sample])[graph.outputs[0].name])


BOARD_FILE = """
description = "two banks"
core = "cortex-m4"
clock = "100 MHz"
memories = [
  {{ name = "flash", kind = "flash", origin = 0x08000000, size = "256K" }},
  {{ name = "sram1", kind = "ram", origin = 0x20000000, size = {size} }},
  {{ name = "sram2", kind = "ram", origin = 0x10000000, size = {size}, wait_states = {waits} }},
]
"""


@pytest.mark.parametrize("waits", [0, 3])
def test_a_network_for_two_memories_is_deployed_and_checked_again(waits: int, tmp_path: Path) -> None:
    b = QdqBuilder(3)
    x = conv_block(b, b.input(1, 3, 16, 16), 3, 8)
    x = b.op("Add", [conv_block(b, conv_block(b, x, 8, 8), 8, 8), x], 0.06, -128)
    (tmp_path / "net.onnx").write_bytes(b.model(b.op("GlobalAveragePool", [x])))
    size = least() * 7 // 8 // 8 * 8
    (tmp_path / "banks.toml").write_text(BOARD_FILE.format(size=size, waits=waits))
    deployed = deploy(
        tmp_path / "net.onnx",
        device=str(tmp_path / "banks.toml"),
        samples=1,
        package=("cmake",),
        output=tmp_path / "bundle",
    )
    assert deployed.report["fits"], deployed.report["reason"]
    assert ("wait for slow RAM" in deployed.report["latency"]["cycles_error"]) == (waits > 0)
    maps = memory_maps(deployed.report)
    assert {memory.region for memory in maps} == {"sram1", "sram2"}
    assert all(memory.size_bytes <= size for memory in maps)
    assert "net_ARENA_SRAM2".upper() in (tmp_path / "bundle/package/cmake/example/main.c").read_text()
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "bundle"), "--layers"]).exit_code == 0
