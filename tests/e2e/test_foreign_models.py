"""Networks as ONNX Runtime's quantiser leaves them, in its formats and types: the same numbers, on every target."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn
from torch.nn import functional

from edgeprune.config import Settings
from edgeprune.graph.ir import Array, Graph
from edgeprune.graph.onnx_import import import_onnx
from edgeprune.graph.passes import compact, simplify
from edgeprune.graph.verify import verify
from edgeprune.pipeline import deploy
from edgeprune.progress import SilentProgress
from edgeprune.quantize import run_onnx
from edgeprune.verify import Samples, real_outputs, reference_outputs, stored_inputs

IMAGE, SIGNAL = (1, 3, 12, 12), (1, 4, 24)


class Mobile(nn.Module):
    """Depthwise blocks with SiLU and a residual; max pooling; a wide kernel of asymmetric padding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (3, 4), 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.norm(self.stem(functional.pad(x, (1, 0, 2, 0)))))
        x = x + self.pointwise(functional.relu6(self.depthwise(x)))
        return self.head(functional.max_pool2d(x, 2).mean((2, 3)))


class Encoder(nn.Module):
    """Patches, a layer of attention with its normalisation, and a GELU that exporters decompose."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.wide = nn.Linear(8, 16)
        self.narrow = nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + torch.softmax(q @ k.transpose(1, 2) * 0.35, -1) @ v
        return self.narrow(functional.gelu(self.wide(x))).mean(1)


class Decoder(nn.Module):
    """Down and up again by a transposed convolution and by repetition, beside a skip; grouped and dilated."""

    def __init__(self, *, transposed: bool) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.middle = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2) if transposed else nn.Sequential(nn.Upsample(scale_factor=2))
        self.out = nn.Conv2d(7 if transposed else 11, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        deep = functional.leaky_relu(self.middle(torch.relu(self.down(x))), 0.1)
        return self.out(torch.cat([self.up(deep), x], 1))


class Quotients(nn.Module):
    """A signal network whose head divides and takes roots."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 8, 5, 2, 2)
        self.second = nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.head = nn.Conv1d(16, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.first(x))
        b = self.second(a)
        parts = [(a - b) / 3.0, a / (b.abs() + 1)]
        return self.head(torch.cat(parts, 1)).amax(2)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mobile": (Mobile, IMAGE),
    "encoder": (Encoder, IMAGE),
    "transposed": (lambda: Decoder(transposed=True), IMAGE),
    "repeated": (lambda: Decoder(transposed=False), IMAGE),
    "quotients": (Quotients, SIGNAL),
}
TYPES = {
    "int8": (QuantType.QInt8, QuantType.QInt8, True),
    "uint8": (QuantType.QUInt8, QuantType.QInt8, False),
    "asymmetric": (QuantType.QUInt8, QuantType.QUInt8, False),
}
FORMATS = {"QDQ": QuantFormat.QDQ, "QOperator": QuantFormat.QOperator}


class Random(CalibrationDataReader):
    """Eight seeded random inputs."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.batches = iter([random_input(seed, shape) for seed in range(8)])

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


def random_input(seed: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The float network of a name, exported and prepared once."""
    folder = tmp_path_factory.mktemp("float")

    def path(name: str) -> Path:
        target = folder / f"{name}.onnx"
        if not target.exists():
            torch.manual_seed(0)
            make, shape = NETWORKS[name]
            data = io.BytesIO()
            opset = 17 if name == "encoder" else 13
            torch.onnx.export(
                make().eval(),
                (torch.zeros(shape),),
                data,
                dynamo=False,
                opset_version=opset,
                input_names=["x"],
            )
            quant_pre_process(onnx.load_model_from_string(data.getvalue()), target)
        return target

    return path


def quantised(source: Path, target: Path, shape: tuple[int, ...], form: str, kind: str) -> bytes:
    activation, weight, per_channel = TYPES[kind]
    quantize_static(
        source,
        target,
        Random(shape),
        quant_format=FORMATS[form],
        activation_type=activation,
        weight_type=weight,
        per_channel=per_channel,
    )
    return target.read_bytes()


def difference_in_steps(data: bytes, graph: Graph, x: Array) -> float:
    """The largest difference of the references to ONNX Runtime, in steps of the output."""
    samples = Samples((x,), None, "random")
    (mine,) = real_outputs(graph, reference_outputs(graph, stored_inputs(graph, samples), SilentProgress()))
    (theirs,) = run_onnx(data, (x,))
    return float(np.abs(theirs.reshape(mine.shape) - mine).max() / graph.outputs[0].scale)


CASES = [
    case
    for case in itertools.product(NETWORKS, FORMATS, TYPES)
    if case[:2] != ("transposed", "QOperator")  # which leaves it in float: see below
]


@pytest.mark.parametrize(("network", "form", "kind"), CASES)
def test_a_quantised_network_means_what_onnxruntime_computes(network, form, kind, exported, tmp_path):
    shape = NETWORKS[network][1]
    data = quantised(exported(network), tmp_path / "q.onnx", shape, form, kind)
    graph = verify(compact.run(simplify(import_onnx(data, network))))
    assert difference_in_steps(data, graph, random_input(99, (3, *shape[1:]))) < 2.5
    wide = {t.name for t in graph.tensors() if t.dtype == "int16"}
    assert bool(wide) == (kind == "asymmetric")


def test_a_layer_left_in_float_is_refused_in_words(exported, tmp_path):
    data = quantised(exported("transposed"), tmp_path / "q.onnx", IMAGE, "QOperator", "int8")
    with pytest.raises(
        Exception, match=r"ConvTranspose node .* not quantised \(float32\); quantise that node"
    ):
        import_onnx(data, "transposed", islands=False)


@pytest.mark.parametrize("device", ["host", "nucleo-f446re"])
def test_wide_weights_and_divisions_run_on_targets(device, exported, tmp_path):
    model, inputs = tmp_path / "quotients.onnx", tmp_path / "inputs.npz"
    quantised(exported("quotients"), model, SIGNAL, "QDQ", "asymmetric")
    np.savez(inputs, x=random_input(5, (3, *SIGNAL[1:])))
    report = deploy(Settings(model, device, output=tmp_path / "out", data=inputs)).report
    assert report["verify"]["bit_exact"], report["reason"]
    assert report["verify"]["max_difference_to_onnx"] <= 2
    assert {"conv_s8_c", "depthwise_s8_c", "div_s8_c"} <= {layer["kernel"] for layer in report["layers"]}
