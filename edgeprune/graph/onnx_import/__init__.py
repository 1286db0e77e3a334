"""ONNX in, typed integer graph out; or, in `plain`, a graph in the model's own types.

Four steps, one file each: `normalize` brings a file into one canonical QDQ form, `quantization` finds the
stored type of every float value, `lowering` hands each node to its operator, and `explain` words refusals.
"""

from edgeprune.graph.onnx_import.byte_input import byte_input_of, with_byte_input
from edgeprune.graph.onnx_import.lowering import import_onnx
from edgeprune.graph.onnx_import.plain import import_plain

__all__ = [
    "byte_input_of",
    "import_onnx",
    "import_plain",
    "with_byte_input",
]
