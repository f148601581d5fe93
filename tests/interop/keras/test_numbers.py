"""The literal numbers of Keras' own tests for lstm, gru, simple_rnn and bidirectional."""

import numpy as np
import pytest

from pyrnn.interop import keras
from tests.interop.keras import files

pytestmark = pytest.mark.usefixtures("in_place")


def sequence(*shape):
    return np.arange(np.prod(shape)).reshape(shape).astype(np.float32)


def loaded(tmp_path, kind, units, inputs, *, outer=None, backward=None, **options):
    """The layer that a ``.keras`` file with constant weights holds."""
    used = {name: options[name] for name in ("reset_after", "use_bias") if name in options}
    arrays = files.constants(kind, units, inputs, **used)
    config = files.config_of(kind, "inner", units=units, **options)
    name = {"SimpleRNN": "simple_rnn"}.get(kind, kind.lower())
    if outer is not None:
        config = files.config_of("Bidirectional", "layer", layer=config, **outer)
        arrays, name = (arrays, arrays if backward is None else backward), "bidirectional"
    else:
        config["config"]["name"] = "layer"
    path = tmp_path / "model.keras"
    files.keras3(path, files.model_config(config), [(name, "layer", arrays)])
    return keras.load(path)["layer"]


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def rows(*values, width):
    """Each value as often as there are units, which all are the same."""
    return np.repeat(np.array(values)[:, None], width, axis=1)


LAST = {
    "lstm": ("LSTM", {}, (0.6288687, 0.86899155, 0.9460773)),
    "lstm-no-bias": ("LSTM", {"use_bias": False}, (0.54986924, 0.86226785, 0.9443936)),
    "gru": ("GRU", {}, (0.5217289, 0.6371659, 0.39384964)),
    "gru-reset-before": ("GRU", {"reset_after": False}, (0.51447755, 0.6426879, 0.40208298)),
    "gru-no-bias": ("GRU", {"use_bias": False}, (0.49988455, 0.64701194, 0.4103359)),
}


@pytest.mark.parametrize(("kind", "options", "expected"), LAST.values(), ids=LAST)
def test_correctness(kind, options, expected, backend, tmp_path):
    y, _ = loaded(tmp_path, kind, 3, 4, **options)(sequence(3, 6, 4))
    assert_close(y[:, -1], rows(*expected, width=3))


def test_simple_rnn(backend, tmp_path):
    y, _ = loaded(tmp_path, "SimpleRNN", 4, 4)(sequence(2, 3, 4))
    assert_close(y[:, -1], rows(0.405432, 0.73605347, width=4))


STATEFUL = {
    "LSTM": (0.3124785, 0.6863672),
    "GRU": (0.29542392, 0.5885018),
    "SimpleRNN": (0.40559256, 0.7361247),
}


@pytest.mark.parametrize("kind", STATEFUL)
def test_statefulness(kind, backend, tmp_path):
    layer = loaded(tmp_path, kind, 4, 4)
    _, state = layer(sequence(2, 3, 4))
    y, _ = layer(sequence(2, 3, 4), state)
    assert_close(y[:, -1], rows(*STATEFUL[kind], width=4))


def test_initial_state(backend, tmp_path):
    state = np.arange(4).reshape(1, 2, 2).astype(np.float32)
    y, _ = loaded(tmp_path, "LSTM", 2, 3)(sequence(2, 4, 3), (state, state))
    assert_close(y[:, -1], [[0.20574439, 0.3558822], [0.64930826, 0.66276]])
    y, h = loaded(tmp_path, "GRU", 2, 3)(sequence(2, 4, 3), state)
    assert_close(y[:, -1], [[0.23774096, 0.33508456], [0.83659905, 1.0227708]])
    assert_close(h[0], y[:, -1])


def test_a_mask_at_the_end(backend, tmp_path):
    """Zeros where Keras is asked for ``zero_output_for_mask``; the state is the last step's."""
    y, (h, _) = loaded(tmp_path, "LSTM", 2, 3)(sequence(2, 4, 3), lengths=[3, 2])
    assert_close(h[0], rows(0.11755939, 0.28556206, width=2))
    assert_close(y[0], rows(0.01588910, 0.05552048, 0.11755939, 0.0, width=2))
    assert_close(y[1], rows(0.14185596, 0.28556206, 0.0, 0.0, width=2))


def test_bidirectional(backend, tmp_path):
    """The last output of each direction side by side: of the second one its first step."""
    layer = loaded(tmp_path, "SimpleRNN", 2, 4, outer={"merge_mode": "concat"})
    _, h = layer(sequence(2, 3, 4))
    assert_close(h[0], rows(0.39687276, 0.7237238, width=2))
    assert_close(h[1], rows(0.10004295, 0.53391594, width=2))


def test_bidirectional_with_states(backend, tmp_path):
    layer = loaded(tmp_path, "LSTM", 2, 3, outer={"merge_mode": "concat"})
    _, (h, c) = layer(sequence(2, 4, 3))
    assert_close(h[0], rows(0.1990008, 0.52335435, width=2))
    assert_close(h[1], rows(0.12659755, 0.44717982, width=2))
    assert_close(c[0], rows(0.35567185, 1.0492687, width=2))
    assert_close(c[1], rows(0.2501858, 0.941473, width=2))
    _, (h, _) = layer(sequence(2, 4, 3), (h, c))  # stateful
    assert_close(h[0], rows(0.26234663, 0.6137073, width=2))
    assert_close(h[1], rows(0.16959146, 0.5381646, width=2))


def backward_constants(kind, units, inputs):
    return files.constants(kind, units, inputs, values=(0.03, 0.02, 0.01))


def test_merge_modes(backend, tmp_path):
    """The last output of each direction, merged: of the second one its first step."""
    x = sequence(2, 3, 4)
    layer = loaded(tmp_path, "SimpleRNN", 2, 4, outer={"merge_mode": "ave"})
    assert layer.merge_mode == "ave"
    assert_close(layer(x)[1].mean(axis=0), rows(0.24845785, 0.6288199, width=2))
    layer = loaded(tmp_path, "SimpleRNN", 2, 4, outer={"merge_mode": None})
    assert_close(layer(x)[0][:, -1, :2], rows(0.39687276, 0.7237238, width=2))
    assert_close(layer(x)[0][:, 0, 2:], rows(0.10004295, 0.53391594, width=2))
    other = backward_constants("SimpleRNN", 2, 4)
    layer = loaded(tmp_path, "SimpleRNN", 2, 4, outer={"merge_mode": "mul"}, backward=other)
    assert_close(layer(x)[1].prod(axis=0), rows(0.08374989, 0.6740834, width=2))
    layer = loaded(tmp_path, "GRU", 2, 4, outer={"merge_mode": "sum"})
    y, _ = layer(x)
    assert_close(y[0], rows(0.20937867, 0.34462988, 0.40290534, width=2))
    assert_close(y[1], rows(0.59829646, 0.6734641, 0.6479671, width=2))


def test_bidirectional_from_given_states(backend, tmp_path):
    layer = loaded(tmp_path, "LSTM", 2, 3, outer={"merge_mode": "concat"})
    given = np.arange(4).reshape(2, 2).astype(np.float32)
    y, _ = layer(
        sequence(2, 4, 3), (np.stack([given, 3 * given]), np.stack([2 * given, 4 * given]))
    )
    assert_close(y[:, -1, :2], [[0.20794602, 0.4577124], [0.6682636, 0.6711909]])
    assert_close(y[:, 0, 2:], [[0.14046375, 0.48191673], [0.60943645, 0.60950446]])


HOLES = [[True, True, False, True], [True, False, False, True]]
AFTER = [[True, True, True, False], [True, True, False, False]]
BEFORE = [[False, True, True, True], [False, False, True, True]]
MASKED = {
    "LSTM": (AFTER, (0.01588910, 0.05552048, 0.11755939, 0.11755939),
             (0.14185596, 0.28556206, 0.28556206, 0.28556206), BEFORE, (0.15341201, 0.3844719)),
    "GRU": (HOLES, (0.03606692, 0.09497581, 0.09497581, 0.19393763),
            (0.16051409, 0.16051409, 0.16051409, 0.30818558), HOLES, (0.11669192, 0.28380975)),
    "SimpleRNN": (HOLES, (0.0599281, 0.15122814, 0.15122814, 0.32394567),
                  (0.3969304, 0.3969304, 0.3969304, 0.608085), None, ()),
}  # fmt: skip


def h_of(state):
    """The last h of all sequences."""
    return (state[0] if isinstance(state, tuple) else state)[0]


@pytest.mark.parametrize("kind", MASKED)
def test_masks(kind, backend, tmp_path):
    """A masked step keeps the state; its output is the one before, or zero if that is asked."""
    mask, first, second, backwards_mask, last = MASKED[kind]
    layer, x = loaded(tmp_path, kind, 2, 3), sequence(2, 4, 3)
    expected = [rows(*first, width=2), rows(*second, width=2)]
    y, state = layer(x, mask=mask)
    assert_close(y, expected)
    assert_close(h_of(state), y[:, -1])
    y, _ = layer(x, mask=mask, zero_output_for_mask=True)
    assert_close(y, np.where(np.array(mask)[..., None], expected, 0))
    if last:
        backwards = loaded(tmp_path, kind, 2, 3, go_backwards=True)
        _, state = backwards(x, mask=backwards_mask)
        assert_close(h_of(state), rows(*last, width=2))


def test_masks_of_four_units(backend, tmp_path):
    x = sequence(2, 4, 3)
    _, h = loaded(tmp_path, "SimpleRNN", 4, 3)(x, mask=HOLES)
    assert_close(h[0], rows(0.32951632, 0.61799484, width=4))
    _, h = loaded(tmp_path, "SimpleRNN", 4, 3, go_backwards=True)(x, mask=HOLES)
    assert_close(h[0], rows(0.07376196, 0.43645123, width=4))


def test_a_mask_of_both_directions(backend, tmp_path):
    both = loaded(tmp_path, "GRU", 2, 3, outer={"merge_mode": "concat"})
    _, h = both(sequence(2, 4, 3), mask=HOLES)
    assert_close(h[0], rows(0.19393763, 0.30818558, width=2))
    assert_close(h[1], rows(0.11669192, 0.28380975, width=2))


BACKWARDS = {
    "LSTM": (3, (3, 6, 4), (0.35622165, 0.74789524, 0.8872726)),
    "GRU": (3, (3, 6, 4), (0.24406259, 0.611516, 0.3928808)),
    "SimpleRNN": (4, (2, 3, 4), (0.11144729, 0.5528889)),
}


@pytest.mark.parametrize("kind", BACKWARDS)
def test_go_backwards(kind, backend, tmp_path):
    """The state after the first step, which such a layer computes last."""
    units, shape, expected = BACKWARDS[kind]
    layer = loaded(tmp_path, kind, units, shape[2], go_backwards=True)
    assert layer.reverse
    y, state = layer(sequence(*shape))
    assert_close(y[:, 0], h_of(state))
    assert_close(h_of(state), rows(*expected, width=units))


def test_go_backwards_from_given_states(backend, tmp_path):
    x, given = sequence(2, 4, 3), np.arange(4).reshape(1, 2, 2).astype(np.float32)
    _, state = loaded(tmp_path, "GRU", 2, 3, go_backwards=True)(x, given)
    assert_close(h_of(state), [[0.13486053, 0.23261218], [0.78257304, 0.9691353]])
    _, state = loaded(tmp_path, "LSTM", 2, 3, go_backwards=True)(x, (given, given))
    assert_close(h_of(state), [[0.13281618, 0.2790356], [0.5839337, 0.5992567]])
    given = np.arange(8).reshape(1, 2, 4).astype(np.float32)
    _, h = loaded(tmp_path, "SimpleRNN", 4, 3)(x, given)
    assert_close(h[0], rows(0.33621645, 0.6262637, width=4))
    _, h = loaded(tmp_path, "SimpleRNN", 4, 3, go_backwards=True)(x, given)
    assert_close(h[0], rows(0.07344437, 0.43043602, width=4))


def test_no_unit_forget_bias(backend, tmp_path):
    arrays = files.constants("LSTM", 3, 4)
    arrays[2][:] = 0.03
    config = files.config_of("LSTM", "layer", units=3, unit_forget_bias=False)
    path = files.keras3(
        tmp_path / "m.keras", files.model_config(config), [("lstm", "layer", arrays)]
    )
    y, _ = keras.load(path)["layer"](sequence(3, 6, 4))
    assert_close(y[:, -1], rows(0.57019705, 0.8661914, 0.9459622, width=3))
