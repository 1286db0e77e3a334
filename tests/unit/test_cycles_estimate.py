"""Cycles of a whole image: layers, flash, what the error says, and where the hottest instructions come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeprune.codegen import generate
from edgeprune.cycles import core_models, estimate, with_cycles
from edgeprune.cycles.cost import Cause
from edgeprune.cycles.hottest import hottest_instructions
from edgeprune.cycles.parts import Part
from edgeprune.cycles.program import read_code
from edgeprune.cycles.source_lines import read_source_lines
from edgeprune.cycles.traffic import simulate_traffic
from edgeprune.cycles.waiting import Traffic, waiting_cost
from edgeprune.device import Flash, load_device
from edgeprune.emulate import Measurement, run
from edgeprune.emulate.blocks import BlockCounts
from edgeprune.firmware import Image, build
from edgeprune.graph.ir import Graph
from edgeprune.plan import Objective, plan
from tests.support.cases import POINTWISE, conv_node
from tests.support.fake_library import SIZE, fake_sources

DEVICE = load_device("nucleo-l4r5zi")
SAMPLE = (np.arange(SIZE, dtype=np.int8).reshape(1, SIZE),)
ART = Flash(wait_states=5, line_bytes=32, instruction_lines=32, data_lines=8, word_bytes=8)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(fake_sources(), DEVICE, tmp_path_factory.mktemp("image"), debug=True)


@pytest.fixture(scope="module")
def measurement(image: Image) -> Measurement:
    return run(image, SAMPLE)


@pytest.fixture(scope="module")
def blocks(measurement: Measurement) -> BlockCounts:
    assert measurement.latency is not None
    if measurement.latency.blocks is None:
        pytest.skip("blocks cannot be counted here")
    return measurement.latency.blocks


def test_every_counted_instruction_is_estimated(image: Image, blocks: BlockCounts) -> None:
    found = estimate(image, blocks, DEVICE)
    assert [layer.name for layer in found.layers] == [layer.name for layer in blocks.layers]
    assert found.run.instructions == blocks.run.instructions
    for layer, counted in zip(found.layers, blocks.layers, strict=True):
        assert layer.instructions == counted.instructions
        assert layer.cycles > counted.instructions
        assert sum(cost.cycles for cost in layer.functions.values()) == pytest.approx(layer.cost.cycles)


def test_the_simulated_flash_sees_the_weights(image: Image, blocks: BlockCounts) -> None:
    traffic = simulate_traffic(image, SAMPLE, 60)
    assert traffic == simulate_traffic(image, SAMPLE, 60)
    first, second = traffic[1:]
    assert first.load_bytes >= SIZE
    assert second.load_bytes < first.load_bytes
    assert first.sequential_misses + first.other_misses > 0
    found = estimate(image, blocks, DEVICE, traffic)
    assert found.layers[0].flash_bytes == first.load_bytes
    assert found.cost.stalls[Cause.FLASH_CODE] > 0
    assert all(sum(layer.parts.values()) == pytest.approx(layer.cost.cycles) for layer in found.layers)
    assert found.layers[0].parts[Part.FLASH_DATA] == found.layers[0].cost.stalls[Cause.FLASH_DATA]
    assert found.cycles > estimate(image, blocks, DEVICE).cycles


def test_slow_ram_is_waited_for_at_each_access(image: Image, blocks: BlockCounts) -> None:
    """Layer "first" reads and writes each byte of the arena once, and the second its half of it."""
    slow = replace(image, sources=replace(image.sources, arena_waits=(6,)))
    traffic = simulate_traffic(slow, SAMPLE, 60)
    assert [one.ram_waits % 6 for one in traffic] == [0, 0, 0]
    assert all(one.ram_waits >= 6 * 2 * SIZE for one in traffic[1:])
    assert [replace(one, ram_waits=0.0) for one in traffic] == list(simulate_traffic(image, SAMPLE, 60))
    found = estimate(slow, blocks, DEVICE, traffic)
    assert found.cost.stalls[Cause.RAM] == sum(one.ram_waits for one in traffic)
    assert all(sum(layer.parts.values()) == pytest.approx(layer.cost.cycles) for layer in found.layers)
    assert "wait for slow RAM" in found.error
    assert (
        estimate(slow, blocks, replace(DEVICE, flash=None)).error
        == "unvalidated: waiting for memories is left out"
    )


def test_elements_of_a_vector_in_a_word_are_one_access(tmp_path: Path) -> None:
    """64 positions of 64 sums, each stored and read as a word; inputs and outputs are four to a word."""
    rng, device = np.random.default_rng(0), load_device("mps3-an547")
    node = conv_node(rng, height=8, width=8, in_channels=4, out_channels=64, **POINTWISE)
    x = node.inputs[0]
    image = build(
        generate(plan(Graph("net", (node,), (x,), node.outputs), device, Objective()), "net"),
        device,
        tmp_path,
    )
    slow = replace(image, sources=replace(image.sources, arena_waits=(1,)))
    inputs = rng.integers(-128, 128, (1, *x.shape)).astype(np.int8)
    assert 0 < simulate_traffic(slow, (inputs,), 60)[1].ram_waits <= 3 * 64 * 64


def test_a_measurement_gets_the_estimate(image: Image, measurement: Measurement, blocks: BlockCounts) -> None:
    latency = with_cycles(measurement, image, SAMPLE).latency
    assert latency is not None and measurement.latency is not None
    assert latency.cycles_model.startswith("Cortex-M4 timing table")
    assert len(latency.layer_cycles) == len(latency.layer_parts) == len(blocks.layers)
    assert latency.instructions == measurement.latency.instructions
    assert latency.ms == pytest.approx(latency.cycles / DEVICE.clock_hz * 1e3)
    # A few hundred instructions, read from flash once: all but nothing of the flash's rules was validated on that.
    assert "wait for flash" in latency.cycles_error


def test_without_blocks_the_measurement_stays(image: Image, measurement: Measurement) -> None:
    assert measurement.latency is not None
    blind = replace(measurement, latency=replace(measurement.latency, blocks=None))
    assert with_cycles(blind, image, SAMPLE) is blind
    assert blind.latency is not None and blind.latency.cycles_error == "unvalidated"


def test_the_error_says_what_was_not_validated(image: Image, blocks: BlockCounts) -> None:
    assert estimate(image, blocks, DEVICE).error == "unvalidated: waiting for memories is left out"
    m3 = replace(DEVICE, core="cortex-m3")
    assert estimate(image, blocks, m3, [Traffic()] * 3).error == "unvalidated"
    quiet = estimate(image, blocks, DEVICE, [Traffic()] * 3).error
    assert quiet == str(core_models()["cortex-m4"].validation)
    busy = estimate(image, blocks, DEVICE, [Traffic(other_misses=10_000)] * 3).error
    assert busy.startswith(quiet) and "wait for flash" in busy


def test_the_hottest_instructions_have_source_lines(image: Image, blocks: BlockCounts) -> None:
    hottest = hottest_instructions(core_models()["cortex-m4"], read_code(image.elf), blocks, 5)
    assert len(hottest) == 5
    assert [hot.cycles for hot in hottest] == sorted((hot.cycles for hot in hottest), reverse=True)
    source = read_source_lines(image.elf).at(hottest[0].address)
    assert source is not None and Path(source.file).name == "fake.c"
    whole = estimate(image, blocks, DEVICE).cost.cycles
    everything = hottest_instructions(core_models()["cortex-m4"], read_code(image.elf), blocks, 10_000)
    assert sum(hot.cycles for hot in everything) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("flash", "load_cycles", "cycles"),
    [
        (ART, 0, 5 * (3 + 2 + 7)),
        (replace(ART, prefetch=True), 0, 5 * (2 + 7)),
        (replace(ART, data_lines=0), 0, 5 * (3 + 2 + 11)),
        (replace(ART, data_lines=0, unified=True), 1, 5 * (3 + 2 + 7) + 11),
        (replace(ART, wait_states=0), 0, 0),
    ],
)
def test_waiting_for_flash(flash: Flash, load_cycles: float, cycles: float) -> None:
    traffic = Traffic(sequential_misses=3, other_misses=2, data_misses=7, loads=11, load_bytes=44)
    assert waiting_cost(traffic, flash, load_cycles).cycles == cycles
    elsewhere = replace(traffic, unaligned=2, ram_waits=8)
    assert waiting_cost(elsewhere, flash, load_cycles, unaligned_cycles=3).cycles == cycles + 14
    assert waiting_cost(elsewhere, None, load_cycles, unaligned_cycles=3).cycles == 14
