"""ReduceMax against ONNX Runtime, over any axes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.test_linear_onnx import Model, assert_matches


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[2, 3], [1], [-1], [0, 2], None], ids=str)
def test_reduce_max(axes, keepdims):
    model = Model(1)
    inputs = [model.input(1, 3, 4, 5)] + ([] if axes is None else [model.constant(np.array(axes, np.int64))])
    assert_matches(model, model.op("ReduceMax", inputs, scale=0.05, zero=3, keepdims=keepdims))
