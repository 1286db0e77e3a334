"""Maps: the same function over many jobs, here and in turn, or in processes of this machine side by side.

A map yields results as they come, each with the number of its job. One that sends jobs to other machines has the
same signature.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, Protocol, TypeVar

__all__ = ["Lost", "Map", "available_cores", "in_turn", "local_processes"]

J = TypeVar("J")
R = TypeVar("R")

_PATIENCE_S = 20.0
"""How long a process that is told to end may take to remove what it has half written."""


@dataclass(frozen=True)
class Lost:
    """In place of a result: the process of a job ended without one."""

    reason: str


class Map(Protocol):
    """Applies a function to jobs."""

    def __call__(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R | Lost]]: ...


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_turn(function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R | Lost]]:
    """One job after the other, in this process."""
    for number, job in enumerate(jobs):
        yield number, function(job)


def local_processes(most: int) -> Map:
    """A map over at most `most` processes of this machine, which share its cores.

    Closing the iterator, as an interrupt does, ends the processes that run and waits until they have cleaned up.
    """

    def mapped(function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R | Lost]]:
        waiting = deque(enumerate(jobs))
        running: dict[Connection[Any, Any], tuple[int, SpawnProcess]] = {}
        threads = max(1, available_cores() // min(most, len(jobs) or 1))
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    number, job = waiting.popleft()
                    results, process = _start(function, job, threads)
                    running[results] = number, process
                ready = wait(list(running))
                for results in [one for one in running if one in ready]:
                    number, process = running.pop(results)
                    yield number, _result(results, process)
        finally:
            _end([process for _, process in running.values()])

    return mapped


def _start(
    function: Callable[[Any], Any], job: object, threads: int
) -> tuple[Connection[Any, Any], SpawnProcess]:
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that torch's threads hold
    results, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, function, job))
    with _environment(OMP_NUM_THREADS=str(threads)):
        process.start()
    sender.close()  # so that the pipe ends when the process does
    return results, process


def _work(sender: Connection[Any, Any], function: Callable[[Any], Any], job: object) -> None:
    """The life of a process: one job. Ctrl-C is left to the parent, which ends its processes with SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _unwind)
    sys.stdout = sys.stderr  # standard output belongs to the parent's JSON
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    sender.send(function(job))


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _result(results: Connection[Any, Any], process: SpawnProcess) -> Any:
    try:
        found = results.recv()
    except EOFError:
        process.join()
        status = process.exitcode or 0
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return Lost(f"its process {how}")
    finally:
        results.close()
    process.join()
    return found


def _end(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """The environment that processes started in this block inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
