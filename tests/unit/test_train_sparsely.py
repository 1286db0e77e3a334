"""Zeros among the weights: how many, which, when, and that they stay; and the generalisation gap."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.model.model import Model
from edgeprune.train import (
    Gap,
    Schedule,
    checkpoint,
    fine_tune,
    generalisation,
    quantization_aware,
    sparsify,
)
from edgeprune.train.companion import prunable_weights
from tests.unit.test_train_resume import Killed, X, Y, killed_after, make, network, state_bytes


def density_of(module: torch.nn.Module) -> float:
    """The share of the weights that is not zero."""
    weights = prunable_weights(module).values()
    return sum(int(weight.count_nonzero()) for weight in weights) / sum(weight.numel() for weight in weights)


def plain() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(X[start : start + 16], Y[start : start + 16]) for start in range(0, 96, 16)]


def densities(module: nn.Module) -> list[float]:
    return [
        float((weight != 0).float().mean()) for name, weight in module.named_parameters() if weight.dim() > 1
    ]


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_density_is_kept_and_the_loss_falls(when: str, scope: str) -> None:
    start = network()
    untouched = state_bytes(start)
    sparse = sparsify(make(plain), start, 0.25, when, 40, scope=scope)
    assert density_of(sparse) == pytest.approx(0.25, abs=0.01)
    if scope == "layer":
        assert densities(sparse) == pytest.approx([0.25, 0.25], abs=0.01)
    assert state_bytes(start) == untouched
    with torch.no_grad():
        assert F.cross_entropy(sparse(X), Y) < F.cross_entropy(start(X), Y)
    assert bool((sparse[1].weight != 0).all())


def test_the_smallest_weights_go() -> None:
    start = network()
    sparse = sparsify(make(plain), start, 0.5, "after", 0, scope="layer")
    magnitudes = start[5].weight.detach().abs()
    gone = sparse[5].weight == 0
    assert float(magnitudes[gone].max()) <= float(magnitudes[~gone].min())
    assert torch.equal(sparse[5].weight[~gone], start[5].weight[~gone])


def test_no_layer_is_emptied() -> None:
    start = network()
    with torch.no_grad():
        start[0].weight.mul_(1e-6)
    assert densities(sparsify(make(plain), start, 0.3, "after", 0))[0] == pytest.approx(0.03, abs=0.01)


def test_before_training_starts_anew_and_during_starts_from_what_is() -> None:
    assert not torch.equal(sparsify(make(plain), network(), 1.0, "before", 0)[0].weight, network()[0].weight)
    assert torch.equal(sparsify(make(plain), network(), 1.0, "during", 0)[0].weight, network()[0].weight)


def test_the_ramp_is_cubic_and_ends_before_training_does() -> None:
    from edgeprune.train.sparsify import _GrowingMasks

    masks = _GrowingMasks(("0.weight", "5.weight"), 0.2, "global", 100)
    subject = network()
    masks.attach(subject)
    seen = {0: density_of(subject)}
    for step in range(1, 101):
        with torch.no_grad():
            subject[0].weight.add_(0.01)
        masks.after_step(step)
        seen[step] = density_of(subject)
    assert seen[0] == 1.0
    assert seen[35] == pytest.approx(0.2 + 0.8 * 0.5**3, abs=0.01)
    assert seen[70] == seen[100] == pytest.approx(0.2, abs=0.01)
    assert list(seen.values()) == sorted(seen.values(), reverse=True)


def test_frozen_and_ignored_weights_stay_whole() -> None:
    start = network()
    start[0].weight.requires_grad_(False)
    sparse = sparsify(make(plain), start, 0.25, "before", 5)
    assert torch.equal(sparse[0].weight, start[0].weight)
    assert densities(sparse) == pytest.approx([1.0, 0.25], abs=0.01)
    assert densities(sparsify(make(plain), network(), 0.25, "after", 5, ignore=["5"]))[1] == 1.0


def test_zeros_stay_through_further_training() -> None:
    sparse = sparsify(make(plain), network(), 0.25, "after", 5)
    for further in (fine_tune, quantization_aware):
        kept = further(make(plain), sparse, 5, hold_zeros=True)
        assert torch.equal(kept[5].weight == 0, sparse[5].weight == 0)
        assert not torch.equal(kept[5].weight, sparse[5].weight)
        assert density_of(further(make(plain), sparse, 5)) > 0.9


def test_a_branch_that_starts_at_zero_is_trained() -> None:
    start = network()
    nn.init.zeros_(start[5].weight)
    assert bool(fine_tune(make(plain), start, 5, hold_zeros=True)[5].weight.any())


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_it_resumes_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    monkeypatch.setattr(checkpoint, "_SAVE_EVERY_S", 0.0)
    whole = sparsify(make(), network(), 0.3, when, 20, seed=3, schedule=Schedule(patience=2))
    options = {"seed": 3, "schedule": Schedule(patience=2), "resume_from": tmp_path / "s.pt"}
    with pytest.raises(Killed):
        sparsify(make(killed_after(6)), network(), 0.3, when, 20, **options)
    assert state_bytes(sparsify(make(), network(), 0.3, when, 20, **options)) == state_bytes(whole)


def test_impossible_wishes_are_refused() -> None:
    def refuse(
        says: str, density: float = 0.5, when: str = "after", scope: str = "global", **options: object
    ) -> None:
        with pytest.raises(UsageError, match=says):
            sparsify(make(plain), network(), density, when, 1, scope=scope, **options)

    for density in (0.0, -1.0, 1.5, float("nan")):
        refuse("density of", density)
    refuse("'later' is not one of 'before', 'during', 'after'", when="later")
    refuse("'row' is not one of 'global', 'layer'", scope="row")
    refuse("no layer 'conv9' to ignore", ignore=["conv9"])
    refuse("none of the network's weights", ignore=["0", "5"])


def test_the_generalisation_gap() -> None:
    model = make(plain)
    other = dataclasses.replace(model.training, test_data=lambda: [(X, (Y + 1) % 3)])
    split = Model("toy", Path("toy.py"), "torch", training=other)
    net = fine_tune(model, network(), 60)
    net.train()
    gap = generalisation(split, net)
    with torch.no_grad():
        wanted = F.cross_entropy(net(X), Y), F.cross_entropy(net(X), (Y + 1) % 3)
    assert (gap.train_loss, gap.test_loss) == pytest.approx([float(loss) for loss in wanted], rel=1e-4)
    assert gap.difference == gap.test_loss - gap.train_loss > 0
    assert generalisation(split, net, 16) != gap
    assert isinstance(gap, Gap)
    empty = dataclasses.replace(model.training, test_data=list)
    with pytest.raises(UsageError, match="the test data of toy has no batch"):
        generalisation(Model("toy", Path("toy.py"), "torch", training=empty), net)
    poisoned = make(plain, loss=lambda output, y: output.sum() * float("nan"))
    with pytest.raises(UsageError, match="loss on its training data is nan"):
        generalisation(poisoned, net)
    with pytest.raises(UsageError, match="no data to judge it by"):
        generalisation(Model("toy", Path("toy.py"), "torch"), net)


class Mixed(nn.Sequential):
    """Layers with sparse kernels and without."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(6, 20, 3, padding=1),
            nn.Conv2d(20, 20, 3, padding=1, groups=20),
            nn.ConvTranspose2d(20, 8, 2),
            nn.Flatten(),
            nn.Linear(8 * 25, 18),
        )


@pytest.mark.parametrize("block", [(16, 1), (2, 4), (8, 4)])
def test_blocks_go_together_in_the_order_of_memory(block: tuple[int, int]) -> None:
    torch.manual_seed(0)
    start = Mixed()
    sparse = sparsify(make(plain), start, 0.25, "after", 0, block=block)
    assert all(torch.equal(sparse[layer].weight, start[layer].weight) for layer in (1, 2))
    left = total = 0
    for layer in (0, 4):
        weight = sparse[layer].weight.detach()
        rows = (weight.movedim(1, -1).reshape(len(weight), -1) != 0).double()
        for part in rows.split(block[0], 0):
            for piece in part.split(block[1], 1):
                assert float(piece.mean()) in (0.0, 1.0)
        left, total = left + int(rows.sum()), total + rows.numel()
    assert left / total == pytest.approx(0.25, abs=0.02)


def test_the_weakest_blocks_go() -> None:
    start = nn.Sequential(nn.Flatten(), nn.Linear(64, 16))
    with torch.no_grad():
        start[1].weight[:8, 4:8] *= 100
        start[1].weight[8:, 60:] *= 100
    kept = sparsify(make(plain), start, 2 / 32, "after", 0, block=(8, 4))[1].weight != 0
    assert bool(kept[:8, 4:8].all())
    assert bool(kept[8:, 60:].all())
    assert int(kept.sum()) == 64


def test_blocks_are_held_while_training() -> None:
    start = network()
    sparse = sparsify(make(plain), start, 0.5, "during", 30, block=(2, 4))
    weight = sparse[5].weight.detach()
    assert all(float((piece != 0).double().mean()) in (0.0, 1.0) for piece in weight[:2].split(4, 1))
