"""All readers that can be fuzzed here."""

from __future__ import annotations

import importlib.util

from tests.fuzz.readers import (
    checkpoints,
    converted_files,
    keras_files,
    model_files,
    onnx_files,
    text_caches,
    torch_files,
)
from tests.fuzz.readers.common import Reader

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        model_files.READER,
        checkpoints.READER,
        text_caches.READER,
        torch_files.READER,
        torch_files.QUANTISED_READER,
        converted_files.READER,
        onnx_files.READER,
        keras_files.READER,
    )
    if all(importlib.util.find_spec(package) for package in reader.packages)
}
