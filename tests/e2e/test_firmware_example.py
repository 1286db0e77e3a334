"""firmware_example/, as its README says: a digits network built into a firmware that answers images sent to it."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgeprune.bundle import read_bundle
from edgeprune.compile import lower
from edgeprune.config import Settings
from edgeprune.pipeline import deploy
from edgeprune.progress import SilentProgress
from edgeprune.verify import reference_outputs
from tests.support.tools import lacking

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "firmware_example"
IMAGES = sorted((EXAMPLE / "images").glob("*.pgm"))
QEMU = ["qemu-system-arm", "-M", "mps2-an386", "-display", "none"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(lacking("cmake"), reason="CMake is not installed"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, as far as the README's commands see it, with the digits network where `make demo` puts it."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "firmware_example").symlink_to(EXAMPLE)
    recipe = ROOT / "edgeprune" / "examples" / "digits.py"
    result = deploy(Settings(recipe, "nucleo-f446re", output=root / "build" / "demo", samples=3))
    assert result.directory is not None
    return root


@pytest.fixture(scope="module")
def elf(place: Path) -> Path:
    configure, build, _ = commands()
    package = place / "build" / "demo" / "package" / "cmake"
    flags = "-Wpedantic -Wconversion -Wshadow -Werror"
    shell(
        f"{configure} -DDIGITS_PACKAGE={package} -DCMAKE_C_FLAGS_RELEASE='{flags}' -DCMAKE_BUILD_TYPE=Release",
        place,
    )
    shell(build, place)
    return place / "build" / "firmware" / "digits.elf"


def commands() -> list[str]:
    """The README's commands behind `make demo`."""
    (block, *_) = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    lines = block.splitlines()
    assert len(lines) <= 10
    assert lines[0].startswith("git clone ") and lines[2] == "make demo"
    return lines[3:]


def shell(command: str, place: Path) -> str:
    done = subprocess.run(
        command, shell=True, cwd=place, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("classify", EXAMPLE / "classify.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_leads_to_a_prediction(place: Path, elf: Path) -> None:
    assert shell(commands()[-1], place) == "firmware_example/images/7.pgm: 7\n"
    assert (elf.parent / "digits.bin").stat().st_size > 0


def test_the_board_computes_what_the_reference_does(place: Path, elf: Path, script: ModuleType) -> None:
    """Every score of every image, byte for byte; and the digits are read as they should be."""
    images = [script.read_image(path) for path in IMAGES]
    graph = lower(read_bundle(place / "build" / "demo").onnx, "digits")
    (tensor,) = graph.inputs
    assert tensor.quant is not None
    real = np.array(images, np.float32) / np.float32(255)
    stored = np.rint(real / np.float32(tensor.quant.scale[0])) + tensor.quant.zero_point[0]
    inputs = np.clip(stored, -128, 127).astype(np.int8).reshape(-1, *tensor.shape)
    (expected,) = reference_outputs(graph, (inputs,), SilentProgress())
    with script.emulated(elf) as board:
        answers = [board.classify(pixels) for pixels in images]
    np.testing.assert_array_equal([scores for _, scores in answers], expected.reshape(len(images), -1))
    assert sum(digit == int(path.stem) for (digit, _), path in zip(answers, IMAGES, strict=True)) >= 9


def test_the_console_survives_nonsense(elf: Path, script: ModuleType) -> None:
    with script.emulated(elf) as board:
        assert board.ask("test") == "the self test passes"
        assert board.ask("image 00") == "error: an image is 128 hexadecimal digits"
        assert board.ask("image " + "0" * 127 + "g") == "error: an image is 128 hexadecimal digits"
        assert board.ask("image " + "0" * 129) == "error: the line is too long"
        assert board.ask("x" * 3000) == "error: the line is too long"
        assert board.ask("hello").startswith("error: write `image`")
        assert board.ask("image " + "0f" * 64) == board.ask("image " + "0F" * 64)


@pytest.fixture
def port(elf: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A board that is up, on a TCP port or a pseudo-terminal."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    tcp = f"tcp:127.0.0.1:{number}"
    serial = "pty" if request.param == "pty" else f"{tcp},server=on,wait=off"
    command = [*QEMU, "-monitor", "none", "-serial", serial, "-kernel", str(elf)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        if request.param == "pty":
            match = None
            while match is None:
                line = process.stdout.readline()
                assert line, "QEMU names its terminal"
                match = re.search(r"redirected to (/dev/\S+)", line)
            yield match[1]
        else:
            time.sleep(1)
            yield tcp
    finally:
        process.kill()
        process.wait()


def classify(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE / "classify.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("port", ["tcp", "pty"], indirect=True)
def test_a_board_that_is_up_answers_one_caller_after_another(port: str) -> None:
    for _ in range(2):
        done = classify("--port", port, *IMAGES[:2])
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == ["0", "1"]


def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path) -> None:
    large, damaged = tmp_path / "large.pgm", tmp_path / "damaged.pgm"
    large.write_text("P2 28 28 255 " + "0 " * 784)
    damaged.write_text("P2 8 8 16 1 2 3")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    nobody = ["--port", "tcp:127.0.0.1:1"]
    for arguments, reason in (
        ([*nobody, IMAGES[0]], "cannot be opened"),
        (["--port", tmp_path / "tty", IMAGES[0]], "cannot be opened"),
        ([*nobody, large], "has 28 x 28 pixels: the network sees 8 x 8"),
        ([*nobody, damaged], "is damaged: it has 3 pixels"),
        ([*nobody, tmp_path / "photo.png"], "cannot be read"),
        ([*nobody, tmp_path / "missing.pgm"], "cannot be read"),
        (["--qemu", tmp_path / "missing.elf", IMAGES[0]], "build the firmware first"),
    ):
        done = classify(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert reason in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_without_a_network_the_build_says_what_to_do(tmp_path: Path) -> None:
    command = ["cmake", "-S", EXAMPLE, "-B", tmp_path / "out", f"-DDIGITS_PACKAGE={tmp_path}"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "run `edgeprune demo` first" in " ".join(done.stderr.split())
