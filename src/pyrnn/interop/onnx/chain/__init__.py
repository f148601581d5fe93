"""Graphs of ONNX that are layers one behind the other."""
