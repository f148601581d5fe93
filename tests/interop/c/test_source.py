"""Names in exported C: none is that of something else in the same files."""

import pytest

import pyrnn
from pyrnn.interop.c import export
from pyrnn.interop.c.functions import FUNCTIONS
from tests.interop.c.building import COMPILERS, make

if not COMPILERS:
    pytest.skip("needs a C compiler", allow_module_level=True)


def dense(**more):
    return pyrnn.Linear(3, 3, seed=0, **more)


def row(*names, **layers):
    return pyrnn.Sequential(**{name: dense() for name in names}, **layers)


# The names of files and functions; the layers, whose names are others of the same files.
SAME_NAMES = {
    "api": ("model", lambda: row("step", "init", "reset", "state", "vocabulary", "H")),
    "parts": (
        "model",
        lambda: row(
            *(
                "a",
                "a_weight",
                "a_bias",
                "a_weight_scales",
                "y_a",
                "b_l0",
                "b_l1",
                "b_l0_weight_ih",
            ),
            b=pyrnn.GRU(3, 3, 2, seed=0),
        ),
    ),
    "functions": ("add", lambda: row("product", "int8", "int8_product")),
    "cells": ("rnn", lambda: row(tanh=pyrnn.RNN(3, 3, seed=0), relu=pyrnn.Activation("tanh"))),
    "reset": ("gru", lambda: row(reset=pyrnn.GRU(3, 3, reset_after=False, seed=0))),
    "macros": ("MODEL", lambda: row("H", "INPUT_SIZE", "OUTPUT_SIZE")),
    "types": ("int8", lambda: row("t", "step")),
    "locals": ("old", lambda: row(h=pyrnn.LSTM(3, 3, zoneout=0.5, seed=0), c=dense())),
    "results": ("y", lambda: row("x", "y", "step")),
    "make's file": ("Makefile", lambda: row("test", "size")),
}


@pytest.mark.parametrize("kind", SAME_NAMES)
def test_names_that_the_files_have_too(tmp_path, kind):
    name, model = SAME_NAMES[kind]
    weights = "int8" if kind in ("parts", "functions", "types") else None
    export(model(), tmp_path, name=name, weights=weights)
    done = make(tmp_path, COMPILERS[0])
    assert done.returncode == 0, done.stderr + done.stdout


def test_no_function_has_a_name_that_a_model_could_declare():
    assert not [name for name in FUNCTIONS if name.endswith(("_init", "_reset", "_step", "_state"))]
