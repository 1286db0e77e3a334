"""What a report and its summary say about pruning."""

from __future__ import annotations

from typing import Any

from edgeprune.report import (
    Change,
    Generalization,
    PruningSummary,
    QuantizationAware,
    RoundSummary,
    Sparsity,
)
from edgeprune.report.pruning import pruning_values
from edgeprune.report.pruning_text import pruning_facts

FULL = PruningSummary(
    groups=(("stem", 16, 12), ("head", 8, 8)),
    rounds=2,
    steps=150,
    kept={"stem": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15)},
    history=(
        RoundSummary({"stem": 14}, Change(0.9, 0.5), 900, 50),
        RoundSummary({"stem": 12}, Change(0.8, 0.4), 700, 100),
    ),
    quantization_aware=QuantizationAware(True, Change(0.81, 0.89)),
    generalization=Generalization(train_loss=Change(0.1, 0.2), test_loss=Change(0.5, 0.45)),
    sparsity=Sparsity("unstructured:0.2", 0.2, "after"),
)
HOST = {
    "onnxruntime_ms": {"original": 2.0, "pruned": 1.0, "ratio": 0.5},
    "torch_ms": {"original": 4.0, "pruned": 3.0, "ratio": 0.75},
    "threads": 1,
    "samples": 100,
}


def test_what_was_not_done_is_null() -> None:
    values = pruning_values(PruningSummary(groups=(("stem", 16, 16),)))
    nothing = ("history", "quantization_aware", "generalization", "sparsity", "unpruned", "criterion")
    assert all(values[name] is None for name in nothing)
    assert values["groups"][0]["kept"] is None
    assert pruning_facts({"pruning": values, "host": None}) == []


def test_everything_is_in_the_values() -> None:
    values = pruning_values(FULL)
    assert values["groups"][0]["kept"] == list(FULL.kept["stem"])
    assert values["history"][1] == {
        "widths": {"stem": 12}, "loss": {"before": 0.8, "after": 0.4}, "macs": 700, "steps": 100,
    }  # fmt: skip
    gap = values["generalization"]["gap"]
    assert (round(gap["before"], 6), round(gap["after"], 6)) == (0.4, 0.25)
    assert values["quantization_aware"] == {"used": True, "int8": {"before": 0.81, "after": 0.89}}
    assert values["sparsity"] == {"pattern": "unstructured:0.2", "density": 0.2, "when": "after"}


def test_the_summary_says_it_in_words() -> None:
    said = dict(pruning_facts({"pruning": pruning_values(FULL), "host": HOST}))
    assert "2 round(s)" in said["pruning"]
    assert "0.5 \N{RIGHTWARDS ARROW} 0.4" in said["pruning"]
    assert said["sparsity"].startswith("20 % of the weights kept (unstructured")
    assert "0.81 \N{RIGHTWARDS ARROW} 0.89" in said["quantization"]
    assert "gap 0.4 \N{RIGHTWARDS ARROW} 0.25" in said["generalization"]
    assert "(50 %)" in said["on this machine"]


def test_a_report_of_an_older_version_is_shown() -> None:
    report: dict[str, Any] = {"pruning": {"groups": [], "rounds": 1, "steps": 3}}
    assert [name for name, _ in pruning_facts(report)] == ["pruning"]
