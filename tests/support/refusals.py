"""Commands and files that are refused: one sentence, the right exit status, nothing left behind."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner, Result

from edgeprune.cli import app
from edgeprune.errors import EdgepruneError, UsageError
from edgeprune.model import load_model
from edgeprune.model.model import Model
from tests.support.onnx_models import flatten_net

__all__ = ["RECIPE", "deploy", "edited", "load", "load_refusal", "one_sentence", "refused", "run", "save"]

RECIPE = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)).eval()


def example_input():
    return torch.zeros(1, 1, 4, 4)


def train_data():
    return [(torch.rand(8, 1, 4, 4), torch.arange(8) % 3)]


test_data = train_data
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(status: int, *arguments: str | Path, says: str = "") -> str:
    """The sentence with which the command is refused; nothing new lies in the working or scratch directory."""
    work = Path.cwd()
    scratch = work.parent / "scratch"
    before, scratch_before = sorted(work.rglob("*")), sorted(scratch.iterdir())
    result = run(*arguments)
    assert result.exit_code == status, (result.stderr, result.exception)
    assert "Traceback" not in result.stderr
    sentences = [line for line in result.stderr.splitlines() if line.startswith("edgeprune: ")]
    assert len(sentences) == 1, result.stderr
    assert result.stderr.rstrip().endswith(sentences[0])
    assert sorted(work.rglob("*")) == before
    assert sorted(scratch.iterdir()) == scratch_before
    assert result.stdout == ""
    assert re.search(says, sentences[0]), sentences[0]
    return sentences[0]


def save(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def deploy(path: Path, *options: str | Path) -> tuple[str | Path, ...]:
    return ("deploy", path, "--device", "host", "--samples", "2", "-o", Path.cwd() / "out", *options)


def edited(change: Callable[[onnx.ModelProto], None], base: bytes | None = None) -> bytes:
    model = onnx.load_model_from_string(base or flatten_net())
    change(model)
    return model.SerializeToString()


def load(folder: Path, *changes: tuple[str, str], more: str = "") -> Model:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return load_model(save(folder / "m.py", f"{text}\n\n{more}"))


@contextlib.contextmanager
def one_sentence(says: str) -> Iterator[None]:
    with pytest.raises(EdgepruneError, match=says) as caught:
        yield
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def load_refusal(path: Path, **options: object) -> str:
    """The sentence with which `path` is refused."""
    with pytest.raises(UsageError) as caught:
        load_model(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text
