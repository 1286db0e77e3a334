"""Quantising a float network to int8: calibration, QDQ export and running the result.

One road for torch modules and float ONNX files: `export` and `normalize` bring the network into one float ONNX
form, `observe` collects what flows through it on the calibration data, `ranges` turns that into scales and zero
points, and `insert` writes QuantizeLinear and DequantizeLinear around every operator.
"""

from edgeprune.quantize.quantize import quantize
from edgeprune.quantize.run import run_onnx, signal_to_noise_db
from edgeprune.quantize.score import int8_score
from edgeprune.quantize.sequences import run_sequences

__all__ = ["int8_score", "quantize", "run_onnx", "run_sequences", "signal_to_noise_db"]
