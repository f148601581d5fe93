"""Every example in the docstrings of the importers and exporters runs and shows what it says."""

import doctest
import importlib

import pytest

MODULES = {
    "pyrnn.interop.c.export": "numpy",
    "pyrnn.interop.converted": "safetensors",
    "pyrnn.interop.keras.read": "h5py",
    "pyrnn.interop.keras.write": "h5py",
    "pyrnn.interop.onnx.backend": "onnx",
    "pyrnn.interop.onnx.graph": "onnx",
    "pyrnn.interop.onnx.model": "onnx",
    "pyrnn.interop.onnx.nodes": "onnx",
    "pyrnn.interop.onnx.write": "onnx",
    "pyrnn.interop.stacking": "numpy",
    "pyrnn.interop.torch": "numpy",
    "pyrnn.interop.torch.state_dict": "numpy",
    "pyrnn.interop.torch.write": "numpy",
}
"""Each with what it needs."""


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    pytest.importorskip(MODULES[name])
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
