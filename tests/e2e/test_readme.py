"""What the README shows works as shown."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from edgeprune.config import Settings, read_settings_file
from edgeprune.pipeline import deploy
from tests.support.onnx_models import flatten_net

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
MAIN = """
int main(void)
{
    static float values[KWS_INPUT_0_ELEMENTS];
    return classify(values) < 0 || kws_self_test(&context) != KWS_OK;
}
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_c_example_compiles_without_a_warning_and_runs(tmp_path: Path) -> None:
    (tmp_path / "kws.onnx").write_bytes(flatten_net())
    deploy(Settings(tmp_path / "kws.onnx", "host", output=tmp_path / "out", samples=1))
    (program,) = blocks("README.md", "c")
    (tmp_path / "main.c").write_text(program + MAIN)
    library = tmp_path / "out" / "library"
    sources = [tmp_path / "main.c", *library.glob("*.c")]
    subprocess.run(["gcc", *WARNINGS, f"-I{library}", *sources, "-o", tmp_path / "main"], check=True)
    subprocess.run([tmp_path / "main"], check=True)


def test_the_settings_example_has_known_keys(tmp_path: Path) -> None:
    (example,) = blocks("docs/command-line.md", "toml")
    (tmp_path / "edgeprune.toml").write_text(example)
    assert read_settings_file(tmp_path / "edgeprune.toml")["minimum"] == {"block1.conv": 16}


def test_links_lead_somewhere() -> None:
    for page in ("README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert "://" in target or ((ROOT / page).parent / target).exists(), (page, target)
