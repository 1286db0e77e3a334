"""The board's firmware in QEMU, its UART on a TCP port or a pseudo-terminal: bit-exact, over a bad line too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edgeprune import emulate
from edgeprune.cli import app
from edgeprune.device import Device, load_device
from edgeprune.emulate import Measurement
from edgeprune.errors import EnvironmentFailure, UsageError
from edgeprune.firmware import Image, build
from edgeprune.graph.ir import Array
from edgeprune.progress import SilentProgress
from edgeprune.runners.protocol import Board, Timing, connect
from edgeprune.runners.serial import SerialRunner, converse, write_project
from edgeprune.runners.transport import open_transport
from tests.support.emulated_board import BadLine, board_on_tcp, board_on_terminal, make_firmware
from tests.support.fake_library import expected, fake_sources
from tests.support.onnx_models import flatten_net

DEVICE = load_device("mps2-an386")
QUICK = Timing(answer_s=0.1, silence_s=5, inference_s=5)
SAMPLES = 25
STACK_BYTES = 256


def inputs(samples: int = SAMPLES) -> Array:
    return np.random.default_rng(5).integers(-128, 127, (samples, 1, 8), np.int8, endpoint=True)


def firmware(device: Device, place: Path, fault: str = "none") -> tuple[Image, Path]:
    image = build(fake_sources(fault), device, place)
    return image, make_firmware(write_project(image, STACK_BYTES, place / "board"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, Path]:
    return firmware(DEVICE, tmp_path_factory.mktemp("plain"))


@contextmanager
def board(port: str, timing: Timing = QUICK) -> Iterator[Board]:
    with closing(open_transport(port)) as transport:
        yield connect(transport, port, timing)


def answers(found: Board, image: Image, values: Array) -> Measurement:
    counted = Measurement((), 0, None, {})
    return converse(found, image, (values,), counted, SilentProgress(), "the board")


@pytest.mark.parametrize("name", ["mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505"])
def test_every_board_is_bit_exact(name: str, tmp_path: Path) -> None:
    device = load_device(name)
    image, elf = firmware(device, tmp_path)
    with board_on_tcp(elf, device) as port, board(port) as found:
        measurement = answers(found, image, inputs())
    assert np.array_equal(measurement.outputs[0], expected(inputs()))
    assert measurement.measured_clock_hz == device.clock_hz
    assert measurement.measured_ms is None  # QEMU has no DWT->CYCCNT
    assert "stands still" in (measurement.measured_note or "")


def test_a_core_without_cycle_counter_is_bit_exact(tmp_path: Path) -> None:
    flags = ("-mcpu=cortex-m0plus", "-mthumb", "-mfloat-abi=soft")
    device = replace(load_device("mps2-an385"), core="cortex-m0plus", flags=flags)
    image, elf = firmware(device, tmp_path)
    with board_on_tcp(elf, device) as port, board(port) as found:
        measurement = answers(found, image, inputs())
    assert np.array_equal(measurement.outputs[0], expected(inputs()))
    assert len(measurement.measured_cycles) in (0, SAMPLES)  # QEMU's SysTick may take long to start


def test_a_pseudo_terminal_is_a_serial_port(plain: tuple[Image, Path]) -> None:
    pytest.importorskip("serial")
    image, elf = plain
    with board_on_terminal(elf, DEVICE) as port, board(port) as found:
        measurement = answers(found, image, inputs())
    assert np.array_equal(measurement.outputs[0], expected(inputs()))


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_line_costs_time_and_nothing_else(seed: int, plain: tuple[Image, Path]) -> None:
    image, elf = plain
    with (
        board_on_tcp(elf, DEVICE) as port,
        BadLine(port, seed, rate=0.002) as line,
        board(line.port, Timing(0.05, 20, 20)) as found,
    ):
        measurement = answers(found, image, inputs(30))
        resent = found.resent
    assert np.array_equal(measurement.outputs[0], expected(inputs(30)))
    assert resent > 0 and line.damaged > 0


def test_the_runner_measures_like_the_emulator(plain: tuple[Image, Path]) -> None:
    image, elf = plain
    emulated = emulate.run(image, (inputs(),))
    with board_on_tcp(elf, DEVICE) as port:
        runner = SerialRunner(port, QUICK)
        runner.check(DEVICE)
        measurement = runner.run(image, (inputs(),))
    assert np.array_equal(measurement.outputs[0], emulated.outputs[0])
    assert measurement.latency == emulated.latency
    assert measurement.stack_bytes == emulated.stack_bytes
    assert measurement.tools["board"] == f"the board on {port}"


def test_another_library_on_the_board_is_noticed(tmp_path: Path) -> None:
    _, elf = firmware(DEVICE, tmp_path / "status", "status")
    image = build(fake_sources(), DEVICE, tmp_path / "other")
    with board_on_tcp(elf, DEVICE) as port, pytest.raises(UsageError, match="another library") as refusal:
        SerialRunner(port, QUICK).run(image, (inputs(1),))
    project = tmp_path / "other/board/firmware"
    assert str(project) in str(refusal.value)
    make_firmware(project)


def test_an_inference_that_hangs_ends_at_the_time_limit(tmp_path: Path) -> None:
    image, elf = firmware(DEVICE, tmp_path, "hang")
    timing = replace(QUICK, inference_s=0.5)
    with (
        board_on_tcp(elf, DEVICE) as port,
        board(port, timing) as found,
        pytest.raises(EnvironmentFailure, match=r"within 0\.5 s: the inference hangs"),
    ):
        answers(found, image, inputs(1))


def test_the_driver_in_the_documentation_works(tmp_path: Path) -> None:
    """On QEMU's STM32F405, whose USART2, RCC and GPIO have the addresses of the STM32F446."""
    device = load_device("nucleo-f446re")
    assert device.emulator is not None
    image = build(fake_sources(), device, tmp_path)
    project = write_project(image, STACK_BYTES, tmp_path / "board")
    text = (Path(__file__).parents[2] / "docs/boards.md").read_text()
    (project / "board.c").write_text(text[text.index('#include "serial_board.h"') :].partition("```")[0])
    elf = make_firmware(project)
    stm32f405 = replace(device, emulator=replace(device.emulator, machine="netduinoplus2"))
    with board_on_tcp(elf, stm32f405, uart=1) as port, board(port) as found:
        measurement = answers(found, image, inputs())
    assert np.array_equal(measurement.outputs[0], expected(inputs()))
    assert measurement.measured_clock_hz == 16_000_000


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_deploy_flash_verify_and_deploy_again(tmp_path: Path) -> None:
    """The way of docs/boards.md, with QEMU in the board's place."""
    (tmp_path / "small.onnx").write_bytes(flatten_net())
    bundle = tmp_path / "out"
    deploy = ("deploy", tmp_path / "small.onnx", "--device", "mps2-an386", "--samples", 20, "-o", bundle)
    result = run(*deploy, "--board-firmware")
    assert result.exit_code == 0, result.stderr
    elf = make_firmware(bundle / "firmware")
    driver = bundle / "firmware/board.c"
    driver.write_text(driver.read_text() + "/* mine */\n")
    with board_on_tcp(elf, DEVICE) as port:
        result = run("verify", bundle, "--runner", "serial", "--port", port, "--json")
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        assert found["bit_exact"] and found["samples"] == 20 and found["place"] == f"the board on {port}"
        assert found["measured_ms"] is None and "stands still" in found["measured_note"]
        latency = json.loads((bundle / "report.json").read_text())["latency"]
        assert latency["measured_ms"] is None and "stands still" in latency["measured_note"]
        assert latency["instructions"] > 0

        result = run(*deploy, "--runner", "serial", "--port", port, "--json")
        assert result.exit_code == 0, result.stderr
        report = json.loads(result.stdout)
        assert report["latency"]["measured_note"] == latency["measured_note"]
        assert report["tools"]["board"] == f"the board on {port}"
        assert "reference = host = board" in result.stderr
        assert driver.read_text().endswith("/* mine */\n")
