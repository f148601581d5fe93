"""Time pyrnn beside PyTorch, JAX, ONNX Runtime and OpenVINO: ``python -m bench``."""
