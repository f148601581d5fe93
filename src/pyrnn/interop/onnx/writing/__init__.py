"""How single layers, and whole graphs, become messages of the package onnx."""
