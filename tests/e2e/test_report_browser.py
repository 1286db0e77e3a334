"""The pages in a real browser: they render, without a word on the console, light and dark, and as wide as a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeprune.report.compare import compare_reports
from edgeprune.report.html import comparison_html, grid_html, report_html, sweep_html
from tests.support.reports import deep_report, hostile_report, refused_report, small_report, small_sweep
from tests.support.tools import lacking

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
PAGES: dict[str, Callable[[], str]] = {
    "small": lambda: report_html(small_report()),
    "refused": lambda: report_html(refused_report()),
    "hostile": lambda: report_html(hostile_report()),
    "deep": lambda: report_html(deep_report(150)),
    "sweep": lambda: sweep_html(small_sweep()),
    "grid": lambda: grid_html({name: small_sweep() for name in ("net-rp2040", "net-nrf52840")}),
    "comparison": lambda: comparison_html(compare_reports(small_report(), refused_report())),
}
DARK, LIGHT = 0, 1
PHONE = 375
FRAME = """<!DOCTYPE html><body style="margin:0"><iframe style="border:0;width:{width}px;height:4000px"></iframe>
<p></p><script>
const HIDES = ".scroll, .skip, .hidden, pre, svg svg";
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const inside = frame.contentDocument;
  const wide = [...inside.querySelectorAll("body *")].filter(one => !one.closest(HIDES)
      && one.getBoundingClientRect().right > {width} + 1).map(one => one.outerHTML.slice(0, 80));
  document.querySelector("p").textContent = "found " + inside.documentElement.scrollWidth + " " + wide.join(" ");
}};
frame.srcdoc = {text};
</script></body>"""

pytestmark = pytest.mark.skipif(lacking(*BROWSERS), reason="no browser here: make browser")


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None, "no browser, which `make test` installs"
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}", *options, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize("name", ["small", "comparison", "sweep"])
def test_pages_are_light_or_dark_as_asked_for(name: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGES[name](), encoding="utf-8")
    brightness = {}
    for scheme in (LIGHT, DARK):
        picture = tmp_path / f"{scheme}.png"
        wanted = f"--blink-settings=preferredColorScheme={scheme}"
        found = browse(page, "--window-size=1000,1600", wanted, f"--screenshot={picture}")
        assert "CONSOLE" not in found.stderr, found.stderr
        shown = np.asarray(Image.open(picture).convert("L"), dtype=float)
        assert shown.std() > 5
        brightness[scheme] = np.median(shown)
    assert brightness[LIGHT] > 200 > 60 > brightness[DARK]


@pytest.mark.parametrize("name", PAGES)
def test_pages_render_on_a_phone_without_a_word_on_the_console(name: str, tmp_path: Path) -> None:
    page = tmp_path / "frame.html"
    page.write_text(FRAME.format(width=PHONE, text=_script(PAGES[name]())), encoding="utf-8")
    rendered = browse(page, "--dump-dom", "--virtual-time-budget=5000")
    assert "CONSOLE" not in rendered.stderr, rendered.stderr
    found = re.search(r"<p>found (\d+) (.*?)</p>", rendered.stdout)
    assert found is not None
    assert (int(found[1]), found[2]) == (PHONE, "")


def _script(text: str) -> str:
    """`text` as a literal of JavaScript inside an HTML script."""
    return json.dumps(text).replace("<", "\\u003c")
