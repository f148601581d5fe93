"""Files: what was written comes back, and one that is spoiled is refused in one line."""

from tests.fuzz.entries.files import (
    keras_files,
    model_files,
    onnx_files,
    report_files,
    saved,
    text_files,
    torch_files,
)

__all__ = [
    "keras_files",
    "model_files",
    "onnx_files",
    "report_files",
    "saved",
    "text_files",
    "torch_files",
]
