"""What the templates need to write a library's inputs and outputs: their types, places, scales and bytes of images."""

from __future__ import annotations

import numpy as np

from edgeprune.codegen.arenas import address
from edgeprune.codegen.describe import c_type, shape_text
from edgeprune.graph.ir import Graph, Tensor
from edgeprune.ops.from_bytes import image_reader, mean_and_std
from edgeprune.plan.program import Program
from edgeprune.templating import c_comment

__all__ = ["port_values"]


def port_values(program: Program, tensor: Tensor, prefix: str, kind: str, index: int) -> dict[str, object]:
    """What the templates write for `tensor`, number `index` of the graph's inputs or outputs, as `kind` says.

    `kind` is "INPUT" or "OUTPUT". `place` is None where the caller hands the tensor over row by row.
    """
    graph = program.graph
    layout = graph.layouts.get(tensor.name)
    quant = tensor.quant
    return {
        "macro": f"{prefix.upper()}_{kind}_{index}",
        "function": f"{prefix}_{kind.lower()}_{index}",
        "helper": f"{kind.lower()}_{index}",
        "name": c_comment(tensor.name, 60),
        "ctype": c_type(tensor),
        "shape": shape_text(tensor),
        "dims": tensor.shape,
        "elements": tensor.elements,
        "bytes": tensor.bytes,
        "place": None if tensor.name == program.fed else address(program, program.buffer_of(tensor.name)),
        "scale": None if quant is None else f"{np.float32(quant.scale[0]):.9g}",
        "zero_point": None if quant is None else quant.zero_point[0],
        "image": _image(graph, tensor),
        "layout": None if layout is None else ", ".join(map(str, layout)),
    }


def _image(graph: Graph, tensor: Tensor) -> dict[str, list[str]] | None:
    """Mean and std of each channel as C floats, where `tensor` holds bytes of an image."""
    reader = image_reader(graph, tensor)
    if reader is None:
        return None
    means, stds = mean_and_std(reader)
    return {"mean": [_c_float(value) for value in means], "std": [_c_float(value) for value in stds]}


def _c_float(value: float) -> str:
    text = f"{value:.9g}"
    return f"{text if any(mark in text for mark in '.en') else f'{text}.0'}F"
