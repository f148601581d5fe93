"""The calls that sanitizers watch are all that the core has."""

import runpy
from functools import wraps
from pathlib import Path

import pytest

from pyrnn.backend import selection

HERE = Path(__file__).parent

ELSEWHERE = {"convolution_backward", "exp", "log", "renew", "weighted_cross_entropy"}
"""Mostly NumPy's work, which crashes where its own allocations fail; functions of few numbers; and
what only the modules for torch call, `forward` again."""


@pytest.mark.skipif("native" not in selection.available(), reason="needs the core")
def test_every_function_of_the_core_is_called(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    calls = runpy.run_path(str(HERE / "calls.py"))
    backend = type(selection.find("native"))
    functions = {
        name: value.__func__
        for name, value in vars(backend).items()
        if isinstance(value, staticmethod) and not hasattr(value.__func__, "__code__")
    }
    assert {"adam", "backward_windows", "linear_backward"} < set(functions)
    called = set()

    def recorded(name, function):
        @wraps(function)
        def call(*arguments, **named):
            called.add(name)
            return function(*arguments, **named)

        return staticmethod(call)

    for name, function in functions.items():
        monkeypatch.setattr(backend, name, recorded(name, function))
    for name, call in calls["of_cell"](calls["CELLS"]["lstm"]):
        if not name.startswith("rows"):
            call()
    for _, call in calls["around"]():
        call()
    assert set(functions) - called - ELSEWHERE == set()
