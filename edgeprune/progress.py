"""Progress on standard error: one protocol the stages report to, so that none of them prints by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

__all__ = ["Progress", "SilentProgress", "Task"]


class Task(Protocol):
    """One running job."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Go on by `amount` of the task's total; `note` replaces the text behind the bar."""


class Progress(Protocol):
    """Where stages report to."""

    def task(self, title: str, total: float | None = None) -> TaskContext:
        """Open a task; `total` None means a spinner."""

    def say(self, text: str) -> None:
        """One line of text for the user."""


class TaskContext(Protocol):
    """A context manager that yields a `Task`."""

    def __enter__(self) -> Task: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


class _SilentTask:
    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Nothing."""


class SilentProgress:
    """Reports nothing: the default of the Python API and of tests."""

    @contextmanager
    def _silent(self) -> Iterator[Task]:
        yield _SilentTask()

    def task(self, title: str, total: float | None = None) -> TaskContext:
        """A task that shows nothing."""
        return self._silent()

    def say(self, text: str) -> None:
        """Nothing."""
