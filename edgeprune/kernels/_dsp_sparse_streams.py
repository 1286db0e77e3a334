"""What sparse kernels for the DSP extension read: a dense kernel's stream, of the weights that are left alone.

Either outputs come in blocks that share inputs: for each block a header and the dense stream of the inputs that any of
its outputs has a weight for, and apart from them the places of these inputs. Or words of four inputs come as records,
for as many outputs as the dense stream takes together: the word's weights, after how far it lies from the one before.

Both keep at least one word of inputs, whose weights are zero where there are none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeprune.graph.ir import Array, Node
from edgeprune.kernels._dsp import Scaling
from edgeprune.kernels._sparsity import OutputBlock, gathered_words, kept_words, output_blocks, place_type
from edgeprune.kernels.base import Constant, Weights

__all__ = [
    "DenseStream",
    "gathered_bytes",
    "gathered_constants",
    "record_counts",
    "record_stream",
    "records_bytes",
]

DenseStream = Callable[[Array, Array, int, Scaling], Array]
"""Of weights [out, K], bias, the input's zero point and scaling: uint32.

For outputs as many together as the kernel takes: a word each of sums, their weights, a word each of multipliers.
"""


def gathered_constants(
    node: Node, weights: Weights, size: int, multiple: int, dense: DenseStream, comment: str
) -> tuple[Constant, Constant]:
    """The "stream" and the "places" of `node` in `output_blocks` of `size` outputs.

    A block's header is words of inputs in bits 0 to 15 and outputs above, then the first output. It keeps a whole
    number of words, filled up with input 0 and weights of zero.
    """
    rows, b = _matrix(node, weights), weights[node.inputs[2].name]
    zero_x, scaling = node.inputs[0].zero_point, Scaling.of(node)
    parts, places = [], []
    for first, end, kept in output_blocks(rows, size, multiple):
        words = gathered_words(kept)
        inputs = np.pad(kept, (0, 4 * words - len(kept)))
        own = rows[first:end][:, inputs]
        own[:, len(kept) :] = 0
        outputs = slice(first, end)
        parts.append(np.array([words | (end - first) << 16, first], np.uint32))
        parts.append(dense(own, b[outputs], zero_x, scaling.part(outputs)))
        places.append(inputs)
    dtype = place_type(rows.shape[1])
    return (
        Constant("stream", "uint32_t", np.concatenate(parts), comment),
        Constant("places", f"{dtype}_t", np.concatenate(places).astype(dtype), "inputs of each block"),
    )


def gathered_bytes(blocks: tuple[OutputBlock, ...]) -> int:
    """Of the stream: a header for each block, and sum, weights and multiplier of each of its outputs."""
    return sum(8 + (end - first) * (4 * gathered_words(kept) + 8) for first, end, kept in blocks)


def record_counts(rows: Array, outputs: int) -> Array:
    """Records of each `outputs` neighbouring rows of weights [out, K], at least one: int."""
    counts: Array = np.maximum(kept_words(rows, outputs).sum(axis=1), 1)
    return counts


def record_stream(
    node: Node,
    weights: Weights,
    outputs: int,
    word_bytes: int,
    dense: DenseStream,
    offsets: Array | None = None,
) -> Array:
    """Sums, records and multipliers of each `outputs` neighbouring outputs, the last of them before the end: uint32.

    A record starts with the bytes to go on from the end of the word before, doubled, plus 1 for the last. A word of
    inputs takes `word_bytes`, and they follow one another, or lie at `offsets` [words of a window], ascending.
    """
    rows, b = _matrix(node, weights), weights[node.inputs[2].name]
    zero_x, scaling = node.inputs[0].zero_point, Scaling.of(node)
    parts = []
    for index, kept in enumerate(kept_words(rows, outputs)):
        first = min(index * outputs, len(rows) - outputs)
        own = slice(first, first + outputs)
        stream = dense(rows[own], b[own], zero_x, scaling.part(own))
        words = stream[outputs:-outputs].reshape(-1, outputs)
        places = np.flatnonzero(kept) if kept.any() else np.zeros(1, np.int64)
        starts = word_bytes * places if offsets is None else offsets[places]
        steps = 2 * (np.diff(starts, prepend=-word_bytes) - word_bytes)
        steps[-1] += 1
        records = np.column_stack([steps.astype(np.uint32), words[places]]).ravel()
        parts += [stream[:outputs], records, stream[-outputs:]]
    return np.concatenate(parts)


def records_bytes(counts: Array, outputs: int) -> int:
    """Of the stream, for `outputs` rows with so many records each: sums, records, multipliers."""
    return int((4 * (2 * outputs + (outputs + 1) * counts)).sum())


def _matrix(node: Node, weights: Weights) -> Array:
    """Weights [out, K]."""
    w = weights[node.inputs[1].name]
    return w.reshape(len(w), -1)
