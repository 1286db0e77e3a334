"""Calling a recipe's functions: what goes wrong in them is the user's, told in one sentence with its line.

While user code runs, its standard output goes to standard error: standard output belongs to `--json`.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from edgeprune.errors import EdgepruneError, UsageError

__all__ = ["GuardedIterable", "guarded", "running_user_code"]

Result = TypeVar("Result")


@contextlib.contextmanager
def running_user_code(path: Path, what: str) -> Iterator[None]:
    """Turn whatever the recipe at `path` raises into a UsageError: "path:line: what raised Kind: text"."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except EdgepruneError:
        raise
    except (Exception, SystemExit) as error:  # user code may raise anything at all
        raise UsageError(f"{_place(path, error)}: {what} raised {_described(error)}") from error


def guarded(path: Path, name: str, function: Callable[..., Result]) -> Callable[..., Result]:
    """`function` of the recipe at `path`, its exceptions worded by `running_user_code`."""

    def call(*args: Any, **kwargs: Any) -> Result:
        with running_user_code(path, f"{name}()"):
            return function(*args, **kwargs)

    return call


class GuardedIterable:
    """A recipe's data loader whose iteration errors become UsageErrors; it can be iterated as often as it could."""

    def __init__(self, path: Path, name: str, batches: Iterable[Any]) -> None:
        self._path, self._name, self._batches = path, name, batches

    def __iter__(self) -> Iterator[Any]:
        with running_user_code(self._path, f"iterating {self._name}()"):
            iterator = iter(self._batches)
        while True:
            with running_user_code(self._path, f"iterating {self._name}()"):
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            yield batch

    @property
    def batches(self) -> Iterable[Any]:
        """The loader as the recipe made it."""
        return self._batches

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]


def _place(path: Path, error: BaseException) -> str:
    file = str(path.absolute())  # as importlib names it, however the user did
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _described(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    lines = text.strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
