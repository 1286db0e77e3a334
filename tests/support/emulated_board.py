"""Boards for tests of the serial runner: firmware in QEMU with its UART on a TCP port or a terminal, and a bad line."""

from __future__ import annotations

import random
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edgeprune.device import Device
from edgeprune.firmware import WARNINGS

_AWAKE_S = 0.02


def make_firmware(project: Path) -> Path:
    """The firmware of a project, built by its Makefile without a warning."""
    done = subprocess.run(
        ["make", "-C", str(project), f"CFLAGS={' '.join(WARNINGS)}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "firmware.bin").stat().st_size > 0
    return project / "firmware.elf"


@contextmanager
def board_on_tcp(elf: Path, device: Device, options: tuple[str, ...] = (), uart: int = 0) -> Iterator[str]:
    """QEMU runs `elf`, with further `options`; gives the `--port` of its `uart`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    with _qemu(elf, device, f"tcp:127.0.0.1:{number},server=on,wait=off,nodelay=on", options, uart):
        yield f"tcp:127.0.0.1:{number}"


@contextmanager
def board_on_terminal(elf: Path, device: Device) -> Iterator[str]:
    """QEMU runs `elf` with its UART on a pseudo-terminal; gives its `--port`."""
    with _qemu(elf, device, "pty") as said:
        match = re.search(r"serial0: filename=pty:(\S+)", said)
        assert match is not None, said
        yield match[1]


@contextmanager
def _qemu(
    elf: Path, device: Device, serial: str, options: tuple[str, ...] = (), uart: int = 0
) -> Iterator[str]:
    """Gives what QEMU's monitor says of its character devices once the board runs."""
    assert device.emulator is not None
    command = [device.emulator.program, "-M", device.emulator.machine, "-nodefaults", "-display", "none"]
    command += [
        "-nic",
        "none",
        *["-serial", "null"] * uart,
        "-serial",
        serial,
        "-monitor",
        "stdio",
        "-kernel",
        str(elf),
        *options,
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(b"info chardev\n")
        said = b""
        while f"serial{uart}: ".encode() not in said or not said.endswith(b"(qemu) "):
            piece = process.stdout.read(4096)
            assert piece, said
            said += piece
        threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
        threading.Thread(target=_keep_awake, args=(process.stdin,), daemon=True).start()
        yield said.decode()
    finally:
        process.kill()
        process.wait()


def _drain(stdout: IO[bytes]) -> None:
    with suppress(OSError, ValueError):
        while stdout.read(4096):
            pass


def _keep_awake(stdin: IO[bytes]) -> None:
    """QEMU's main loop looks at a serial line's connection only when it wakes up for something else.

    That a UART became ready to receive is nothing that wakes it.
    """
    with suppress(OSError, ValueError):
        while True:
            stdin.write(b"\n")
            time.sleep(_AWAKE_S)


class BadLine:
    """A TCP proxy that flips, drops and repeats bytes in both directions, each with probability `rate`.

    What happens to the n-th byte of a direction is decided by the seed alone.
    """

    def __init__(self, port: str, seed: int, rate: float) -> None:
        self._target = int(port.rpartition(":")[2])
        self._seed, self._rate = seed, rate
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = f"tcp:127.0.0.1:{self._server.getsockname()[1]}"
        self.damaged = 0

    def __enter__(self) -> BadLine:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                board = socket.create_connection(("127.0.0.1", self._target))
                for end in (client, board):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for direction, (source, sink) in enumerate(((client, board), (board, client))):
                    arguments = (source, sink, random.Random(2 * self._seed + direction))
                    threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, generator: random.Random) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(b"".join(self._damage(byte, generator) for byte in data))
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _damage(self, byte: int, generator: random.Random) -> bytes:
        if generator.random() >= 3 * self._rate:
            return bytes([byte])
        self.damaged += 1
        return generator.choice([b"", bytes([byte, byte]), bytes([byte ^ 1 << generator.randrange(8)])])
