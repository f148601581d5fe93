"""Masks, states and directions in graphs: the literal numbers of Keras' own tests."""

import numpy as np
import pytest

import pyrnn
from pyrnn.interop import keras
from tests.interop.keras import files
from tests.interop.keras.graphs import models
from tests.interop.keras.graphs.models import called, layer, tensor
from tests.interop.keras.test_numbers import (
    MASKED,
    assert_close,
    backward_constants,
    rows,
    sequence,
)

pytestmark = pytest.mark.usefixtures("in_place")
KEY = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn"}


def flags(mask):
    return np.array(mask, np.float32)


@pytest.mark.parametrize("kind", MASKED)
def test_masks(kind, backend, tmp_path):
    mask, first, second, backwards_mask, last = MASKED[kind]
    path, x = tmp_path / "m.keras", sequence(2, 4, 3)
    entries = [(KEY[kind], "it", files.constants(kind, 2, 3))]
    expected = np.array([rows(*first, width=2), rows(*second, width=2)])
    masks = np.array(mask)
    row = layer(kind, units=2, return_sequences=True)
    (y,) = models.masked(path, row, entries, 3).run([x, flags(mask)])
    assert_close(y, expected)
    row = layer(kind, units=2, return_sequences=True, zero_output_for_mask=True)
    (y,) = models.masked(path, row, entries, 3).run([x, flags(mask)])
    assert_close(y, np.where(masks[..., None], expected, 0))
    (y,) = models.masked(path, layer(kind, units=2), entries, 3).run([x, flags(mask)])
    assert_close(y, expected[:, -1])
    row = layer(kind, units=2, zero_output_for_mask=True)
    (y,) = models.masked(path, row, entries, 3).run([x, flags(mask)])
    assert_close(y, np.where(masks[:, -1:], expected[:, -1], 0))
    if last:
        row = layer(kind, units=2, go_backwards=True)
        (y,) = models.masked(path, row, entries, 3).run([x, flags(backwards_mask)])
        assert_close(y, rows(*last, width=2))


def test_a_mask_of_both_directions(backend, tmp_path):
    arrays = files.constants("GRU", 2, 3)
    entries = [("bidirectional", "it", (arrays, arrays))]
    mask = MASKED["GRU"][0]
    inner = layer("GRU", "inner", units=2)
    model = models.masked(tmp_path / "m.keras", layer("Bidirectional", layer=inner), entries, 3)
    (y,) = model.run([sequence(2, 4, 3), flags(mask)])
    assert_close(y[:, :2], rows(0.19393763, 0.30818558, width=2))
    assert_close(y[:, 2:], rows(0.11669192, 0.28380975, width=2))


@pytest.mark.parametrize("back", [False, True])
def test_a_mask_is_that_of_the_layers(back, backend, tmp_path):
    """Any holes, sequences without a step that counts, and steps of masked outputs."""
    r = np.random.default_rng(3)
    x = r.standard_normal((8, 9, 3)).astype(np.float32)
    mask = r.random((8, 9)) < 0.5
    mask[0] = False
    arrays = files.random_arrays("LSTM", 4, 3)
    path = tmp_path / "m.keras"
    row = layer("LSTM", units=4, return_sequences=True, go_backwards=back)
    (y,) = models.masked(path, row, [("lstm", "it", arrays)], 3).run([x, flags(mask)])
    one = keras.load(path)["it"]
    expected = np.zeros_like(y)
    expected[1:] = one(x[1:], mask=mask[1:])[0]
    if back:
        expected = expected[:, ::-1]
    assert np.array_equal(y, expected)


def test_a_stack_of_cells_and_a_mask(backend, tmp_path):
    """test_stacked_lstm_cell_mask."""

    def ones(inputs):
        arrays = [np.ones((inputs, 4), np.float32), np.ones((1, 4), np.float32)]
        return [*arrays, np.array([0, 1, 0, 0], np.float32)]

    cells = [layer("LSTMCell", name, units=1) for name in ("a", "b")]
    stack = {"class_name": "StackedRNNCells", "config": {"name": "s", "cells": cells}}
    path = tmp_path / "m.h5"
    rows_ = [
        called(models.given("x", None, 4)),
        called(models.given("flags", None)),
        called(layer("NotEqual", "ne"), tensor("flags"), 0),
        called(layer("RNN", cell=stack), tensor("x"), mask=tensor("ne")),
    ]
    model = models.functional(rows_, [["x", 0, 0], ["flags", 0, 0]], [["it", 0, 0]])
    names = {"it": [f"it/s/{cell}/{n}" for cell in "ab" for n in range(3)]}
    files.legacy(path, "3.15.1", {"it": [*ones(4), *ones(1)]}, model, names)
    x = np.ones((2, 3, 4), np.float32)
    (y,) = keras.prepare(path).run([x, flags([[1, 1, 1], [1, 1, 0]])])
    np.testing.assert_allclose(y, [[0.7793], [0.5998]], atol=1e-4)


MERGED = {
    "ave": (("SimpleRNN", False), [rows(0.24845785, 0.6288199, width=2)]),
    "mul": (("SimpleRNN", True), [rows(0.08374989, 0.6740834, width=2)]),
    "sum": (("SimpleRNN", False), [rows(2 * 0.24845785, 2 * 0.6288199, width=2)]),
    None: (
        ("SimpleRNN", False),
        [rows(0.39687276, 0.7237238, width=2), rows(0.10004295, 0.53391594, width=2)],
    ),
}


@pytest.mark.parametrize("mode", MERGED)
def test_last_steps_that_are_merged(mode, backend, tmp_path):
    (kind, other), expected = MERGED[mode]
    arrays = files.constants(kind, 2, 4)
    second = backward_constants(kind, 2, 4) if other else arrays
    row = layer("Bidirectional", layer=layer(kind, "one", units=2), merge_mode=mode)
    path = tmp_path / "m.keras"
    calls = [called(models.given("x", 3, 4)), called(row, tensor("x"))]
    ends = [["it", 0, n] for n in range(len(expected))]
    config = models.functional(calls, ["x", 0, 0], ends)
    files.keras3(path, config, [("bidirectional", "it", (arrays, second))])
    model = keras.prepare(path)
    assert model.outputs == ["it", "it:1"][: len(expected)]
    for found, wanted in zip(model.run(sequence(2, 3, 4)), expected, strict=True):
        assert_close(found, wanted)


def test_states_of_both_directions(backend, tmp_path):
    """test_return_state and test_pass_initial_state of bidirectional."""
    arrays = files.constants("LSTM", 2, 3)
    path, x = tmp_path / "m.keras", sequence(2, 4, 3)
    inner = layer("LSTM", "inner", units=2, return_state=True)
    entries = [("bidirectional", "it", (arrays, arrays))]
    states = [f"s{n}" for n in range(4)]
    given = [called(models.given(name, 2)) for name in states]
    row = called(layer("Bidirectional", layer=inner), tensor("x"))
    config = models.functional(
        [called(models.given("x", 4, 3)), row], ["x", 0, 0], [["it", 0, n] for n in range(5)]
    )
    files.keras3(path, config, entries)
    y, h1, c1, h2, c2 = keras.prepare(path).run(x)
    assert_close(h1, rows(0.1990008, 0.52335435, width=2))
    assert_close(c1, rows(0.35567185, 1.0492687, width=2))
    assert_close(h2, rows(0.12659755, 0.44717982, width=2))
    assert_close(c2, rows(0.2501858, 0.941473, width=2))
    assert np.array_equal(y, np.concatenate([h1, h2], axis=1))
    row = called(layer("Bidirectional", layer=inner), tensor("x"),
                 initial_state=[tensor(name) for name in states])  # fmt: skip
    names = ["x", *states]
    config = models.functional(
        [called(models.given("x", 4, 3)), *given, row], [[n, 0, 0] for n in names], [["it", 0, 0]]
    )
    files.keras3(path, config, entries)
    numbers = np.arange(4, dtype=np.float32).reshape(2, 2)
    (y,) = keras.prepare(path).run([x, numbers, 2 * numbers, 3 * numbers, 4 * numbers])
    assert_close(y, [[0.20794602, 0.4577124, 0.14046375, 0.48191673],
                     [0.6682636, 0.6711909, 0.60943645, 0.60950446]])  # fmt: skip


def test_an_encoder_and_a_decoder(backend, tmp_path):
    """The decoder begins with the encoder's states, in the form of Keras 2 as well."""
    first, second = files.random_arrays("LSTM", 4, 4), files.random_arrays("LSTM", 4, 4, seed=1)
    encoder = layer("LSTM", "encoder", units=4, return_state=True)
    decoder = layer("LSTM", "decoder", units=4, return_sequences=True)
    rows_ = [
        called(models.given("x", 6, 4)),
        called(encoder, tensor("x")),
        called(layer("RepeatVector", "repeat", n=5), tensor("encoder")),
        called(decoder, tensor("repeat"),
               initial_state=[tensor("encoder", 1), tensor("encoder", 2)]),
    ]  # fmt: skip
    new = models.functional(rows_, ["x", 0, 0], ["decoder", 0, 0])
    old_rows = [dict(row) for row in rows_]
    given = [[["x", 0, 0, {}]]], [[["encoder", 0, 0, {}]]], [
        [["repeat", 0, 0, {}], ["encoder", 0, 1, {}], ["encoder", 0, 2, {}]]
    ]  # fmt: skip
    for row, nodes in zip(old_rows[1:], given, strict=True):
        row["inbound_nodes"] = nodes
    old = models.functional(old_rows, [["x", 0, 0]], [["decoder", 0, 0]])
    path = tmp_path / "m.keras"
    files.keras3(path, new, [("lstm", "encoder", first), ("lstm_1", "decoder", second)])
    (y,) = keras.prepare(path).run(models.X)
    layers = keras.load(path)
    last, (h, c) = layers["encoder"](models.X)
    again = np.repeat(last[:, -1:], 5, axis=1)
    assert np.array_equal(y, layers["decoder"](again, (h, c))[0])
    path = tmp_path / "m.h5"
    files.legacy(path, "2.4.0", {"encoder": first, "decoder": second}, old)
    assert np.array_equal(keras.prepare(path).run(models.X)[0], y)


def test_what_keras_turns(backend, tmp_path):
    """Steps from the last on, which the layer behind it takes as they come."""
    arrays, kernel = files.random_arrays("GRU", 4, 4), models.floats(0, (2, 4, 3))
    rows_ = [
        layer("GRU", "g", units=4, go_backwards=True, return_sequences=True, reset_after=False),
        layer("Conv1D", "c", kernel_size=[2], use_bias=False),
    ]
    model = models.sequential(tmp_path / "m.keras", rows_, [("gru", arrays), ("conv1d", kernel)])
    y = keras.load(tmp_path / "m.keras")["g"](models.X)[0][:, ::-1]
    conv = pyrnn.Conv1d(4, 3, 2, bias=False, batch_first=True)
    conv.parameters["weight"] = kernel[0].transpose(2, 1, 0)
    np.testing.assert_allclose(model.run(models.X)[0], conv(np.ascontiguousarray(y)), atol=1e-6)


# --- several cells, and directions that are different layers --------------------------------


def cells_of(*kinds):
    cells = [layer(f"{kind}Cell", f"c{number}", units=3, reset_after=False)
             for number, kind in enumerate(kinds)]  # fmt: skip
    return {"class_name": "StackedRNNCells", "config": {"name": "s", "cells": cells}}


def stacked(path, merge_mode, old):
    """Two directions of an LSTM's cell and a GRU's, of a masked x."""
    inner = layer("RNN", "forward_r", cell=cells_of("LSTM", "GRU"), return_sequences=True)
    row = layer("Bidirectional", "both", layer=inner, merge_mode=merge_mode)
    sides = [[files.random_arrays("LSTM", 3, 4, seed=seed), files.random_arrays("GRU", 3, 3)]
             for seed in (0, 1)]  # fmt: skip
    config = files.model_config(models.given("x", 6, 4), layer("Masking", "m"), row)
    if old:
        names = [f"both/{side}_r/c{cell}/{n}" for side in ("forward", "backward")
                 for cell in range(2) for n in range(3)]  # fmt: skip
        arrays = [array for side in sides for cell in side for array in cell]
        files.legacy(path, "3.15.1", {"both": arrays}, config, {"both": names})
    else:
        keys = [
            f"bidirectional/{side}_layer/cell/cells/{cell}"
            for side in ("forward", "backward")
            for cell in ("lstm_cell", "gru_cell")
        ]
        parts = [cell for side in sides for cell in side]
        entries = [(key, None, cell) for key, cell in zip(keys, parts, strict=True)]
        files.keras3(path, config, entries)
    return keras.prepare(path)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
def test_two_directions_of_several_cells(merge_mode, old, backend, tmp_path):
    path = tmp_path / ("m.h5" if old else "m.keras")
    model = stacked(path, merge_mode, old)
    x = models.X.copy()
    x[0, 2], x[0, 5], x[1, 0] = 0, 0, 0
    mask = (x != 0).any(-1)
    layers = list(keras.load(path).values())
    assert [one.reverse for one in layers] == [False, False, True, True]
    sides = [second(first(x, mask=mask)[0], mask=mask)[0]
             for first, second in (layers[:2], layers[2:])]  # fmt: skip
    for side in sides:  # Keras gives zeros where both directions give sequences
        side[~mask] = 0
    expected = sum(sides) if merge_mode == "sum" else np.concatenate(sides, axis=-1)
    np.testing.assert_allclose(model.run(x)[0], expected, atol=1e-6)


def test_directions_of_different_layers(backend, tmp_path):
    row = layer("Bidirectional", "both", layer=layer("LSTM", "forward_l", units=3),
                backward_layer=layer("GRU", "g", units=2, reset_after=False, go_backwards=True),
                )  # fmt: skip
    arrays = files.random_arrays("LSTM", 3, 4), files.random_arrays("GRU", 2, 4)
    path = tmp_path / "m.keras"
    config = files.model_config(models.given("x", 6, 4), row)
    files.keras3(path, config, [("bidirectional", "both", arrays)])
    first, second = keras.load(path).values()
    ends = first(models.X)[0][:, -1], second(models.X)[0][:, 0]
    y = keras.prepare(path).run(models.X)[0]
    np.testing.assert_allclose(y, np.concatenate(ends, axis=-1), atol=1e-6)


def test_states_of_several_cells(backend, tmp_path):
    """One call begins with the final states of another; they are the layers' of each cell."""
    row = layer("RNN", "it", cell=cells_of("LSTM", "GRU"), return_sequences=True, return_state=True)
    again = called(row, tensor("x"))
    states = [[tensor("it", 1), tensor("it", 2)], [tensor("it", 3)]]
    again["inbound_nodes"].append({"args": [tensor("x")], "kwargs": {"initial_state": states}})
    places = [("it", 1, 0), ("it", 0, 1), ("it", 0, 3)]
    entries = [(f"rnn/cell/cells/{key}", None, arrays) for key, arrays in (
        ("lstm_cell", files.random_arrays("LSTM", 3, 4)),
        ("gru_cell", files.random_arrays("GRU", 3, 3)))]  # fmt: skip
    path = tmp_path / "m.keras"
    y, h, other = models.branches(path, [again], places, entries).run(models.X)
    lstm, gru = keras.load(path).values()
    first, lstm_state = lstm(models.X)
    _, gru_state = gru(first)
    np.testing.assert_allclose(h, lstm_state[0][0], atol=1e-6)
    np.testing.assert_allclose(other, gru_state[0], atol=1e-6)
    expected = gru(lstm(models.X, lstm_state)[0], gru_state)[0]
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("version", ["3.15.1", "2.4.0"])
@pytest.mark.parametrize("said", [False, True])
def test_a_mask_beside_initial_states(version, said, backend, tmp_path):
    """Keras 3 does not take the mask of x then, if the call does not name it."""
    options = {"initial_state": tensor("h")} | ({"mask": tensor("ne")} if said else {})
    rows_ = [
        called(models.given("x", 6, 4)),
        called(models.given("h", 3)),
        called(models.given("flags", 6)),
        called({**layer("NotEqual", "ne"), "module": "keras.src.ops.numpy"}, tensor("flags"), 0),
        called(layer("Masking", "m"), tensor("x")),
        called(layer("GRU", "g", units=3, return_sequences=True, reset_after=False),
               tensor("m"), **options),
        called(layer("GlobalAveragePooling1D", "mean"), tensor("g")),
    ]  # fmt: skip
    inputs = [[name, 0, 0] for name in ("x", "h", "flags")]
    config = models.functional(rows_, inputs, [["g", 0, 0], ["mean", 0, 0]])
    path = tmp_path / "m.keras"
    files.keras3(path, config, [("gru", "g", files.random_arrays("GRU", 3, 4))], version)
    x = models.X.copy()
    x[0, 2:4], x[1, 5] = 0, 0
    (h,) = models.floats(0, (2, 3))
    mask = (x != 0).any(-1)
    y, mean = keras.prepare(path).run([x, h, mask.astype(np.float32)])
    used = None if version == "3.15.1" and not said else mask
    expected = keras.load(path)["g"](x, h[None], mask=used)[0]
    np.testing.assert_allclose(y, expected, atol=1e-6)
    means = [expected[n, mask[n]].mean(0) for n in range(2)]
    np.testing.assert_allclose(mean, means, atol=1e-6)
