"""Calibration and export to int8 QDQ ONNX."""
