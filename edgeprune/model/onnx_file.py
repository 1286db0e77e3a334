"""Loading an ONNX file: one self-contained byte string with static shapes, or a sentence why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeprune.errors import UsageError
from edgeprune.model.model import Model

if TYPE_CHECKING:
    import onnx

__all__ = ["load_onnx"]


def load_onnx(path: Path) -> Model:
    """Read and check an ONNX model; weights in external files are taken in.

    A symbolic first dimension of an input is its batch and becomes 1. The kind is "onnx-int8" when the file
    holds QuantizeLinear or QLinear operators, else "onnx-float".

    Raises:
        UsageError: the file is damaged or incomplete, has other dynamic dimensions, or holds weights that
            are NaN, infinite or empty.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise UsageError(f"{path} is not an ONNX model, or it is truncated") from error
    if not model.graph.node:
        raise UsageError(f"{path} holds no operators: it is not an ONNX model, or it is truncated")
    _take_in_external_data(model, path)
    _check_tensors(model, path)
    _fix_batch(model, path)
    _check_values(model, path)
    return Model(path.stem, path, _kind(model), onnx=model.SerializeToString(deterministic=True))


def _take_in_external_data(model: onnx.ModelProto, path: Path) -> None:
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    external = [tensor for _, tensor in _tensors(model.graph) if uses_external_data(tensor)]
    if not external:
        return
    files = sorted(
        {entry.value for tensor in external for entry in tensor.external_data if entry.key == "location"}
    )
    try:
        load_external_data_for_model(model, str(path.resolve().parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise UsageError(
            f"{path} keeps weights such as {external[0].name!r} in {', '.join(files)}, which is missing, too"
            " short or not beside it: put the file there"
        ) from error


def _check_tensors(model: onnx.ModelProto, path: Path) -> None:
    """Every stored tensor holds as many bytes as its shape says, and only finite numbers."""
    import onnx

    weights = _weight_names(model.graph)
    for name, tensor in _tensors(model.graph):
        try:
            array = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{path}: tensor {name!r} holds less data than its shape says: the file is damaged"
            ) from error
        if array.size == 0 and name in weights:
            raise UsageError(f"{path}: weight {name!r} has no elements (shape {list(array.shape)})")
        # Infinity is a legal bound of a Clip and -infinity masks attention; neither is a weight.
        damaged = np.isnan(array) if name not in weights else ~np.isfinite(array)
        if np.issubdtype(array.dtype, np.floating) and damaged.any():
            raise UsageError(f"{path}: weight {name!r} holds NaN or infinite values")


def _check_values(model: onnx.ModelProto, path: Path) -> None:
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (
        Exception
    ) as error:  # the C++ binding raises types of its own; operators unknown to it are no error
        line = (str(error).strip().splitlines() or [""])[0]
        raise UsageError(f"{path}: its shapes are inconsistent ({line})") from error
    # Constants may be empty: Resize takes such a region of interest, Squeeze such axes.
    constants = {name for name, _ in _tensors(inferred.graph)}
    for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
        if value.name in constants:
            continue
        dims = value.type.tensor_type.shape.dim
        if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in dims):
            shape = [dim.dim_value for dim in dims]
            raise UsageError(f"{path}: tensor {value.name!r} has no elements (shape {shape})")


def _fix_batch(model: onnx.ModelProto, path: Path) -> None:
    """Give every symbolic batch dimension the size 1, and forget shapes that were computed from it."""
    constants = {tensor.name for tensor in model.graph.initializer}
    fixed = False
    for value in model.graph.input:
        if value.name in constants:
            continue
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise UsageError(
                f"{path}: input {value.name!r} has no shape: export the model with static shapes"
            )
        for axis, dim in enumerate(kind.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            if dim.HasField("dim_value") and dim.dim_value == 0:
                raise UsageError(f"{path}: input {value.name!r} has no elements (dimension {axis} is 0)")
            if axis > 0:
                raise UsageError(
                    f"{path}: dimension {axis} of input {value.name!r} is dynamic ({dim.dim_param or '?'}):"
                    " export the model with static shapes"
                )
            dim.dim_value = 1
            fixed = True
    if fixed:
        del model.graph.value_info[:]
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")


def _kind(model: onnx.ModelProto) -> str:
    types = {node.op_type for node in _nodes(model.graph)} | {
        node.op_type for function in model.functions for node in function.node
    }
    quantised = any(kind in ("QuantizeLinear", "QGemm") or kind.startswith("QLinear") for kind in types)
    return "onnx-int8" if quantised else "onnx-float"


_WEIGHTED = {
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "LSTM",
    "GRU",
    "RNN",
    "BatchNormalization",
    "DequantizeLinear",
}


def _weight_names(graph: onnx.GraphProto) -> set[str]:
    return {name for node in _nodes(graph) if node.op_type in _WEIGHTED for name in node.input if name}


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of nested graphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for nested in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                yield from _nodes(nested)


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, Any]]:
    """Every stored tensor with its name: initializers, and Constant nodes under their output's name."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in _nodes(graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield (node.output[0] if node.op_type == "Constant" else node.name), attribute.t
