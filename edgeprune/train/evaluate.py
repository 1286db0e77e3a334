"""`evaluate`: a network's score by the recipe's own metric."""

from __future__ import annotations

import math

import torch

from edgeprune.errors import UsageError
from edgeprune.model.model import Model
from edgeprune.model.user_code import running_user_code
from edgeprune.train.data import first_samples

__all__ = ["evaluate"]


def evaluate(model: Model, module: torch.nn.Module, limit: int | None = None) -> float:
    """The recipe's metric of `module` on its test data.

    Args:
        model: Where test data and metric come from.
        module: The network to judge; left in evaluation mode.
        limit: Judge by about this many samples (whole batches) instead of all.

    Raises:
        UsageError: there is no test data, or the metric is not a finite number.
    """
    if model.training is None:
        raise UsageError(f"{model.name} has no test data; give a recipe with test_data() to evaluate it")
    data = model.training.test_data()
    module.eval()
    with torch.no_grad(), running_user_code(model.path, "evaluating the network"):
        value = float(
            model.training.metric(module, data if limit is None else list(first_samples(data, limit)))
        )
    if not math.isfinite(value):
        raise UsageError(
            f"the metric {model.training.metric_name!r} of {model.name} is {value}; return a number"
        )
    return value
