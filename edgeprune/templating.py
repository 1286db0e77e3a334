"""The Jinja environment that renders every C file, and the filters templates may use."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import jinja2
import numpy as np

from edgeprune.resources import resource_dir

__all__ = ["c_array", "c_comment", "c_identifier", "render"]

_KEYWORDS = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
        "alignas",
        "alignof",
        "and",
        "asm",
        "atomic",
        "bool",
        "catch",
        "class",
        "constexpr",
        "delete",
        "explicit",
        "export",
        "false",
        "friend",
        "mutable",
        "namespace",
        "new",
        "not",
        "nullptr",
        "operator",
        "or",
        "private",
        "protected",
        "public",
        "template",
        "this",
        "throw",
        "true",
        "try",
        "typeid",
        "typename",
        "using",
        "virtual",
        "xor",
        "main",
    ]
)


def c_identifier(text: str, limit: int = 48) -> str:
    """`text` as a valid C identifier: lower case, other characters as underscores, never a keyword."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:limit].strip("_") or "unnamed"
    return f"n_{name}" if name[0].isdigit() or name in _KEYWORDS else name


def c_comment(text: object, limit: int = 100) -> str:
    """`text` as it may stand inside a C comment: one printable ASCII line without comment markers."""
    line = "".join(char if " " <= char <= "~" else "." for char in str(text)).replace("\\", "|")
    line = re.sub(r"/(?=[/*])|\*(?=/)|\?(?=\?)", lambda match: match.group() + " ", line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def c_array(values: Any, columns: int = 100, indent: int = 4) -> str:
    """The initialiser list of an integer or float32 array, wrapped at `columns`."""
    array = np.ravel(np.asarray(values))
    words = [_literal(value) for value in array]
    lines, line = [], ""
    for word in words:
        piece = f"{word}, " if line == "" else f"{line}{word}, "
        if len(piece) + indent > columns and line:
            lines.append(line.rstrip())
            piece = f"{word}, "
        line = piece
    lines.append(line.rstrip().rstrip(","))
    return "\n".join(" " * indent + text for text in lines)


def _literal(value: Any) -> str:
    if isinstance(value, np.floating):
        if not np.isfinite(value):
            return "NAN" if np.isnan(value) else ("INFINITY" if value > 0 else "-INFINITY")
        return f"{float(value)!r}F"
    if isinstance(value, np.bool_):
        return str(int(value))
    if int(value) == -(1 << 31):
        return "(-2147483647 - 1)"
    return (
        f"{int(value)}U" if isinstance(value, np.unsignedinteger) and value.itemsize >= 4 else str(int(value))
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_dir("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters.update(c_array=c_array, c_comment=c_comment, c_identifier=c_identifier)
    return environment


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of `template` (a path below templates/) filled with `values`; an unknown name is an error."""
    return _environment().get_template(template).render(**values)
