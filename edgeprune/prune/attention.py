"""Which reshapes lay channels out as attention's heads by columns, found by following its operands back."""

from __future__ import annotations

from edgeprune.prune.aten.elementwise import RULES as ELEMENTWISE
from edgeprune.prune.aten.movement import RULES as MOVEMENT
from edgeprune.prune.trace import Call, Trace

__all__ = ["head_splits"]

_PRODUCTS = (
    "aten.matmul.default",
    "aten.bmm.default",
    "aten.einsum.default",
    "aten.scaled_dot_product_attention.default",
)


def head_splits(network: Trace) -> frozenset[str]:
    """Names of the calls that reach a product of activations by nothing but moves and elementwise operators."""
    calls = {call.name: call for call in network.calls}
    found: set[str] = set()
    waiting = [call for call in network.calls if _multiplies_activations(call)]
    while waiting:
        for operand in waiting.pop().operands():
            source = calls.get(operand.name)
            if source is None or source.name in found:
                continue
            if source.target in MOVEMENT or source.target in ELEMENTWISE:
                found.add(source.name)
                waiting.append(source)
    return frozenset(found)


def _multiplies_activations(call: Call) -> bool:
    return call.target in _PRODUCTS and all(operand.state is None for operand in call.operands())
