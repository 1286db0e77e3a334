"""Settings that could change nothing are refused, and those that could are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeprune.config import Settings
from edgeprune.device import load_device
from edgeprune.errors import UsageError
from edgeprune.model import Model, load_model, with_stepping
from edgeprune.stepping import Stepping
from edgeprune.unused_options import refuse_unused

HOST = load_device("host")
RECIPE = Path(__file__).parents[1] / "recipes" / "residual.py"


def model(kind: str) -> Model:
    return Model("m", Path("m.onnx"), kind, onnx=b"")


def settings(**given: Any) -> Settings:
    return Settings(Path("m.onnx"), "host", **given)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"effort": 5}, "--effort"),
        ({"train": False}, "--no-train"),
        ({"accuracy_drop": 1.0}, "--accuracy-drop"),
        ({"importance": "taylor"}, "--importance"),
        ({"rounds": 2}, "--rounds"),
        ({"sparsity": "unstructured:0.5"}, "--sparsity"),
        ({"ignore": ("a",)}, "--ignore"),
        ({"minimum": {"a": 4}}, "minimum"),
        ({"calibration": Path("c.npz")}, "--calibration"),
    ],
)
def test_an_int8_network_refuses_what_it_cannot_use(given: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=option):
        refuse_unused(settings(**given), model("onnx-int8"), HOST)


def test_a_float_network_uses_calibration_but_no_training() -> None:
    refuse_unused(settings(calibration=Path("c.npz")), model("onnx-float"), HOST)
    with pytest.raises(UsageError, match="give a recipe"):
        refuse_unused(settings(calibration=Path("c.npz"), effort=3), model("onnx-float"), HOST)


HALVES = (
    {"sparsify": "during"},
    {"sparsity": "unstructured:0.5", "train": False},
    {"sparsity": "auto", "train": False},
    {"sparsity": "auto", "sparsify": "during"},
)


@pytest.mark.parametrize("given", HALVES)
def test_halves_of_an_option_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--sparsity"):
        refuse_unused(settings(**given), load_model(RECIPE), HOST)


def test_a_recipe_uses_them_all() -> None:
    given = settings(effort=5, importance="taylor", rounds=2, sparsity="unstructured:0.5", ignore=("stem",))
    refuse_unused(given, load_model(RECIPE), HOST)


def test_kernels_are_measured_only_where_there_is_an_emulator() -> None:
    with pytest.raises(UsageError, match=r"host has no emulator .*: leave out --tune"):
        refuse_unused(settings(tune=True), model("onnx-int8"), HOST)
    refuse_unused(settings(tune=True), model("onnx-int8"), load_device("nucleo-l4r5zi"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"stream_input": True}, "leave out --stream-input"),
        ({"dtype": "float32"}, "leave out --dtype float32"),
        ({"macs": "50%"}, "is deployed as it is"),
        ({"sparsity": "auto"}, "is deployed as it is"),
    ],
)
def test_a_network_that_keeps_states_refuses(given: dict[str, Any], says: str) -> None:
    for stepping in (Stepping(frames=True), Stepping(((1, 1),))):
        kept = replace(model("onnx-float"), stepping=stepping)
        with pytest.raises(UsageError, match=says):
            refuse_unused(settings(**given), kept, HOST)


def test_both_ways_to_keep_states_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="leave out --state"):
        with_stepping(load_model(RECIPE, needs_data=False), ("input_1=output_1",), True)
