"""Every example in the docstrings of the importers and exporters runs and shows what it says."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

from pyrnn import interop

MODULES = {
    "pyrnn.interop.c.export": "numpy",
    "pyrnn.interop.converted": "safetensors",
    "pyrnn.interop.keras.model": "h5py",
    "pyrnn.interop.keras.read": "h5py",
    "pyrnn.interop.keras.write": "h5py",
    "pyrnn.interop.onnx.backend": "onnx",
    "pyrnn.interop.onnx.graph": "onnx",
    "pyrnn.interop.onnx.model": "onnx",
    "pyrnn.interop.onnx.nodes": "onnx",
    "pyrnn.interop.onnx.write": "onnx",
    "pyrnn.interop.serialization": "numpy",
    "pyrnn.interop.stacking": "numpy",
    "pyrnn.interop.torch._values": "numpy",
    "pyrnn.interop.torch.nn._accelerate": "torch",
    "pyrnn.interop.torch.nn._layers": "torch",
    "pyrnn.interop.torch.read": "numpy",
    "pyrnn.interop.torch.state_dict": "numpy",
    "pyrnn.interop.torch.write": "numpy",
}
"""Each with what it needs."""


class Finder(doctest.DocTestFinder):
    """Finds classes where they are defined, also those that say that they are a package's."""

    def _from_module(self, module, thing):
        if super()._from_module(module, thing):
            return True
        methods = filter(inspect.isfunction, vars(thing).values()) if inspect.isclass(thing) else ()
        return any(method.__globals__ is vars(module) for method in methods)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    pytest.importorskip(MODULES[name])
    runner = doctest.DocTestRunner(verbose=False)
    for test in Finder(exclude_empty=True).find(importlib.import_module(name), name):
        runner.run(test)
    assert runner.tries
    assert not runner.failures


def test_every_module_with_examples_is_here():
    folder = Path(interop.__file__).resolve().parent
    files = (p for p in folder.rglob("*.py") if ">>> " in p.read_text(encoding="utf-8"))
    parts = (file.relative_to(folder).with_suffix("").parts for file in files)
    names = {".".join(("pyrnn.interop", *part)).removesuffix(".__init__") for part in parts}
    assert names == set(MODULES)
