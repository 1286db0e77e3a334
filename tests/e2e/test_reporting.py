"""`edgeprune report` and `edgeprune compare` from outside, on bundles that are no more than their report."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from edgeprune.bundle import rewrite_report
from edgeprune.cli import app
from edgeprune.config import Settings
from edgeprune.report import deploy_command
from edgeprune.report.html import report_html
from tests.support.reports import hostile_report, refused_report, small_report, small_sweep


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def save(place: Path, values: Any, name: str = "report.json") -> Path:
    place.mkdir(exist_ok=True)
    (place / name).write_text(values if isinstance(values, str) else json.dumps(values))
    return place


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save(tmp_path / "bundle", small_report())


def refused(result: Result, says: str) -> None:
    assert result.exit_code == 2, (result.stderr, result.exception)
    (line,) = result.stderr.splitlines()
    assert line.startswith("edgeprune: ")
    assert says in line


# --- report -----------------------------------------------------------------------------------------------------


def test_report_draws_the_memory_map(bundle: Path) -> None:
    result = run("report", bundle)
    assert result.exit_code == 0, result.stderr
    assert "memory map of sram: 576 B" in result.stderr
    assert "\N{BLACK LEFT-POINTING TRIANGLE} peak" in result.stderr
    assert not (bundle / "report.html").exists()


def test_report_names_the_owner_of_a_byte(bundle: Path) -> None:
    result = run("report", bundle, "--owner", "0x140@1", "--json")
    assert result.exit_code == 0, result.stderr
    (answer,) = json.loads(result.stdout)
    assert (answer["region"], answer["offset"], answer["layer"]) == ("sram", 320, "block.add")
    assert [(owner["name"], owner["kind"]) for owner in answer["owners"]] == [
        ("sum", "activation"), ("conv_out", "activation"),
    ]  # fmt: skip
    everywhere = run("report", bundle, "--owner", "sram:136").stderr
    assert all(text in everywhere for text in ("byte 136 of sram", "0 stem.conv", "nobody", "2 head"))


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("-1", "is no OFFSET[@STEP]"),
        ("576", "whose arena has 576: ask for 0 to 575"),
        ("tcm:0", "the library uses sram"),
        ("0@9", "use a number from 0 to 2"),
    ],
)
def test_questions_without_an_answer(bundle: Path, question: str, says: str) -> None:
    refused(run("report", bundle, f"--owner={question}"), says)


def test_report_makes_the_page_again(bundle: Path, tmp_path: Path) -> None:
    assert run("report", bundle, "--html").exit_code == 0
    assert (bundle / "report.html").read_text() == report_html(small_report())
    result = run("report", bundle, "--html", "-o", tmp_path / "other.html", "--json")
    assert (tmp_path / "other.html").read_text() == report_html(small_report())
    assert json.loads(result.stdout) == small_report()


def test_report_of_what_did_not_fit_from_a_file(tmp_path: Path) -> None:
    save(tmp_path, refused_report(), "refused.json")
    result = run("report", tmp_path / "refused.json", "--html")
    assert result.exit_code == 0, result.stderr
    assert "does not fit" in result.stderr
    assert "does not fit" in (tmp_path / "report.html").read_text()


def test_report_of_a_sweep(tmp_path: Path) -> None:
    place = save(tmp_path / "sweep", small_sweep(), "sweep.json")
    result = run("report", place, "--html")
    assert result.exit_code == 0, result.stderr
    assert "point_2" in result.stderr
    assert "<circle" in (place / "report.html").read_text()


def test_report_with_hostile_names(tmp_path: Path) -> None:
    place = save(tmp_path / "hostile", hostile_report())
    result = run("report", place, "--html")
    assert result.exit_code == 0, result.stderr
    assert not set(result.stderr) & {"\x1b", "\u202e"}
    assert "<script" not in (place / "report.html").read_text()


def test_page_that_cannot_be_written(bundle: Path) -> None:
    result = run("report", bundle, "--html", "-o", bundle / "none" / "page.html")
    assert result.exit_code == 1
    assert "cannot be written: No such file" in result.stderr


def test_what_a_board_measured_reaches_the_page(bundle: Path) -> None:
    report = small_report()
    report["latency"] |= {"measured_ms": 0.0813, "measured_cycles": 14634, "measured_note": "by DWT"}
    rewrite_report(bundle, report)
    assert "On the board: 0.0813 ms, measured by DWT" in (bundle / "report.html").read_text()


# --- compare ----------------------------------------------------------------------------------------------------


def test_compare(bundle: Path, tmp_path: Path) -> None:
    smaller = small_report()
    smaller["flash"]["total"] = 1536
    other = save(tmp_path / "other", smaller)
    result = run("compare", bundle, other, "--json", "--html", tmp_path / "difference.html")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert values["totals"][0]["ratio"] == 0.5
    assert (values["a"]["bundle"], values["b"]["bundle"]) == (str(bundle), str(other))
    assert "\N{MINUS SIGN}1,536 B" in result.stderr
    assert "\N{MINUS SIGN}1,536 B" in (tmp_path / "difference.html").read_text()


# --- What is not a report ---------------------------------------------------------------------------------------


def _damaged() -> dict[str, tuple[Any, str]]:
    text, unhappy = small_report(), small_report()
    text["flash"]["total"] = "much"
    unhappy["buffers"][0]["last_step"] = 3
    negative, nameless = small_report(), small_report()
    negative["layers"][1]["cycles"] = -1
    del nameless["layers"][2]["name"]
    empty, divided = small_report(), small_report()
    empty["ram"] = None
    divided["pruning"]["groups"][0]["before"] = 0
    return {
        "cut off": ("{", "damaged"),
        "empty": ("", "damaged"),
        "nested too deep": ("[" * 200_000, "damaged"),
        "a list": ("[]", "damaged"),
        "another object": ("{}", "edgeprune: Field required"),
        "a text for a number": (text, "flash.total"),
        "a buffer beyond the steps": (unhappy, "lives at steps that there are not"),
        "negative cycles": (negative, "layers.1.cycles"),
        "a layer without a name": (nameless, "layers.2.name"),
        "fits without RAM": (empty, "what was built is missing"),
        "no channels before": (divided, "pruning.groups.0.before"),
        "numbers without end": (json.dumps(small_report()).replace("12700", "9" * 5000), "damaged"),
    }


@pytest.mark.parametrize("what", _damaged())
def test_damaged_reports_are_one_sentence(what: str, bundle: Path, tmp_path: Path) -> None:
    values, says = _damaged()[what]
    damaged = save(tmp_path / "damaged", values)
    refused(run("report", damaged, "--html"), says)
    refused(run("compare", bundle, damaged, "--html", tmp_path / "page.html"), says)
    assert not (tmp_path / "page.html").exists()


def test_what_is_no_bundle_is_one_sentence(bundle: Path, tmp_path: Path) -> None:
    refused(run("report", tmp_path / "none"), "is not an edgeprune bundle")
    refused(run("compare", bundle, tmp_path), "is not an edgeprune bundle")
    refused(run("report", bundle, "-o", "page.html"), "add --html")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    refused(run("report", tmp_path / "binary.json"), "damaged")
    sweep = save(tmp_path / "sweep", small_sweep(), "sweep.json")
    refused(run("compare", bundle, sweep), "is a sweep")
    save(sweep, small_sweep() | {"points": [{}]}, "sweep.json")
    refused(run("report", sweep), "points.0.number")


# --- The command that is in the report --------------------------------------------------------------------------


def test_the_command_has_what_was_asked_for_and_no_folders() -> None:
    settings = Settings(
        Path("/home/me/kws.py"), "boards/mine.toml", flash="64K", data=Path("/data/kws.npz"), tune=True,
        train=False, ignore=("stem", "a b"), output=Path("/tmp/out"), resume=True, accuracy_drop=0.5,
    )  # fmt: skip
    assert deploy_command(settings) == (
        "edgeprune", "deploy", "kws.py", "--device", "mine.toml", "--flash", "64K", "--data", "kws.npz", "--tune",
        "--accuracy-drop", "0.5", "--ignore", "stem", "--ignore", "a b", "--no-train",
    )  # fmt: skip


def test_the_command_of_defaults_is_short() -> None:
    assert deploy_command(Settings(Path("a.onnx"), "host")) == (
        "edgeprune",
        "deploy",
        "a.onnx",
        "--device",
        "host",
    )


def test_every_setting_in_the_command_is_an_option() -> None:
    """A setting that is new gets into the command under its own name: it must be an option, or left out on purpose."""
    file = Path("a.py")
    given = {
        item.name: ("x", "y") if isinstance(item.default, tuple) else item.default
        for item in fields(Settings)
    }
    given |= {name: "1" for name, value in given.items() if value is None} | {
        "samples": 1,
        "effort": 1,
        "rounds": 1,
    }
    given |= {"tune": True, "train": False, "board_firmware": True, "seed": 7, "sparsity": "unstructured:0.5"}
    given |= {
        "accuracy_drop": 1.0,
        "optimize": "ram",
        "backend": "c",
        "sparsify": "before",
        "package": ("single",),
    }
    given |= {
        "model": file,
        "device": "host",
        "output": file,
        "data": file,
        "calibration": file,
        "minimum": {},
    }
    words = deploy_command(Settings(**given))
    known = {option for parameter in _options() for option in parameter}
    assert {word for word in words if word.startswith("--")} <= known
    assert len([word for word in words if word.startswith("--")]) >= 20


def _options() -> list[list[str]]:
    command = typer.main.get_command(app)
    return [parameter.opts for parameter in command.commands["deploy"].params]  # type: ignore[attr-defined]
