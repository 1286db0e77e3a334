"""The ways a run can end, each with the exit status the command line gives it.

Raise one of these for everything a user can meet; its text is one sentence that says what went wrong, where,
and what to do about it. Anything else that escapes is a defect of edgeprune.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "EdgepruneError",
    "EnvironmentFailure",
    "MissingTool",
    "OverBudget",
    "UsageError",
    "VerificationFailed",
]


class EdgepruneError(Exception):
    """Base of every expected failure; `exit_status` is what the process returns."""

    exit_status = 1


class EnvironmentFailure(EdgepruneError):
    """The environment failed: disk full, a tool crashed, an internal limit was met."""

    exit_status = 1


class UsageError(EdgepruneError):
    """Wrong use or wrong input: a malformed file, an unknown name, an unsupported operator."""

    exit_status = 2


class OverBudget(EdgepruneError):
    """No network within the budget; the sentence names what binds."""

    exit_status = 3

    def __init__(self, sentence: str, nearest: Mapping[str, float] | None = None) -> None:
        super().__init__(sentence)
        self.nearest = nearest
        """The nearest feasible budget, in the report's words: "flash" and "ram" in bytes, "latency_ms"."""


class VerificationFailed(EdgepruneError):
    """Outputs differ between reference, host and emulator, or the emulator hung."""

    exit_status = 4


class MissingTool(EdgepruneError):
    """A compiler or emulator is not installed; the sentence carries the command that installs it."""

    exit_status = 5
