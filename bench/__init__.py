"""Compare the speed of pyrnn with PyTorch, JAX, ONNX Runtime and OpenVINO: ``python -m bench``."""
