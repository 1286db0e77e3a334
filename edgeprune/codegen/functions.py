"""Kernel functions of all layers: equal texts defined once, unequal texts of one name numbered."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeprune.kernels.base import Code, Function

__all__ = ["share_functions"]


def share_functions(codes: Sequence[Code]) -> tuple[tuple[Function, ...], tuple[str, ...]]:
    """The distinct functions in order of first use, and each layer's body calling them by their final names."""
    final: dict[tuple[str, str], Function] = {}
    taken: set[str] = set()
    bodies = []
    for code in codes:
        renamed: dict[str, str] = {}
        for function in code.functions:
            text = _rename(function.text, renamed)
            key = (function.name, text)
            if key not in final:
                name = _free_name(function.name, taken)
                taken.add(name)
                final[key] = Function(name, _rename(text, {function.name: name}))
            renamed[function.name] = final[key].name
        bodies.append(_rename(code.body, renamed))
    return tuple(final.values()), tuple(bodies)


def _free_name(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_v{number}"
    return candidate


def _rename(text: str, names: dict[str, str]) -> str:
    changed = {old: new for old, new in names.items() if old != new}
    if not changed:
        return text
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, changed)) + r")\b")
    return pattern.sub(lambda match: changed[match.group(1)], text)
