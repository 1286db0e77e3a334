"""Standard error as the user sees it: progress bars on a terminal, short lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from edgeprune.progress import Task, TaskContext

__all__ = ["Terminal", "one_line"]

_WIDTH_WITHOUT_TERMINAL = 132
_WORTH_A_LINE_S = 1.0
_LONGEST_SENTENCE = 600


def one_line(text: str) -> str:
    """`text` as one printable line of bounded length, whatever a model's names put into it."""
    words = " ".join(text.split())
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words
    )
    if len(shown) <= _LONGEST_SENTENCE:
        return shown
    half = _LONGEST_SENTENCE // 2
    return f"{shown[:half]} ... {shown[-half:]}"


class Terminal:
    """Standard error. Implements `edgeprune.progress.Progress`."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr, highlight=False)
        if not self.console.is_terminal:
            self.console.width = _WIDTH_WITHOUT_TERMINAL
        self._bars: Progress | None = None
        self._open = 0

    def show(self, content: RenderableType) -> None:
        """Print a table or a text."""
        self.console.print(content)

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(Text(one_line(text)), soft_wrap=True)

    def task(self, title: str, total: float | None = None) -> TaskContext:
        """A bar (a spinner without `total`) while the task runs; a line when it took over a second."""
        shown = one_line(title[:1].upper() + title[1:])
        return self._bar(shown, total) if self.console.is_terminal else self._lines(shown)

    @contextmanager
    def _bar(self, title: str, total: float | None) -> Iterator[Task]:
        bars = self._begin()
        number = bars.add_task(title, total=total, note="")
        started = time.monotonic()
        try:
            yield _Bar(bars, number)
            self._done(title, time.monotonic() - started)
        finally:
            bars.remove_task(number)
            self._end()

    @contextmanager
    def _lines(self, title: str) -> Iterator[Task]:
        self.say(f"{title} ...")
        started = time.monotonic()
        yield _NoBar()
        self._done(title, time.monotonic() - started)

    def _done(self, title: str, seconds: float) -> None:
        if seconds >= _WORTH_A_LINE_S:
            self.say(f"{title}: {seconds:.1f} s")

    def _begin(self) -> Progress:
        """The live display, which all open tasks share."""
        if self._bars is None:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=28),
                TaskProgressColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}", markup=False, style="dim"),
                console=self.console,
                transient=True,
            )
            self._bars.start()
        self._open += 1
        return self._bars

    def _end(self) -> None:
        self._open -= 1
        if self._open == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None


class _Bar:
    def __init__(self, bars: Progress, number: TaskID) -> None:
        self._bars = bars
        self._number = number

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Move the bar."""
        self._bars.update(self._number, advance=amount)
        if note:
            self._bars.update(self._number, note=one_line(note))


class _NoBar:
    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Nothing: a log gets the start and the end of a task."""
