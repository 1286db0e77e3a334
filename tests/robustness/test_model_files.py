"""Damaged, hostile and unsuitable model and data files: each is refused in one sentence."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.model import InputSpec, load_dataset, load_model
from tests.support.refusals import load_refusal


def test_missing_file_and_unknown_suffix(tmp_path):
    assert "does not exist" in load_refusal(tmp_path / "none.onnx")
    other = tmp_path / "model.tflite"
    other.write_bytes(b"")
    assert ".tflite" in load_refusal(other)
    assert "not a file" in load_refusal(tmp_path)


def linear_onnx(weight, *, dims=(1, 3), nodes=None):
    return helper.make_model(
        helper.make_graph(
            nodes or [helper.make_node("MatMul", ["x", "w"], ["y"], "dense")],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(dims))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(weight, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )


def saved(folder, model):
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


WEIGHT = np.ones((3, 2), np.float32)


def test_truncated_onnx(tmp_path):
    path = saved(tmp_path, linear_onnx(np.ones((3, 200), np.float32)))
    whole = path.read_bytes()
    for size in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert str(path) in load_refusal(path)
    path.write_bytes(b"\x00\xff" * 400)
    assert "not an ONNX model" in load_refusal(path)


def test_onnx_with_external_data(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(linear_onnx(WEIGHT), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    held = onnx.load_model_from_string(load_model(path).onnx)
    np.testing.assert_array_equal(numpy_helper.to_array(held.graph.initializer[0]), WEIGHT)
    (tmp_path / "w.bin").unlink()
    assert "w.bin" in load_refusal(path)


def test_onnx_external_data_outside_its_folder_is_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    folder = tmp_path / "inner"
    folder.mkdir()
    model = linear_onnx(WEIGHT)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    assert "secret.bin" in load_refusal(saved(folder, model))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_onnx_with_weights_that_are_not_finite(tmp_path, value):
    weight = WEIGHT.copy()
    weight[1, 1] = value
    assert "'w' holds NaN or infinite" in load_refusal(saved(tmp_path, linear_onnx(weight)))


def test_onnx_with_zero_size_tensors(tmp_path):
    assert "no elements" in load_refusal(saved(tmp_path, linear_onnx(np.ones((3, 0), np.float32))))
    assert "no elements" in load_refusal(saved(tmp_path, linear_onnx(WEIGHT, dims=(1, 0, 3))))


def test_onnx_dynamic_shapes(tmp_path):
    assert "dimension 1 of input 'x' is dynamic (time)" in load_refusal(
        saved(tmp_path, linear_onnx(WEIGHT, dims=(1, "time", 3)))
    )
    model = load_model(saved(tmp_path, linear_onnx(WEIGHT, dims=("batch", 3))))
    dims = onnx.load_model_from_string(model.onnx).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [1, 3]


def test_onnx_kinds(tmp_path):
    assert load_model(saved(tmp_path, linear_onnx(WEIGHT))).kind == "onnx-float"
    quantized = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    model = linear_onnx(WEIGHT, nodes=quantized)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "s"))
    assert load_model(saved(tmp_path, model)).kind == "onnx-int8"


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    ).eval()
    torch.export.save(torch.export.export(net, (torch.randn(1, 1, 8, 8),)), path)
    return path


def rewritten(program, folder, changes):
    """A copy of the archive with records replaced (bytes), changed (function) or added."""
    path = folder / "changed.pt2"
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        root = source.namelist()[0].split("/")[0]
        left = dict(changes)
        for name in source.namelist():
            data, key = source.read(name), name.removeprefix(f"{root}/")
            change = left.pop(key, None)
            target.writestr(name, change(data) if callable(change) else data if change is None else change)
        for key, data in left.items():
            target.writestr(f"{root}/{key}", data)
    return path


def edited_json(edit):
    def change(data):
        value = json.loads(data)
        edit(value)
        return json.dumps(value).encode()

    return change


def test_pt2_round_trip(program, tmp_path):
    model = load_model(rewritten(program, tmp_path, {}))
    assert model.kind == "torch"
    assert model.example_inputs[0].shape == (1, 1, 8, 8)
    assert "0.weight" in dict(model.module.named_parameters())
    assert not model.module.training


def test_pt2_truncated(program, tmp_path):
    path = tmp_path / "short.pt2"
    path.write_bytes(program.read_bytes()[:2000])
    assert "truncated" in load_refusal(path)
    path.write_bytes(b"")
    assert "truncated" in load_refusal(path)


def test_pt2_with_pickled_payloads_is_refused_unopened(program, tmp_path):
    mark = tmp_path / "opened"
    evil = pickle.dumps(Evil(mark))
    torch_evil = io.BytesIO()
    torch.save(Evil(mark), torch_evil)

    def mark_pickled(config):
        next(iter(config["config"].values()))["use_pickle"] = True

    def call_system(graph):
        graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"

    config = "data/weights/model_weights_config.json"
    attacks = [
        {config: edited_json(mark_pickled), "data/weights/weight_0": torch_evil.getvalue()},
        {"data/weights/model.pt": torch_evil.getvalue()},
        {"data/constants/custom_obj_0": evil},
        {"data/constants/opaque_obj_0": evil},
        {"data/sample_inputs/model.pt": torch_evil.getvalue()},
        {"data/aotinductor/model/code.so": b""},
        {"models/model.json": edited_json(call_system)},
    ]
    for attack in attacks:
        assert "changed.pt2" in load_refusal(rewritten(program, tmp_path, attack))
        assert not mark.exists()


def test_pt2_with_code_in_a_size_is_refused(program, tmp_path):
    def add_size(graph):
        graph["range_constraints"] = {"s0": {"expr_str": "__import__('os').getcwd()"}}

    assert "sizes" in load_refusal(rewritten(program, tmp_path, {"models/model.json": edited_json(add_size)}))


def test_pt2_dynamic_sizes(tmp_path):
    path = tmp_path / "dynamic.pt2"
    net = nn.Linear(3, 2).eval()
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    torch.export.save(torch.export.export(net, (torch.randn(2, 3),), dynamic_shapes=({0: batch},)), path)
    assert load_model(path).example_inputs[0].shape == (1, 3)
    example = (torch.randn(1, 5, 3),)
    torch.export.save(torch.export.export(net, example, dynamic_shapes=({1: time},)), path)
    assert "dimension 1" in load_refusal(path)


SPEC = (InputSpec("image", (2, 3)),)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": np.zeros((4, 3, 2), np.float32)}, r"float32 \[4, 3, 2\], but float32 \[N, 2, 3\]"),
        ({"x": np.zeros((4, 2, 3), np.uint8)}, r"uint8 \[4, 2, 3\], but float32"),
        ({"z": np.zeros((4, 2, 3), np.float32)}, "no array 'x'"),
        ({"x": np.full((4, 2, 3), np.nan, np.float32)}, "NaN"),
        ({"x": np.zeros((0, 2, 3), np.float32)}, "no samples"),
        ({"x": np.float32(1)}, "but float32"),
        ({"x": np.zeros((4, 2, 3), np.float32), "y": np.zeros(5)}, r"\(4, 5\)"),
        ({"x": np.array(["a"] * 4, object)}, "not a readable npz"),
    ],
)
def test_unsuitable_data_files(tmp_path, arrays, expected):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match=expected):
        load_dataset(path, SPEC)


def test_damaged_data_files(tmp_path):
    path = tmp_path / "data.npz"
    with pytest.raises(UsageError, match="does not exist"):
        load_dataset(path, SPEC)
    np.savez(path, x=np.zeros((4, 2, 3), np.float32))
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(UsageError, match="not a readable npz"):
            load_dataset(path, SPEC)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(UsageError, match="not a readable npz"):
        load_dataset(tmp_path / "plain.npy", SPEC)
