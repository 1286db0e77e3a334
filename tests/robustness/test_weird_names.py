"""Names from a model or a file never break the C, the report or a sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest

from tests.support.onnx_models import QdqBuilder
from tests.support.refusals import deploy, edited, refused, run, save

WEIRD = (
    'quote"quote',
    "two\nlines\r\n#error",
    "while",
    "*/ int main; /*",
    "// \\",
    "??/",
    "%s%n",
    "{{ 7 * 7 }}",
    "\N{SNOWMAN}\N{RIGHT-TO-LEFT OVERRIDE}",
    "x" * 10_240,
    "../../etc/passwd",
    "1",
)


def rename_everything(model: onnx.ModelProto) -> None:
    names: dict[str, str] = {"": ""}

    def weird(name: str) -> str:
        if name not in names:
            number = len(names)
            names[name] = f"{WEIRD[number % len(WEIRD)]}{'' if number <= len(WEIRD) else number}"
        return names[name]

    graph = model.graph
    graph.name = WEIRD[3]
    for index, node in enumerate(graph.node):
        node.name = f"{WEIRD[index % len(WEIRD)]}{index}"
        node.input[:] = [weird(name) for name in node.input]
        node.output[:] = [weird(name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = weird(value.name)


@pytest.mark.parametrize("stem", ["while", '*_"; #error', "two\nlines", "7", "\N{SNOWMAN}"])
def test_weird_names_give_valid_c(place: Path, stem: str) -> None:
    model = save(place / f"{stem}.onnx", edited(rename_everything))
    result = run(*deploy(model, "--json"))
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["verify"]["bit_exact"]
    assert report["model"]["name"] == stem
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", report["library"]["prefix"])
    assert len(result.stderr) < 20_000
    assert run("verify", place / "out", "--layers").exit_code == 0
    assert run("report", place / "out").exit_code == 0


def test_long_sentences_are_cut(place: Path) -> None:
    b = QdqBuilder()
    x = b.input(1, 3, 8, 8)
    model = onnx.load_model_from_string(b.model(b.op("Det", [x])))
    rename_everything(model)
    for node in model.graph.node:
        node.name = "line\n" * 5000
    sentence = refused(2, *deploy(save(place / "m.onnx", model.SerializeToString())), says="Det")
    assert len(sentence) < 1000
