"""Loading recipes, ONNX and .pt2 files as a Model, and the data that goes with them."""

from edgeprune.model.data import (
    InputSpec,
    dataset_from_batches,
    input_specs,
    load_dataset,
    random_dataset,
    training_batches,
)
from edgeprune.model.load import load_model
from edgeprune.model.model import Dataset, Model, Training
from edgeprune.model.stepping import with_stepping

__all__ = [
    "Dataset",
    "InputSpec",
    "Model",
    "Training",
    "dataset_from_batches",
    "input_specs",
    "load_dataset",
    "load_model",
    "random_dataset",
    "training_batches",
    "with_stepping",
]
