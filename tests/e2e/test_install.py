"""Installed as users do: a wheel and a source distribution, in an environment that knows nothing of the repository."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import edgeprune
from edgeprune.device import device_names

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("edgeprune", "templates", "targets", "pyproject.toml", "README.md", "LICENSE", ".gitignore")
ONLY_POSIX = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_CALLS = {
    "fork",
    "forkpty",
    "getuid",
    "geteuid",
    "killpg",
    "mkfifo",
    "setsid",
    "setpgid",
    "wait3",
    "wait4",
}


def call(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that must succeed, without the repository on Python's path."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def build(kind: str, source: Path, target: Path) -> Path:
    call(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target, cwd=source)
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because hatchling and other tests write beside what they read."""
    source = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    return build("wheel", source, source / "dist" / "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `edgeprune` command of a fresh environment. Of this one it shares what edgeprune depends on, by a path
    that is added as it is: the `.pth` files there, one of which may name the repository, are not read."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    paths = sysconfig.get_paths("venv", {"base": str(place), "platbase": str(place)})
    (Path(paths["purelib"]) / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = Path(paths["scripts"]) / "python"
    call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=place,
    )
    found = call(python, "-c", "import edgeprune; print(edgeprune.__file__)", cwd=place).stdout
    assert Path(found).is_relative_to(place), found
    return Path(paths["scripts"]) / "edgeprune"


def test_the_installed_command_knows_itself_and_its_devices(installed: Path, tmp_path: Path) -> None:
    assert call(installed, "--version", cwd=tmp_path).stdout == f"edgeprune {edgeprune.__version__}\n"
    listed = json.loads(call(installed, "devices", "--json", cwd=tmp_path).stdout)
    assert tuple(sorted(device["name"] for device in listed)) == device_names()
    tools = json.loads(call(installed, "doctor", "--json", cwd=tmp_path).stdout)["tools"]
    assert all(tool["version"] for tool in tools)


@pytest.mark.slow
def test_the_installed_demo_fits_and_reads_digits(installed: Path, tmp_path: Path) -> None:
    done = call(installed, "demo", "--json", cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    report = json.loads(done.stdout)
    accuracy = report["accuracy"]
    assert report["fits"]
    assert report["verify"] | {"samples": 300, "bit_exact": True} == report["verify"]
    assert accuracy["emulated"] >= 0.97
    assert accuracy["emulated"] >= accuracy["float"] - 0.01
    assert any(group["after"] < group["before"] for group in report["pruning"]["groups"])
    assert report["pruning"]["unpruned"]["flash"] > report["budget"]["flash"] >= report["flash"]["total"]
    assert report["tools"]["counter"] == "QEMU plugin", "its C source travels with the package"
    bundle = tmp_path / "build" / "demo"
    assert (bundle / "package" / "cmake" / "CMakeLists.txt").is_file()
    assert (bundle / "report.html").stat().st_size <= 1 << 20


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    source = wheel.parents[2]
    packed = build("sdist", source, tmp_path / "sdist")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / packed.name.removesuffix(".tar.gz"), tmp_path / "wheel")
    assert contents(again) == contents(wheel)
    files = contents(wheel).keys()
    assert {f"edgeprune/targets/{name}.toml" for name in device_names()} <= files
    for folder in ("edgeprune", "templates"):
        inside = "" if folder == "edgeprune" else "edgeprune/"
        ours = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
        assert {inside + path.relative_to(ROOT).as_posix() for path in ours} <= files


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("edgeprune dep", "deploy"),
        ("edgeprune deploy net.onnx --device nucleo-h7", "nucleo-h743zi"),
        ("edgeprune devices --show rp2", "rp2040"),
        ("edgeprune deploy net.onnx --package cmake,z", "cmake,zephyr"),
    ],
)
def test_a_shell_completes_verbs_devices_and_formats(words: str, offered: str, tmp_path: Path) -> None:
    question = {
        "_EDGEPRUNE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    kept = {"PYTHONPATH": str(ROOT)}
    done = call(sys.executable, "-m", "edgeprune", cwd=tmp_path, **question, **kept)
    assert offered in done.stdout.split()


def test_nothing_is_imported_or_called_that_only_posix_has() -> None:
    """Windows and macOS are not tested, but nothing here rules them out: modules, calls, folders by name."""
    for path in sorted((ROOT / "edgeprune").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & ONLY_POSIX, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in ONLY_POSIX, path
            elif (
                isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
            ):
                assert node.attr not in POSIX_CALLS, path
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(("/tmp/", "/usr/", "/proc/", "/var/")), path
