"""Loops by TVM that are printed in another form: with no questions in them, with sums that start at a bias."""

from __future__ import annotations

import pytest

from edgeprune.tvm.biases import starting_values
from edgeprune.tvm.edges import edged

tirx = pytest.importorskip("tvm.tirx")


@pytest.mark.parametrize(("at_least", "inside"), [(-3, (0, 8)), (5, (5, 8)), (8, (8, 8)), (11, (8, 8))])
def test_what_is_inside_ends_with_the_loop(at_least: int, inside: tuple[int, int]) -> None:
    x, row = tirx.Var("x", "int32"), tirx.decl_buffer((8,), "float32", "row")
    value = tirx.if_then_else(x >= at_least, tirx.const(1.0, "float32"), tirx.const(0.0, "float32"))
    loop = tirx.For(x, 0, 8, tirx.ForKind.SERIAL, tirx.BufferStore(row, value, [x]))
    split = edged(loop)
    assert split is not None
    assert (split.low, split.high) == inside


@pytest.mark.parametrize(("read_again", "starts"), [(False, 1), (True, 0)])
def test_a_sum_that_a_later_loop_reads_starts_at_zero(*, read_again: bool, starts: int) -> None:
    """acc = 0; for k: acc += in[k]; out[0] = acc + bias[0]; for k: out[k] = acc * in[k]."""
    k, again = tirx.Var("k", "int32"), tirx.Var("again", "int32")
    total, bias, given, out = (
        tirx.decl_buffer((8,), "float32", name) for name in ("total", "bias", "given", "out")
    )
    statements = [
        tirx.BufferStore(total, tirx.const(0.0, "float32"), [0]),
        tirx.For(k, 0, 8, tirx.ForKind.SERIAL, tirx.BufferStore(total, total[0] + given[k], [0])),
        tirx.BufferStore(out, total[0] + bias[0], [0]),
    ]
    if read_again:
        store = tirx.BufferStore(out, total[0] * given[again], [again])
        statements.append(tirx.For(again, 0, 8, tirx.ForKind.SERIAL, store))
    assert len(starting_values(statements, frozenset())) == starts
