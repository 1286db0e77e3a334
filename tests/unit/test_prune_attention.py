"""Attention: whole heads and their columns, however it is written; the boxes offered, and what scores make of them."""

from __future__ import annotations

import itertools

import pytest
import torch

from edgeprune.errors import UsageError
from edgeprune.prune import PruningPlan, analyse, best, group_widths, prune
from edgeprune.prune.ladder import is_box, ladder, ranked
from tests.support.pruning import assert_cuts
from tests.support.zoo import build_from
from tests.support.zoo_attention import ATTENTION, SeparateLinears

EXPECTED = {
    "VisionTransformer": {"patches": (16, 1), "a.qkv": (16, 4), "b.qkv": (16, 4)},
    "SeparateLinears": {"q": (16, 2), "out": (12, 1)},
    "Causal": {"q": (16, 2), "out": (12, 1)},
    "OneHead": {"q": (12, 1), "v": (10, 1)},
    "CrossAttention": {"right": (16, 1), "attention": (16, 4), "attention.out_proj": (16, 1)},
    "EncoderLayer": {"table": (16, 1), "layer.self_attn": (16, 2), "layer.linear1": (24, 1)},
    "RelativeBias": {"qkv": (4, 1)},
    "SharedKeys": {"q": (8, 2)},
    "NormedQuery": {"qkv": (4, 1)},
    "Einsum": {"q": (16, 4)},
    "Mixer": {"patches": (12, 1), "up": (20, 1)},
}
"""Per group its channels and its heads."""


@pytest.mark.parametrize("name", ATTENTION)
def test_groups_and_exact_cuts(name: str) -> None:
    coupling = assert_cuts(*build_from(ATTENTION, name), seed=name)
    assert {group.name: (group.size, group.heads) for group in coupling.groups} == EXPECTED[name]


def test_a_cut_of_columns_keeps_the_class_and_makes_up_for_the_scale() -> None:
    network, inputs = build_from(ATTENTION, "SeparateLinears")
    coupling = analyse(network, inputs)
    assert coupling.form == "graph"
    columns = PruningPlan({"q": tuple(8 * head + column for head in range(2) for column in (1, 4, 6))})
    smaller = prune(network, coupling, columns)
    assert isinstance(smaller, SeparateLinears)
    rows = network.q.weight[[1, 4, 6, 9, 12, 14]]
    assert torch.allclose(smaller.q.weight, rows * (3 / 8) ** 0.5)
    heads = prune(network, coupling, PruningPlan({"q": tuple(range(8))}))
    assert isinstance(heads, torch.fx.GraphModule)
    assert heads.get_parameter("out.weight").shape == (12, 8)


def test_a_cut_that_is_no_box_is_refused() -> None:
    network, inputs = build_from(ATTENTION, "SeparateLinears")
    with pytest.raises(UsageError, match="whole heads of 8 channels, or the same channels of every head"):
        prune(network, analyse(network, inputs), PruningPlan({"q": (0, 9)}))


def test_boxes_of_a_ladder_are_nested_and_scores_pick_them() -> None:
    for heads, columns in ((4, 8), (2, 4), (8, 64), (1, 8), (3, 5)):
        boxes = ladder(heads, columns)
        assert boxes[0] == (heads, columns)
        assert all(a >= c and b >= d for (a, b), (c, d) in itertools.pairwise(boxes))
        sizes = [a * b for a, b in boxes]
        assert sizes == sorted(set(sizes), reverse=True)
        generator = torch.Generator().manual_seed(heads)
        scores = {"g": ranked(torch.rand(heads * columns, generator=generator).tolist(), heads)}
        for size in sizes:
            kept = best(scores, {"g": size}).keep["g"]
            assert len(kept) == size
            assert is_box(kept, heads, heads * columns)


def test_widths_offered_are_those_of_the_ladder() -> None:
    coupling = analyse(*build_from(ATTENTION, "VisionTransformer"))
    widths = group_widths(coupling, minimum={"b.qkv": 6})
    assert widths["a.qkv"] == tuple(sorted({a * b for a, b in ladder(4, 4)}))
    assert min(widths["b.qkv"]) >= 6
