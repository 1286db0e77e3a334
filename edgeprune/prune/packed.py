"""Parameters that hold the weights of several linear layers, row after row, and are split before use.

`nn.MultiheadAttention` keeps query, key and value in one matrix and takes it apart where they read different
values. Such a parameter's rows are output channels of the layers that its parts are given to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from edgeprune.prune.trace import Call, Operand, Trace

__all__ = ["packed_rows"]

_SPLITS = (
    "aten.chunk.default",
    "aten.split.Tensor",
    "aten.split_with_sizes.default",
    "aten.split.sizes",
    "aten.slice.Tensor",
    "aten.narrow.default",
)


def packed_rows(network: Trace) -> Mapping[str, Operand]:
    """Part by part of such a parameter, by the name of its value: the parameter."""
    readers: dict[str, list[Call]] = defaultdict(list)
    for call in network.calls:
        for operand in call.operands():
            readers[operand.name].append(call)
    found: dict[str, Operand] = {}
    for call in network.calls:
        for operand in call.operands():
            if operand.state is not None and call.target in _SPLITS:
                parts = _parts(operand.name, readers)
                if parts is not None:
                    found.update(dict.fromkeys(parts, operand))
    return found


def _parts(name: str, readers: Mapping[str, list[Call]]) -> list[str] | None:
    """The values split off `name` along its rows; None where one goes anywhere but into a linear layer."""
    parts: list[str] = []
    for call in readers[name]:
        if (call.target in _SPLITS and call.arguments.get("dim", 0) == 0) or call.target == "getitem":
            further = _parts(call.name, readers)
            if further is None:
                return None
            parts += [call.name, *further]
        elif call.target != "aten.linear.default" or call.operand("input").name == name:
            return None
    return parts
