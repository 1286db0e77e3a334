"""A fixed sample of ONNX's node tests through the generated C; `python -m benchmarks.conformance` runs them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.conformance import CASES, EXCLUDED, run_case

SAMPLE = (
    "test_add_bcast",
    "test_argmax_keepdims_example",
    "test_averagepool_2d_pads",
    "test_clip",
    "test_convtranspose",
    "test_gemm_default_vector_bias",
    "test_gru_defaults",
    "test_layer_normalization_2d_axis0",
    "test_lstm_with_initial_bias",
    "test_matmul_3d",
    "test_resize_upsample_scales_cubic",
    "test_softmax_axis_1",
)


def test_exclusions_are_cases_with_a_reason() -> None:
    known = {name for names in CASES.values() for name in names}
    assert set(EXCLUDED) <= known
    assert all(len(reason) > 20 for reason in EXCLUDED.values())
    assert sum(name in EXCLUDED for name in CASES["T1"]) <= 15


@pytest.mark.parametrize("name", SAMPLE)
def test_onnx_node_case(name: str, tmp_path: Path) -> None:
    assert run_case(name, "host", tmp_path) is None
