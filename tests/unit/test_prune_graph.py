"""Networks whose code cannot follow a cut: they are returned as exported graphs, which train, save and export."""

from __future__ import annotations

import copy
import random

import pytest
import torch

from edgeprune.prune import Coupling, PruningPlan, analyse, prune, recalibrate
from edgeprune.quantize.export import export_float
from tests.support.pruning import assert_cuts, some_of
from tests.support.zoo import IMAGE, SEQUENCE, build_from
from tests.support.zoo_attention import ATTENTION
from tests.support.zoo_written_sizes import WRITTEN_SIZES

EXPECTED = {
    "WrittenSizes": {"stem": 5, "stem#2": 7, "a": 4, "b": 4, "c": 4, "c#2": 8, "fc1": 12},
    "WrittenState": {"inner": 11, "gru": 10},
    "FixedBatch": {"b": 8},
}


@pytest.mark.parametrize("name", WRITTEN_SIZES)
def test_groups_and_exact_cuts(name: str) -> None:
    coupling = assert_cuts(*build_from(WRITTEN_SIZES, name), seed=name)
    assert {group.name: group.size for group in coupling.groups} == EXPECTED[name]
    assert coupling.form == ("module" if name == "FixedBatch" else "graph")
    assert (coupling.reason is None) == (coupling.form == "module")


def test_why_a_graph_for_one_sample_will_not_do() -> None:
    reason = analyse(*build_from(WRITTEN_SIZES, "FixedBatch")).frozen["a"]
    assert "cannot be exported for any number of samples" in reason


def _half(coupling: Coupling) -> PruningPlan:
    pick = random.Random(1)
    return PruningPlan({group.name: some_of(group, pick) for group in coupling.groups})


def test_a_graph_trains_with_batch_norm_and_dropout() -> None:
    network, inputs = build_from(WRITTEN_SIZES, "WrittenSizes")
    smaller = copy.deepcopy(prune(network, coupling := analyse(network, inputs), _half(coupling)))
    assert not smaller.training
    x = torch.randn(16, 3, 8, 8)
    assert torch.equal(smaller(x)["flat"], smaller(x)["flat"])
    before = smaller.get_buffer("norm.running_mean").clone()
    optimizer = torch.optim.SGD(smaller.train().parameters(), 0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = smaller(x)["flat"].square().mean() + smaller(x)["pooled"].square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert not torch.equal(before, smaller.get_buffer("norm.running_mean"))
    assert not torch.equal(smaller(x)["flat"], smaller(x)["flat"])
    smaller.eval()
    assert torch.equal(smaller(x)["flat"], smaller(x)["flat"])
    recalibrate(smaller, [((x,), torch.zeros(16))])


def test_a_graph_is_saved_as_plain_tensors_and_pruned_again() -> None:
    network, inputs = build_from(ATTENTION, "VisionTransformer")
    smaller = prune(network, coupling := analyse(network, inputs), _half(coupling))
    assert list(smaller.state_dict()) == list(network.state_dict())
    assert all(type(value) is torch.Tensor for value in smaller.state_dict().values())
    again = analyse(smaller, IMAGE)
    assert {group.name for group in again.groups} == {group.name for group in coupling.groups}
    assert_cuts(smaller, IMAGE, seed="again", cuts=1)


def test_a_graph_keeps_the_names_of_its_layers_in_onnx() -> None:
    network, inputs = build_from(ATTENTION, "VisionTransformer")
    smaller = prune(network, coupling := analyse(network, inputs), _half(coupling))
    names = {value.name for value in export_float(smaller, inputs, "vit").graph.initializers.values()}
    assert {"a.qkv.bias", "b.proj.bias", "patches.weight", "norm.weight"} <= names


def test_a_graph_makes_its_first_state_where_its_parameters_are() -> None:
    network, inputs = build_from(WRITTEN_SIZES, "WrittenState")
    smaller = prune(network, coupling := analyse(network, inputs), _half(coupling))
    meta = smaller.to(torch.float64)
    assert meta(torch.zeros(4, 6, 8, dtype=torch.float64)).dtype == torch.float64
    assert "device" not in "".join(str(node.kwargs) for node in smaller.graph.nodes)
    assert smaller(SEQUENCE[0].double()).shape == (1, 5)
