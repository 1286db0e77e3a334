"""The documentation, followed as it stands: what its pages add to a copy of the package works there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.onnx_models import QdqBuilder

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def files(page: str, *languages: str) -> dict[str, str]:
    """The blocks of a page that name their file in the first line."""
    found = {}
    for language in languages:
        for text in blocks(page, language):
            path = re.search(r"(?:edgeprune|templates)/[\w./{}-]+", text.splitlines()[0])
            if path is not None:
                found[path[0]] = text
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with all that the pages add: an operator, a kernel, a packaging format; and a device of one's own."""
    place = tmp_path_factory.mktemp("checkout")
    for name in ("edgeprune", "templates", "targets"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    added = files("add-operator.md", "python") | files("add-kernel.md", "python", "c")
    added |= files("packages.md", "toml", "make")
    assert len(added) == 5
    for path, text in added.items():
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text(text, encoding="utf-8")
    (device,) = blocks("devices.md", "toml")
    (place / "mine.toml").write_text(device, encoding="utf-8")
    return place


def edgeprune(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeprune", *map(str, arguments)],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_an_operator_a_kernel_a_device_and_a_package_as_their_pages_add_them(checkout: Path) -> None:
    b = QdqBuilder(5)
    x = b.input(1, 4, 6, 6, scale=0.05, zero=3)
    x = b.op("Abs", [x], 0.05, 3)
    model = b.model(b.op("Atan", [x], 0.0125, -100))
    (checkout / "curve.onnx").write_bytes(model)
    options = ("--device", "mine.toml", "--package", "makefile", "--samples", 20, "-o", "out", "--json")
    done = edgeprune(checkout, "deploy", "curve.onnx", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["verify"]["bit_exact"]
    assert [(layer["op"], layer["kernel"]) for layer in report["layers"]] == [
        ("Abs", "abs_s8_c"),
        ("Atan", "table_s8_c_table"),
    ]
    assert report["verify"]["max_difference_to_onnx"] <= 1
    (makefile,) = (checkout / "out" / "package" / "makefile").glob("*.mk")
    (folder,) = (path for path in makefile.parent.iterdir() if path.is_dir())
    text = f"include {makefile.name}\nall: $(SOURCES)\n\t$(CC) -std=c99 $(CFLAGS) -c $(SOURCES)\n"
    (makefile.parent / "Makefile").write_text(text)
    subprocess.run(["make"], cwd=makefile.parent, check=True, capture_output=True, timeout=300)
    assert {path.stem for path in makefile.parent.glob("*.o")} == {path.stem for path in folder.glob("*.c")}


@pytest.mark.slow
def test_the_recipe_of_the_page_is_deployed_by_its_commands(tmp_path: Path) -> None:
    recipe, samples = blocks("own-model.md", "python")
    (tmp_path / "recipe.py").write_text(recipe)
    (tmp_path / "samples.py").write_text(samples)
    subprocess.run([sys.executable, "samples.py"], cwd=tmp_path, check=True, timeout=60)
    shell = [line.split() for block in blocks("own-model.md", "sh") for line in block.splitlines()]
    environment = {"PYTHONPATH": str(ROOT)}
    ran = []
    for program, verb, *arguments in shell:
        assert program == "edgeprune"
        if verb in ("analyze", "deploy", "report") and "net.onnx" not in arguments:
            less = ("--samples", "20", "--effort", "10") if verb == "deploy" else ()  # the last one counts
            done = subprocess.run(
                [sys.executable, "-m", "edgeprune", verb, *arguments, *less],
                cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            ran.append(verb)
    assert ran == ["analyze", "deploy", "report"]
    report = json.loads((tmp_path / "build" / "recipe-nucleo-f446re" / "report.json").read_text())
    assert report["fits"] and report["accuracy"]["emulated"] > 0.7


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install edgeprune[docs]")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "edgeprune.api.deploy" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation() -> None:
    """MkDocs says so, but only as a note."""
    listed = set(
        re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert listed == {path.name for path in DOCS.glob("*.md")}


def test_the_path_of_a_new_user_is_ten_commands_at_most() -> None:
    commands = [line for block in blocks("start.md", "sh")[:1] for line in block.splitlines()]
    commands += blocks("start.md", "sh")[-1].splitlines()
    commands += [line for block in blocks("start.md", "cmake") for line in block.splitlines()]
    assert len(commands) <= 10
