"""Loading recipes, ONNX and .pt2 files as a Model."""
