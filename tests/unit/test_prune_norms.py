"""Normalised widths, and other statistics over channels: they run over the channels that stay."""

from __future__ import annotations

import pytest
import torch

from edgeprune.prune import PruningPlan, analyse, prune
from edgeprune.prune.equivalence import is_maskable, mask
from tests.support.pruning import assert_cuts
from tests.support.zoo import build, build_from
from tests.support.zoo_norms import NORMS

EXPECTED = {
    "GroupNormed": {"stem": 4, "mix": 8},
    "ConvNext": {"stem": 8, "up": 32},
    "NormedMaps": {"stem": 8, "mix": 8},
    "PlainNorms": {"a": 12, "b": 16, "c": 12},
    "SpatialAttention": {"stem": 8, "mix": 8},
}


@pytest.mark.parametrize("name", NORMS)
def test_groups_and_exact_cuts(name: str) -> None:
    coupling = assert_cuts(*build_from(NORMS, name), seed=name)
    assert {group.name: group.size for group in coupling.groups} == EXPECTED[name]
    assert coupling.form == ("graph" if name == "PlainNorms" else "module")


def test_sizes_of_norms_follow() -> None:
    network, inputs = build_from(NORMS, "GroupNormed")
    smaller = prune(network, analyse(network, inputs), PruningPlan({"stem": (0, 2), "mix": (1, 5, 6)}))
    assert (smaller.four.num_groups, smaller.four.num_channels) == (4, 8)
    assert (smaller.each.num_groups, smaller.each.num_channels) == (3, 3)
    network, inputs = build_from(NORMS, "ConvNext")
    assert prune(network, analyse(network, inputs), PruningPlan({"stem": (0, 3)})).norm.normalized_shape == (
        2,
    )


def test_layer_norm_forgets_a_channel() -> None:
    """What is left is normalised as if the channel had never been."""
    network, inputs = build_from(NORMS, "ConvNext")
    smaller = prune(network, analyse(network, inputs), PruningPlan({"stem": (0, 1, 2, 4, 5, 6, 7)}))
    x = torch.randn(2, 3, 8, 8)
    seen = smaller.norm(smaller.depth(smaller.stem(x)).permute(0, 2, 3, 1))
    kept = network.depth(network.stem(x)).permute(0, 2, 3, 1)[..., [0, 1, 2, 4, 5, 6, 7]]
    normal = torch.nn.functional.layer_norm(kept, (7,))
    expected = normal * network.norm.weight[[0, 1, 2, 4, 5, 6, 7]] + network.norm.bias[[0, 1, 2, 4, 5, 6, 7]]
    assert torch.allclose(seen, expected, atol=1e-5)


def test_zeroed_weights_stand_for_a_cut_where_only_weights_read_it() -> None:
    network, inputs = build_from(NORMS, "ConvNext")
    coupling = analyse(network, inputs)
    unnormed, normed = PruningPlan({"up": (1, 2)}), PruningPlan({"stem": (1, 2)})
    assert is_maskable(coupling, unnormed)
    assert not is_maskable(coupling, normed)
    x = torch.randn(2, 3, 8, 8)
    for plan in (unnormed, normed):
        assert torch.allclose(mask(network, coupling, plan)(x), prune(network, coupling, plan)(x), atol=1e-5)
    assert mask(network, coupling, unnormed).up.weight.shape == network.up.weight.shape
    recurrent, inputs = build("Recurrent")
    coupling = analyse(recurrent, inputs)
    plan = PruningPlan({"lstm": (0, 3), "gru": (1, 2, 6)})
    x = torch.randn(2, 6, 8)
    assert torch.allclose(mask(recurrent, coupling, plan)(x), prune(recurrent, coupling, plan)(x), atol=1e-6)
