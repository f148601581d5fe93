"""Whole models of Keras as graphs in ONNX's operators, which `pyrnn.interop.onnx.Model` runs."""
