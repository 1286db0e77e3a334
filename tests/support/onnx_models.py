"""Small QDQ ONNX models, built by hand, with random weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class QdqBuilder:
    """Collects an ONNX graph in QDQ style; every method returns the name of the real-valued result."""

    def __init__(self, seed: int = 0, activation: type = np.int8) -> None:
        self.rng = np.random.default_rng(seed)
        self.activation = activation
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.count = 0

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def constant(self, array: np.ndarray, stem: str = "c") -> str:
        name = self.fresh(stem)
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def input(self, *shape: int, scale: float = 0.05, zero: int = 3) -> str:
        name = self.fresh("input")
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self.quantized(name, scale, zero)

    def quantized(self, name: str, scale: float, zero: int) -> str:
        """`name` through QuantizeLinear and DequantizeLinear; `zero` is the int8 zero point."""
        stored_zero = zero + (128 if self.activation is np.uint8 else 0)
        s, z = self.constant(np.float32(scale), "scale"), self.constant(self.activation(stored_zero), "zero")
        q, dq = self.fresh("q"), self.fresh("dq")
        self.nodes.append(helper.make_node("QuantizeLinear", [name, s, z], [q]))
        self.nodes.append(helper.make_node("DequantizeLinear", [q, s, z], [dq]))
        return dq

    def op(
        self, op_type: str, inputs: list[str], scale: float | None = 0.1, zero: int = -5, **attrs: object
    ) -> str:
        out = self.fresh(op_type.lower())
        self.nodes.append(helper.make_node(op_type, inputs, [out], name=f"node_{out}", **attrs))
        return out if scale is None else self.quantized(out, scale, zero)

    def weights(self, *shape: int, axis: int | None = 0) -> str:
        """Random int8 weights behind DequantizeLinear, per channel along `axis` or per tensor."""
        array = self.rng.integers(-127, 128, shape).astype(np.int8)
        channels = 1 if axis is None else shape[axis]
        scales = self.rng.uniform(0.001, 0.01, channels).astype(np.float32)
        stored = self.constant(array, "w")
        out = self.fresh("w_dq")
        if axis is None:
            scale, zero = self.constant(scales[0], "ws"), self.constant(np.int8(0), "wz")
            self.nodes.append(helper.make_node("DequantizeLinear", [stored, scale, zero], [out]))
        else:
            scale, zero = self.constant(scales, "ws"), self.constant(np.zeros(channels, np.int8), "wz")
            self.nodes.append(helper.make_node("DequantizeLinear", [stored, scale, zero], [out], axis=axis))
        return out

    def model(self, *outputs: str) -> bytes:
        """The serialised model, shapes inferred."""
        values = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, values, self.initializers)
        others = sorted({node.domain for node in self.nodes} - {""})
        opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in others)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        for value in graph.output:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        known = {v.name: v for v in inferred.graph.value_info}
        del inferred.graph.output[:]
        inferred.graph.output.extend(
            known.get(name, value) for name, value in zip(outputs, values, strict=True)
        )
        return inferred.SerializeToString()


def conv_block(
    b: QdqBuilder, x: str, cin: int, cout: int, k: int = 3, stride: int = 1, relu: bool = True
) -> str:
    """Convolution, and Relu at an unquantised intermediate as exporters leave it."""
    pad = k // 2
    attrs = {"kernel_shape": [k, k], "strides": [stride] * 2, "pads": [pad] * 4}
    inputs = [x, b.weights(cout, cin, k, k)]
    if not relu:
        return b.op("Conv", inputs, **attrs)
    return b.op("Relu", [b.op("Conv", inputs, scale=None, **attrs)], 0.05, -128)


def flatten_net(activation: type = np.int8) -> bytes:
    """Convolution, flatten in channel-first order, fully connected."""
    b = QdqBuilder(1, activation)
    x = conv_block(b, b.input(1, 3, 6, 5), 3, 4)
    flat = b.op("Flatten", [x], scale=None)
    return b.model(b.op("Gemm", [flat, b.weights(7, 120)], transB=1))


def residual_net() -> bytes:
    """Residual block with a Concat and a mean, spatial output beside a vector output."""
    b = QdqBuilder(2)
    x = conv_block(b, b.input(1, 3, 8, 8), 3, 8)
    y = conv_block(b, conv_block(b, x, 8, 8), 8, 8, relu=False)
    total = b.op("Relu", [b.op("Add", [x, y], scale=None)], 0.1, -128)
    both = b.op("Concat", [total, x], 0.1, -128, axis=1)
    pooled = b.op("GlobalAveragePool", [both])
    flat = b.op("Flatten", [pooled], scale=None)
    head = b.op("Gemm", [flat, b.weights(5, 16)], transB=1)
    return b.model(head, b.op("MaxPool", [both], 0.1, -128, kernel_shape=[2, 2], strides=[2, 2]))


def squeeze_excite_net() -> bytes:
    """A gate computed from the pooled map multiplies the map."""
    b = QdqBuilder(3)
    x = conv_block(b, b.input(1, 1, 9, 7), 1, 8, stride=2)
    gate = b.op("GlobalAveragePool", [x], 0.05, -100)
    gate = conv_block(b, gate, 8, 8, k=1, relu=False)
    gate = b.op("Sigmoid", [gate], 1 / 256, -128)
    return b.model(b.op("Mul", [x, gate], 0.05, -128))


def sequence_net() -> bytes:
    """1-D convolutions over a signal, then a fully connected layer on the last axis."""
    b = QdqBuilder(4)
    x = b.input(1, 4, 20)
    attrs = {"kernel_shape": [3], "pads": [2, 2], "dilations": [2]}
    x = b.op("Relu", [b.op("Conv", [x, b.weights(6, 4, 3)], scale=None, **attrs)], 0.05, -128)
    x = b.op("Transpose", [x], scale=None, perm=[0, 2, 1])
    return b.model(b.op("MatMul", [x, b.weights(6, 5, axis=1)]))


MODELS = {
    "flatten": flatten_net,
    "residual": residual_net,
    "squeeze_excite": squeeze_excite_net,
    "sequence": sequence_net,
}
