"""The package's face: its names, its version, and that importing it needs NumPy alone."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyrnn


def names_for_type_checkers():
    """Each name that `__init__` imports where types are checked, with the module it comes from."""
    tree = ast.parse(Path(pyrnn.__file__).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If) and "CHECKING" in ast.dump(n.test))
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname, node.module) for alias in node.names)


def test_type_checkers_see_the_names_that_there_are():
    seen = dict(names_for_type_checkers())
    assert sorted(seen) == sorted([*pyrnn.__all__, "sklearn"])
    if importlib.util.find_spec("sklearn") is None:
        del seen["sklearn"]
    for name, module in seen.items():
        value = getattr(pyrnn, name)
        assert value is getattr(__import__(module, fromlist=[name]), name)


def test_dir_is_the_public_names():
    assert set(dir(pyrnn)) == {*pyrnn.__all__, "__version__"}


def test_no_function_hides_a_module():
    folder = Path(pyrnn.__file__).parent
    for name in pyrnn.__all__:
        is_module = (folder / name).is_dir() or (folder / f"{name}.py").is_file()
        assert is_module == isinstance(getattr(pyrnn, name), type(pyrnn))


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'pyrnn' has no attribute 'Transformer'"):
        pyrnn.Transformer  # noqa: B018


def test_version():
    assert pyrnn.__version__
    assert pyrnn.__version__ == pyrnn.build_info()["version"]


def run(code):
    path = [p for p in sys.path if p]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_everything_needs_numpy_alone():
    run("""
import numpy, numpy.random
before = set(sys.modules)
import pyrnn
layer = pyrnn.LSTM(2, 3)
y, state, cache = layer.forward(numpy.ones((4, 1, 2), numpy.float32))
layer.backward(cache, y)
for name in pyrnn.__all__:
    getattr(pyrnn, name)
new = {name.partition(".")[0] for name in set(sys.modules) - before}
outside = new - set(sys.stdlib_module_names) - {"pyrnn", "numpy"}
assert not outside, outside
""")


def test_one_import_reaches_every_name_that_the_documents_write_out():
    """``pyrnn.interop.torch.read`` and the like, without an import of the modules between."""
    documents = Path(__file__).parents[1]
    pages = [documents / "README.md", *documents.glob("docs/**/*.md")]
    text = "".join(page.read_text("utf-8") for page in pages)
    names = set(re.findall(r"\bpyrnn(?:\.[a-z]\w*)+(?:\.[A-Z]\w*)?(?=[(`])", text))
    assert {"pyrnn.interop.load", "pyrnn.interop.torch.read", "pyrnn.merge_parameters"} <= names
    extras = {"pyrnn.interop.torch.nn", "pyrnn.interop.torch.accelerate", "pyrnn.sklearn"}
    run(f"""
import functools
import pyrnn
for name in {sorted(names)!r}:
    if name.startswith({tuple(sorted(extras))!r}):
        continue
    functools.reduce(getattr, name.split(".")[1:], pyrnn)
pyrnn.interop.onnx.prepare, pyrnn.interop.keras.load, pyrnn.interop.c.export
""")


@pytest.mark.parametrize("package", ["sklearn", "torch"])
def test_a_name_that_needs_an_extra_says_so(package):
    name = {"sklearn": "sklearn", "torch": "interop.torch.accelerate"}[package]
    run(f"""
sys.modules[{package!r}] = None  # as if it were not installed
import pyrnn
try:
    pyrnn.{name}
except ImportError as error:
    assert "pip install 'pyrnn[{package}]'" in str(error), error
else:
    raise AssertionError
import inspect
inspect.getmembers(pyrnn), inspect.getmembers(pyrnn.interop)  # as help() does
""")


def test_what_is_not_used_is_not_loaded():
    run("""
import pyrnn
loaded = [name for name in sys.modules if name.startswith("pyrnn.")]
assert sorted(loaded) == ["pyrnn._imports", "pyrnn._imports.lazy"], loaded
pyrnn.GRU
for room in ("pyrnn.diagnostics", "pyrnn.textbook", "pyrnn.text", "pyrnn.training"):
    assert room not in sys.modules, room
assert "pyrnn.reference.recurrence.sequence" not in sys.modules
""")
