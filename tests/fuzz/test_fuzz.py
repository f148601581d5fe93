"""A short run of the fuzzer; that it covers every public name, and finds what is planted."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyrnn
from pyrnn import losses, optim, report, serialization, text, textbook
from pyrnn.backend import selection
from pyrnn.layers._options import Mode, Option
from tests.fuzz import entries, planted
from tests.fuzz.case import ENTRIES, draw_case
from tests.fuzz.compare import bit_difference
from tests.fuzz.layouts import LAYOUTS, expand

pytestmark = pytest.mark.skipif(
    "native" not in selection.available(), reason="the compiled core is not built"
)

ROOT = Path(__file__).parents[2]
COVERED = {name for entry in ENTRIES.values() for name in entry.covers}
OWN = [name for name, entry in ENTRIES.items() if name not in planted.EXPECTED]
assert entries

NOT_CALLED = {
    "textbook.cells", "textbook.char_rnn", "textbook.uwv", "textbook.word_rnn", "textbook",
    "serialization.ModelFileError", "Layer", "Optimizer", "optim.lr_scheduler.LRScheduler",
    "typing",
}  # fmt: skip
"""Modules, a class of errors, and bases; functions of modules have their names."""


def run(*arguments):
    command = [sys.executable, "-m", "tests.fuzz", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


# --- what is fuzzed -------------------------------------------------------------------------


def listed(module, prefix):
    """The functions and classes that a module lists."""
    for name in module.__all__:
        if callable(getattr(module, name)):
            yield f"{prefix}.{name}" if prefix else name


def public_functions(module, prefix):
    """Names of the functions and classes that a module defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or not (inspect.isfunction(value) or inspect.isclass(value)):
            continue
        if value.__module__ == module.__name__:
            yield f"{prefix}.{name}"


def public_names():
    yield from listed(pyrnn, "")
    yield from (f"textbook.{name}" for name in textbook.__all__)
    for module in (textbook.cells, textbook.char_rnn, textbook.uwv, textbook.word_rnn):
        yield from public_functions(module, module.__name__.removeprefix("pyrnn."))
    yield from listed(serialization, "serialization")
    yield from listed(text, "text")
    yield from listed(losses, "losses")
    yield from listed(report, "report")
    yield from (f"interop.torch.{name}" for name in ("Placeholder", "read", "save"))
    yield from (f"interop.torch.{name}" for name in ("from_state_dict", "to_state_dict"))
    yield from listed(optim.lr_scheduler, "optim.lr_scheduler")
    if importlib.util.find_spec("sklearn"):
        yield from listed(importlib.import_module("pyrnn.sklearn"), "sklearn")


def is_option(cls, name):
    return isinstance(getattr(cls, name), (Mode, Option))


def public_methods():
    """Methods and properties of the classes that compute."""
    for name in pyrnn.__all__:
        cls = getattr(pyrnn, name)
        values = {"GradcheckReport", "PackedSequence"}
        if inspect.isclass(cls) and name not in values | NOT_CALLED:
            calls = ["__call__"] if "__call__" in dir(cls) else []
            methods = [m for m in dir(cls) if not m.startswith("_") and not is_option(cls, m)]
            yield from (f"{name}.{method}" for method in calls + methods)


@pytest.mark.parametrize("name", sorted(set(public_names()) - NOT_CALLED))
def test_every_public_name_has_an_entry(name):
    assert name in COVERED


NOT_CALLED_METHODS = {
    "num_parameters", "num_directions", "dropout", "hidden_size", "num_layers", "cell", "lr",
    "check_backward", "weight_format", "activation_format", "compute_format", "rank", "buffers",
    "precision", "scheduler",
}  # fmt: skip
"""Properties that say what a constructor was given, what every `backward` asks first, and arrays
that all layers but `BatchNorm1d`, whose entry has them, have none of."""


def test_every_public_method_has_an_entry():
    methods = {name for name in public_methods() if name.split(".")[1] not in NOT_CALLED_METHODS}
    assert methods - COVERED == set()


# --- the short form -------------------------------------------------------------------------


def ends(done):
    """How many cases ended in an answer, in a refusal, and undecided."""
    assert done.returncode == 0, done.stdout + done.stderr
    return map(int, re.search(r"^all +(\d+) +(\d+) +(\d+)", done.stdout, re.M).groups())


def test_a_short_run_finds_nothing():
    answers, refusals, undecided = ends(run("--cases", 350, "--seed", 0, "--jobs", 2))
    assert answers + refusals + undecided == 350
    assert answers >= 175
    assert refusals >= 50
    assert undecided <= 3  # one in a thousand of many


# --- that it finds what is there ------------------------------------------------------------


@pytest.fixture(scope="module")
def planted_findings():
    done = run("--entries", "tests.fuzz.planted", "--cases", 500, "--jobs", 2, "--timeout", 2)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", planted.EXPECTED)
def test_a_planted_fault_is_found(planted_findings, name):
    assert f"x  {name}: {planted.EXPECTED[name]}" in planted_findings
    assert re.search(rf"^ +{name}/0/\d+$", planted_findings, re.M)


def test_a_case_that_is_played_again_shows_its_finding():
    done = run("--entries", "tests.fuzz.planted", "--replay", "wrong value/5/77")
    assert done.returncode == 1
    assert "difference: : another value" in done.stdout
    assert "x = array(" in done.stdout


def without_places(arguments):
    """What arguments look like, but for the addresses of those that show none of their content."""
    return re.sub(r"0x[0-9a-f]+", "", repr(arguments))


@pytest.mark.parametrize("name", OWN)
def test_a_seed_draws_the_same_case_again(name):
    for number in range(5):
        first, second = (draw_case(ENTRIES[name], 3, number) for _ in range(2))
        assert first.spoiled == second.spoiled
        assert (
            without_places(first.arguments) == without_places(second.arguments)
            or bit_difference(*(vars(case)["arguments"] for case in (first, second))) is None
        )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (0, 3), (3, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_a_layout_keeps_the_numbers(layout, shape, dtype):
    values = expand(layout, np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape))
    made = np.asarray(LAYOUTS[layout](values.copy()))
    assert made.shape == shape
    assert made.dtype.newbyteorder("=") == dtype
    assert np.array_equal(made, values)
