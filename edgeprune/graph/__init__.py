"""The typed integer graph: its values (`ir`), its rules (`verify`), ONNX import and passes."""
