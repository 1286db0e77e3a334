"""The task's metric on outputs however they were computed: torch, onnxruntime, emulator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.graph.ir import Array
from edgeprune.model.model import Model
from edgeprune.verify.samples import Samples

__all__ = ["metric_name", "score", "score_module"]

_BATCH = 50


def metric_name(model: Model) -> str:
    """What `score` computes."""
    return model.training.metric_name if model.training is not None else "top-1 accuracy"


def score(model: Model, samples: Samples, outputs: Sequence[Array]) -> float | None:
    """The recipe's metric (or top-1 accuracy) of real `outputs` [N, *shape]; None where labels are unknown."""
    if samples.labels is None:
        return None
    if model.training is None:
        flat = outputs[0].reshape(samples.count, -1)
        return float(np.mean(flat.argmax(axis=1) == samples.labels.reshape(samples.count)))
    import torch

    class Replay(torch.nn.Module):
        """Answers each batch with the outputs computed for it before."""

        def __init__(self) -> None:
            super().__init__()
            self.position = 0

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
            start, self.position = self.position, self.position + len(inputs[0])
            rows = tuple(torch.from_numpy(output[start : self.position]) for output in outputs)
            return rows[0] if len(rows) == 1 else rows

    return float(model.training.metric(Replay(), _batches(samples)))


def score_module(model: Model, samples: Samples) -> float | None:
    """The metric of the model's own torch module on `samples`; None where there is none."""
    if model.training is None or model.module is None or samples.labels is None:
        return None
    return float(model.training.metric(model.module.eval(), _batches(samples)))


def _batches(samples: Samples) -> list[tuple[object, object]]:
    import torch

    assert samples.labels is not None
    batches: list[tuple[object, object]] = []
    for start in range(0, samples.count, _BATCH):
        part = slice(start, start + _BATCH)
        inputs = tuple(torch.from_numpy(np.ascontiguousarray(array[part])) for array in samples.inputs)
        labels = torch.from_numpy(np.ascontiguousarray(samples.labels[part]))
        batches.append((inputs[0] if len(inputs) == 1 else inputs, labels))
    return batches
