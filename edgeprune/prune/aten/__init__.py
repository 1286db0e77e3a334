"""Dependency rules, one file per family of ATen operators; `rules()` finds them.

A rule takes a call and the labels so far, notes which dimensions of which parameters the call's channels live
in, ties what must go together, and returns the labels of the output. It raises `Uncoupled` where it cannot
follow the call. A new family is one new file here with a mapping `RULES`; nothing else lists it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from edgeprune.prune.aten.rule import Rule

__all__ = ["Rule", "rules"]


@functools.cache
def rules() -> Mapping[str, Rule]:
    """Every rule by its operator's full name, such as "aten.conv2d.default"."""
    found: dict[str, Rule] = {}
    package = importlib.import_module("edgeprune.prune.aten")
    for info in pkgutil.iter_modules(package.__path__):
        if info.name == "rule":
            continue
        family: Mapping[str, Rule] = importlib.import_module(f"edgeprune.prune.aten.{info.name}").RULES
        twice = found.keys() & family.keys()
        assert not twice, f"two rules for {sorted(twice)}"
        found.update(family)
    return MappingProxyType(found)
