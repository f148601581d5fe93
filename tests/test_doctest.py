"""Every example in a docstring runs, on every backend, and shows what it says."""

import doctest
import importlib.util
import inspect
import pkgutil

import pytest

import pyrnn
from pyrnn.backend import selection

LEFT_OUT = ["pyrnn.cli", "pyrnn.interop", "pyrnn.__main__", "pyrnn._core"]
if importlib.util.find_spec("sklearn") is None:
    LEFT_OUT.append("pyrnn.sklearn")
if "native" not in selection.available():
    LEFT_OUT.append("pyrnn.backend.native")

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(pyrnn.__path__, "pyrnn.")
    if not module.name.startswith(tuple(LEFT_OUT))
)


class Finder(doctest.DocTestFinder):
    """Finds public classes where they are defined, though they say that they are pyrnn's."""

    def _from_module(self, module, thing):
        if inspect.isclass(thing) and thing.__module__ in PUBLIC:
            methods = filter(inspect.isfunction, vars(thing).values())
            return any(method.__globals__ is vars(module) for method in methods)
        return super()._from_module(module, thing)


PUBLIC = (
    "pyrnn",
    "pyrnn.callbacks",
    "pyrnn.text",
    "pyrnn.serialization",
    "pyrnn.sklearn",
    "pyrnn.optim.lr_scheduler",
)
FINDER = Finder(exclude_empty=True)


def public_names():
    """Names of pyrnn that a user calls: each of them shows an example."""
    objects = {name: getattr(pyrnn, name) for name in pyrnn.__all__}
    return sorted(name for name, thing in objects.items() if callable(thing))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, backend):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(verbose=False)
    for test in FINDER.find(module, name):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", public_names())
def test_every_public_name_has_an_example(name):
    thing = getattr(pyrnn, name)
    if name == "GradcheckReport":  # what gradcheck returns; its example is there
        return
    module = importlib.import_module(pyrnn._HOMES[name])
    examples = [e for t in FINDER.find(thing, name, module=module) for e in t.examples]
    assert examples
