"""Data, losses, metrics and networks that cannot be trained with: one sentence that says what to do, status 2."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch

from edgeprune.prune import PruningPlan, analyse, group_widths, prune
from edgeprune.train import (
    Schedule,
    TrainingDiverged,
    checkpoint,
    evaluate,
    fine_tune,
    quantization_aware,
    sparsify,
)
from edgeprune.train.points import points_lost
from tests.support.refusals import load, one_sentence

NETWORK = "nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)).eval()"


# --- Losses and metrics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("output.detach().sum()", "does not depend on the network's weights"),
        ("output.argmax()", "does not depend on the network's weights"),
        ("output.mean(1)", r"loss\(\) returns shape \[8\]; a tensor of one number is needed"),
        ("3.0", r"loss\(\) returns float"),
        ("None", r"loss\(\) returns NoneType"),
        ("output.nothing()", "AttributeError"),
        ("output.sum() * float('nan')", "stopped at step 1: the loss is nan"),
        ("output.sum() * float('inf')", "stopped at step 1: the loss is -?(inf|nan)"),
    ],
)
def test_a_loss_that_cannot_be_descended(tmp_path: Path, loss: str, says: str) -> None:
    model = load(tmp_path, more=f"def loss(output, y):\n    return {loss}")
    for options in ({}, {"teacher": model.module}):
        with one_sentence(says):
            fine_tune(model, model.module, 2, **options)


def test_a_loss_that_becomes_nan_leaves_the_last_good_checkpoint(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_SAVE_EVERY_S", 0.0)
    counting = (
        "calls = [0]\n\n\ndef loss(output, y):\n    calls[0] += 1\n"
        "    return nn.functional.cross_entropy(output, y) * (float('nan') if calls[0] > 3 else 1)"
    )
    model = load(place, more=counting)
    path = place / "kept" / "state.pt"
    good = path.with_suffix(".good.pt")
    with one_sentence(rf"stopped at step 4: the loss is nan; .*{re.escape(str(good))}\)"):
        fine_tune(model, model.module, 9, resume_from=path)
    kept = torch.load(path, weights_only=True)["state"]
    assert kept["step"] == 2
    assert all(value.isfinite().all() for value in kept["module"].values())


def test_a_rate_too_high_is_noticed(tmp_path: Path) -> None:
    model = load(tmp_path, more="def loss(output, y):\n    return (output ** 2).mean() ** 4")
    wild = Schedule(peak_rate=1e30, largest_gradient=1e30)
    with pytest.raises(TrainingDiverged) as caught:
        fine_tune(model, model.module, 20, schedule=wild)
    assert all(value.isfinite().all() for value in caught.value.last_good.parameters())


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("None", r"metric\(\) returns NoneType; a number is needed"),
        ("'good'", r"metric\(\) returns str; a number is needed"),
        ("torch.ones(3)", r"metric\(\) returns Tensor; a number is needed"),
        ("float('nan')", r"metric\(\) returns nan; a finite number"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_metric_that_is_no_number(tmp_path: Path, metric: str, says: str) -> None:
    model = load(tmp_path, more=f"def metric(model, data):\n    return {metric}")
    with one_sentence(says):
        evaluate(model, model.module)


def test_a_metric_may_be_a_loss_or_a_tensor(tmp_path: Path) -> None:
    more = "higher_is_better = False\n\n\ndef metric(model, data):\n    return torch.tensor(0.5)"
    model = load(tmp_path, more=more)
    assert evaluate(model, model.module) == 0.5
    assert points_lost(model.training, 0.5, 0.6) == pytest.approx(10)
    assert points_lost(model.training, 0.6, 0.5) == pytest.approx(-10)
    assert points_lost(load(tmp_path).training, 0.6, 0.5) == pytest.approx(10)
    with one_sentence("higher_is_better is 'no'; it must be True or False"):
        load(tmp_path, more="higher_is_better = 'no'")


# --- Networks -------------------------------------------------------------------------------------------------


def test_a_network_on_the_wrong_device(tmp_path: Path) -> None:
    model = load(tmp_path)
    with one_sentence("weight '0.weight' of .*m.py: model.* is on the meta device and has no values"):
        load(tmp_path, (".eval()", ".eval().to('meta')"))
    elsewhere = copy.deepcopy(model.module).to("meta")
    for train in (fine_tune, quantization_aware):
        with one_sentence("weight '0.weight' of the network of m is on the meta device"):
            train(model, elsewhere, 2)
    with one_sentence("is on the meta device"):
        sparsify(model, elsewhere, 0.5, "after", 2)
    if not torch.cuda.is_available():
        with one_sentence(r"m\.py:\d+: model\(\) raised"):
            load(tmp_path, (".eval()", ".eval().to('cuda')"))


def test_dropout_and_batch_norm_left_in_training_mode(tmp_path: Path) -> None:
    layers = NETWORK[len("nn.Sequential(") : -len(").eval()")].replace(
        "nn.ReLU()", "nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)"
    )
    model = load(tmp_path, (NETWORK, f"nn.Sequential({layers}).train()"))
    assert not model.module.training
    left = copy.deepcopy(model.module).train()
    scores = {evaluate(model, left.train()) for _ in range(3)}
    assert len(scores) == 1
    trained = [fine_tune(model, network, 3) for network in (left.train(), model.module.eval())]
    for network in trained:
        assert not any(part.training for part in network.modules())
    assert torch.equal(trained[0](model.example_inputs[0]), trained[1](model.example_inputs[0]))


def test_frozen_parameters_stay_frozen_through_surgery_and_every_training(tmp_path: Path) -> None:
    layers = "nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)"
    model = load(tmp_path, (NETWORK, f"nn.Sequential({layers}).eval()"))
    model.module[0].requires_grad_(False)
    model.module[1].requires_grad_(False)
    coupling = analyse(model.module, model.example_inputs)
    (group,) = coupling.groups
    cut = prune(model.module, coupling, PruningPlan({group.name: (0, 2, 3, 5, 7)}))
    frozen = {name for name, value in cut.named_parameters() if not value.requires_grad}
    assert frozen == {"0.weight", "0.bias", "1.weight", "1.bias"}
    kept = [0, 2, 3, 5, 7]
    assert torch.equal(cut[0].weight, model.module[0].weight[kept])
    trainings = [
        fine_tune(model, cut, 3),
        quantization_aware(model, cut, 3),
        *(sparsify(model, cut, 0.5, when, 3) for when in ("before", "during", "after")),
    ]
    for trained in trainings:
        assert {name for name, value in trained.named_parameters() if not value.requires_grad} == frozen
        for name in (*sorted(frozen), "1.running_mean", "1.running_var"):
            assert torch.equal(trained.state_dict()[name], cut.state_dict()[name]), name
        assert not torch.equal(trained[4].weight, cut[4].weight)


def test_a_network_that_is_frozen_throughout_is_left_alone(tmp_path: Path) -> None:
    model = load(tmp_path)
    model.module.requires_grad_(False)
    for trained in (fine_tune(model, model.module, 3), quantization_aware(model, model.module, 3)):
        assert all(map(torch.equal, trained.parameters(), model.module.parameters()))
    with one_sentence("none of the network's weights can be set to zero: all are frozen"):
        sparsify(model, model.module, 0.5, "after", 3)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("pass", "fine_tune returns NoneType; return the module"),
        ("model[0].weight.data[0] = float('nan'); return model", "'0.weight' of .* holds NaN"),
        ("return nn.Linear(3, 3)", r"calling the network that fine_tune\(\) returns raised"),
        ("raise ValueError('boom')", r"m\.py:\d+: fine_tune\(\) raised ValueError: boom"),
    ],
)
def test_a_fine_tune_of_ones_own_that_goes_wrong(tmp_path: Path, body: str, says: str) -> None:
    model = load(tmp_path, more=f"def fine_tune(model, train, test, steps):\n    {body}")
    for train in (fine_tune, quantization_aware):
        with one_sentence(says):
            train(model, model.module, 2)
    assert not model.module._forward_hooks


# --- Names ----------------------------------------------------------------------------------------------------


def test_ignored_layers_and_least_widths_are_kept_and_unknown_names_refused(tmp_path: Path) -> None:
    model = load(tmp_path)
    coupling = analyse(model.module, model.example_inputs, ignore=["0"])
    assert not coupling.groups
    with one_sentence("no layer 'stem' to ignore"):
        analyse(model.module, model.example_inputs, ignore=["stem"])
    coupling = analyse(model.module, model.example_inputs)
    name = coupling.groups[0].name
    assert min(group_widths(coupling, multiple=1, minimum={name: 6})[name]) == 6
    assert group_widths(coupling, minimum={name: 8})[name] == (8,)
    with one_sentence("cannot keep 99 channels: it has 8"):
        group_widths(coupling, minimum={name: 99})
    with one_sentence("no channel group 'stem' to prune; the network's are: '0'"):
        group_widths(coupling, minimum={"stem": 4})
