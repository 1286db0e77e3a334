"""Texts out of a model, fit for a terminal or a page."""

from __future__ import annotations

__all__ = ["clean", "printable"]

_LONGEST_NAME, _LONGEST_TEXT = 40, 2000


def clean(text: str) -> str:
    """`text` without control characters, directional overrides and halves of surrogate pairs, of bounded length."""
    shown = "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in text[:_LONGEST_TEXT]
    )
    return shown if len(text) <= _LONGEST_TEXT else shown + "\N{HORIZONTAL ELLIPSIS}"


def printable(name: str) -> str:
    """A name, fit for a table: printable, on one line, not too long."""
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name
    )
    if len(shown) <= _LONGEST_NAME:
        return shown
    half = _LONGEST_NAME // 2 - 1
    return f"{shown[:half]}\N{HORIZONTAL ELLIPSIS}{shown[-half:]}"
