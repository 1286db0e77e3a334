"""Products of activations, as in attention: what is summed over stays, the rest keeps its channels."""

from __future__ import annotations

import torch

from edgeprune.prune.aten.rule import Output, spread
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _matmul(call: Call, labels: Labels) -> Output:
    """[..., rows, inner] by [..., inner, columns]: no parameter reads the inner channels, so none can be masked."""
    left, right = (labels.of(operand) for operand in call.operands())
    if min(left.dim(), right.dim()) < 2:
        raise Uncoupled("it multiplies vectors")
    _freeze_summed(call, labels, left, -1)
    _freeze_summed(call, labels, right, -2)
    rows, columns = left.narrow(-1, 0, 1), right.narrow(-2, 0, 1)
    by_row = any(labels.varies(rows, dim) for dim in range(rows.dim()))
    by_column = any(labels.varies(columns, dim) for dim in range(columns.dim()))
    if by_row and by_column:
        raise Uncoupled("it pairs channels of one value with those of another")
    return (rows if by_row else columns).expand(call.output).clone()


def _attention(call: Call, labels: Labels) -> Output:
    """Scores sum over the channels of query and key; the output has the channels of value."""
    query, key, value = (labels.of(call.operand(name)) for name in ("query", "key", "value"))
    _freeze_summed(call, labels, query, -1)
    _freeze_summed(call, labels, key, -1)
    if any(labels.varies(side, dim) for side in (query, key, value) for dim in range(side.dim() - 1)):
        raise Uncoupled("its tokens or heads are channels")
    return spread(value.reshape(-1, value.shape[-1])[0], -1, call.output)


def _freeze_summed(call: Call, labels: Labels, value: torch.Tensor, dim: int) -> None:
    if labels.varies(value, value.dim() + dim):
        labels.freeze(value, f"{call.target} in {call.layer or 'forward'!r} sums products over them")


RULES = {
    "aten.matmul.default": _matmul,
    "aten.bmm.default": _matmul,
    "aten.scaled_dot_product_attention.default": _attention,
}
