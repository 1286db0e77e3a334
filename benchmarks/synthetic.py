"""Int8 QDQ ONNX networks of given layer shapes with random weights, quantised as calibration would.

Speed, flash and RAM depend on shapes, and a little on the ranges of requantisation, so that such a network stands
for a trained one of the same shapes wherever accuracy is not the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Layer", "mobilenet", "network"]

_OPSET = 17
_INPUT_SCALE = 2.0 / 255.0


@dataclass(frozen=True)
class Layer:
    """One layer; convolutions have a bias and a ReLU, fully connected layers a bias.

    `outputs` is ignored where the input's channels decide: depthwise and mean. `pads` are top, left, bottom,
    right.
    """

    kind: Literal["conv", "depthwise", "mean", "fully_connected"]
    outputs: int = 0
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


def mobilenet(side: int = 96, classes: int = 2) -> bytes:
    """MobileNetV1 with width 0.25 for `side` x `side` x 3 images, MLPerf Tiny's visual wake words at 96.

    Padding is TensorFlow's: windows of stride 2 over an even image start inside it (Howard et al., 2017).
    """
    layers = [Layer("conv", 8, (3, 3), (2, 2), _same(side, 2))]
    at = -(-side // 2)
    for outputs, stride in (
        *((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)),
        *((128, 1),) * 5,
        *((256, 2), (256, 1)),
    ):
        layers.append(Layer("depthwise", 0, (3, 3), (stride, stride), _same(at, stride)))
        layers.append(Layer("conv", outputs))
        at = -(-at // stride)
    return network((3, side, side), (*layers, Layer("mean"), Layer("fully_connected", classes)))


def _same(extent: int, stride: int) -> tuple[int, int, int, int]:
    """TensorFlow's SAME padding of 3 x 3 windows on a square image."""
    total = max((-(-extent // stride) - 1) * stride + 3 - extent, 0)
    return (total // 2, total // 2, total - total // 2, total - total // 2)


def network(input_shape: tuple[int, ...], layers: Sequence[Layer], seed: int = 0) -> bytes:
    """`layers` one after the other as a QDQ ONNX file, batch 1; the same arguments give the same bytes.

    Args:
        input_shape: channels, height, width; or features alone.
        layers: what follows the input, whose scale spans [-1, 1].
        seed: of the weights, and of the input that decides the ranges of activations.
    """
    chain = _Chain(input_shape, np.random.default_rng(seed))
    for layer in layers:
        chain.add(layer)
    return chain.model()


class _Chain:
    """Collects nodes, and carries a batch of one real input along to see the range of every activation."""

    def __init__(self, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        self._rng = rng
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._input = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, *shape))
        self._seen = torch.from_numpy(rng.uniform(-1.0, 1.0, (1, *shape)).astype(np.float32))
        self._scale = _INPUT_SCALE
        self._name = self._quantized("input", _INPUT_SCALE, 0)

    def add(self, layer: Layer) -> None:
        """Appends one layer."""
        index = len(self._nodes)
        if layer.kind == "mean":
            self._append("GlobalAveragePool", [self._name], f"mean_{index}")
            self._seen = self._seen.mean((2, 3), keepdim=True)
            self._finish(f"mean_{index}")
        elif layer.kind == "fully_connected":
            if self._seen.ndim > 2:
                self._append("Flatten", [self._name], f"flat_{index}")
                self._seen, self._name = self._seen.flatten(1), f"flat_{index}"
            w, b = self._weights((layer.outputs, self._seen.shape[1]), f"fc_{index}")
            self._append("Gemm", [self._name, *w[0], *b[0]], f"fc_{index}", transB=1)
            self._seen = F.linear(self._seen, w[1], b[1])
            self._finish(f"fc_{index}")
        else:
            self._convolve(layer, f"{layer.kind}_{index}")

    def model(self) -> bytes:
        """The file."""
        shape = tuple(self._seen.shape)
        output = helper.make_tensor_value_info(self._name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "network", [self._input], [output], self._initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
        data: bytes = model.SerializeToString()
        return data

    def _convolve(self, layer: Layer, name: str) -> None:
        channels = self._seen.shape[1]
        grouped = layer.kind == "depthwise"
        outputs, groups = (channels, channels) if grouped else (layer.outputs, 1)
        w, b = self._weights((outputs, channels // groups, *layer.kernel), name)
        top, left, bottom, right = layer.pads
        self._append(
            "Conv",
            [self._name, *w[0], *b[0]],
            f"{name}_sum",
            kernel_shape=layer.kernel,
            strides=layer.strides,
            pads=layer.pads,
            group=groups,
        )
        self._append("Relu", [f"{name}_sum"], name)
        padded = F.pad(self._seen, (left, right, top, bottom))
        self._seen = F.conv2d(padded, w[1], b[1], layer.strides, groups=groups).relu()
        self._finish(name)

    def _weights(
        self, shape: tuple[int, ...], name: str
    ) -> tuple[tuple[list[str], torch.Tensor], tuple[list[str], torch.Tensor]]:
        """Weights that keep the variance of activations, per output channel, and bias: names, and real values."""
        real = self._rng.normal(0.0, np.sqrt(2.0 / np.prod(shape[1:])), shape)
        real *= self._rng.uniform(0.5, 1.5, (shape[0],) + (1,) * (len(shape) - 1))
        scales = np.abs(real).max(axis=tuple(range(1, len(shape)))) / 127.0
        spread = scales.reshape(-1, *(1,) * (len(shape) - 1))
        stored = np.clip(np.round(real / spread), -127, 127).astype(np.int8)
        bias_scales = scales * self._scale
        bias = np.round(self._rng.normal(0.0, 0.1, shape[0]) / bias_scales).astype(np.int32)
        weights = self._constants(stored, scales, f"{name}_weights")
        biases = self._constants(bias, bias_scales, f"{name}_bias")
        return (
            ([weights], torch.from_numpy((stored * spread).astype(np.float32))),
            ([biases], torch.from_numpy((bias * bias_scales).astype(np.float32))),
        )

    def _constants(
        self, stored: npt.NDArray[np.int8 | np.int32], scales: npt.NDArray[np.float64], name: str
    ) -> str:
        """`stored` behind a DequantizeLinear per output channel."""
        inputs = [
            self._constant(f"{name}_stored", stored),
            self._constant(f"{name}_scale", scales.astype(np.float32)),
            self._constant(f"{name}_zero", np.zeros(len(scales), stored.dtype)),
        ]
        self._append("DequantizeLinear", inputs, name, axis=0)
        return name

    def _finish(self, name: str) -> None:
        """Quantises the activation `name` to the range it was seen in, zero included."""
        low, high = min(float(self._seen.min()), 0.0), max(float(self._seen.max()), 1e-3)
        self._scale = (high - low) / 255.0
        self._name = self._quantized(name, self._scale, round(-128 - low / self._scale))

    def _quantized(self, name: str, scale: float, zero_point: int) -> str:
        numbers = [
            self._constant(f"{name}_scale", np.array(scale, np.float32)),
            self._constant(f"{name}_zero", np.array(zero_point, np.int8)),
        ]
        self._append("QuantizeLinear", [name, *numbers], f"{name}_int8")
        self._append("DequantizeLinear", [f"{name}_int8", *numbers], f"{name}_real")
        return f"{name}_real"

    def _constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self._initializers.append(numpy_helper.from_array(values, name))
        return name

    def _append(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, inputs, [output], name=f"{output}_node", **attributes))
