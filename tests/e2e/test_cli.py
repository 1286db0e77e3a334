"""The command line from outside: what goes where, and with which exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import edgeprune
from edgeprune.cli import app
from edgeprune.device import device_names
from tests.support.onnx_models import flatten_net

VERBS = ("deploy", "sweep", "analyze", "verify", "profile", "report", "compare", "devices", "doctor", "demo")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network, deployed to this machine through the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.onnx").write_bytes(flatten_net())
    result = run("deploy", folder / "small.onnx", "--device", "host", "--samples", 3, "-o", folder / "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    return folder / "out"


def test_help_has_an_example_for_every_verb() -> None:
    assert all(verb in run("--help").stdout for verb in VERBS)
    for verb in VERBS:
        assert f"Example: edgeprune {verb}" in run(verb, "--help").stdout


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"edgeprune {edgeprune.__version__}\n")


def test_starting_up_loads_no_heavy_library() -> None:
    script = (
        "import sys; from edgeprune.cli import app; from edgeprune.cli.machines import devices_verb; "
        "devices_verb(None); print([m for m in ('torch', 'onnx', 'numpy', 'scipy', 'jinja2') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_wrong_options_are_usage_errors() -> None:
    result = run("deploy", "--flahs", "3")
    assert result.exit_code == 2
    assert "--flahs" in result.stderr
    assert run("deplyo").exit_code == 2


def test_deploy_writes_a_whole_bundle_and_says_how_to_use_it(bundle: Path) -> None:
    names = {path.name for path in bundle.iterdir()}
    assert names == {"library", "package", "model.onnx", "verification.npz", "report.json", "report.html"}
    result = run("report", bundle)
    assert result.exit_code == 0
    assert result.stdout == ""
    for expected in ("fits", "bit-exact on 3 inputs", "small_run", str(bundle / "library")):
        assert expected in result.stderr


def test_json_of_a_report_is_the_file(bundle: Path) -> None:
    result = run("report", bundle, "--json")
    assert json.loads(result.stdout) == json.loads((bundle / "report.json").read_text())


def test_verify_notices_a_changed_library(bundle: Path) -> None:
    assert run("verify", bundle).exit_code == 0
    result = run("verify", bundle, "--layers", "--json")
    assert json.loads(result.stdout)["bit_exact"] is True
    assert json.loads(result.stdout)["layers"] > 0

    path = bundle / "verification.npz"
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    arrays["output_0"] = arrays["output_0"] ^ 1
    np.savez_compressed(path, **arrays)
    result = run("verify", bundle)
    path.write_bytes(whole)
    assert result.exit_code == 4
    assert "edgeprune: " in result.stderr


def test_analyze(tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(flatten_net())
    result = run("analyze", tmp_path / "small.onnx", "--device", "nucleo-f446re", "--json")
    assert result.exit_code == 0, result.stderr
    analysis = json.loads(result.stdout)
    assert analysis["device"] == "nucleo-f446re"
    assert analysis["macs"] == sum(layer["macs"] for layer in analysis["layers"])
    assert {other["device"] for other in analysis["alternatives"]} == set(device_names())
    assert "conv_s8" in result.stderr


def test_devices_and_doctor() -> None:
    listed = run("devices", "--json")
    assert [device["name"] for device in json.loads(listed.stdout)] == list(device_names())
    assert all(name in listed.stderr for name in device_names())
    assert "mps2-an386" in run("devices", "--show", "nucleo-l4r5zi").stderr
    assert run("devices", "--show", "nothing").exit_code == 2
    assert run("doctor").exit_code == 0


def test_settings_file_gives_defaults_that_options_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.onnx").write_bytes(flatten_net())
    (tmp_path / "edgeprune.toml").write_text(
        'model = "small.onnx"\ndevice = "host"\nflash = 300\nram = "6K"\nsamples = 2\noutput = "out"\n'
    )
    monkeypatch.chdir(tmp_path)
    refused = run("deploy", "--json")
    assert refused.exit_code == 3, refused.stderr
    assert json.loads(refused.stdout)["budget"] == {
        "flash": 300, "ram": 6144, "latency_ms": None, "macs": None, "parameters": None,
    }  # fmt: skip
    assert "Nearest: --flash" in refused.stderr
    assert run("deploy", "--flash", "64K").exit_code == 0
    assert (tmp_path / "out" / "report.json").is_file()

    monkeypatch.chdir("/")
    result = run("deploy", "--config", tmp_path / "edgeprune.toml", "--flash", "64K")
    assert result.exit_code == 0, result.stderr


def test_a_recipe_may_print_and_draw_random_numbers(tmp_path: Path) -> None:
    """Standard output stays with the JSON, and the same command gives the same bytes."""
    recipe = tmp_path / "chatty.py"
    recipe.write_text(
        "import torch\nprint('hello from the recipe')\n"
        "def model(): return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU()).eval()\n"
        "def example_input(): return torch.zeros(1, 6)\n"
        "def train_data(): return [(torch.rand(8, 6), torch.arange(8) % 4)]\n"
        "test_data = train_data\n"
    )
    found = []
    for _ in range(2):
        result = run("deploy", recipe, "--device", "host", "--samples", 2, "-o", tmp_path / "out", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["fits"] is True
        assert "hello from the recipe" in result.stderr
        found.append({path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()})
    assert found[0] == found[1]


def test_python_interface(tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(flatten_net())
    place = tmp_path / "out"
    deployment = edgeprune.deploy(
        tmp_path / "small.onnx", device="host", flash=65536, samples=2, output=place
    )
    assert isinstance(deployment, edgeprune.Deployment)
    assert deployment.directory == place
    assert deployment.report["budget"]["flash"] == 65536
    assert edgeprune.deploy(tmp_path / "small.onnx", device="host", flash=300, samples=2).directory is None
