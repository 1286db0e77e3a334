"""What cppcheck says about generated libraries: nothing but the deviations that docs/misra.md lists, with a reason."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from edgeprune.byte_input import ByteInput
from edgeprune.codegen import generate
from edgeprune.compile import lower
from edgeprune.device import load_device
from edgeprune.graph.onnx_import import with_byte_input
from edgeprune.plan import Objective, plan
from tests.support.onnx_models import flatten_net
from tests.support.packaged import library, write
from tests.support.tools import lacking

PAGE = Path(__file__).resolve().parents[2] / "docs" / "misra.md"

pytestmark = pytest.mark.skipif(lacking("cppcheck"), reason="cppcheck is not installed")


def findings(*options: str, files: list[Path]) -> dict[str, str]:
    """One place for each kind of finding."""
    command = ["cppcheck", "--std=c99", "--quiet", "--template={id} {file}:{line}: {message}", *options]
    # The add-on is a Python program of the system's, whatever environment the tests run in.
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    environment["PATH"] = os.pathsep.join(["/usr/bin", "/bin", environment["PATH"]])
    done = subprocess.run(
        [*command, *map(str, files)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    lines = [line.split(" ", 1) for line in (done.stdout + done.stderr).splitlines() if ":" in line]
    return dict(lines)


@pytest.fixture(scope="module", params=["bluepill-f103c8", "nucleo-l4r5zi"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The C files of small networks, which have most kinds of kernels between them, one from bytes, for one device."""
    device, folder = load_device(request.param), tmp_path_factory.mktemp("libraries")
    for network in ("residual", "sequence"):
        write(folder / network, library(network, device).files)
    image = lower(with_byte_input(flatten_net(), ByteInput((128.0,), (64.0,))), "image")
    write(folder / "image", generate(plan(image, device, Objective()), "image").files)
    return sorted(folder.rglob("*.c"))


def listed(pattern: str) -> set[str]:
    return set(re.findall(rf"^\| {pattern} \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def test_cppcheck_finds_only_what_is_explained(files: list[Path]) -> None:
    found = findings("--enable=warning,style,performance,portability", files=files)
    strange = {kind: place for kind, place in found.items() if kind not in listed(r"`(\w+)`")}
    assert not strange


def test_misra_rules_that_are_not_kept_are_listed(files: list[Path]) -> None:
    found = findings("--addon=misra", files=files)
    rules = {kind.removeprefix("misra-c2012-"): place for kind, place in found.items()}
    assert "12.1" in rules, "the add-on has run"
    assert not {rule: place for rule, place in rules.items() if rule not in listed(r"(\d+\.\d+)")}
