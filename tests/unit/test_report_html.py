"""The HTML pages: what they hold, that they are whole, and that nothing from a model gets out of its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from edgeprune.report.compare import compare_reports
from edgeprune.report.html import comparison_html, report_html, sweep_html
from tests.support.html_outline import Element, parse_page
from tests.support.reports import deep_report, hostile_report, refused_report, small_report, small_sweep


def _without(*sections: str) -> dict[str, Any]:
    return small_report() | dict.fromkeys(sections)


def _strange_numbers() -> dict[str, Any]:
    """Zeros, not-a-number and infinity wherever a figure may be such."""
    report = small_report()
    report["accuracy"] |= {"metric": "loss", "float": float("nan"), "int8": -0.5, "emulated": float("inf")}
    report["budget"] |= {"latency_ms": 0.0}
    report["latency"] |= {"ms": float("nan")}
    for layer in report["layers"]:
        layer |= {"cycles": 0, "flash": None, "instructions": None, "macs": 0, "shape": []}
    for buffer in report["buffers"]:
        buffer["size"] = buffer["offset"] = 0
    return report


def _old_version() -> dict[str, Any]:
    report = small_report()
    for name in ("buffers", "inputs", "outputs", "command", "host"):
        del report[name]
    report["pruning"] = {"groups": report["pruning"]["groups"], "rounds": 1, "steps": 3}
    return report


PAGES: dict[str, Callable[[], str]] = {
    "small": lambda: report_html(small_report()),
    "refused": lambda: report_html(refused_report()),
    "refused, nothing nearest": lambda: report_html(refused_report() | {"nearest": None, "reason": None}),
    "not pruned": lambda: report_html(_without("pruning")),
    "on the host": lambda: report_html(_without("latency", "accuracy", "pruning")),
    "hostile": lambda: report_html(hostile_report()),
    "strange numbers": lambda: report_html(_strange_numbers()),
    "old version": lambda: report_html(_old_version()),
    "deep": lambda: report_html(deep_report()),
    "sweep": lambda: sweep_html(small_sweep()),
    "sweep without points": lambda: sweep_html(small_sweep() | {"points": []}),
    "comparison": lambda: comparison_html(compare_reports(small_report(), _without("pruning"))),
    "comparison with refused": lambda: comparison_html(compare_reports(small_report(), refused_report())),
    "hostile comparison": lambda: comparison_html(
        compare_reports(hostile_report(), small_report(), ("<b>", '"'))
    ),
    "deep comparison": lambda: comparison_html(compare_reports(deep_report(), deep_report())),
}


@pytest.fixture(params=PAGES)
def text(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


def test_structure_of_a_small_report(snapshot: SnapshotAssertion) -> None:
    assert parse_page(report_html(small_report())).outline() == snapshot


def test_structure_of_a_comparison(snapshot: SnapshotAssertion) -> None:
    smaller = small_report()
    smaller["layers"][0] |= {"cycles": 7000, "kernel": "conv_s8_c"}
    smaller["layers"][1]["name"] = "block.other"
    assert parse_page(comparison_html(compare_reports(small_report(), smaller))).outline() == snapshot


def test_pages_are_whole_small_and_silent(text: str) -> None:
    assert len(text.encode()) <= 1 << 20
    page = parse_page(text)
    tags = {one.tag for one in page.all()}
    assert not tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    for one in page.all():
        assert not [name for name in one.attributes if name.startswith("on") or name == "src"]
        href = one.attributes.get("href")
        assert href is None or href.startswith("#")
    style = next(one for one in page.all("style"))
    assert "url(" not in style.text and "@import" not in style.text
    assert "http:" not in text and "https:" not in text
    assert "nan" not in re.findall(r'(?:x|y|width|height)\d?="([^"]*)"', text)


def test_pages_can_be_read_without_seeing_them(text: str) -> None:
    page = parse_page(text)
    assert next(one for one in page.all("html")).attributes["lang"] == "en"
    ids = [one.attributes["id"] for one in page.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    assert all(one.attributes["href"][1:] in ids for one in page.all("a"))
    headings = [int(one.tag[1]) for one in page.all() if re.fullmatch(r"h\d", one.tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    for section in page.all("section"):
        assert section.attributes["aria-labelledby"] in ids
        pictures = [one for figure in section.all("figure") for one in figure.children if one.tag == "svg"]
        assert all(one.attributes["role"] == "img" and one.attributes["aria-label"] for one in pictures)
        assert not pictures or section.all("table") or section.attributes["id"] == "curves"
    for table in page.all("table"):
        assert table.all("caption")
        assert all("scope" in one.attributes for one in table.all("th"))
    scrolling = [one for one in page.all() if one.attributes.get("role") == "region"]
    assert all(one.attributes["tabindex"] == "0" and one.attributes["aria-label"] for one in scrolling)


def test_hostile_names_stay_text() -> None:
    text = report_html(hostile_report())
    text.encode("utf-8")
    assert "<script" not in text
    assert "alert(1)" in parse_page(text).words()
    assert "{{ 7 * 7 }}" in text
    assert not set(text) & {"\x1b", "\u202e", "\ud800"}


def test_a_refusal_says_why_and_shows_the_nearest() -> None:
    page = parse_page(report_html(refused_report()))
    words = page.words()
    assert "does not fit" in words
    assert "over budget: flash 5,000 B of 4,096 B" in words
    assert "5,000 B" in words and "122 %" in words
    assert _sections(page) == ["budget", "proof", "reproduce"]


def test_sections_that_do_not_apply_are_left_out() -> None:
    page = parse_page(report_html(_without("latency", "accuracy", "pruning")))
    assert _sections(page) == ["budget", "layers", "memory", "proof", "reproduce"]
    assert "no latency" in page.words()


def test_commands_are_quoted_for_a_shell() -> None:
    report = small_report()
    report["command"] = None
    report["model"] = {"name": "a; rm -rf", "file": "a; rm -rf.py"}
    words = parse_page(report_html(report)).words()
    assert (
        "edgeprune deploy 'a; rm -rf.py' --device nucleo-f446re --flash 4096 --ram 1024 --latency 0.08ms"
        in words
    )
    assert "edgeprune verify 'build/a; rm -rf-nucleo-f446re' --layers" in words


def test_the_same_report_gives_the_same_page() -> None:
    assert report_html(small_report()) == report_html(small_report())


def _sections(page: Element) -> list[str | None]:
    return [one.attributes["id"] for one in page.all("section")]


# --- Colours ----------------------------------------------------------------------------------------------------


def _schemes() -> list[dict[str, str]]:
    """Light and dark: custom property -> colour."""
    style = next(one for one in parse_page(report_html(small_report())).all("style")).text
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    )
    return [light, dark]


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1, 1.4.3."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _blend(over: str, under: str, opacity: float) -> str:
    mixed = (
        round(opacity * int(over[i : i + 2], 16) + (1 - opacity) * int(under[i : i + 2], 16))
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


@pytest.mark.parametrize("scheme", _schemes(), ids=["light", "dark"])
def test_contrast(scheme: dict[str, str]) -> None:
    series = [f"s{i}" for i in range(1, 6)]
    for under in ("page", "card"):
        for text in ("ink", "muted", "good", "bad", "link"):
            assert _contrast(scheme[text], scheme[under]) >= 4.5, (text, under)
        for graphic in series:
            assert _contrast(scheme[graphic], scheme[under]) >= 3, (graphic, under)
    for graphic in (*series, "bad"):
        assert _contrast(scheme[graphic], scheme["track"]) >= 3, graphic
    for name in series:  # a label on a buffer that another lies on
        once = _blend(scheme[name], scheme["card"], 0.3)
        assert _contrast(scheme["ink"], _blend(scheme[name], once, 0.3)) >= 4.5, name
