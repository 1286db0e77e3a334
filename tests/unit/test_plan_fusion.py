"""Pairs of nodes as one step: where the plan takes them, and that what it gives holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen import generate
from edgeprune.device import Device, load_device
from edgeprune.emulate import run
from edgeprune.errors import OverBudget
from edgeprune.firmware import build
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.plan import Objective, Program, plan
from edgeprune.plan.assemble import program_of
from edgeprune.plan.fusion import fusible_pairs
from edgeprune.plan.schedule import schedule
from edgeprune.plan.settle import settle
from edgeprune.progress import SilentProgress
from edgeprune.tune.trials import rivals
from edgeprune.verify import reference_outputs
from tests.support.onnx_models import QdqBuilder, conv_block

SLOW, PLAIN = load_device("nucleo-l4r5zi"), load_device("bluepill-f103c8")


def bottleneck(*, wide: int = 32) -> Graph:
    """Two blocks that narrow to 8 channels and widen again, past which the wide tensor goes."""
    b = QdqBuilder(3)
    x = conv_block(b, b.input(1, 4, 9, 9), 4, wide, k=1)
    for _ in range(2):
        y = conv_block(b, conv_block(b, x, wide, 8, k=1), 8, 8, k=3)
        y = b.op("Conv", [y, b.weights(wide, 8, 1, 1)], 0.05, 4)
        x = b.op("Relu", [b.op("Add", [y, x], 0.06, -128)], 0.06, -128)
    return simplify(import_onnx(b.model(x), "bottleneck"))


def fused(program: Program) -> list[str]:
    return ["+".join(node.op for node in step.nodes) for step in program.steps if len(step.nodes) > 1]


def test_pairs_are_convolutions_and_the_sums_they_feed():
    graph = bottleneck()
    for device in (SLOW, PLAIN):
        assert [[node.op for node in pair] for pair in fusible_pairs(graph, device)] == [["Conv", "Add"]] * 2


def test_one_of_two_convolutions_that_meet_takes_the_sum():
    b = QdqBuilder(4)
    x = conv_block(b, b.input(1, 4, 8, 8), 4, 16, k=1)
    small = conv_block(b, x, 16, 4, k=3)
    main = b.op("Conv", [small, b.weights(16, 4, 1, 1)], 0.05, 4)
    past = b.op("Conv", [x, b.weights(16, 16, 1, 1)], 0.05, 4)
    graph = simplify(import_onnx(b.model(b.op("Add", [past, main], 0.06, 0)), "meet"))
    ((conv, add),) = fusible_pairs(graph, SLOW)
    assert conv.inputs[0].shape[-1] == 4
    assert add.inputs[1].name == conv.output.name


def test_what_others_read_is_not_fused_away():
    b = QdqBuilder(5)
    x = conv_block(b, b.input(1, 4, 8, 8), 4, 4, k=1)
    y = b.op("Conv", [x, b.weights(4, 4, 1, 1)], 0.05, 4)
    z = b.op("Add", [b.op("Add", [y, x], 0.06, 0), y], 0.06, 0)
    graph = simplify(import_onnx(b.model(z), "twice"))
    assert fusible_pairs(graph, SLOW) == ()


@pytest.mark.parametrize("device", [SLOW, PLAIN], ids=lambda device: device.core)
def test_taken_where_it_saves_memory(device: Device):
    """Widened output and shortcut no longer lie side by side, be it that what comes before them is streamed as well."""
    graph = bottleneck()
    apart = settle(schedule(graph, device, Objective("ram")), Objective("ram")).packing.arena_bytes
    program = plan(graph, device, Objective("ram"))
    assert [step.endswith("Conv+Add") for step in fused(program)] == [True, True]
    assert program.arena_bytes < 0.75 * apart


def test_taken_where_a_budget_asks_for_it():
    graph = bottleneck()
    program = plan(graph, SLOW, Objective("ram"))
    with pytest.raises(OverBudget):
        settle(schedule(graph, SLOW, Objective()), Objective(ram_bytes=program.arena_bytes + 100))
    assert fused(plan(graph, SLOW, Objective(ram_bytes=program.arena_bytes + 100)))


def test_not_taken_where_it_only_costs_time():
    graph = bottleneck()
    program = plan(graph, SLOW, Objective())
    assert not fused(program)
    together = settle(schedule(graph, SLOW, Objective(), fusible_pairs(graph, SLOW)), Objective())
    cycles = sum(option.candidate.cycles for option in together.chosen)
    assert sum(step.candidate.cycles for step in program.steps) <= cycles


def test_measured_with_the_others():
    named = [candidate for candidate in rivals(bottleneck(), SLOW) if len(candidate.nodes) > 1]
    assert {candidate.family for candidate in named} == {"conv_add_s8_dsp", "conv_add_s8_c"}


@pytest.mark.parametrize("device", [SLOW, PLAIN], ids=lambda device: device.core)
@pytest.mark.parametrize("shape", [(1, 3, 9, 9), (1, 8, 5, 7)], ids=str)
def test_bit_exact_on_the_emulated_core(tmp_path: Path, shape: tuple[int, ...], device: Device):
    """Every form of the fused kernel, several blocks at a time among them, over its shortcut."""
    b = QdqBuilder(shape[1])
    x = conv_block(b, b.input(*shape), shape[1], 20, k=1)
    for channels, k in ((8, 1), (6, 3), (17, 1)):
        y = conv_block(b, x, 20, channels, k=1)
        y = b.op("Conv", [y, b.weights(20, channels, k, k)], 0.05, 4, pads=[k // 2] * 4)
        x = b.op("Add", [y, x] if k > 1 else [x, y], 0.06, -3)
    graph = simplify(import_onnx(b.model(x), "sums"))
    pairs = fusible_pairs(graph, device)
    assert len(pairs) == 3
    for wanted in ("_c", "_dsp", "_wide", "_groups4") if device.dsp else ("_c",):
        objective = Objective("ram")
        table = schedule(graph, device, objective, pairs)
        chosen = tuple(
            tuple(o for o in step if len(o.candidate.nodes) > 1 and o.candidate.name.endswith(wanted)) or step
            for step in table.options
        )
        only = replace(table, options=chosen)
        program = program_of(only, device, objective, settle(only, objective))
        assert fused(program) == ["Conv+Add"] * 3
        sources = generate(program, "sums")
        stored = np.random.default_rng(1).integers(-128, 128, (2, *graph.inputs[0].shape), dtype=np.int8)
        image = build(sources, device, tmp_path / f"built{wanted}")
        (found,) = run(image, (stored,)).outputs
        (expected,) = reference_outputs(graph, (stored,), SilentProgress())
        np.testing.assert_array_equal(found.reshape(expected.shape), expected)
