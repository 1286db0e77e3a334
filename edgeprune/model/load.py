"""One entrance for the three kinds of model files."""

from __future__ import annotations

from pathlib import Path

from edgeprune.errors import UsageError
from edgeprune.model.model import Model

__all__ = ["load_model"]


def load_model(path: Path, *, needs_data: bool = True) -> Model:
    """Load a recipe (.py), an ONNX model (.onnx) or an exported torch program (.pt2).

    Args:
        path: The file.
        needs_data: Whether a recipe must bring `train_data` and `test_data`; pruning and calibration need
            them, an analysis of costs does not.

    Raises:
        UsageError: the file is missing, damaged or of another kind, or its network cannot be deployed.
    """
    from edgeprune.model.onnx_file import load_onnx
    from edgeprune.model.pt2_file import load_pt2
    from edgeprune.model.recipe import load_recipe

    if not path.exists():
        raise UsageError(f"model file {path} does not exist")
    if not path.is_file():
        raise UsageError(f"{path} is not a file: name a recipe (.py), a .onnx or a .pt2")
    if path.suffix == ".py":
        return load_recipe(path, needs_data=needs_data)
    if path.suffix == ".onnx":
        return load_onnx(path)
    if path.suffix == ".pt2":
        return load_pt2(path)
    raise UsageError(f"{path} has the suffix {path.suffix!r}: a model is a recipe (.py), a .onnx or a .pt2")
