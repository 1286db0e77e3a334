"""Every mistake a user can make: one sentence on standard error, the right exit status, nothing left behind."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner, Result

from edgeprune.cli import app
from tests.support.onnx_models import QdqBuilder, flatten_net

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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; temporary files go beside it, where they can be seen."""
    work, scratch = tmp_path / "work", tmp_path / "scratch"
    work.mkdir()
    scratch.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return work


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


# --- Files and networks ---------------------------------------------------------------------------------------


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


# --- Options and settings -------------------------------------------------------------------------------------


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


# --- Budgets --------------------------------------------------------------------------------------------------


def over_budget(path: Path, *options: str) -> dict[str, object]:
    result = run(*deploy(path, *options, "--json"))
    assert result.exit_code == 3, (result.stderr, result.exception)
    assert not (Path.cwd() / "out").exists()
    report = json.loads(result.stdout)
    assert report["fits"] is False
    assert report["reason"] in " ".join(result.stderr.split())
    return report


def test_nothing_to_prune_and_over_budget(place: Path) -> None:
    report = over_budget(save(place / "m.onnx", flatten_net()), "--flash", "500")
    assert report["nearest"]["flash"] > 500
    assert "give a recipe" in report["reason"]


def test_recipe_whose_channels_cannot_be_pruned(place: Path) -> None:
    text = RECIPE.replace(
        "nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))",
        "nn.Sequential(nn.Flatten(), nn.Linear(16, 3))",
    )
    assert text != RECIPE
    report = over_budget(save(place / "m.py", text), "--flash", "100")
    assert "none of its channels can be pruned" in report["reason"]


def test_budget_smaller_than_any_network_names_the_step_that_binds(place: Path) -> None:
    report = over_budget(save(place / "m.onnx", flatten_net()), "--ram", "64")
    assert "alive together" in report["reason"]
    report = over_budget(save(place / "m.py", RECIPE), "--ram", "64", "--no-train")
    assert report["nearest"]["ram"] > 64
    assert "alive together" in report["reason"]


# --- Tools, emulator, disk, interruption ----------------------------------------------------------------------


def tools(folder: Path, *names: str) -> Path:
    """A folder with nothing but links to those tools, and to what they call."""
    folder.mkdir()
    for name in ("sh", "as", "ld", "collect2", *names):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return folder


@pytest.mark.parametrize(
    ("device", "present", "package"),
    [
        ("nucleo-l4r5zi", ("gcc",), "apt-get install gcc-arm-none-eabi"),
        ("nucleo-l4r5zi", ("gcc", "arm-none-eabi-gcc"), "apt-get install qemu-system-arm"),
        ("host", (), "apt-get install gcc"),
    ],
)
def test_missing_tool(
    place: Path, monkeypatch: pytest.MonkeyPatch, device: str, present: tuple[str, ...], package: str
) -> None:
    model = save(place / "m.onnx", flatten_net())
    monkeypatch.setenv("PATH", str(tools(place.parent / "bin", *present)))
    refused(5, "deploy", model, "--device", device, "--samples", "1", "-o", place / "out", says=package)


def test_doctor_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools(place.parent / "bin")))
    result = run("doctor", "--json")
    assert result.exit_code == 5
    assert "apt-get install qemu-system-arm" in result.stderr
    assert all(tool["version"] is None for tool in json.loads(result.stdout)["tools"])


def test_emulator_that_hangs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune import emulate

    model, fake = save(place / "m.onnx", flatten_net()), place.parent / "bin"
    fake.mkdir()
    qemu = save(fake / "qemu-system-arm", "#!/bin/sh\necho stuck here\nexec sleep 600\n")
    qemu.chmod(qemu.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    monkeypatch.setattr(emulate, "run", functools.partial(emulate.run, timeout_s=0.5))
    started = time.monotonic()
    result = run("deploy", model, "--device", "nucleo-l4r5zi", "--samples", "1", "-o", place / "out")
    assert time.monotonic() - started < 60
    assert result.exit_code == 4, result.stderr
    log = re.search(r"output is in (\S+log\.txt)", result.stderr)
    assert log is not None, result.stderr
    assert Path(log[1]).read_text() == "stuck here\n"
    assert sorted(place.iterdir()) == [model]


@pytest.mark.parametrize("number", [0, 2, 5])
@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (OSError(errno.EIO, "Input/output error"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=["full", "broken", "interrupted"],
)
def test_failure_while_the_bundle_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, number: int, failure: BaseException, status: int
) -> None:
    from edgeprune import pipeline

    model = save(place / "m.onnx", flatten_net())
    write = pipeline.write_files

    def fail(directory: Path, files: dict[str, str | bytes]) -> None:
        write(directory, dict(list(files.items())[:number]))
        raise failure

    monkeypatch.setattr(pipeline, "write_files", fail)
    refused(status, *deploy(model))


def test_failure_keeps_the_bundle_that_was_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune import pipeline

    model = save(place / "m.onnx", flatten_net())
    assert run(*deploy(model)).exit_code == 0
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}

    def fail(directory: Path, files: dict[str, str | bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pipeline, "write_files", fail)
    refused(1, *deploy(model), says="No space left")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def process(place: Path, *arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(place.parent / "scratch")}
    command = [sys.executable, "-m", "edgeprune", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **options)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_in_the_middle_of_a_run(place: Path, sent: signal.Signals, status: int) -> None:
    model = save(place / "m.onnx", flatten_net())
    running = process(place, *deploy(model))
    while running.poll() is None and len(list(place.iterdir())) < 2:
        time.sleep(0.02)
    running.send_signal(sent)
    _, said = running.communicate(timeout=60)
    assert running.returncode == status, said
    assert "Traceback" not in said
    assert list(place.iterdir()) == [model]
    assert list((place.parent / "scratch").iterdir()) == []


def test_files_that_cannot_grow(place: Path) -> None:
    """A limit on file size stands in for a full disk: it hits compilers and our own writing alike."""
    model = save(place / "m.onnx", flatten_net())
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2000, 2000))
    running = process(place, *deploy(model), preexec_fn=limit)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1, said
    assert "Traceback" not in said
    assert list(place.iterdir()) == [model]


def test_defect_is_one_line_and_its_traceback_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune import pipeline

    def break_down(*arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(pipeline, "compress", break_down)
    result = run(*deploy(save(place / "m.onnx", flatten_net())))
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    kept = re.search(r"report it with (\S+\.txt)", result.stderr)
    assert kept is not None, result.stderr
    assert "ZeroDivisionError" in Path(kept[1]).read_text()
    assert "Traceback" in run(*deploy(place / "m.onnx", "--debug")).stderr


# --- Names ----------------------------------------------------------------------------------------------------

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
