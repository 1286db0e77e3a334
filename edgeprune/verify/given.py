"""Each layer compared with its reference on what the build itself handed it.

Where layers in float stand between integer ones, another order of additions may turn a half up or down, and all that
follows differs a little. So no layer is asked for more than its own part: integer layers equal their reference byte for
byte on their actual inputs; a float layer is within the tolerance, and what it stores as int8 within one step. The
outputs of a run are then what its layers left, or what the reference makes of that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.codegen import Sources
from edgeprune.graph.ir import DTYPES, Array, Graph
from edgeprune.graph.islands import in_float
from edgeprune.ops import operator_for
from edgeprune.verify.compare import Mismatch, differs, first_difference

__all__ = ["compare_given", "differing_samples"]


def differing_samples(expected: Sequence[Array], outputs: Sequence[Array]) -> list[int]:
    """The samples of which any stored output [N, *shape] is not what was expected, floats within the tolerance."""
    pairs = [
        (want.reshape(len(want), -1), got.reshape(len(want), -1))
        for want, got in zip(expected, outputs, strict=True)
    ]
    apart = [differs(want, got).any(axis=1) for want, got in pairs]
    return [int(sample) for sample in np.flatnonzero(np.logical_or.reduce(apart))]


def compare_given(
    graph: Graph,
    sources: Sources,
    inputs: Sequence[Array],
    sample: int,
    layers: Sequence[Sequence[bytes]],
    where: str,
    outputs: Sequence[Array] | None = None,
) -> Mismatch | None:
    """The first layer that made something else of its inputs than its reference does; None where all are right.

    After the layers come the `outputs` of a run of the same sample, which must be what the layers lead to.

    Args:
        graph: The network.
        sources: The library, whose layers `layers` has.
        inputs: The stored inputs of one sample.
        sample: Its number, for the mismatch.
        layers: What each layer left, as `emulate.layer_outputs` gives it.
        where: What ran it, for the mismatch.
        outputs: What a run of the sample gave, one array per output of the network; None where none is judged.
    """
    left = {
        tensor.name: (layer.name, np.frombuffer(raw, DTYPES[tensor.dtype]).reshape(tensor.shape))
        for layer, outputs in zip(sources.layers, layers, strict=True)
        for tensor, raw in zip(layer.outputs, outputs, strict=True)
    }
    values = {tensor.name: array for tensor, array in zip(graph.inputs, inputs, strict=True)}
    rounded: set[str] = set()
    for node in graph.nodes:
        operands = [t.value if t.value is not None else values[t.name] for t in node.inputs]
        soft = in_float(node) or any(tensor.name in rounded for tensor in node.inputs)
        for tensor, want in zip(node.outputs, operator_for(node).reference(node, *operands), strict=True):
            values[tensor.name] = want
            if tensor.name not in left:
                rounded.update([tensor.name] if soft else [])
                continue
            layer, got = left[tensor.name]
            steps = 1 if soft and tensor.dtype == "int8" else 0
            mismatch = first_difference(where, layer, want.reshape(1, -1), got.reshape(1, -1), sample, steps)
            if mismatch is not None:
                return mismatch
            values[tensor.name] = got
    if outputs is None:
        return None
    for tensor, result in zip(graph.outputs, outputs, strict=True):
        steps = 1 if tensor.name in rounded and tensor.dtype == "int8" else 0
        want = values[tensor.name].reshape(1, -1)
        mismatch = first_difference(where, tensor.name, want, result.reshape(1, -1), sample, steps)
        if mismatch is not None:
            return mismatch
    return None
