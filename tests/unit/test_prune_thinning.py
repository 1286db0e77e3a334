"""Weights that go by patterns: how many, which, and what the others make good."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgeprune.patterns import LayerPattern, PatternMenu
from edgeprune.prune import can_be_thinned, pattern_curves, thin, thin_roughly
from tests.unit.test_prune_survivors import calibration, error


def network(*, inputs: int = 3, outputs: int = 20) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, 17, 1),
        nn.Flatten(),
        nn.Linear(17 * 16, 3),
    ).eval()


def kept(layer: nn.Module) -> torch.Tensor:
    """Which weights are not zero, [outputs, inputs in memory's order]."""
    weight = layer.weight.detach()
    return weight.movedim(1, -1).reshape(len(weight), -1) != 0


@pytest.mark.parametrize("make", ["thin", "roughly"])
@pytest.mark.parametrize(
    ("name", "density"), [("shared16", 0.25), ("block2x4", 0.5), ("block8x4", 0.3), ("unstructured", 0.3)]
)
def test_every_row_of_blocks_keeps_as_many(make, name, density):
    module, pattern, data = network(), LayerPattern(name, density), calibration(3, 4, 4, samples=64)
    patterns = dict.fromkeys(can_be_thinned(module), pattern)
    found = thin(module, patterns, data) if make == "thin" else thin_roughly(module, patterns)
    height, width = pattern.block
    for layer in ("0", "3", "5"):
        left = kept(found.get_submodule(layer))
        blocks = -(-left.shape[1] // width)
        for first in range(0, len(left), height):
            rows = left[first : first + height]
            assert (rows == rows[0]).all()
            columns = torch.nn.functional.pad(rows[0], (0, -left.shape[1] % width)).reshape(-1, width)
            assert int(columns.any(1).sum()) == max(1, round(density * blocks))


@pytest.mark.parametrize(("name", "share"), [("shared16", 0.5), ("block2x4", 0.5), ("unstructured", 0.6)])
def test_answers_stay_nearer_than_without_care(name, share):
    module, data = network(), calibration(3, 4, 4)
    patterns = dict.fromkeys(("0", "3"), LayerPattern(name, 0.4))
    careful, rough = thin(module, patterns, data), thin_roughly(module, patterns)
    assert error(module, careful, data) < share * error(module, rough, data)


def test_smaller_blocks_lose_less():
    module, data = network(), calibration(3, 4, 4)
    patterns = [
        dict.fromkeys(("0", "3"), LayerPattern(name, 0.4))
        for name in ("unstructured", "block2x4", "shared16")
    ]
    for way in (lambda one: thin(module, one, data), lambda one: thin_roughly(module, one)):
        single, small, large = (error(module, way(one), data) for one in patterns)
        assert single < 0.75 * min(small, large)


def test_what_carries_nothing_goes_first():
    module, data = network(), calibration(3, 4, 4)
    with torch.no_grad():
        module[3].weight[:, ::2] *= 1e-4
    found = thin(module, {"3": LayerPattern("shared16", 0.5)}, data)
    assert (kept(found[3])[0] == torch.tensor([False, True] * 10)).all()


def test_edges_of_layers():
    data = calibration(1, 4, 4, samples=32)
    module = network(inputs=1, outputs=1)
    with torch.no_grad():
        module[3].weight.zero_()
    found = thin(module, dict.fromkeys(can_be_thinned(module), LayerPattern("shared16", 0.01)), data)
    assert int(kept(found[0]).sum()) == 1
    assert not kept(found[3]).any()
    assert all(value.isfinite().all() for value in found.parameters())
    assert error(module, thin(module, {}, data), data) == 0


def test_curves_leave_the_network_as_it_was_and_fall_with_density():
    module, data = network(), calibration(3, 4, 4, samples=64)
    before = copy.deepcopy(module.state_dict())
    menu = PatternMenu("3", tuple(LayerPattern("shared16", density) for density in (0.1, 0.5, 0.9)))
    (curve,) = pattern_curves(module, {menu.group: menu}, data).values()
    assert curve[4] == 0 and curve[1] >= 0
    assert set(curve) == {1, 2, 3, 4}
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_layers_without_sparse_kernels_are_left_alone():
    module = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 4, 2), nn.Conv2d(4, 4, 1))
    assert can_be_thinned(module) == ("2",)
