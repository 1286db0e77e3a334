"""A transformer pruned to a budget: embedding, heads with their columns and hidden layers all shrink, bit-exact."""

from __future__ import annotations

from pathlib import Path

from edgeprune.config import Settings
from edgeprune.pipeline import deploy

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "text_classifier.py"


def test_heads_widths_and_embedding_shrink(tmp_path: Path) -> None:
    """Of 30 KB, a good third is left; the unpruned network answers 96 % right, a guess 25 %."""
    settings = Settings(RECIPE, "nucleo-l4r5zi", output=tmp_path / "out", flash="12K", effort=40, samples=40)
    result = deploy(settings)
    assert result.directory is not None, result.report["reason"]
    report = result.report
    assert report["flash"]["total"] <= 12 * 1024
    assert report["verify"]["bit_exact"]
    groups = {group["name"]: group for group in report["pruning"]["groups"]}
    assert set(groups) == {
        "embed", "blocks.0.self_attn", "blocks.0.linear1", "blocks.1.self_attn", "blocks.1.linear1",
    }  # fmt: skip
    assert all(group["after"] < group["before"] for group in groups.values())
    kept_heads = {channel // 8 for channel in groups["blocks.0.self_attn"]["kept"]}
    assert len(kept_heads) < 4
    layers = {layer["name"]: layer for layer in report["layers"]}
    assert layers["blocks.0.self_attn"]["op"] == "FullyConnected"
    assert layers["blocks.0.linear1"]["shape"][-1] == groups["blocks.0.linear1"]["after"]
    assert report["accuracy"]["emulated"] >= 0.75
