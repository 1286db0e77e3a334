"""Frames, the conversation with a board, and the ways to one that can be tested without a board."""

from __future__ import annotations

import ctypes
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.device import load_device
from edgeprune.emulate import Measurement
from edgeprune.errors import EnvironmentFailure, MissingTool, UsageError, VerificationFailed
from edgeprune.firmware import WARNINGS, build
from edgeprune.runners import QemuRunner, choose_runner
from edgeprune.runners.frame import MOST_PAYLOAD, Frame, FrameReader, decode, encode, stuff, unstuff
from edgeprune.runners.project import board_project, bundle_project, fingerprint, wants_project
from edgeprune.runners.protocol import Board, Timing, connect
from edgeprune.runners.pyocd import PyocdRunner
from edgeprune.runners.serial import SerialRunner
from edgeprune.runners.transport import open_transport
from edgeprune.templating import render
from tests.support.fake_board import (
    FINGERPRINT,
    INPUT_BYTES,
    READ,
    RESET,
    RUN,
    WRITE,
    FakeBoard,
    inference,
    next_state,
)
from tests.support.fake_library import fake_sources

DEVICE = load_device("nucleo-l4r5zi")
QUICK = Timing(answer_s=0.002, silence_s=0.1, inference_s=0.1)
INPUTS = random.Random(1).randbytes(INPUT_BYTES)

# Zeros and long runs without one are what stuffing is about.
_BYTES = st.binary(max_size=MOST_PAYLOAD) | st.builds(
    lambda pieces: b"".join(pieces)[:MOST_PAYLOAD],
    st.lists(st.sampled_from([b"\0", b"\1" * 253, b"\1" * 254, b"\1" * 255, b"ab"]), max_size=5),
)
_FRAMES = st.builds(Frame, st.integers(0, 65535), st.integers(0, 255), _BYTES)


@given(st.binary(max_size=1000) | _BYTES)
def test_stuffing_is_undone_and_leaves_no_zero(plain: bytes) -> None:
    assert 0 not in stuff(plain)
    assert unstuff(stuff(plain)) == plain
    assert len(stuff(plain)) <= len(plain) + len(plain) // 254 + 1


@given(_FRAMES, st.binary(max_size=20))
def test_frames_arrive_in_any_pieces_between_noise(frame: Frame, noise: bytes) -> None:
    stream = noise + encode(frame) + noise + encode(frame)
    reader = FrameReader()
    assert [found for byte in stream for found in reader.feed(bytes([byte]))] == [frame, frame]


@given(_FRAMES, st.randoms(use_true_random=False))
def test_a_damaged_frame_is_dropped_and_the_next_one_arrives(frame: Frame, chance: random.Random) -> None:
    sent = bytearray(encode(frame))
    at = chance.randrange(1, len(sent) - 1)
    sent[at] ^= 1 << chance.randrange(8)
    assert list(FrameReader().feed(bytes(sent) + encode(frame))) == [frame]


def test_rubbish_is_no_frame() -> None:
    assert decode(b"") is decode(b"\5ab") is decode(b"\3ab") is None


@pytest.fixture(scope="module")
def firmware_frames(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bytes]:
    """What serial_frame.c sends when it is asked to return every frame it receives."""
    folder = tmp_path_factory.mktemp("frames")
    for name in ("serial_frame.c", "serial_frame.h", "serial_board.h"):
        (folder / name).write_text(render(f"firmware/{name}.j2", {"most_payload": MOST_PAYLOAD}))
    (folder / "echo.c").write_text("""
#include <setjmp.h>
#include "serial_board.h"
#include "serial_frame.h"
size_t echo(const uint8_t *from, size_t size, uint8_t *to);
static const uint8_t *next, *end;
static uint8_t *out;
static jmp_buf done;
int board_getchar(void)
{
    if (next == end) {
        longjmp(done, 1);
    }
    return *next++;
}
void board_putchar(uint8_t byte)
{
    *out++ = byte;
}
size_t echo(const uint8_t *from, size_t size, uint8_t *to)
{
    static serial_frame_t frame;
    next = from;
    end = from + size;
    out = to;
    if (setjmp(done) == 0) {
        for (;;) {
            serial_receive(&frame);
            serial_send(&frame);
        }
    }
    return (size_t)(out - to);
}
""")
    subprocess.run(
        ["gcc", "-std=c99", "-shared", "-fPIC", *WARNINGS, "echo.c", "serial_frame.c", "-o", "echo.so"],
        cwd=folder,
        check=True,
    )
    library = ctypes.CDLL(str(folder / "echo.so"))
    library.echo.restype = ctypes.c_size_t

    def echo(data: bytes) -> bytes:
        room = ctypes.create_string_buffer(4 * len(data) + 16)
        size = library.echo(data, ctypes.c_size_t(len(data)), room)
        return room.raw[:size]

    return echo


@settings(deadline=None)
@given(frames=st.lists(_FRAMES, max_size=4), noise=st.binary(max_size=700))
def test_the_firmware_reads_and_writes_the_same_frames(
    frames: list[Frame], noise: bytes, firmware_frames: Callable[[bytes], bytes]
) -> None:
    sent = noise + b"".join(map(encode, frames))
    assert firmware_frames(sent) == b"".join(map(encode, frames))


def test_an_inference_in_pieces() -> None:
    board = connect(FakeBoard(), "fake", QUICK)
    assert board.info.fingerprint == FINGERPRINT
    assert board.info.clock_hz == 100_000_000
    found = board.infer(INPUTS)
    assert (found.outputs, found.cycles, board.resent) == (inference(INPUTS), 1234, 0)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_gets_lost_the_outputs_are_right_and_nothing_runs_twice(seed: int) -> None:
    chance = random.Random(seed)
    transport = FakeBoard(lambda kind, count: chance.choice(["", "", "", "lost", "unanswered", "late"]))
    board = connect(transport, "fake", replace(QUICK, silence_s=5, inference_s=5))
    for index in range(5):
        inputs = random.Random(index).randbytes(INPUT_BYTES)
        assert board.infer(inputs).outputs == inference(inputs)
    assert transport.runs == 5
    assert board.resent > 0


@pytest.mark.parametrize("kind", [WRITE, RUN, READ])
def test_a_restart_of_the_board_is_noticed_and_made_good(kind: int) -> None:
    seen: list[int] = []

    def mishap(asked: int, count: int) -> str:
        seen.append(asked)
        return "restart" if asked == kind and seen.count(kind) == 2 else ""

    board = connect(FakeBoard(mishap), "fake", QUICK)
    for index in range(3):
        inputs = random.Random(index).randbytes(INPUT_BYTES)
        assert board.infer(inputs).outputs == inference(inputs)


def sequences(board: Board) -> None:
    """Two sequences, run on `board` as they must be."""
    for index in range(2):
        runs = [random.Random(10 * index + run).randbytes(INPUT_BYTES) for run in range(3)]
        found, state = board.infer_sequence(runs), 0
        for inputs, one in zip(runs, found, strict=True):
            state = next_state(state, inputs)
            assert one.outputs == bytes((value + state) % 256 for value in inference(inputs))


@pytest.mark.parametrize("seed", range(10))
def test_whatever_gets_lost_states_follow_each_other(seed: int) -> None:
    chance = random.Random(seed)
    transport = FakeBoard(
        lambda kind, count: chance.choice(["", "", "", "lost", "unanswered", "late"]), keeps_state=True
    )
    board = connect(transport, "fake", replace(QUICK, silence_s=5, inference_s=5))
    sequences(board)
    assert transport.runs == 6
    assert board.resent > 0


@pytest.mark.parametrize("kind", [RESET, WRITE, RUN, READ])
@pytest.mark.parametrize("which", [1, 2, 3, 5])
def test_a_sequence_is_run_again_where_the_board_forgot_its_state(kind: int, which: int) -> None:
    seen: list[int] = []

    def mishap(asked: int, count: int) -> str:
        seen.append(asked)
        return "restart" if asked == kind and seen.count(kind) == which else ""

    sequences(connect(FakeBoard(mishap, keeps_state=True), "fake", QUICK))


def test_a_board_that_keeps_restarting_is_a_failure() -> None:
    board = connect(FakeBoard(lambda kind, count: "restart" if kind == RUN else ""), "fake", QUICK)
    with pytest.raises(EnvironmentFailure, match="restarts during an inference"):
        board.infer(INPUTS)


def test_an_error_of_the_library_is_named() -> None:
    with pytest.raises(VerificationFailed, match="on fake reported the error 7"):
        connect(FakeBoard(library_status=7), "fake", QUICK).infer(INPUTS)


def test_silence_ends_at_the_time_limit() -> None:
    with pytest.raises(EnvironmentFailure, match=r"no firmware .* --board-firmware"):
        connect(FakeBoard(lambda kind, count: "lost"), "fake", QUICK)
    board = connect(FakeBoard(lambda kind, count: "lost" if kind == RUN else ""), "fake", QUICK)
    with pytest.raises(EnvironmentFailure, match="hangs or faults"):
        board.infer(INPUTS)


def test_another_version_of_the_protocol_is_refused() -> None:
    with pytest.raises(EnvironmentFailure, match="version 9 of the protocol"):
        connect(FakeBoard(version=9), "fake", QUICK)


def test_a_port_that_nobody_serves() -> None:
    with pytest.raises(UsageError, match=r"nothing answers at --port tcp:127\.0\.0\.1:1:"):
        open_transport("tcp:127.0.0.1:1")
    with pytest.raises(UsageError, match="write tcp:HOST:PORT"):
        open_transport("tcp:4000")
    with pytest.raises(UsageError, match="no baud rate"):
        open_transport("/dev/ttyACM0@fast")


def test_a_serial_port_that_is_not_there() -> None:
    pytest.importorskip("serial")
    with pytest.raises(UsageError, match="/dev/no-such-port cannot be opened"):
        open_transport("/dev/no-such-port")


def test_a_connection_that_ends_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        port = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EnvironmentFailure, match="was lost"):
            SerialRunner(port, QUICK).check(DEVICE)


def test_missing_packages_come_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(MissingTool, match=r"pip install edgeprune\[serial\]"):
        open_transport("/dev/ttyACM0")
    monkeypatch.setitem(sys.modules, "pyocd.core.helpers", None)
    with pytest.raises(MissingTool, match=r"pip install edgeprune\[pyocd\]"):
        PyocdRunner("stm32l4r5zitx").check(DEVICE)


def test_runners_by_name() -> None:
    assert choose_runner("qemu", None) == QemuRunner()
    assert choose_runner("serial", "COM3") == SerialRunner("COM3")
    assert choose_runner("pyocd", "nrf52840@123") == PyocdRunner("nrf52840@123")
    with pytest.raises(UsageError, match="--port COM3 is for a board"):
        choose_runner("qemu", "COM3")
    with pytest.raises(UsageError, match="add --port"):
        choose_runner("serial", None)


@pytest.mark.parametrize("name", ["host", "esp32c3"])
@pytest.mark.parametrize("runner", [SerialRunner("COM3"), PyocdRunner("esp32c3")])
def test_only_cortex_m_has_firmware(name: str, runner: SerialRunner | PyocdRunner) -> None:
    with pytest.raises(UsageError, match=r"Cortex-M only"):
        runner.check(load_device(name))


def test_the_project_of_a_board_asks_for_its_driver(tmp_path: Path) -> None:
    image = build(fake_sources(), DEVICE, tmp_path)
    project = board_project(image, 500)
    assert "#error" in project["board.c"]
    assert "ORIGIN = 0x08000000, LENGTH = 2097152" in project["serial.ld"]
    assert "-mcpu=cortex-m4" in project["Makefile"]
    (tmp_path / "firmware").mkdir()
    assert not wants_project(tmp_path, asked=False)
    assert bundle_project(image, 500, tmp_path, asked=False) == {}
    assert bundle_project(image, 500, tmp_path, asked=True) == project
    (tmp_path / "firmware/board.c").write_text("mine")
    assert wants_project(tmp_path, asked=False)
    assert bundle_project(image, 500, tmp_path, asked=False) == project | {"board.c": "mine"}


def test_fingerprints_tell_libraries_apart() -> None:
    sources = fake_sources()
    same = replace(sources, files=dict(reversed(sources.files.items())))
    assert fingerprint(sources) == fingerprint(same) != fingerprint(fake_sources("status"))
    assert len(fingerprint(sources)) == 8


def test_the_slowest_inference_is_what_was_measured() -> None:
    measurement = Measurement((), 0, None, {}, (100, 300, 200), 1_000_000)
    assert measurement.measured_ms == pytest.approx(0.3)
    assert replace(measurement, measured_clock_hz=None).measured_ms is None
    assert replace(measurement, measured_cycles=()).measured_ms is None
