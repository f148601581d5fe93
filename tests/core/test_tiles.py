"""Tiles of bfloat16: an emulation takes the place of AMX and must give the core's own bits."""

import json

import pytest

import pyrnn

PROGRAM = """
import hashlib, json, sys
import numpy as np, pyrnn
from functools import partial
from pyrnn import _core

def drawn(*shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)

def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

CELLS = {
    "rnn": pyrnn.RNN, "lstm": pyrnn.LSTM, "projected": partial(pyrnn.LSTM, proj_size=24),
    "lstm_layer_norm": partial(pyrnn.LSTM, layer_norm=True), "gru": pyrnn.GRU,
    "gru_reset_before": partial(pyrnn.GRU, reset_after=False), "min_gru": pyrnn.MinGRU,
}
# Whole tiles; tiles and rows, units, k that are left; several groups of rows
SIZES = [(3, 32, 64, 64), (4, 49, 40, 70), (2, 64, 16, 100), (20, 64, 33, 32), (3, 16, 64, 48)]
found = {}
for name, make in CELLS.items():
    for T, N, I, H in SIZES:
        layer = make(I, H, seed=1).train(compute="bfloat16")
        y, state, cache = layer.forward(drawn(T, N, I))
        dx, _, gradients = layer.backward(cache, drawn(*y.shape))
        found[f"{name} {T, N, I, H}"] = digest(y, dx, *gradients.values())
for rows, I, O in [(64, 64, 64), (1100, 40, 96), (33, 31, 33), (512, 100, 20), (32, 7, 16)]:
    layer = pyrnn.Linear(I, O, seed=1).train(compute="bfloat16")
    y, _, cache = layer.forward(drawn(rows, I))
    dx, _, gradients = layer.backward(cache, drawn(rows, O))
    found[f"linear {rows, I, O}"] = digest(y, dx, *gradients.values(), layer.eval()(drawn(rows, I)))
print(json.dumps({"unit": _core.bfloat16_unit(), "found": found}))
"""


def test_tiles_have_the_bits_of_the_core(run_python):
    if pyrnn.build_info()["isa"] != "avx512":
        pytest.skip("vectors are no row of a tile")
    software, tiles = (
        run_python("-W", "ignore", "-c", PROGRAM, PYRNN_AMX=unit) for unit in ("0", "emulated")
    )
    assert software.returncode == tiles.returncode == 0, software.stderr + tiles.stderr
    expected, got = json.loads(software.stdout), json.loads(tiles.stdout)
    assert (expected["unit"], got["unit"]) == ("software", "emulated")
    differing = [name for name, bits in expected["found"].items() if got["found"][name] != bits]
    assert not differing


def test_amx_that_is_not_there_is_refused(run_python):
    found = run_python("-c", "from pyrnn import _core; print(_core.bfloat16_unit())", PYRNN_AMX="1")
    assert found.stdout.strip() == "amx" or "no AMX" in found.stderr


def test_another_choice_is_refused(run_python):
    found = run_python("-c", "from pyrnn import _core; _core.bfloat16_unit()", PYRNN_AMX="yes")
    assert "PYRNN_AMX: expected 0 or 1, got 'yes'" in found.stderr
