"""Files, options and settings that cannot be: one sentence on standard error, status 2, nothing left behind."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.support.onnx_models import QdqBuilder, flatten_net
from tests.support.refusals import RECIPE, deploy, edited, refused, save


def test_missing_file(place: Path) -> None:
    refused(2, *deploy(place / "none.onnx"), says="none.onnx does not exist")


def test_truncated_file(place: Path) -> None:
    refused(2, *deploy(save(place / "half.onnx", flatten_net()[:700])), says="half.onnx")


def test_unsupported_operator_names_node_and_inputs(place: Path) -> None:
    b = QdqBuilder()
    x = b.input(1, 3, 8, 8)
    b.op("Det", [x])
    model = save(place / "m.onnx", b.model(b.op("Det", [x])))
    sentence = refused(2, *deploy(model, "--backend", "c"), says="Det")
    assert "node_det" in sentence
    assert "input_1" in sentence
    refused(2, *deploy(model), says="node_det.*TVM has no form of Det")


def test_dynamic_shape(place: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"

    refused(2, *deploy(save(place / "m.onnx", edited(change))), says="dynamic.*height")


def test_external_data_missing(place: Path) -> None:
    model = onnx.load_model_from_string(flatten_net())
    onnx.save(model, place / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    (place / "m.bin").unlink()
    refused(2, *deploy(place / "m.onnx"), says="m.bin")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(place: Path, value: float) -> None:
    text = RECIPE.replace("def example_input", f"_model = model\n\n\ndef model():\n    m = _model(); "
                          f"m[0].weight.data[0] = float('{value}'); return m\n\n\ndef example_input")  # fmt: skip
    refused(2, *deploy(save(place / "m.py", text)), says="NaN or infinite")


def test_zero_size_tensor(place: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 0

    refused(2, *deploy(save(place / "m.onnx", edited(change))), says="no elements")


def test_pickled_payload_in_a_pt2_is_refused_before_it_is_loaded(place: Path) -> None:
    program = torch.export.export(torch.nn.Linear(3, 2).eval(), (torch.zeros(1, 3),))
    torch.export.save(program, place / "good.pt2")
    canary = place / "canary"
    payload = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    with zipfile.ZipFile(place / "good.pt2") as good, zipfile.ZipFile(place / "bad.pt2", "w") as bad:
        root = good.namelist()[0].split("/")[0]
        for name in good.namelist():
            bad.writestr(name, good.read(name))
        bad.writestr(f"{root}/data/constants/custom_obj_0", payload)
    refused(2, *deploy(place / "bad.pt2"), says="bad.pt2")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--flash=-3K",), "--flash '-3K' is not a size"),
        (("--ram", "10X"), "--ram '10X' is not a size"),
        (("--flash", "0"), "greater than zero"),
        (("--flash", "9" * 400), "finite"),
        (("--latency", "9" * 400 + "s"), "is not a duration"),
        (("--device", "host", "--latency", "5ms"), "host has no latency"),
        (("--seed=-5",), "--seed -5"),
        (("--flash", ""), "not a size"),
        (("--latency", "40"), "--latency '40' is not a duration"),
        (("--samples", "0"), "--samples 0"),
        (("--effort=-1",), "--effort -1"),
        (("--reserve-flash", "4G"), "--reserve-flash '4G' is not a size"),
        (("--reserve-ram", "4096M"), "--reserve-ram leaves nothing"),
        (("--config", "none.toml"), "none.toml does not exist"),
        (("--device", "nucleo-l4r5"), "did you mean 'nucleo-l4r5zi'"),
        (("--device", "none.toml"), "none.toml does not exist"),
    ],
)
def test_impossible_options(place: Path, options: tuple[str, ...], says: str) -> None:
    refused(2, *deploy(save(place / "m.onnx", flatten_net()), *options), says=re.escape(says))


def test_no_model_and_no_device(place: Path) -> None:
    refused(2, "deploy", says="no MODEL")
    refused(2, "deploy", "m.onnx", says="no device")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flash = [", "is not valid TOML"),
        ("flahs = 3", "unknown key 'flahs'"),
        ("seed = 'many'", "'seed'"),
        ("optimize = 'size'", "'?optimize'?"),
        ("prune = 3", "prune"),
        ("[prune]\nminimum = 3", "minimum"),
        ("flash = true", "flash"),
    ],
)
def test_malformed_settings_file(place: Path, text: str, says: str) -> None:
    save(place / "edgeprune.toml", text)
    refused(2, *deploy(save(place / "m.onnx", flatten_net())), says=says)


def test_malformed_device_profile(place: Path) -> None:
    profile = save(place / "mine.toml", "core = [")
    refused(2, *deploy(save(place / "m.onnx", flatten_net()), "--device", profile), says="not valid TOML")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros((4, 3, 6, 6), np.float32)}, r"\[N, 3, 6, 5\]"),
        ({"x": np.array([["a"]])}, "x"),
        ({"y": np.zeros(4)}, "x"),
        ({"x": np.full((4, 3, 6, 5), np.nan, np.float32)}, "NaN|finite"),
        ({"x": np.zeros((4, 3, 6, 5), np.float32), "y": np.zeros(3, np.int64)}, "y"),
        ({"x": np.zeros((4, 3, 6, 5), np.float32), "y": np.zeros((4, 12))}, r"'y' is float64 \[4, 12\]"),
        ({"x": np.zeros((4, 3, 6, 5), np.float32), "y": np.array(["a"] * 4)}, "'y' is <U1"),
        ({"x": np.zeros((4, 3, 6, 5), np.float32), "y": np.full(4, 0.5)}, "'y' holds fractions"),
        ({"x": np.zeros((0, 3, 6, 5), np.float32)}, "no samples|N|empty"),
    ],
)
def test_data_of_the_wrong_shape_or_type(place: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    np.savez(place / "d.npz", **arrays)
    refused(2, *deploy(save(place / "m.onnx", flatten_net()), "--data", place / "d.npz"), says=says)


def test_data_that_is_no_file_or_no_archive(place: Path) -> None:
    model = save(place / "m.onnx", flatten_net())
    refused(2, *deploy(model, "--data", place / "none.npz"), says="none.npz")
    refused(2, *deploy(model, "--data", save(place / "bad.npz", "not an archive")), says="bad.npz")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("def example_input", "def other", r"example_input\(\)"),
        ("return torch.zeros(1, 1, 4, 4)", "raise ValueError('boom')", r"example_input\(\) raised ValueError: boom"),
        ("import torch\n", "import nothing_like_it\n", "nothing_like_it"),
        ("def model():", "def model(:", "SyntaxError"),
        ("test_data = train_data", "", r"test_data\(\)"),
    ],
)  # fmt: skip
def test_recipe_that_lacks_a_function_or_raises(place: Path, old: str, new: str, says: str) -> None:
    refused(2, *deploy(save(place / "m.py", RECIPE.replace(old, new, 1))), says=says)


def test_float_model_without_calibration(place: Path) -> None:
    torch.onnx.export(torch.nn.Linear(3, 2).eval(), (torch.zeros(1, 3),), place / "m.onnx", dynamo=True)
    refused(2, *deploy(place / "m.onnx"), says="--calibration")


def test_place_that_is_not_a_bundle_is_not_replaced(place: Path) -> None:
    (place / "out").mkdir()
    save(place / "out" / "thesis.txt", "years of work")
    refused(2, *deploy(save(place / "m.onnx", flatten_net())), says="not an edgeprune bundle")
    assert (place / "out" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("verb", ["report", "verify"])
def test_bundle_that_is_none_or_damaged(place: Path, verb: str) -> None:
    refused(2, verb, place / "none", says="not an edgeprune bundle")
    (place / "bad").mkdir()
    save(place / "bad" / "report.json", "{")
    refused(2, verb, place / "bad", says="damaged")
    save(place / "bad" / "report.json", "{}")
    refused(2, verb, place / "bad", says="damaged|incomplete")
