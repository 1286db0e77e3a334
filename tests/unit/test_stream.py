"""Stages that run row by row: their schedule, their memory byte by byte, and their outputs on host and core."""

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen import generate
from edgeprune.device import Device, load_device
from edgeprune.errors import UsageError
from edgeprune.firmware import build
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import simplify
from edgeprune.kernels.base import Candidate, RowForm, RowWindow
from edgeprune.plan import Objective, Program, plan
from edgeprune.plan.assemble import program_of
from edgeprune.plan.lifetimes import work_nodes
from edgeprune.plan.pairs import with_pairs
from edgeprune.plan.row_schedule import row_events
from edgeprune.plan.row_slots import Above, Slot, place_slots, slots_floor
from edgeprune.plan.rows import RowForms
from edgeprune.plan.schedule import schedule
from edgeprune.plan.settle import settle
from edgeprune.plan.stage import _Frames, stage_candidates
from edgeprune.plan.stage_types import StageCandidate
from edgeprune.progress import SilentProgress
from edgeprune.runners import QemuRunner
from tests.support import cases
from tests.support.onnx_models import QdqBuilder, conv_block
from tests.support.row_simulator import simulate

DEVICE = load_device("nucleo-l4r5zi")


def depthwise(b: QdqBuilder, x: str, channels: int, stride: int = 1) -> str:
    attrs = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [1] * 4, "group": channels}
    return b.op("Relu", [b.op("Conv", [x, b.weights(channels, 1, 3, 3)], scale=None, **attrs)], 0.05, -128)


def residual(b: QdqBuilder, size: int) -> str:
    x = conv_block(b, b.input(1, 3, 9 * size, 10), 3, 8)
    y = b.op("Conv", [conv_block(b, x, 8, 8), b.weights(8, 8, 3, 3)], 0.05, 4, pads=[1] * 4)
    x = b.op("Relu", [b.op("Add", [y, x], 0.06, -128)], 0.06, -128)
    past = b.op("Conv", [x, b.weights(12, 8, 1, 1)], 0.05, 4, strides=[2, 2])
    y = b.op("Conv", [conv_block(b, x, 8, 12, stride=2), b.weights(12, 12, 3, 3)], 0.05, 4, pads=[1] * 4)
    x = b.op("Add", [past, y], 0.06, -128)
    return b.op("GlobalAveragePool", [x])


def separable(b: QdqBuilder, size: int) -> str:
    x = conv_block(b, b.input(1, 1, 13 * size, 5), 1, 8, stride=2)
    for channels, stride in ((8, 1), (8, 2)):
        x = conv_block(b, depthwise(b, x, channels, stride), channels, 8, k=1)
    return b.op("GlobalAveragePool", [x])


def tall_windows(b: QdqBuilder, size: int) -> str:
    inputs = [b.input(1, 3, 14 * size, 7), b.weights(6, 3, 5, 2)]
    x = b.op("Conv", inputs, 0.05, 4, strides=[2, 1], pads=[2, 0, 1, 1])
    x = b.op("Conv", [x, b.weights(7, 6, 3, 3)], 0.05, 4, dilations=[2, 1], pads=[2, 1, 2, 1])
    return b.op("Conv", [x, b.weights(2, 7, 2, 2)], 0.05, -3)


def signal(b: QdqBuilder, size: int) -> str:
    """A 1-D network: one row, streamed position by position."""
    x = b.op("Conv", [b.input(1, 3, 20 * size), b.weights(8, 3, 3)], 0.05, 4, pads=[1, 1])
    x = b.op("Conv", [x, b.weights(8, 8, 3)], 0.05, 4, dilations=[2], pads=[4, 0])
    x = b.op("Relu", [b.op("Conv", [x, b.weights(6, 8, 4)], scale=None, strides=[2])], 0.05, -128)
    return b.op("GlobalAveragePool", [x])


def quarters(b: QdqBuilder, size: int) -> str:
    """Rows of three blocks of four pixels a quarter of the row apart, and a sum behind."""
    x = conv_block(b, b.input(1, 8, 6 * size, 12), 8, 8)
    y = b.op("Conv", [x, b.weights(8, 8, 3, 3)], 0.05, 4, pads=[1] * 4)
    return b.op("Add", [y, x], 0.06, 4)


NETWORKS = {"residual": residual, "separable": separable, "tall windows": tall_windows, "quarters": quarters}
SIGNALS = {"signal": signal}


@functools.cache
def network(name: str, size: int = 1) -> Graph:
    b = QdqBuilder(5)
    return simplify(import_onnx(b.model({**NETWORKS, **SIGNALS}[name](b, size)), "net"))


def as_a_stage(graph: Graph) -> Program:
    """All of `graph` as one step."""
    objective = Objective("ram")
    table = schedule(graph, DEVICE, objective, (work_nodes(graph),))
    return program_of(table, DEVICE, objective, settle(table, objective))


def sanitized(device: Device) -> Device:
    """The development machine with everything checked; others as they are."""
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
    return replace(device, flags=(*device.flags, *checks)) if device.emulator is None else device


@pytest.mark.parametrize("name", NETWORKS)
def test_no_row_is_overwritten_before_it_is_read(name: str) -> None:
    """Every candidate on an arena as small as it can be, the input as near the output as it declares."""
    table = schedule(network(name), DEVICE, Objective("ram"), (work_nodes(network(name)),))
    for option in table.options[0]:
        alone = replace(table, options=((option,),))
        program = program_of(alone, DEVICE, Objective("ram"), settle(alone, Objective("ram")))
        assert simulate(program) == len(program.steps[0].candidate.order)


@pytest.mark.parametrize("name", ["residual", "separable", "signal"])
def test_whole_plans_hold_byte_by_byte(name: str) -> None:
    program = plan(network(name, 6), DEVICE, Objective("ram"))
    assert any(isinstance(step.candidate, StageCandidate) for step in program.steps)
    simulate(program)


@pytest.mark.parametrize("name", NETWORKS)
def test_bit_exact_on_the_emulated_core(name: str, tmp_path: Path) -> None:
    graph = network(name)
    image = build(generate(as_a_stage(graph), "net"), DEVICE, tmp_path)
    x = np.random.default_rng(0).integers(-128, 128, (2, *graph.inputs[0].shape)).astype(np.int8)
    measurement = QemuRunner().run(image, (x,), progress=SilentProgress())
    for sample, got in zip(x, measurement.outputs[0], strict=True):
        np.testing.assert_array_equal(got, execute(graph, [sample])[graph.outputs[0].name])
    latency = measurement.latency
    assert latency is not None
    assert len(latency.layer_instructions) > 2
    assert all(latency.layer_instructions), "each layer of the stage is counted by itself"


def test_weights_copied_for_a_row_on_the_emulated_core(tmp_path: Path) -> None:
    graph = network("quarters")
    table = schedule(graph, DEVICE, Objective("ram"), (work_nodes(graph),))
    option = next(one for one in table.options[0] if layers_by_strips(one.candidate) == 2)
    alone = replace(table, options=((option,),))
    program = program_of(alone, DEVICE, Objective("ram"), settle(alone, Objective("ram")))
    image = build(generate(program, "net"), DEVICE, tmp_path)
    x = np.random.default_rng(0).integers(-128, 128, (2, *graph.inputs[0].shape)).astype(np.int8)
    outputs = QemuRunner().run(image, (x,), progress=SilentProgress()).outputs[0]
    for sample, got in zip(x, outputs, strict=True):
        np.testing.assert_array_equal(got, execute(graph, [sample])[graph.outputs[0].name])


def layers_by_strips(candidate: Candidate) -> int:
    assert isinstance(candidate, StageCandidate)
    return sum("_strip" in layer.form.candidate.name for layer in candidate.layers)


def test_layers_that_memory_slows_are_streamed_too() -> None:
    b = QdqBuilder(5)
    x = conv_block(b, b.input(1, 32, 16, 8), 32, 64, stride=2)
    y = b.op("Conv", [x, b.weights(64, 64, 3, 3)], 0.05, 4, pads=[1] * 4)
    graph = simplify(import_onnx(b.model(b.op("Add", [y, x], 0.06, -128)), "net"))
    objective = Objective("latency", ram_bytes=12_000)
    apart = with_pairs(graph, DEVICE, objective, {}).settled
    assert apart.packing.arena_bytes < 12_000
    program = plan(graph, DEVICE, objective)
    assert any(isinstance(step.candidate, StageCandidate) for step in program.steps)
    cycles = sum(option.candidate.cycles for option in apart.chosen)
    assert sum(step.candidate.cycles for step in program.steps) < cycles
    simulate(program)


@pytest.mark.parametrize("target", ["nucleo-l4r5zi", "host"])
@pytest.mark.parametrize("name", [*NETWORKS, *SIGNALS])
def test_rows_from_the_caller(name: str, target: str, tmp_path: Path) -> None:
    """No frame is in the arena, and one inference leaves the next as it should be."""
    graph, machine = network(name), load_device(target)
    program = plan(graph, DEVICE, Objective("ram"), stream_input=True)
    simulate(program)
    assert not any(graph.inputs[0].name in buffer.tensors for buffer in program.buffers)
    image = build(generate(program, "net"), sanitized(machine), tmp_path)
    x = np.random.default_rng(0).integers(-128, 128, (2, *graph.inputs[0].shape)).astype(np.int8)
    outputs = QemuRunner().run(image, (x,), progress=SilentProgress()).outputs[0]
    for sample, got in zip(x, outputs, strict=True):
        np.testing.assert_array_equal(got, execute(graph, [sample])[graph.outputs[0].name])


def test_an_input_without_rows_is_refused() -> None:
    b = QdqBuilder(0)
    flat = simplify(import_onnx(b.model(b.op("Gemm", [b.input(1, 8), b.weights(3, 8)], transB=1)), "flat"))
    with pytest.raises(UsageError, match="leave out --stream-input"):
        plan(flat, DEVICE, Objective(), stream_input=True)


def test_a_turn_takes_the_rows_that_the_layer_before_brings() -> None:
    """With two rows in a turn, the first of a 3 x 3 window is one row, and then two come for two."""
    b = QdqBuilder(0)
    blocks = conv_block(b, conv_block(b, b.input(1, 4, 9, 8), 4, 4), 4, 4)
    (first, second) = units_of_convolutions(b, blocks)
    events = row_events([first, second])
    turns = [(event.layer, event.row, event.rows) for event in events]
    assert turns[:5] == [(0, 0, 2), (1, 0, 1), (0, 2, 2), (1, 1, 2), (0, 4, 2)]
    assert turns[-3:] == [(1, 5, 2), (0, 8, 1), (1, 7, 2)]


def units_of_convolutions(b: QdqBuilder, output: str) -> list[RowForm]:
    """The forms of the two convolutions that compute two rows in a turn."""
    nodes = work_nodes(simplify(import_onnx(b.model(output), "net")))
    forms = RowForms(DEVICE)
    return [next(form for form in forms.all((node,)) if form.rows == 2) for node in nodes]


def test_each_layer_follows_the_one_before_at_once() -> None:
    """Of a line under a 3 x 3 window three rows are held."""
    b = QdqBuilder(0)
    graph = simplify(
        import_onnx(b.model(conv_block(b, conv_block(b, b.input(1, 3, 5, 5), 3, 4), 4, 4)), "net")
    )
    found = stage_candidates(work_nodes(graph), DEVICE)
    candidate = next(one for one in found if all(layer.form.rows == 1 for layer in one.layers))
    assert candidate.order == (0, 0, 1, 0, 1, 0, 1, 0, 1, 1)
    assert [line.held_rows for line in (candidate.lines or {}).values()] == [3]


def test_every_mean_has_room_for_its_own_sums() -> None:
    """Two families keep sums of 2 and of 4 bytes a channel: of 32 channels 64 and 128."""
    b = QdqBuilder(0)
    mean = b.op("GlobalAveragePool", [conv_block(b, b.input(1, 3, 6, 6), 3, 32)])
    nodes = work_nodes(simplify(import_onnx(b.model(mean), "net")))
    convolutions, means = (RowForms(DEVICE).all((node,)) for node in nodes)
    assert {form.state_bytes for form in means} == {64, 128}
    frames = _Frames(None)
    for form in sorted(means, key=lambda form: form.state_bytes):
        frame = frames.of((convolutions[0], form))
        (state,) = (one for one in frame.states if one is not None)
        assert frame.slots[state].size_bytes == form.state_bytes


def test_a_pointwise_layer_takes_single_rows() -> None:
    rng = np.random.default_rng(0)
    node = cases.conv_node(rng, kernel=(1, 1), pads=(0, 0, 0, 0), strides=(2, 2))
    forms = RowForms(DEVICE).of((node,))
    assert forms
    assert all(form.windows["x"].stride == 2 and form.windows["x"].kernel == 1 for form in forms)


def test_windows_know_their_rows() -> None:
    window = RowWindow(kernel=3, stride=2, dilation=2, pad=1)
    assert (window.first(0), window.last(0), window.first(3), window.last(3)) == (-1, 3, 5, 9)


def test_slots_share_bytes_over_time() -> None:
    slots = [Slot(16, 0, 2), Slot(8, 1, 4), Slot(24, 3, 5), Slot(8, 5, 5)]
    scratch = [0, 40, 0, 8, 0, 0]
    above = Above(60, (0, 16, 16, 40, 52, 52))
    for inputs in ((), (above,)):
        found = place_slots(slots, scratch, inputs)
        assert found.height >= slots_floor(slots, scratch).height == 64
        assert found.total_bytes(inputs) >= slots_floor(slots, scratch, inputs).total_bytes(inputs)
        for turn, used in enumerate(scratch):
            placed = zip(found.offsets, slots, strict=True)
            ranges = [(at, at + slot.size_bytes) for at, slot in placed if slot.birth <= turn <= slot.death]
            ranges = sorted([*ranges, (0, used)] if used else ranges)
            assert all(low[1] <= high[0] for low, high in pairwise(ranges))
            assert ranges[-1][1] <= found.height
    (distance,) = found.distances
    assert distance < found.height
    for offset, slot in zip(found.offsets, slots, strict=True):
        assert offset + slot.size_bytes <= distance + above.unread[slot.birth]
    assert all(used <= distance + left for used, left in zip(scratch, above.unread, strict=True))
