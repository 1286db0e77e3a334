"""How a verb ends: its result, its exit status, and one sentence for everything that goes wrong."""

from __future__ import annotations

import errno
import json
import logging
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from rich.console import RenderableType

from edgeprune.cli.standard_output import kept_for_results
from edgeprune.cli.terminal import Terminal
from edgeprune.errors import EdgepruneError

__all__ = ["Outcome", "Terminated", "catch_sigterm", "conclude"]

_INTERRUPTED, _TERMINATED, _FAILED = 130, 143, 1


class Terminated(BaseException):
    """SIGTERM arrived; raised so that files and processes are cleaned up on the way out."""


@dataclass(frozen=True)
class Outcome:
    """What a verb found: the values that `--json` prints, and what a person sees."""

    report: Mapping[str, Any] | list[Any]
    shown: RenderableType
    exit_status: int = 0


def conclude(body: Callable[[Terminal], Outcome], as_json: bool, debug: bool) -> None:
    """Run a verb and end the process with its status.

    Standard output carries nothing but the JSON: whatever a recipe or a library prints goes to standard error.

    Raises:
        typer.Exit: always.
    """
    terminal = Terminal()
    with _one_sentence(terminal, debug):
        with kept_for_results(), _quiet_libraries(debug):
            outcome = body(terminal)
        terminal.show(outcome.shown)
    if as_json:
        typer.echo(json.dumps(outcome.report, indent=2))
    raise typer.Exit(outcome.exit_status)


def catch_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)


@contextmanager
def _one_sentence(terminal: Terminal, debug: bool) -> Iterator[None]:
    try:
        yield
    except EdgepruneError as error:
        raise _exit(terminal, error, debug, str(error), error.exit_status) from None
    except KeyboardInterrupt as error:
        raise _exit(terminal, error, debug, "interrupted; nothing was written", _INTERRUPTED) from None
    except Terminated as error:
        raise _exit(terminal, error, debug, "terminated; nothing was written", _TERMINATED) from None
    except MemoryError as error:
        raise _exit(
            terminal, error, debug, "out of memory: close other programs and retry", _FAILED
        ) from None
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: the user gets a sentence, not a traceback
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            sentence = f"no space left to write {error.filename or 'a file'}: free some and run it again"
        else:
            sentence = _defect(error)
        raise _exit(terminal, error, debug, sentence, _FAILED) from None


def _exit(
    terminal: Terminal, error: BaseException, debug: bool, sentence: str, exit_status: int
) -> typer.Exit:
    if debug:
        sys.stderr.write("".join(traceback.format_exception(error)))
    terminal.say(f"edgeprune: {sentence}")
    return typer.Exit(exit_status)


def _defect(error: Exception) -> str:
    """A sentence about an unexpected exception, whose traceback is saved for the person who will mend it."""
    what = f"this is a defect of edgeprune ({type(error).__name__}: {str(error)[:200]})"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="edgeprune-defect-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"{what}; run it again with --debug to see where"
    return f"{what}; please report it with {Path(file.name)}"


@contextmanager
def _quiet_libraries(debug: bool) -> Iterator[None]:
    """Keep the exporters' chatter about their own internals away from the user, except with --debug."""
    if debug:
        yield
        return
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(level)
