"""Channel groups of small networks: what is found, what is frozen, and that every cut is exact."""

from __future__ import annotations

import pytest
import torch

from edgeprune.errors import UsageError
from edgeprune.prune import CutRefused, PruningPlan, analyse, group_widths, prune, weighted_layers
from edgeprune.prune.aten import rules
from edgeprune.prune.gate import Equivalence
from tests.support.pruning import assert_cuts
from tests.support.zoo import NETWORKS, Residual, build

EXPECTED = {
    "Residual": {"stem": 8, "inner": 12},
    "PaddedShortcut": {"stem": 8, "grow": 8},
    "Dense": {"a": 8, "b": 4, "c": 8},
    "UNet": {"down": 8, "deep": 12, "up": 8, "merge": 8},
    "MobileInverted": {"expand": 16, "project": 8},
    "DepthMultiplier": {"stem": 8, "mix": 8},
    "Grouped": {"stem": 4, "grouped": 6, "mix": 8},
    "ChannelShuffle": {"stem": 8, "left": 8},
    "RelativeSlice": {"stem": 8, "mix": 8},
    "HardSlice": {"stem": 16, "mix": 8},
    "HardFlatten": {"stem": 4, "fc1": 8},
    "Flatten": {"stem": 8, "fc1": 12},
    "Permuted": {"stem": 8, "token": 12},
    "PixelShuffle": {"stem": 4},
    "SqueezeExcite": {"stem": 16, "squeeze": 8, "mix": 8},
    "SpatialGate": {"stem": 8, "mix": 8},
    "Shared": {"stem": 8},
    "TiedWeights": {"stem": 8, "a": 12},
    "LayerScale": {"stem": 8, "mix": 8},
    "Temporal": {"a": 8, "b": 8},
    "Recurrent": {"inner": 12, "lstm": 8, "gru": 8},
    "Attention": {"table": 8, "attention": 8, "up": 16},
    "Values": {"query": 4, "value": 8, "again": 12},
    "Unknown": {"b": 8},
}


GRAPHS = {"PaddedShortcut", "HardSlice", "HardFlatten", "Attention", "Values"}
"""Networks whose own code cannot follow."""


@pytest.mark.parametrize("name", NETWORKS)
def test_groups_and_exact_cuts(name: str) -> None:
    coupling = assert_cuts(*build(name), seed=name)
    assert {group.name: group.size for group in coupling.groups} == EXPECTED[name]
    assert coupling.form == ("graph" if name in GRAPHS else "module")


def test_frozen_layers_say_why() -> None:
    reasons = {
        ("SpatialGate", "gate"): "several channels",
        ("Unknown", "a"): "aten.cumsum.default",
        ("Residual", "head.fc"): "network's output",
    }
    for (name, layer), words in reasons.items():
        assert words in analyse(*build(name)).frozen[layer]


def test_the_mask_tells_a_wrong_channel() -> None:
    network, inputs = build("Residual")
    coupling = analyse(network, inputs)
    right = PruningPlan({"inner": tuple(range(1, 12))})
    wrong = PruningPlan({"inner": tuple(range(11))})
    smaller = prune(network, coupling, right)
    assert Equivalence(network, coupling, right).refusal(smaller) is None
    assert "would differ" in str(Equivalence(network, coupling, wrong).refusal(smaller))


def test_a_cut_that_the_code_does_not_follow_is_refused() -> None:
    network, inputs = build("Residual")
    coupling = analyse(network, inputs)

    class Other(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + self.inner.weight.sum()

    with pytest.raises(
        CutRefused, match=r"channels of inner: the outputs would differ.*not the one that was analysed"
    ):
        prune(Other(), coupling, PruningPlan({"inner": (0, 1, 2)}))


def test_code_that_insists_on_single_precision_is_compared_in_it() -> None:
    class Single(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.float())

    network = Single().eval()
    coupling = analyse(network, (torch.zeros(1, 3, 8, 8),))
    assert [group.name for group in coupling.groups] == ["stem", "inner"]


def test_plans_are_checked() -> None:
    network, inputs = build("Residual")
    coupling = analyse(network, inputs)
    with pytest.raises(UsageError, match="no channel group 'nope'"):
        prune(network, coupling, PruningPlan({"nope": (0,)}))
    with pytest.raises(UsageError, match="between 1 and 12"):
        prune(network, coupling, PruningPlan({"inner": ()}))
    with pytest.raises(UsageError, match="between 1 and 12"):
        prune(network, coupling, PruningPlan({"inner": (12,)}))


def test_ignored_layers_stay() -> None:
    network, inputs = build("Residual")
    coupling = analyse(network, inputs, ignore=["inner"])
    assert [group.name for group in coupling.groups] == ["stem"]
    assert coupling.layers["inner"].outputs == (None,) * 12
    assert "ignore" in coupling.frozen["inner"]
    with pytest.raises(UsageError, match="no layer 'iner' to ignore; the nearest is 'inner'"):
        analyse(network, inputs, ignore=["iner"])


def test_layers_are_labelled_per_channel() -> None:
    layers = weighted_layers(analyse(*build("UNet")))
    assert layers["merge"].inputs == ("up",) * 8 + ("down",) * 8
    assert layers["down"].inputs == (None,) * 3
    assert layers["out"].outputs == (None,) * 2
    assert weighted_layers(analyse(*build("Flatten")))["fc1"].inputs == ("stem",) * 128


def test_widths_are_multiples_that_end_whole() -> None:
    coupling = analyse(*build("Residual"))
    assert group_widths(coupling) == {"stem": (4, 8), "inner": (4, 8, 12)}
    assert group_widths(coupling, minimum={"inner": 6})["inner"] == (8, 12)
    assert group_widths(coupling, multiple=1, most=4)["inner"] == (3, 6, 9, 12)


def test_sizes_beside_parameters_follow() -> None:
    network, inputs = build("DepthMultiplier")
    smaller = prune(network, analyse(network, inputs), PruningPlan({"stem": (0, 2, 5)}))
    assert (smaller.depth.in_channels, smaller.depth.out_channels, smaller.depth.groups) == (3, 9, 3)
    assert smaller.mix.in_channels == 9
    network, inputs = build("Recurrent")
    smaller = prune(network, analyse(network, inputs), PruningPlan({"lstm": (1, 2, 3, 4), "inner": (0, 1)}))
    assert (smaller.lstm.input_size, smaller.lstm.hidden_size, smaller.gru.input_size) == (2, 4, 4)


def test_untrained_parameters_stay_untrained() -> None:
    network, inputs = build("Residual")
    network.inner.weight.requires_grad_(False)
    smaller = prune(network, analyse(network, inputs), PruningPlan({"inner": (0, 1, 2, 3)}))
    assert not smaller.inner.weight.requires_grad
    assert smaller.outer.weight.requires_grad


def test_a_network_that_cannot_be_traced_is_the_users_to_mend() -> None:
    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UsageError, match=r"cannot trace Branching.*forward traceable"):
        analyse(Branching(), (torch.ones(1, 3),))


def test_rules_are_found() -> None:
    assert {"aten.conv2d.default", "aten.lstm.input", "getitem", "aten.cat.default"} <= rules().keys()
