"""Constants in flash, staged and persistent: what the plan may choose, what it does choose, and the bytes it gives."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen import Sources, generate
from edgeprune.device import Device, load_device
from edgeprune.emulate import run
from edgeprune.firmware import build
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.kernels import Placement
from edgeprune.plan import Objective, Program, plan
from edgeprune.plan.assemble import program_of
from edgeprune.plan.check import check_program
from edgeprune.plan.choose import Option
from edgeprune.plan.schedule import schedule, with_placements
from edgeprune.plan.settle import settle, settle_placements
from edgeprune.progress import SilentProgress
from edgeprune.verify import reference_outputs
from tests.support.onnx_models import MODELS, QdqBuilder, conv_block
from tests.support.row_simulator import simulate

SLOW = load_device("nucleo-l4r5zi")
ROOM = 1 << 17
COPIED = [Placement.STAGED, Placement.PERSISTENT]


def wide_net() -> bytes:
    """A pointwise convolution of many pixels with much to wait for, then fully connected layers of one shape."""
    b = QdqBuilder(7)
    x = conv_block(b, conv_block(b, b.input(1, 8, 9, 9), 8, 24, k=1), 24, 24, k=3)
    x = b.op("GlobalAveragePool", [x], 0.05, -128)
    x = b.op("Flatten", [x], scale=None)
    for _ in range(2):
        x = b.op("Gemm", [x, b.weights(24, 24)], 2.0, 3, transB=1)
    return b.model(x)


NETWORKS = {**MODELS, "wide": wide_net}


def network(name: str) -> Graph:
    return simplify(import_onnx(NETWORKS[name](), name))


def forced(name: str, placement: Placement, device: Device = SLOW) -> Program:
    """The program whose steps all have `placement`, where they can."""
    objective = Objective(ram_bytes=ROOM)
    table = with_placements(schedule(network(name), device, objective), device, objective)

    def only(step: tuple[Option, ...]) -> tuple[Option, ...]:
        return tuple(o for o in step if o.candidate.placement is placement) or step

    narrow = replace(table, options=tuple(map(only, table.options)))
    program = program_of(table, device, objective, settle(narrow, objective))
    check_program(program)
    return program


def library(program: Program) -> Sources:
    return generate(program, "net")


def assert_exact(graph: Graph, sources: Sources, device: Device, folder: Path) -> None:
    """Several inferences after one init equal the reference."""
    image = build(sources, device, folder)
    rng = np.random.default_rng(0)
    inputs = tuple(rng.integers(-128, 128, (4, *t.shape)).astype(np.int8) for t in graph.inputs)
    found = run(image, inputs).outputs
    for want, got in zip(reference_outputs(graph, inputs, SilentProgress()), found, strict=True):
        np.testing.assert_array_equal(want, got.reshape(want.shape))


@pytest.mark.parametrize("name", ["flatten", "residual", "squeeze_excite", "wide"])
@pytest.mark.parametrize("placement", COPIED)
def test_copies_give_the_same_bytes_in_the_emulator(name: str, placement: Placement, tmp_path: Path) -> None:
    program = forced(name, placement)
    assert any(step.candidate.placement is placement for step in program.steps)
    assert_exact(program.graph, library(program), SLOW, tmp_path)


@pytest.mark.parametrize("name", ["residual", "wide"])
@pytest.mark.parametrize("placement", COPIED)
def test_copies_are_clean_under_sanitizers(name: str, placement: Placement, tmp_path: Path) -> None:
    program = forced(name, placement)
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
    host = load_device("host")
    sanitized = replace(host, flags=(*host.flags, *checks))
    assert_exact(program.graph, library(program), sanitized, tmp_path)


@pytest.mark.parametrize("placement", list(Placement))
def test_layers_of_one_shape_share_code_wherever_their_constants_are(placement: Placement) -> None:
    text = library(forced("wide", placement)).files["net.c"]
    assert len(re.findall(r"^static void net_fully_connected_24_24\w*\(", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^    net_fully_connected_24_24\w*\(", text, re.MULTILINE)) == 2


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("optimize", ["latency", "ram", "flash"])
def test_without_a_ram_budget_the_arena_is_what_it_was(name: str, optimize: str) -> None:
    objective = Objective(optimize, ram_exchange=0)
    before = settle(schedule(network(name), SLOW, objective), objective)
    program = plan(network(name), SLOW, objective)
    assert program.arena_bytes <= before.packing.arena_bytes
    assert program.persistent_bytes == 0
    assert sum(s.candidate.cycles for s in program.steps) <= sum(o.candidate.cycles for o in before.chosen)


def test_memory_below_the_peak_is_used_for_staging() -> None:
    program = plan(network("wide"), SLOW, Objective())
    assert any(step.candidate.placement is Placement.STAGED for step in program.steps)


def test_a_ram_budget_is_filled_with_what_saves_most() -> None:
    least = plan(network("wide"), SLOW, Objective("ram")).arena_bytes
    cycles = []
    for room in (least, least + 1000, least + 4000, ROOM):
        program = plan(network("wide"), SLOW, Objective(ram_bytes=room))
        assert program.arena_bytes <= room
        simulate(program)
        persistent = [step.persistent for step in program.steps if step.persistent is not None]
        assert program.persistent_bytes == sum(buffer.size_bytes for buffer in persistent)
        cycles.append(sum(step.candidate.cycles for step in program.steps))
    assert cycles == sorted(cycles, reverse=True)
    assert program.persistent_bytes > 0
    assert "Copies constants into it" in library(program).files["net.h"]
    assert f"NET_ARENA_PERSISTENT_BYTES {program.persistent_bytes}\n" in library(program).files["net.h"]


def test_copies_that_do_not_pack_are_made_fewer_not_given_up() -> None:
    """The choice counts what each step needs, the packing may need more: what is left still goes to copies."""
    graph = network("residual")
    least = plan(graph, SLOW, Objective("ram", ram_exchange=0))
    everything = plan(graph, SLOW, Objective(ram_bytes=ROOM)).persistent_bytes
    found = [
        plan(graph, SLOW, Objective(ram_bytes=least.arena_bytes + room))
        for room in range(0, everything + 64, 64)
    ]
    cycles = [sum(step.candidate.cycles for step in program.steps) for program in found]
    assert max(after - before for before, after in itertools.pairwise(cycles)) <= cycles[0] // 1000
    assert found[-1].persistent_bytes > 0


def test_the_least_ram_is_given_up_for_much_time_only() -> None:
    strict = plan(network("residual"), SLOW, Objective("ram", ram_exchange=0))
    for exchange in (2, 8, 100):
        program = plan(network("residual"), SLOW, Objective("ram", ram_exchange=exchange))
        cycles, before = (sum(step.candidate.cycles for step in one.steps) for one in (program, strict))
        grown = program.arena_bytes / strict.arena_bytes
        assert 1.0 <= grown <= 1.375
        assert cycles <= before * grown**-0.4 + 1


def test_the_next_best_fits_the_same_memory() -> None:
    program = plan(network("wide"), SLOW, Objective())
    for step in program.steps:
        other = step.next_best
        assert other is None or other.placement is not Placement.PERSISTENT


def test_memory_without_waits_holds_no_copies() -> None:
    objective = Objective(ram_bytes=ROOM)
    table = schedule(network("wide"), load_device("host"), objective)
    assert with_placements(table, load_device("host"), objective).options == table.options
    fast = replace(SLOW, flash=replace(SLOW.flash, wait_states=0))
    placed = with_placements(schedule(network("wide"), fast, objective), fast, objective)
    assert all(o.candidate.placement is Placement.FLASH for step in placed.options for o in step)


@pytest.mark.parametrize("ram", [None, ROOM])
def test_same_input_gives_the_same_bytes(ram: int | None) -> None:
    one, other = (library(plan(network("wide"), SLOW, Objective(ram_bytes=ram))) for _ in range(2))
    assert one.files == other.files


def test_a_plan_that_nothing_improves_stays() -> None:
    objective = Objective()
    table = schedule(network("flatten"), SLOW, objective)
    settled = settle(table, objective)
    assert settle_placements(table, objective, settled).chosen == settled.chosen
