"""Docstrings of all public names: numpydoc's rules as pyproject.toml lists them, and no riddles."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import pyrnn

validate = pytest.importorskip("numpydoc.validate").validate
docscrape = pytest.importorskip("numpydoc.docscrape")

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
MODULES = ["pyrnn"] + [
    f"pyrnn.{name}" for name in sorted(pyrnn.__all__) if inspect.ismodule(getattr(pyrnn, name))
]
MODULES += [f"pyrnn.interop{name}" for name in ("", ".torch", ".c", ".stacking")]
MODULES += [
    module
    for module, needed in {
        "pyrnn.sklearn": "sklearn",
        "pyrnn.interop.onnx": "onnx",
        "pyrnn.interop.keras": "h5py",
    }.items()
    if importlib.util.find_spec(needed)
]
NEED_TORCH = {"pyrnn.interop.torch.nn", "pyrnn.interop.torch.accelerate"}
"""Without it they cannot be imported; the classes have torch's own signatures."""
CONSTRUCTED_BY_OTHERS = {
    "Backtest",
    "Stream",
    "Conv1dStream",
    "SequentialStream",
    "GradcheckEntry",
    "GradcheckReport",
}
"""Users get them from a function or method: their constructors' arguments are internal."""
FOR_SUBCLASSES = {"get_lr", "check_backward"}
"""Methods that other code of the package calls: a sentence is enough."""
PROPERTY = {"EX01", "RT01", "RT03"}
SENTENCE = {"GL08", "SS01", "SS02", "SS03", "SS05"}


def codes():
    text = PYPROJECT.read_text(encoding="utf-8")
    (listed,) = re.findall(r"\[tool\.numpydoc_validation\]\nchecks = \[(.*?)\]", text, re.DOTALL)
    return set(re.findall(r'"(\w+)"', listed))


def members(name, thing):
    """A public class's own public methods and properties, by name; a function alone."""
    yield name, thing
    if not inspect.isclass(thing):
        return
    for member in dir(thing):
        if member.startswith("_") and member != "__call__":
            continue
        value = inspect.getattr_static(thing, member)
        value = getattr(value, "__func__", value)
        function = value.fget if isinstance(value, property) else value
        if inspect.isfunction(function) and function.__module__.startswith("pyrnn"):
            yield f"{name}.{member}", function


def public_names():
    """Each public name once, by the shortest path to it."""
    seen = {}
    submodules = []
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", []):
            if f"{name}.{attribute}" in NEED_TORCH:
                continue
            thing = getattr(module, attribute)
            if inspect.ismodule(thing):
                submodules.append(f"{name}.{attribute}")
            elif inspect.isclass(thing) or inspect.isfunction(thing):
                for path, value in members(f"{name}.{attribute}", thing):
                    seen.setdefault(id(value), path)
    for name in submodules:
        module = importlib.import_module(name)
        for attribute, thing in vars(module).items():
            if getattr(thing, "__module__", None) == name and not attribute.startswith("_"):
                for path, value in members(f"{name}.{attribute}", thing):
                    seen.setdefault(id(value), path)
    return sorted(seen.values())


NAMES = public_names()


def test_names_are_found():
    assert {"pyrnn.LSTM", "pyrnn.Stream.step", "pyrnn.textbook.uwv.rnn_cell_forward"} <= set(NAMES)
    assert any(name.endswith(".load_state_dict") for name in NAMES)
    assert "PR01" in codes()


def thing_of(name):
    """What a public name stands for; a property as such."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            thing = inspect.getattr_static(thing, part, None) or getattr(thing, part)
        return thing
    raise AssertionError(name)


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    last = name.rpartition(".")[2]
    wanted = codes()
    if last in CONSTRUCTED_BY_OTHERS:
        wanted -= {"PR01"}
    called_by_trainer = name.startswith("pyrnn.callbacks.") and (
        last.startswith("on_") or last.endswith("state_dict")
    )
    if last in FOR_SUBCLASSES or called_by_trainer:
        wanted &= SENTENCE
    if isinstance(thing_of(name), property):
        wanted -= PROPERTY
    found = [(code, text) for code, text in validate(name)["errors"] if code in wanted]
    assert not found


@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_sent_on(name):
    """Parameters are written out, where another name has the same ones, too."""
    doc = validate(name)["docstring"]
    assert not re.search(r"^ *As (for|from|in) `[\w.]+`", doc, re.MULTILINE)


def described(name):
    parameters = docscrape.ClassDoc(getattr(pyrnn, name))["Parameters"]
    return {p.name: (p.type, " ".join(p.desc)) for p in parameters}


@pytest.mark.parametrize(
    ("name", "model", "other"),
    [
        ("LSTM", "RNN", {"zoneout", "initialization"}),
        ("GRU", "RNN", {"initialization"}),
        ("MinGRU", "GRU", {"bias", "recurrent_dropout"}),
        ("LSTMCell", "RNNCell", {"initialization"}),
        ("GRUCell", "RNNCell", {"initialization"}),
        ("AdamW", "Adam", {"weight_decay"}),
    ],
)
def test_what_is_the_same_is_described_alike(name, model, other):
    """So that texts that are written out in full do not drift apart."""
    mine, theirs = described(name), described(model)
    shared = mine.keys() & theirs.keys()
    assert len(shared) >= 4
    assert {p for p in shared if mine[p] != theirs[p]} == other
