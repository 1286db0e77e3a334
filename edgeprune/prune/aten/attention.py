"""Products of activations, as in attention: channels that are summed over are tied pairwise, the rest is kept.

Query and key lose the same columns, since scores sum their products. Where there are heads, query, key and value
form a grid (see `edgeprune.prune.grids`): scores have a label for each head, and a value as wide as its query
loses the same heads and columns. A value of another width loses columns only, in every head alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from edgeprune.prune.aten.rule import Output, spread
from edgeprune.prune.labels import Labels, Uncoupled
from edgeprune.prune.trace import Call

__all__ = ["RULES"]


def _matmul(call: Call, labels: Labels) -> Output:
    """[..., rows, inner] by [..., inner, columns]."""
    left_operand, right_operand = call.operands()
    if right_operand.state is not None and len(right_operand.shape) == 2:
        return _by_parameter(call, labels)
    left, right = labels.of(left_operand), labels.of(right_operand)
    if min(left.dim(), right.dim()) < 2:
        raise Uncoupled("it multiplies vectors")
    lead = call.output[:-2]
    return _product(labels, *(side.expand(*lead, *side.shape[-2:]) for side in (left, right)))


def _einsum(call: Call, labels: Labels) -> Output:
    """Two operands, any letters: brought into the form of a product of matrices."""
    equation = str(call.arguments["equation"]).replace(" ", "")
    operands = call.operands()
    if len(operands) != 2 or "->" not in equation or "." in equation:
        raise Uncoupled(f"its equation is {equation!r}")
    terms, result = equation.split("->")
    left, right = terms.split(",")
    if any(len(set(term)) < len(term) for term in (left, right)):
        raise Uncoupled(f"its equation is {equation!r}")
    lead = [letter for letter in result if letter in left and letter in right]
    inner = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    order = lead + rows + columns
    if sorted(order) != sorted(result):
        raise Uncoupled(f"its equation is {equation!r}")
    first, second = (labels.of(operand) for operand in operands)
    sizes = dict(zip(left + right, (*first.shape, *second.shape), strict=True))
    shape = [sizes[letter] for letter in lead]
    first = first.permute([left.index(letter) for letter in lead + rows + inner])
    second = second.permute([right.index(letter) for letter in lead + inner + columns])
    product = _product(
        labels,
        first.reshape(*shape, _count(rows, sizes), -1),
        second.reshape(*shape, _count(inner, sizes), -1),
    )
    apart = product.reshape([sizes[letter] for letter in order])
    return apart.permute([order.index(letter) for letter in result]).clone()


def _count(letters: list[str], sizes: Mapping[str, int]) -> int:
    return math.prod(sizes[letter] for letter in letters)


def _product(labels: Labels, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Labels of [..., rows, inner] times [..., inner, columns], whose first dimensions are the same."""
    shape = (*left.shape[:-1], right.shape[-1])
    rows, columns = labels.varies(left, -2), labels.varies(right, -1)
    one_column = left.shape[-1] == 1 and not (rows or columns)
    if one_column or labels.varies(left, -1) or labels.varies(right, -2):
        if rows or columns:
            raise Uncoupled("it pairs channels of one value with those of another")
        summed = left[..., 0, :]
        labels.tie(summed, right[..., :, 0])
        labels.count(summed)
        labels.query(summed)
        return _heads(labels, summed)[..., None, None].expand(shape).clone()
    if rows and columns:
        raise Uncoupled("it pairs channels of one value with those of another")
    if rows:
        mixed = _mixed(labels, right[..., 0, 0], left[..., 0])
        return mixed[..., :, None].expand(shape).clone()
    mixed = _mixed(labels, left[..., 0, 0], right[..., 0, :])
    return mixed[..., None, :].expand(shape).clone()


def _by_parameter(call: Call, labels: Labels) -> Output:
    """A linear layer whose weights are [in, out]."""
    value, weight = call.operands()
    inputs, outputs = labels.column(labels.of(value), -1), labels.fresh(weight.shape[1])
    labels.piece(weight, 0, inputs, "consumes")
    labels.piece(weight, 1, outputs, "produces")
    labels.layer(weight, inputs, outputs)
    return spread(outputs, -1, call.output)


def _attention(call: Call, labels: Labels) -> Output:
    """Softmax of query times key, times value; [..., heads, tokens, columns]."""
    if call.arguments.get("enable_gqa"):
        raise Uncoupled("its heads share keys")
    query, key, value = (labels.of(call.operand(name)) for name in ("query", "key", "value"))
    mask = call.optional("attn_mask")
    if mask is not None:
        labels.freeze(labels.of(mask), f"attention mask {mask.name!r} has them")
    if any(labels.varies(side, -2) for side in (query, key, value)):
        raise Uncoupled("its tokens are channels")
    summed = query[..., 0, :]
    labels.tie(summed, key[..., 0, :])
    labels.count(summed)
    labels.query(summed)
    mixed = _mixed(labels, _heads(labels, summed), value[..., 0, :])
    return mixed[..., None, :].expand(call.output).clone()


def _heads(labels: Labels, summed: torch.Tensor) -> torch.Tensor:
    """What labels the sums over the columns of [..., columns]: [...], by head where there are several."""
    if any(labels.varies(summed, dim) for dim in range(summed.dim() - 1)):
        return labels.heads(summed)
    score = labels.fresh(1)
    labels.freeze(score, "attention's scores are made of several channels")
    return score.expand(summed.shape[:-1])


def _mixed(labels: Labels, weights: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Channels of values [..., columns] that scores with labels [...] have mixed: the values' own.

    Where either has heads, both must lose the same.
    """
    weighted_by_head = any(labels.varies(weights, dim) for dim in range(weights.dim()))
    if not weighted_by_head and not any(labels.varies(value, dim) for dim in range(value.dim() - 1)):
        return value
    cells = labels.cells_of(weights) if weighted_by_head else None
    if cells is not None and cells.shape == value.shape:
        labels.tie(cells, value)
        return value
    if weighted_by_head and cells is None:
        raise Uncoupled("it pairs channels of one value with those of another")
    for side in (cells, value):
        if side is not None:
            labels.tie_heads(side)
    return value


RULES = {
    "aten.matmul.default": _matmul,
    "aten.bmm.default": _matmul,
    "aten.einsum.default": _einsum,
    "aten.scaled_dot_product_attention.default": _attention,
}
