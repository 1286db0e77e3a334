"""The Jinja environment of the HTML pages: everything is escaped, and nothing unprintable gets through."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from edgeprune.report.numbers import compact, count, milliseconds, percent, score
from edgeprune.report.terminal import printable
from edgeprune.resources import resource_dir

__all__ = ["render_html"]

_LONGEST_TEXT = 2000


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_dir("templates") / "report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
        finalize=_clean,
    )
    environment.filters.update(
        compact=compact, count=count, ms=milliseconds, percent=percent, pc=_percentage, short=printable
    )
    environment.globals.update(score=score)
    return environment


def render_html(template: str, values: Mapping[str, Any]) -> str:
    """The text of `template` (a path below templates/report/) filled with `values`; an unknown name is an error."""
    return _environment().get_template(template).render(**values)


def _clean(value: object) -> object:
    """Texts without control characters, directional overrides and halves of surrogate pairs, of bounded length."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    shown = "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in value[:_LONGEST_TEXT]
    )
    return shown if len(value) <= _LONGEST_TEXT else shown + "\N{HORIZONTAL ELLIPSIS}"


def _percentage(value: float) -> str:
    """A coordinate in an SVG as a share of its width, in percent."""
    return f"{value:.2f}%"
