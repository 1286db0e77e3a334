"""`int8_score`: the recipe's metric of a quantised network, run by onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeprune.model.model import Model
from edgeprune.quantize.run import Session

if TYPE_CHECKING:
    import torch

__all__ = ["int8_score"]


def int8_score(model: Model, onnx: bytes, limit: int | None = None) -> float:
    """The recipe's metric of the network `onnx` on its test data, on the very batches that `evaluate` takes.

    Args:
        model: Where test data and metric come from.
        onnx: The QDQ file's bytes, batch 1.
        limit: Judge by about this many samples (whole batches) instead of all.

    Raises:
        UsageError: there is no test data, the metric is not a finite number, or onnxruntime refuses the file.
    """
    from edgeprune.train.evaluate import evaluate

    return evaluate(model, _as_module(onnx), limit)


def _as_module(onnx: bytes) -> torch.nn.Module:
    """A network in an ONNX file as a torch module: tensors [N, *shape] in, tensors out, one sample at a time."""
    import torch

    session = Session(onnx)

    class OnnxNetwork(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
            arrays = [np.ascontiguousarray(value.detach().cpu().numpy()) for value in inputs]
            rows = [session.run([array[i : i + 1] for array in arrays]) for i in range(len(arrays[0]))]
            outputs = tuple(torch.from_numpy(np.concatenate(parts)) for parts in zip(*rows, strict=True))
            return outputs[0] if len(outputs) == 1 else outputs

    return OnnxNetwork()
