"""Sequence operators' references: against onnxruntime's float operators, and their stated error bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgeprune.errors import UsageError
from edgeprune.graph.build import Builder, constant
from edgeprune.graph.ir import Array, Node, Quant, Tensor
from edgeprune.ops import _gates, _inverse_root, operator_for, operators
from edgeprune.ops.base import OnnxNode
from tests.support.host_kernel import reference
from tests.support.recurrent_nodes import X_QUANT, Recurrence, lower, random_parameters


def run_onnx(
    op: str, inputs: dict[str, Array], constants: dict[str, Array], outputs: int, **attrs: Any
) -> list[Array]:
    """Float outputs of one ONNX node; `constants` follow `inputs` among its operands, None where absent."""
    operands = [*inputs, *(name if value is not None else "" for name, value in constants.items())]
    names = [f"out{i}" for i in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, operands, names, **attrs)],
        "one",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, v.shape) for name, v in inputs.items()],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(v, name) for name, v in constants.items() if v is not None],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def fitted_quant(value: Array) -> Quant:
    """Asymmetric int8 parameters covering `value` and 0."""
    low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    scale = (high - low) / 255 or 1.0
    return Quant.per_tensor(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def steps_apart(stored: Array, real: Array, quant: Quant) -> Array:
    """Distance, in output steps, of stored values from the rounded real ones."""
    rounded = np.clip(np.rint(real / quant.scale[0]) + quant.zero_point[0], -128, 127)
    distance: Array = np.abs(stored - rounded)
    return distance


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "case",
    [
        Recurrence("LSTM", 20, 1, 16, 32, emits=(1, 1, 1)),
        Recurrence("LSTM", 20, 2, 16, 32, "bidirectional", emits=(1, 1, 1)),
        Recurrence("GRU", 20, 1, 16, 32, emits=(1, 1)),
        Recurrence("GRU", 20, 2, 16, 32, "reverse", linear_before_reset=0, emits=(1, 1)),
        Recurrence("RNN", 20, 1, 16, 32, emits=(1, 1)),
    ],
    ids=lambda case: f"{case.op}-{case.direction}",
)
def test_recurrent_layer_is_near_onnxruntime(case: Recurrence, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters = random_parameters(case, rng)
    x = np.clip(np.rint(rng.normal(0, 40, (case.steps, case.batch, case.inputs))), -128, 127).astype(np.int8)
    real_x = ((x.astype(np.float64) - X_QUANT.zero_point[0]) * X_QUANT.scale[0]).astype(np.float32)
    attrs = {key: value for key, value in case.attributes.items() if key != "layout"}
    expected = run_onnx(case.op, {"x": real_x}, parameters, len(case.emits), **attrs)
    quants = tuple(fitted_quant(value) for value in expected)
    (node,) = lower(case, rng, output_quants=quants, parameters=parameters)
    operator_for(node).check(node)
    results = reference((node,), {"x": x})
    for name, real, quant in zip(("Y", "Y_h", "Y_c"), expected, quants, strict=False):
        distance = steps_apart(results[name], real, quant)
        assert distance.max() <= 3, (name, distance.max())
        assert distance.mean() <= 0.7, (name, distance.mean())


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_float_reference_equals_onnxruntime(op: str) -> None:
    rng = np.random.default_rng(1)
    case = Recurrence(op, direction="bidirectional", batch=2, emits=(1, 1, 1)[: 3 if op == "LSTM" else 2])
    parameters = {name: np.rint(value * 64) / 64 for name, value in random_parameters(case, rng).items()}
    parameters = {name: value.astype(np.float32) for name, value in parameters.items()}
    (node,) = lower(case, rng, parameters=parameters)
    x = rng.normal(0, 1, (case.steps, case.batch, case.inputs)).astype(np.float32)
    attrs = {key: value for key, value in case.attributes.items() if key != "layout"}
    expected = run_onnx(op, {"x": x}, parameters, len(case.emits), **attrs)
    weights = [parameters[name].reshape(-1, parameters[name].shape[-1]).astype(np.float64) for name in "WR"]
    bias = node.inputs[3].value.astype(np.float64) * node.inputs[3].scale
    for got, real in zip(
        operator_for(node).float_reference(node, x.astype(np.float64), *weights, bias), expected, strict=True
    ):
        np.testing.assert_allclose(got, real, atol=2e-5)


def test_batch_first_equals_time_first() -> None:
    rng = np.random.default_rng(2)
    time_first = Recurrence("LSTM", batch=2, direction="bidirectional", emits=(1, 1, 1), states="computed")
    batch_first = Recurrence(**{**time_first.__dict__, "layout": 1})
    parameters = random_parameters(time_first, rng)
    values = {
        "x": rng.integers(-128, 128, (5, 2, 6), np.int8),
        "h0": rng.integers(-128, 128, (2, 2, 7), np.int8),
        "c0": rng.integers(-128, 128, (2, 2, 7), np.int8),
    }
    expected = reference(lower(time_first, rng, parameters=parameters), values)
    swapped = {name: np.swapaxes(value, 0, 1) for name, value in values.items()}
    results = reference(lower(batch_first, rng, parameters=parameters), swapped)
    np.testing.assert_array_equal(results["Y"], expected["Y"].transpose(2, 0, 1, 3))
    for name in ("Y_h", "Y_c"):
        np.testing.assert_array_equal(results[name], expected[name].transpose(1, 0, 2))


@pytest.mark.parametrize(
    ("attribute", "value"), [("clip", 3.0), ("input_forget", 1), ("activations", ["Relu", "Tanh", "Tanh"])]
)
def test_variants_are_refused_in_one_sentence(attribute: str, value: object) -> None:
    (node,) = _onnx_lstm({attribute: value})
    with pytest.raises(UsageError, match="'layer'"):
        operators()["Lstm"].lower(node, Builder())


def test_peepholes_and_short_sequences_are_refused() -> None:
    peephole, lengths = (
        constant("P", np.ones((1, 9), np.float32)),
        constant("lengths", np.array([2], np.int32)),
    )
    for node in (*_onnx_lstm({}, {7: peephole}), *_onnx_lstm({}, {4: lengths})):
        with pytest.raises(UsageError, match="'layer'"):
            operators()["Lstm"].lower(node, Builder())


def _onnx_lstm(attrs: dict[str, object], extra: dict[int, Tensor] | None = None) -> tuple[OnnxNode]:
    inputs: list[Tensor | None] = [
        Tensor("x", (4, 1, 2), "int8", X_QUANT),
        constant("W", np.ones((1, 12, 2), np.float32)),
        constant("R", np.ones((1, 12, 3), np.float32)),
        *[None] * 5,
    ]
    for index, tensor in (extra or {}).items():
        inputs[index] = tensor
    outputs = (Tensor("Y", (4, 1, 1, 3), "int8", X_QUANT),)
    return (OnnxNode("LSTM", "layer", tuple(inputs), outputs, {"hidden_size": 3, **attrs}, 20),)


def test_gate_functions_hold_their_bounds() -> None:
    values = np.arange(-(1 << 20), 1 << 20, 3)
    real = values / 65536
    assert np.abs(_gates.tanh_q15(values) / 32768 - np.tanh(real)).max() < 1.17e-4
    assert np.abs(_gates.sigmoid_q16(values) / 65536 - 1 / (1 + np.exp(-real))).max() < 6.1e-5
    far = np.array([-(1 << 31) + 1, (1 << 31) - 1])
    assert _gates.tanh_q15(far).tolist() == [-32767, 32767]


@given(
    st.one_of(
        st.integers(1, (1 << 62) - 1), st.integers(1, 1000), st.integers(1, 61).map(lambda n: (1 << n) - 1)
    )
)
def test_inverse_root_holds_its_bound(value: int) -> None:
    y, z = (int(result[0]) for result in _inverse_root.inverse_root(np.array([value])))
    assert 0.99 * 2**29 <= y <= 1 << 30
    assert y * 2.0 ** (z - 60) == pytest.approx(value**-0.5, rel=6e-8)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 4),
    length=st.integers(1, 300),
    x_scale=st.floats(1e-4, 10),
    spread=st.floats(0.3, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_layer_normalization_is_within_one_step(
    rows: int, length: int, x_scale: float, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = np.clip(np.rint(rng.normal(10, spread, (rows, length))), -128, 127).astype(np.int8)
    real = ((x.astype(np.float64) + 7) * x_scale).astype(np.float32)
    gamma, beta = rng.normal(1, 0.4, length).astype(np.float32), rng.normal(0, 0.5, length).astype(np.float32)
    node = _normalization(x.shape, x_scale, gamma, beta, 1.0)
    parameters = (gamma.astype(np.float64), beta.astype(np.float64))
    (expected,) = operator_for(node).float_reference(node, (x.astype(np.float64) + 7) * x_scale, *parameters)
    quant = fitted_quant(expected)
    node = _normalization(x.shape, x_scale, gamma, beta, quant.scale[0], quant.zero_point[0])
    operator_for(node).check(node)
    (stored,) = operator_for(node).reference(node, x, node.inputs[1].value, node.inputs[2].value)
    steps = expected / quant.scale[0] + quant.zero_point[0]
    assert np.abs(stored - np.clip(steps, -128, 127)).max() < 0.51
    (runtime,) = run_onnx("LayerNormalization", {"x": real}, {"gamma": gamma, "beta": beta}, 1, epsilon=1e-5)
    assert steps_apart(stored, runtime, quant).max() <= 1


def _normalization(
    shape: tuple[int, ...], x_scale: float, gamma: Array, beta: Array, y_scale: float, zero_point: int = 0
) -> Node:
    build = Builder()
    inputs = (
        Tensor("x", shape, "int8", Quant.per_tensor(x_scale, -7)),
        constant("gamma", gamma),
        constant("beta", beta),
    )
    outputs = (Tensor("y", shape, "int8", Quant.per_tensor(y_scale, zero_point)),)
    node = OnnxNode("LayerNormalization", "norm", inputs, outputs, {"axis": -1, "epsilon": 1e-5}, 20)
    operators()["LayerNormalization"].lower(node, build)
    return build.nodes[0]


@pytest.mark.parametrize(
    ("indices", "ops"),
    [(-1, ["Slice", "Reshape"]), ([1, 2], ["Slice"]), ([3, 1], ["Slice"]), ([[0, 3], [1, 0]], ["Gather"])],
)
def test_gather_of_constant_indices(indices: Any, ops: list[str]) -> None:
    picked = np.array(indices, np.int64)
    data = np.random.default_rng(0).integers(-128, 128, (2, 4, 3), np.int8)
    expected = data.take(picked, axis=1)
    quant = Quant.per_tensor(0.1, 3)
    inputs = (Tensor("data", data.shape, "int8", quant), constant("indices", picked))
    outputs = (Tensor("y", expected.shape, "int8", quant),)
    build = Builder({"data", "indices", "y"})
    operators()["Gather"].lower(OnnxNode("Gather", "pick", inputs, outputs, {"axis": 1}, 20), build)
    assert [node.op for node in build.nodes] == ops
    np.testing.assert_array_equal(reference(tuple(build.nodes), {"data": data})["y"], expected)


def test_embedding_is_stored_at_the_outputs_scale() -> None:
    table = np.random.default_rng(0).normal(0, 1, (10, 4)).astype(np.float32)
    quant = Quant.per_tensor(0.02, 3)
    ids = Tensor("ids", (3,), "int32")
    build = Builder({"ids", "table", "y"})
    node = OnnxNode(
        "Gather", "embed", (constant("table", table), ids), (Tensor("y", (3, 4), "int8", quant),), {}, 20
    )
    operators()["Gather"].lower(node, build)
    result = reference(tuple(build.nodes), {"ids": np.array([0, -1, 99], np.int32)})["y"]
    expected = np.clip(np.rint(table[[0, 9, 9]].astype(np.float64) / 0.02) + 3, -128, 127)
    np.testing.assert_array_equal(result, expected)
