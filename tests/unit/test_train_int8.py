"""Quantisation-aware training: the arithmetic it imitates, and what it wins."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeprune.graph.ir import Quant
from edgeprune.model.data import dataset_from_batches
from edgeprune.model.model import Model
from edgeprune.quantize import quantize
from edgeprune.quantize.ranges import activation_quant
from edgeprune.quantize.score import int8_score
from edgeprune.quantize.weights import channel_scales, quantize_weight
from edgeprune.train import Schedule, checkpoint, evaluate, fine_tune, quantization_aware
from edgeprune.train.fake_quantization import ActivationRanges, ImitatedInt8, round_weight
from tests.support.wild_ranges import spread, trained_digits
from tests.unit.test_train_resume import Killed, killed_after, make, network, state_bytes


@pytest.fixture(scope="module")
def digits() -> Model:
    return trained_digits()


def in_int8(model: Model, module: nn.Module) -> float:
    quantised = dataclasses.replace(model, module=module)
    calibration = dataset_from_batches(model.training.train_data(), 64, model.example_inputs)
    return int8_score(model, quantize(quantised, calibration))


def test_it_wins_back_what_int8_loses(digits: Model) -> None:
    wild = copy.deepcopy(digits.module)
    spread(wild, 4.0)
    assert evaluate(digits, wild) == pytest.approx(evaluate(digits, digits.module), abs=0.003)
    before = in_int8(digits, wild)
    trained = quantization_aware(digits, wild, 150)
    after = in_int8(digits, trained)
    assert before < 0.85
    assert after > 0.92
    assert type(trained) is type(wild)
    assert trained.state_dict().keys() == wild.state_dict().keys()
    assert not trained._forward_hooks
    assert not trained.training
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(trained[4], name), getattr(wild[4], name))


def test_weights_are_rounded_as_quantisation_stores_them() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 4, 3, 3, generator=generator) * 2.0 ** torch.arange(-3, 3)[:, None, None, None]
    for axis in (0, 1, None):
        scales = channel_scales(weight.numpy(), axis)
        shape = [-1 if dim == axis else 1 for dim in range(4)]
        wanted = quantize_weight(weight.numpy(), scales, axis).astype(np.float32) * scales.reshape(shape)
        np.testing.assert_allclose(round_weight(weight, axis).numpy(), wanted, rtol=1e-6)


def test_rounding_weights_commutes_with_folding_a_batch_norm() -> None:
    weight, factors = torch.randn(8, 3, 3, 3), torch.randn(8, 1, 1, 1) * 5
    torch.testing.assert_close(round_weight(weight * factors, 0), round_weight(weight, 0) * factors)


def test_activations_are_rounded_as_quantisation_stores_them() -> None:
    value = torch.linspace(-1.7, 3.1, 999)
    quant: Quant = activation_quant(-1.7, 3.1)
    scale, zero = quant.scale[0], quant.zero_point[0]
    stored = np.clip(np.rint(value.numpy() / scale) + zero, -128, 127)
    np.testing.assert_allclose(
        ActivationRanges().round("x", value).numpy(), (stored - zero) * scale, atol=1e-5
    )


def test_gradients_pass_straight_through_and_stop_where_values_saturate() -> None:
    ranges = ActivationRanges()
    ranges.round("x", torch.tensor([-1.0, 1.0]))
    ranges.observing = False
    value = torch.tensor([-3.0, -0.5, 0.123, 3.0], requires_grad=True)
    ranges.round("x", value).sum().backward()
    assert value.grad.tolist() == [0, 1, 1, 0]


def test_ranges_move_slowly() -> None:
    ranges = ActivationRanges()
    for largest in (1.0, 2.0):
        ranges.round("x", torch.tensor([0.5, largest]))
    torch.testing.assert_close(ranges.state()["x"], torch.tensor([0.0, 1.1]))


class Everything(nn.Module):
    """Operators of all sorts, spelled in all sorts of ways."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.up, self.table = nn.ConvTranspose1d(8, 8, 2, 2, groups=2), nn.Embedding(5, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.lstm, self.gru = nn.LSTM(8, 6, batch_first=True), nn.GRU(6, 8, batch_first=True)
        self.mix, self.scale = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.ones(8))
        self.layer_norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = F.relu(self.norm(self.conv(x)))
        y = torch.cat([self.up(y).chunk(2, -1)[0], y], 1)[:, :8].transpose(1, 2)
        y = y + self.attention(y, y, y, need_weights=False)[0]
        y += self.table(torch.arange(y.shape[1]) % 5)
        y = self.layer_norm(1 - y * self.scale)
        y = self.gru(self.lstm(y)[0])[0] @ self.mix
        y = F.scaled_dot_product_attention(y, y, y).softmax(-1)
        return {"mean": y.mean(1), "sum": torch.einsum("bij,jk->bik", y, self.mix).sum(1)}


def test_any_operator_and_any_result_is_imitated() -> None:
    torch.manual_seed(0)
    module = Everything().train()
    x = torch.randn(3, 4, 10)
    ranges = ActivationRanges()
    mode = ImitatedInt8(ranges)
    statistics = module.norm.running_mean.clone()
    with mode:
        output = module(x)
    output = mode.output(output)
    assert torch.equal(module.norm.running_mean, statistics)
    (output["mean"].sum() + output["sum"].sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert not any(
        key.split(".")[1] in ("batch_norm", "relu", "transpose", "chunk") for key in ranges.state()
    )
    read = {key.split(".")[1] for key in ranges.state()}
    assert {"conv1d", "conv_transpose1d", "cat", "layer_norm", "lstm", "gru", "matmul"} <= read
    module.eval()
    with ImitatedInt8(ranges) as again:
        close = again.output(module(x))
    for key, value in module(x).items():
        assert 0 < float((close[key] - value).abs().max()) < 0.15 * float(value.abs().max()) + 0.05


class InPlace(nn.Module):
    """Changes values after and before they are read."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x)
        z = torch.sigmoid(y)
        if self.in_place:
            y.mul_(-3).relu_()
            y += z
        else:
            y = F.relu(y * -3) + z
        return y.softmax(-1) + y


def test_values_changed_in_place() -> None:
    x = torch.randn(4, 50)
    outputs = []
    for in_place in (False, True):
        with ImitatedInt8(ActivationRanges()) as mode:
            output = InPlace(in_place)(x)
        outputs.append(mode.output(output))
    torch.testing.assert_close(outputs[0], outputs[1], atol=0.1, rtol=0)
    torch.testing.assert_close(outputs[1], InPlace(True)(x), atol=0.1, rtol=0)


def test_an_exported_graph_is_imitated_too() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ).eval()
    x = torch.randn(5, 2, 4, 4)
    program = torch.export.export(net, (x,)).module()
    results = []
    for module in (net, program):
        mode = ImitatedInt8(ActivationRanges())
        with mode:
            output = module(x)
        results.append(mode.output(output))
    torch.testing.assert_close(results[0], results[1])
    assert not torch.equal(results[0], net(x))


def test_the_recipes_own_training_is_imitated_and_its_zeros_held() -> None:
    seen: list[int] = []

    def own(module: nn.Module, train: Any, test: Any, steps: int) -> nn.Module:
        copied = copy.deepcopy(module)
        optimizer = torch.optim.Adam(module.parameters(), 0.01)
        for x, y in list(train)[:steps]:
            output = module.train()(x)
            seen.append(len(torch.unique(output)))
            optimizer.zero_grad()
            F.cross_entropy(output, y).backward()
            optimizer.step()
            assert bool((module[0].weight == 0)[:, 0].all())
        copied.load_state_dict(module.state_dict())
        return copied

    start = network()
    with torch.no_grad():
        start[0].weight[:, 0] = 0
    trained = quantization_aware(make(own=own), start, 3, hold_zeros=True)
    assert len(seen) == 3
    assert not trained._forward_hooks
    assert not trained._forward_pre_hooks
    assert bool((trained[0].weight == 0)[:, 0].all())
    assert not torch.equal(trained[0].weight, start[0].weight)


def test_it_resumes_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_SAVE_EVERY_S", 0.0)
    whole = quantization_aware(make(), network(), 12, seed=3)
    with pytest.raises(Killed):
        quantization_aware(make(killed_after(7)), network(), 12, seed=3, resume_from=tmp_path / "s.pt")
    again = quantization_aware(make(), network(), 12, seed=3, resume_from=tmp_path / "s.pt")
    assert state_bytes(again) == state_bytes(whole)
    assert state_bytes(fine_tune(make(), network(), 12, seed=3, schedule=Schedule(0.01))) != state_bytes(
        whole
    )


def test_the_score_of_a_float_file_is_the_networks(digits: Model) -> None:
    from edgeprune.quantize.export import export_float
    from edgeprune.quantize.run import serialize

    onnx = serialize(export_float(digits.module, digits.example_inputs, "digits"))
    assert int8_score(digits, onnx) == evaluate(digits, digits.module)
    assert int8_score(digits, onnx, 100) == evaluate(digits, digits.module, 100)
