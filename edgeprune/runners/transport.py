"""Ways to a board: a serial port, a TCP connection."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Protocol

from edgeprune.errors import EnvironmentFailure, MissingTool, UsageError

if TYPE_CHECKING:
    from serial import Serial

__all__ = ["DEFAULT_BAUD", "SerialTransport", "TcpTransport", "Transport", "open_transport"]

DEFAULT_BAUD = 115_200
_CONNECT_S = 5.0
_PIECE_BYTES = 4096


class Transport(Protocol):
    """Bytes to and from a board, in order, but not surely all of them."""

    def write(self, data: bytes) -> None:
        """Sends `data`."""

    def read(self, timeout_s: float) -> bytes:
        """What has arrived: waits up to `timeout_s` for the first byte; nothing if none came."""

    def close(self) -> None:
        """Lets go of the port."""


def open_transport(port: str) -> Transport:
    """The way to a board.

    Args:
        port: "tcp:HOST:PORT", or a serial port's name, such as "/dev/ttyACM0", with "@BAUD" behind it if that is
            not 115,200.

    Raises:
        UsageError: it is neither, or nothing is there.
        MissingTool: pyserial is not installed.
    """
    if port.startswith("tcp:"):
        match = re.fullmatch(r"tcp:(.+):(\d{1,5})", port)
        if match is None:
            raise UsageError(
                f"--port {port!r} is no address: write tcp:HOST:PORT, such as tcp:localhost:4000"
            )
        return TcpTransport(match[1], int(match[2]))
    name, _, baud = port.partition("@")
    if baud and not (baud.isdecimal() and int(baud) > 0):
        raise UsageError(f"--port {port!r} has no baud rate behind the @: write {name}@{DEFAULT_BAUD}")
    return SerialTransport(name, int(baud or DEFAULT_BAUD))


class TcpTransport:
    """A TCP connection, such as QEMU and serial-to-network bridges offer."""

    def __init__(self, host: str, port: int) -> None:
        self._name = f"tcp:{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout=_CONNECT_S)
        except (OSError, OverflowError) as error:
            raise UsageError(f"nothing answers at --port {self._name}: {error}") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        """Sends `data`; gives up after 5 s without the other end taking any."""
        try:
            self._socket.settimeout(_CONNECT_S)
            self._socket.sendall(data)
        except OSError as error:
            raise self._lost(error) from None

    def read(self, timeout_s: float) -> bytes:
        """See `Transport.read`."""
        try:
            self._socket.settimeout(max(timeout_s, 1e-3))
            received = self._socket.recv(_PIECE_BYTES)
        except TimeoutError:
            return b""
        except OSError as error:
            raise self._lost(error) from None
        if not received:
            raise self._lost("the other end closed it")
        return received

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def _lost(self, why: object) -> EnvironmentFailure:
        return EnvironmentFailure(f"the connection to {self._name} was lost: {why}; run the command again")


class SerialTransport:
    """A serial port of this machine: 8 data bits, no parity, 1 stop bit, no flow control."""

    def __init__(self, name: str, baud: int) -> None:
        try:
            import serial
        except ImportError:
            raise MissingTool("pyserial is not installed: `pip install edgeprune[serial]`") from None
        self._name = name
        self._failure: type[Exception] = serial.SerialException
        try:
            self._port: Serial = serial.Serial(name, baud, write_timeout=_CONNECT_S, exclusive=True)
        except (serial.SerialException, ValueError) as error:
            raise UsageError(f"--port {name} cannot be opened: {error}") from None
        self._port.reset_input_buffer()

    def write(self, data: bytes) -> None:
        """Sends `data`."""
        try:
            self._port.write(data)
        except (self._failure, OSError) as error:
            raise self._lost(error) from None

    def read(self, timeout_s: float) -> bytes:
        """See `Transport.read`."""
        try:
            self._port.timeout = timeout_s
            first = self._port.read(1)
            return first + self._port.read(self._port.in_waiting) if first else b""
        except (self._failure, OSError) as error:
            raise self._lost(error) from None

    def close(self) -> None:
        """Closes the port."""
        self._port.close()

    def _lost(self, why: object) -> EnvironmentFailure:
        return EnvironmentFailure(f"the serial port {self._name} failed: {why}; connect the board again")
