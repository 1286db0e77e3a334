#!/usr/bin/env python3
"""Sends images to the firmware over a serial line, and prints the digits it answers with.

Needs nothing but Python 3.10. The line is a TCP port (QEMU, or a serial-to-network bridge), a pseudo-terminal or a
serial port of Linux and macOS, or that of an emulator which this program starts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

SIDE = 8
PROMPT = b"> "
ANSWER_S = 20.0
WAKE_S = 1.0
QUIET_S = 0.3
QEMU = ("qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none")


class Failure(Exception):
    """What went wrong, in one sentence."""


class Line(Protocol):
    """A serial line."""

    def send(self, data: bytes) -> None: ...

    def receive(self, timeout_s: float) -> bytes:
        """What has arrived; waits for the first byte."""


class TcpLine:
    """The line as a TCP connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def receive(self, timeout_s: float) -> bytes:
        self._connection.settimeout(max(timeout_s, 1e-3))
        try:
            data = self._connection.recv(4096)
        except TimeoutError:
            return b""
        if not data:
            raise Failure("the other end closed the connection")
        return data


class TerminalLine:
    """The line as a file: a serial port or a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def receive(self, timeout_s: float) -> bytes:
        ready, _, _ = select.select([self._descriptor], [], [], max(timeout_s, 0))
        return os.read(self._descriptor, 4096) if ready else b""


class Board:
    """The firmware's console at the other end of `line`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def await_greeting(self) -> None:
        """Of a board that starts now: nothing is sent before its receiver is on."""
        if self._until_prompt(ANSWER_S) is None:
            raise Failure(f"the board did not greet within {ANSWER_S:g} s")

    def wake(self) -> None:
        """Of a board that is up: ends a line that someone may have begun, and discards what comes of it."""
        for _ in range(int(ANSWER_S / WAKE_S)):
            self._line.send(b"\r")
            if self._until_prompt(WAKE_S) is not None:
                while self._line.receive(QUIET_S):
                    pass
                return
        raise Failure(f"the board gave no prompt within {ANSWER_S:g} s")

    def ask(self, command: str) -> str:
        """The answer to a command, without the prompt behind it."""
        self._line.send(command.encode() + b"\r")
        said = self._until_prompt(ANSWER_S)
        if said is None:
            raise Failure(f"the board gave no answer within {ANSWER_S:g} s")
        return said

    def classify(self, pixels: list[int]) -> tuple[int, list[int]]:
        """The digit and the ten stored scores of an image: 64 numbers from 0, paper, to 255, ink."""
        said = self.ask("image " + bytes(pixels).hex())
        match = re.fullmatch(r"digit (\d+), scores((?: -?\d+)+)", said)
        if match is None:
            raise Failure(f"the board answered {said!r}")
        return int(match[1]), [int(score) for score in match[2].split()]

    def _until_prompt(self, timeout_s: float) -> str | None:
        """What comes before the next prompt; None if none comes in time."""
        end = time.monotonic() + timeout_s
        said = b""
        while not said.endswith(PROMPT):
            left = end - time.monotonic()
            if left <= 0:
                return None
            said += self._line.receive(left)
        return said[: -len(PROMPT)].decode("ascii", errors="replace").strip()


@contextlib.contextmanager
def attached(port: str) -> Iterator[Board]:
    """A board that is up, at `tcp:HOST:PORT` or at a terminal."""
    with open_line(port) as line:
        board = Board(line)
        board.wake()
        yield board


@contextlib.contextmanager
def open_line(port: str) -> Iterator[Line]:
    """The line named by `tcp:HOST:PORT` or by the path of a terminal."""
    match = re.fullmatch(r"tcp:(.+):(\d+)", port)
    try:
        if match is not None:
            with socket.create_connection((match[1], int(match[2])), timeout=5) as connection:
                yield TcpLine(connection)
            return
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY)
    except (OSError, OverflowError) as error:
        raise Failure(f"{port} cannot be opened: {error}") from None
    try:
        make_raw(descriptor)
        yield TerminalLine(descriptor)
    finally:
        os.close(descriptor)


def make_raw(descriptor: int) -> None:
    """Bytes as they are, at 115,200 baud."""
    import termios
    import tty

    try:
        tty.setraw(descriptor)
        settings = termios.tcgetattr(descriptor)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    except termios.error as error:
        raise Failure(f"this is not a serial port: {error}") from None


@contextlib.contextmanager
def emulated(elf: Path) -> Iterator[Board]:
    """A board in QEMU that runs `elf`, from its start to the end of the block."""
    if not elf.is_file():
        raise Failure(f"{elf} does not exist: build the firmware first")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        try:
            process = subprocess.Popen([*QEMU, "-serial", address, "-kernel", str(elf)])
        except OSError as error:
            raise Failure(f"{QEMU[0]} cannot be started: {error}") from None
        try:
            server.settimeout(ANSWER_S)
            connection, _ = server.accept()
            with connection:
                board = Board(TcpLine(connection))
                board.await_greeting()
                yield board
        except TimeoutError:
            raise Failure(f"{QEMU[0]} did not start within {ANSWER_S:g} s") from None
        finally:
            process.kill()
            process.wait()


def read_image(path: Path) -> list[int]:
    """The 64 pixels of a PGM file (ASCII, P2; https://netpbm.sourceforge.net/doc/pgm.html), from 0 to 255."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}") from None
    words = re.sub(r"#.*", "", text).split()
    if words[:1] != ["P2"] or not all(word.isdecimal() for word in words[1:]) or len(words) < 4:
        raise Failure(f"{path} is not an image in plain PGM (P2)")
    width, height, most, *pixels = (int(word) for word in words[1:])
    if (width, height) != (SIDE, SIDE):
        raise Failure(f"{path} has {width} x {height} pixels: the network sees {SIDE} x {SIDE}")
    if len(pixels) != SIDE * SIDE or most == 0 or max(pixels) > most:
        raise Failure(f"{path} is damaged: it has {len(pixels)} pixels, or some above its maximum")
    return [(2 * 255 * pixel + most) // (2 * most) for pixel in pixels]


def main() -> int:
    """Prints a line per image; status 2 when something is wrong."""
    parser = argparse.ArgumentParser(description="Ask the firmware which digits images show.")
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="a plain PGM file of 8 x 8 pixels"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", help="tcp:HOST:PORT, or a serial port such as /dev/ttyACM0")
    where.add_argument("--qemu", type=Path, metavar="ELF", help="start QEMU with this firmware")
    options = parser.parse_args()
    try:
        images = {path: read_image(path) for path in options.images}
        with attached(options.port) if options.port else emulated(options.qemu) as board:
            for path, pixels in images.items():
                digit, _ = board.classify(pixels)
                print(f"{path}: {digit}", flush=True)
    except (Failure, OSError) as failure:
        print(f"classify.py: {failure}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
