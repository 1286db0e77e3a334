"""Every operator on every core, byte for byte; and whole published networks, whose counts repeat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen.generate import generate
from edgeprune.compile import compile_network
from edgeprune.device import load_device
from edgeprune.device.cores import CORES
from edgeprune.emulate import run
from edgeprune.emulate.counters.base import Counter
from edgeprune.emulate.counters.icount import IcountCounter
from edgeprune.emulate.counters.plugin import PluginCounter
from edgeprune.errors import VerificationFailed
from edgeprune.firmware import build
from edgeprune.graph.execute import execute
from edgeprune.graph.ir import Array
from edgeprune.plan import Objective
from edgeprune.progress import SilentProgress
from tests.support.every_operator import (
    every_operator,
    expected_outputs,
    operators_with_reference,
    program_of,
    random_inputs,
)
from tests.support.fake_library import assembly_sources, fake_sources

DEVICES = {
    "cortex-m0plus": "nucleo-g0b1re",
    "cortex-m3": "bluepill-f103c8",
    "cortex-m4": "nucleo-l4r5zi",
    "cortex-m7": "nucleo-h743zi",
    "cortex-m33": "nucleo-u575zi",
    "cortex-m55": "ensemble-e3",
    "rv32imc": "esp32c3",
    "rv32imac": "gd32vf103",
}
SAMPLES = 3
MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


def test_every_core_has_its_device() -> None:
    assert set(DEVICES) == set(CORES) - {"host"}
    assert all(load_device(device).core == core for core, device in DEVICES.items())


def test_the_network_has_every_operator() -> None:
    nodes = every_operator(np.random.default_rng(0))
    assert {node.op for node in nodes} == operators_with_reference()


@pytest.mark.parametrize("core", DEVICES)
def test_every_kernel_gives_the_references_bytes(core: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    device = load_device(DEVICES[core])
    program = program_of(every_operator(rng), device)
    assert any("_dsp" in step.candidate.family for step in program.steps) == device.dsp
    sources = generate(program, "every")
    samples = [random_inputs(rng, program) for _ in range(SAMPLES)]
    inputs = tuple(np.stack([sample[port.tensor.name] for sample in samples]) for port in sources.inputs)
    measurement = run(build(sources, device, tmp_path), inputs, timeout_s=120)
    expected = [expected_outputs(program, sample) for sample in samples]
    steps = {tensor.name: step.name for step in program.steps for tensor in step.nodes[0].outputs}
    for port, outputs in zip(sources.outputs, measurement.outputs, strict=True):
        name = port.tensor.name
        for found, values in zip(outputs, expected, strict=True):
            assert found.tobytes() == values[name].tobytes(), (steps[name], found, values[name])


@pytest.mark.skipif(not MODELS.is_dir(), reason="../shared is missing")
@pytest.mark.parametrize("core", DEVICES)
@pytest.mark.parametrize("model", ["kws", "ic"])
def test_published_networks_are_exact_and_counted_alike_twice(model: str, core: str, tmp_path: Path) -> None:
    onnx = (MODELS / f"{model}.onnx").read_bytes()
    device = load_device(DEVICES[core])
    built = compile_network(onnx, model, device, Objective(), tmp_path, SilentProgress())
    rng = np.random.default_rng(3)
    shape = built.graph.inputs[0].shape
    inputs: tuple[Array, ...] = (rng.integers(-128, 127, (SAMPLES, *shape), np.int8, endpoint=True),)
    first, second = (run(built.image, inputs) for _ in range(2))
    (output,) = built.graph.outputs
    for sample, found in zip(inputs[0], first.outputs[0], strict=True):
        assert found.tobytes() == execute(built.graph, (sample,))[output.name].tobytes()
    assert first.latency is not None
    assert first.latency == second.latency
    assert first.latency.instructions > 100_000


_ARM_LOOP = ".syntax unified\nldr r1, =1000003\n1: subs r1, #1\nbne 1b\nmovs r0, #0\nbx lr\n.ltorg"
_RISCV_LOOP = "lui a1, 244\naddi a1, a1, 579\n1: addi a1, a1, -1\nbnez a1, 1b\nli a0, 0\nret"


@pytest.mark.parametrize("counter", [PluginCounter(), IcountCounter()], ids=lambda counter: counter.name)
@pytest.mark.parametrize(
    ("device", "body", "instructions"),
    [
        ("nucleo-g0b1re", _ARM_LOOP, 1 + 2 * 1_000_003 + 2),
        ("ensemble-e3", _ARM_LOOP, 1 + 2 * 1_000_003 + 2),
        ("esp32c3", _RISCV_LOOP, 2 + 2 * 1_000_003 + 2),
    ],
)
def test_instruction_counts_are_exact(
    device: str, body: str, instructions: int, counter: Counter, tmp_path: Path
) -> None:
    image = build(assembly_sources(body), load_device(device), tmp_path)
    counts = counter.count(image, (np.zeros((1, 1, 8), np.int8),), 20)
    assert counts.total == instructions


@pytest.mark.parametrize(
    ("device", "body", "stack_bytes"),
    [
        (
            "nucleo-g0b1re",
            "push {r4-r7, lr}\nsub sp, #100\nstr r0, [sp]\nadd sp, #100\nmov r0, #0\npop {r4-r7, pc}",
            120,
        ),
        ("ensemble-e3", "vmov.i8 q0, #1\nvaddv.s8 r0, q0\nsubs r0, #16\nbx lr", 0),
        ("esp32c3", "addi sp, sp, -112\nsw a0, 8(sp)\naddi sp, sp, 112\nli a0, 0\nret", 112),
    ],
)
def test_the_stack_of_run(device: str, body: str, stack_bytes: int, tmp_path: Path) -> None:
    """The second function is also a use of Helium: it returns 0 because sixteen ones are 16."""
    image = build(assembly_sources(body), load_device(device), tmp_path)
    assert run(image, (np.zeros((1, 1, 8), np.int8),), timeout_s=20).stack_bytes == stack_bytes


@pytest.mark.parametrize(
    ("device", "body", "message"),
    [
        ("nucleo-g0b1re", ".syntax unified\nadds r0, #1\nldr r1, [r0]\nbx lr", "fault 3 with CFSR 01000000"),
        ("esp32c3", "addi a0, zero, 0\nlw a1, 0(a0)\nret", "fault 05 at address 00000000"),
        ("esp32c3", "amoadd.w a1, a1, (a0)\nret", "fault 02 at address"),
    ],
)
def test_what_a_core_lacks_faults(device: str, body: str, message: str, tmp_path: Path) -> None:
    sources = assembly_sources(body)
    if "amoadd" in body:
        sources = assembly_sources(".option arch, +a\n" + body)
    with pytest.raises(VerificationFailed, match=message):
        run(build(sources, load_device(device), tmp_path), (np.zeros((1, 1, 8), np.int8),), timeout_s=20)


@pytest.mark.parametrize("device", ["nucleo-g0b1re", "ensemble-e3", "esp32c3"])
@pytest.mark.parametrize(
    ("fault", "message"), [("guard below", "below its arena"), ("stack overflow", "stack overflowed")]
)
def test_a_defective_library_is_named(fault: str, message: str, device: str, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed, match=message):
        run(
            build(fake_sources(fault), load_device(device), tmp_path),
            (np.zeros((2, 1, 8), np.int8),),
            timeout_s=20,
        )
