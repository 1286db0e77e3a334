"""Quantised networks: complete, near to float, named after their layers, the same bytes every time."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.model import Dataset, Model, load_model
from edgeprune.quantize import quantize, run_onnx, signal_to_noise_db
from tests.support.completeness import unquantised_tensors


def torch_model(network, *shape, name="net"):
    return Model(name, Path(name), "torch", module=network.eval(), example_inputs=(torch.zeros(1, *shape),))


def float_outputs(model, data):
    with torch.no_grad():
        return model.module(*(torch.from_numpy(array) for array in data.inputs)).numpy()


def operators(data):
    nodes = onnx.load_model_from_string(data).graph.node
    return [node for node in nodes if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]


def random_data(*shape, samples=32, seed=0):
    return Dataset((np.random.default_rng(seed).standard_normal((samples, *shape)).astype(np.float32),))


def test_onnx_operators_stay_whole():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.TransformerEncoderLayer(
                16, 4, 32, batch_first=True, activation="gelu", norm_first=True
            )

        def forward(self, x):
            return self.block(x)

    torch.manual_seed(0)
    model, data = torch_model(Attention(), 8, 16), random_data(8, 16)
    quantized = quantize(model, data)
    found = [node.op_type for node in operators(quantized)]
    assert {"LayerNormalization", "Gelu", "Softmax", "Gemm"} <= set(found)
    assert found.count("Softmax") == 1
    assert found.count("Mul") == 1  # the scale, once, on the scores
    assert found.count("MatMul") == 2  # scores, mixture; the linear layers are Gemm
    assert unquantised_tensors(quantized) == []
    assert signal_to_noise_db([float_outputs(model, data)], run_onnx(quantized, data.inputs)) > 28


def test_causal_masks_leave_room_for_the_scores():
    class Causal(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)

    model, data = torch_model(Causal(), 2, 5, 8), random_data(2, 5, 8)
    assert signal_to_noise_db([float_outputs(model, data)], run_onnx(quantize(model, data), data.inputs)) > 28


def initializers(data):
    return {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load_model_from_string(data).graph.initializer
    }


def test_weights_and_biases_follow_the_contract():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2),
        nn.Flatten(),
    )
    network[1].weight.data.uniform_(-2, 2)
    data = quantize(torch_model(network, 3, 6, 6), random_data(3, 6, 6))
    values = initializers(data)
    weights = {name: value for name, value in values.items() if value.dtype == np.int8 and value.ndim == 4}
    assert [value.shape for value in weights.values()] == [(8, 3, 3, 3), (8, 3, 2, 2)]
    for value in weights.values():
        assert value.min() >= -127
        assert np.abs(value).max() == 127
    assert sorted(value.shape for value in values.values() if value.dtype == np.int32) == [(6,), (8,)]
    # The ReLU is the saturation of the convolution's int8 result.
    assert [node.op_type for node in operators(data)] == ["Conv", "ConvTranspose", "Reshape"]
    assert values["relu_zero_point"] == -128


def test_channels_whose_bias_dwarfs_their_weights():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    conv.weight.data[1], conv.bias.data[1] = 0, 3.0
    conv.weight.data[2] *= 1e-14
    model, data = torch_model(conv, 3, 6, 6), random_data(3, 6, 6)
    assert signal_to_noise_db([float_outputs(model, data)], run_onnx(quantize(model, data), data.inputs)) > 35


def test_data_movement_keeps_its_scale():
    class Movement(nn.Module):
        def forward(self, x):
            a, b = torch.nn.functional.max_pool2d(x, 2).chunk(2, dim=1)
            wide = nn.functional.interpolate(a, scale_factor=2)
            shuffled = nn.functional.pixel_shuffle(x, 2)[:, :2, ::2, ::2]
            return torch.cat([wide, shuffled, b.repeat(1, 1, 2, 2)], 1)

    values = initializers(quantize(torch_model(Movement(), 8, 4, 4), random_data(8, 4, 4)))
    assert len({value.tobytes() for name, value in values.items() if name.endswith("_scale")}) == 1


def float_onnx(network, shape, path, opset):
    torch.onnx.export(
        network.eval(),
        (torch.zeros(1, *shape),),
        path,
        dynamo=False,
        opset_version=opset,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        input_names=["x"],
        dynamic_axes={"x": {0: "batch"}},
    )
    return load_model(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("opset", [11, 17])
def test_float_onnx_files(tmp_path, opset):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(8, 4, 2, groups=2), nn.BatchNorm2d(4), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(100, 8),
        nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3), nn.Softmax(1),
    )  # fmt: skip
    for layer in network:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(-1, 1)
    model = float_onnx(network, (3, 8, 8), tmp_path / "float.onnx", opset)
    assert model.kind == "onnx-float"
    data = random_data(3, 8, 8)
    quantized = quantize(model, data)
    assert unquantised_tensors(quantized) == []
    assert "BatchNormalization" not in [node.op_type for node in operators(quantized)]
    assert "/1/Conv" in [node.name for node in operators(quantized)]
    expected = float_outputs(torch_model(network, 3, 8, 8), data)
    assert signal_to_noise_db([expected], run_onnx(quantized, data.inputs)) > 28


def test_int8_models_pass_through():
    model = Model("q", Path("q.onnx"), "onnx-int8", onnx=b"bytes")
    assert quantize(model, random_data(1)) == b"bytes"


def test_the_checker_finds_what_is_left_out():
    model = torch_model(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2)), 4)
    proto = onnx.load_model_from_string(quantize(model, random_data(4)))
    removed = next(node for node in proto.graph.node if node.name == "sigmoid_quantize")
    reader = next(node for node in proto.graph.node if node.name == "sigmoid_dequantize")
    proto.graph.node.remove(removed)
    proto.graph.node.remove(reader)
    for node in proto.graph.node:
        for index, name in enumerate(node.input):
            if name == reader.output[0]:
                node.input[index] = removed.input[0]
    assert unquantised_tensors(proto.SerializeToString()) == ["sigmoid"]


def test_networks_that_cannot_be_captured():
    class Branching(nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(UsageError, match=r"cannot be captured by torch.export .* branch"):
        quantize(torch_model(Branching(), 4), random_data(4))

    class Unknown(nn.Module):
        def forward(self, x):
            return torch.linalg.svdvals(x)

    with pytest.raises(UsageError, match=r"has no ONNX form: .*svd"):
        quantize(torch_model(Unknown(), 4, 4), random_data(4, 4))


def test_calibration_that_overflows():
    class Exploding(nn.Module):
        def forward(self, x):
            return torch.exp(x * 1000)

    with pytest.raises(UsageError, match="NaN or infinite on the calibration data"):
        quantize(torch_model(Exploding(), 4), random_data(4))


def test_the_console_stays_quiet(capfd, recwarn):
    quantize(torch_model(nn.Linear(4, 2), 4), random_data(4))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert not recwarn.list
