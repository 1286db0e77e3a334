"""ONNX in, typed integer graph out.

Four steps, one file each: `normalize` brings a file into one canonical QDQ form, `quantization` finds the
stored type of every float value, `lowering` hands each node to its operator, and `explain` words refusals.
"""

from edgeprune.graph.onnx_import.lowering import import_onnx

__all__ = ["import_onnx"]
