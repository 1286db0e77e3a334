"""The Jinja environment of the HTML pages: everything is escaped, and nothing unprintable gets through."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from edgeprune.report.numbers import compact, count, milliseconds, percent, score
from edgeprune.report.text import clean, printable
from edgeprune.resources import resource_dir

__all__ = ["render_html"]


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_dir("templates") / "report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
        finalize=_finalized,
    )
    environment.filters.update(
        compact=compact, count=count, ms=milliseconds, percent=percent, pc=_percentage, short=printable
    )
    environment.globals.update(score=score)
    return environment


def render_html(template: str, values: Mapping[str, Any]) -> str:
    """The text of `template` (a path below templates/report/) filled with `values`; an unknown name is an error."""
    return _environment().get_template(template).render(**values)


def _finalized(value: object) -> object:
    """What a template is about to write; what is markup already has been through here."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _percentage(value: float) -> str:
    """A coordinate in an SVG as a share of its width, in percent."""
    return f"{value:.2f}%"
