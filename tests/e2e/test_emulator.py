"""The hand-written library, built and run on every device: outputs, counts, stack, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.device import load_device
from edgeprune.emulate import Measurement, layer_outputs, run
from edgeprune.emulate.counting import instructions_between
from edgeprune.errors import EnvironmentFailure, MissingTool, VerificationFailed
from edgeprune.firmware import build
from edgeprune.graph.ir import Array
from tests.support.fake_library import assembly_sources, expected, fake_sources, hidden

EMULATED = ("nucleo-l4r5zi", "nucleo-f446re", "nucleo-h743zi", "nucleo-u575zi", "bluepill-f103c8")
BOARDS = ("nucleo-l4r5zi", "nucleo-h743zi", "nucleo-u575zi", "bluepill-f103c8")


def _inputs(samples: int) -> Array:
    return np.random.default_rng(3).integers(-128, 127, (samples, 1, 8), np.int8, endpoint=True)


def _run_assembly(tmp_path: Path, device: str, body: str) -> Measurement:
    return run(build(assembly_sources(body), load_device(device), tmp_path), (_inputs(1),), timeout_s=20)


@pytest.mark.parametrize("device", [*EMULATED, "host"])
def test_a_thousand_inputs_give_the_expected_bytes(device: str, tmp_path: Path) -> None:
    image = build(fake_sources(), load_device(device), tmp_path)
    inputs = _inputs(1000)
    measurement = run(image, (inputs,), timeout_s=60)
    (outputs,) = measurement.outputs
    assert np.array_equal(outputs, expected(inputs))
    assert 0 < measurement.stack_bytes < 200
    assert image.sizes.static_bytes == 0
    assert image.sizes.weights_bytes == 8
    assert layer_outputs(image, (inputs[:1],)) == ((hidden(inputs[:1]).tobytes(),), (outputs[:1].tobytes(),))


@pytest.mark.parametrize("device", BOARDS)
@pytest.mark.parametrize("loops", [1, 1_000_003])
def test_instruction_counts_are_exact(device: str, loops: int, tmp_path: Path) -> None:
    # Two instructions load the constant, two make each round, two end the function.
    body = f"movw r1, #{loops & 0xFFFF}\nmovt r1, #{loops >> 16}\n1: subs r1, #1\nbne 1b\nmovs r0, #0\nbx lr"
    latency = _run_assembly(tmp_path, device, body).latency
    assert latency is not None
    assert latency.instructions == 2 + 2 * loops + 2


def test_counts_beyond_the_timers_range_are_exact(tmp_path: Path) -> None:
    # 1.41e9 instructions; the timer goes round after 1.34e9.
    body = "mov.w r1, #0x15000000\n1: nop\nnop\nsubs r1, #1\nbne 1b\nmovs r0, #0\nbx lr"
    latency = _run_assembly(tmp_path, "nucleo-l4r5zi", body).latency
    assert latency is not None
    assert latency.instructions == 1 + 4 * 0x15000000 + 2


@pytest.mark.parametrize("instructions", range(1, 6))
def test_every_phase_of_the_timer_counts_exactly(instructions: int, tmp_path: Path) -> None:
    # An instruction takes 16/5 ticks, so five successive counts meet every phase.
    latency = _run_assembly(tmp_path, "nucleo-l4r5zi", "nop\n" * instructions + "movs r0, #0\nbx lr").latency
    assert latency is not None
    assert latency.instructions == instructions + 2


def test_stack_of_run_is_exact(tmp_path: Path) -> None:
    body = "push {r4-r7, lr}\nsub sp, #100\nstr r0, [sp]\nadd sp, #100\nmovs r0, #0\npop {r4-r7, pc}"
    assert _run_assembly(tmp_path, "nucleo-l4r5zi", body).stack_bytes == 120


def test_layers_of_equal_work_count_equal_and_repeatably(tmp_path: Path) -> None:
    image = build(fake_sources(), load_device("nucleo-l4r5zi"), tmp_path)
    inputs = (np.zeros((1, 1, 8), np.int8),)
    first, second = (run(image, inputs, timeout_s=20).latency for _ in range(2))
    assert first is not None
    assert first == second
    # What `run` does itself belongs to no layer: its prologue, the calls, its epilogue.
    assert 0 < first.instructions - sum(first.layer_instructions) <= 8
    assert first.cycles == round(1.5 * first.instructions)
    assert first.ms == pytest.approx(first.cycles / 120e3)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("guard above", "above its arena"),
        ("guard below", "below its arena"),
        ("bus fault", "fault 3 with CFSR 0000"),
        ("undefined instruction", "fault 3 with CFSR 00010000"),
        ("stack overflow", "stack overflowed"),
        ("status", "fake_run reported an error"),
    ],
)
@pytest.mark.parametrize("device", ["nucleo-f446re", "nucleo-u575zi"])
def test_a_defective_library_is_named(fault: str, message: str, device: str, tmp_path: Path) -> None:
    image = build(fake_sources(fault), load_device(device), tmp_path)
    with pytest.raises(VerificationFailed, match=message):
        run(image, (_inputs(2),), timeout_s=20)


@pytest.mark.parametrize("fault", ["guard above", "status"])
def test_a_defective_library_is_named_on_the_host(fault: str, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match="development machine"):
        run(build(fake_sources(fault), load_device("host"), tmp_path), (_inputs(2),), timeout_s=20)


@pytest.mark.parametrize("device", ["nucleo-l4r5zi", "host"])
def test_a_hang_ends_at_the_time_limit(device: str, tmp_path: Path) -> None:
    image = build(fake_sources("hang"), load_device(device), tmp_path)
    with pytest.raises(VerificationFailed, match=r"within 0\.5 s.*log\.txt"):
        run(image, (_inputs(1),), timeout_s=0.5)


def test_a_missing_emulator_comes_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = build(fake_sources(), load_device("nucleo-l4r5zi"), tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingTool, match="apt-get install qemu-system-arm"):
        run(image, (_inputs(1),), timeout_s=5)


def test_times_that_no_count_explains_are_refused() -> None:
    emulator = load_device("nucleo-l4r5zi").emulator
    assert emulator is not None
    assert instructions_between(5, (5 - 3) % (1 << 32), emulator) == 1
    with pytest.raises(EnvironmentFailure, match="does not follow"):
        instructions_between(10, 9, emulator)
