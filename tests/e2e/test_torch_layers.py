"""Layers of torch as its exporter gives them, deployed in float32 to a Cortex-M4F: a sample of the benchmark's 64."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.torch_layers import LAYERS, outcome


def test_there_are_sixty_four() -> None:
    assert len(LAYERS) == 64


@pytest.mark.parametrize("name", ["lstm", "encoder_layer", "interpolate_bilinear", "embedding"])
def test_a_layer_is_within_a_ten_thousandth_of_torch(name: str, tmp_path: Path) -> None:
    assert outcome(name, "mps2-an386", tmp_path)["difference"] <= 1e-4
