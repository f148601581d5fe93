"""Wrong options of recurrent layers, and options that exclude each other."""

import numpy as np
import pytest

import pyrnn

X = np.zeros((5, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"proj_size": -1}, ValueError, "proj_size: .* at least 0, got -1"),
        ({"proj_size": 2.0}, TypeError, r"proj_size: expected a whole number, got 2\.0"),
        ({"proj_size": 4}, ValueError, "proj_size: expected less than hidden_size = 4, got 4"),
        (
            {"proj_size": 2, "layer_norm": True},
            ValueError,
            "layer_norm, proj_size: expected at most one of them, got .* proj_size=2",
        ),
        (
            {"peephole": True, "layer_norm": True},
            ValueError,
            "layer_norm, peephole: expected at most one of them",
        ),
        (
            {"coupled": True, "layer_norm": True},
            ValueError,
            "layer_norm, coupled: expected at most one of them",
        ),
        ({"zoneout": (0.5,)}, ValueError, r"zoneout: .* the pair \(p_h, p_c\), got \(0\.5,\)"),
        ({"zoneout": (0.5, 1.5)}, ValueError, r"zoneout: .* \[0\.0, 1\.0\], got 1\.5"),
        ({"zoneout": (0.5, "a")}, TypeError, "zoneout: expected a number, got 'a'"),
        ({"zoneout": None}, TypeError, "zoneout: expected a number, got None"),
    ],
    ids=str,
)
def test_lstm(options, error, message):
    with pytest.raises(error, match=message):
        pyrnn.LSTM(3, 4, **options)


def test_layer_norm_wants_the_reset_after():
    with pytest.raises(ValueError, match=r"layer_norm, reset_after: .* got reset_after=False"):
        pyrnn.GRU(3, 4, layer_norm=True, reset_after=False)


def test_min_gru_has_nothing_to_drop():
    with pytest.raises(ValueError, match=r"recurrent_dropout: expected 0, .* got 0\.5"):
        pyrnn.MinGRU(3, 4, recurrent_dropout=0.5)


@pytest.mark.parametrize("make", [pyrnn.RNN, pyrnn.LSTM, pyrnn.GRU, pyrnn.MinGRU])
@pytest.mark.parametrize("name", ["recurrent_dropout", "zoneout"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-0.1, ValueError, r"expected a number in \[0\.0, 1\.0\], got -0\.1"),
        (1.5, ValueError, r"expected a number in \[0\.0, 1\.0\], got 1\.5"),
        (float("nan"), ValueError, "got nan"),
        ("a", TypeError, "expected a number, got 'a'"),
        (True, TypeError, "expected a number, got True"),
    ],
    ids=str,
)
def test_rates(make, name, value, error, message):
    with pytest.raises(error, match=f"{name}: .*{message}"):
        make(3, 4, **{name: value})


@pytest.mark.parametrize("make", [pyrnn.RNN, pyrnn.GRU, pyrnn.MinGRU])
def test_one_state_has_one_rate(make):
    with pytest.raises(TypeError, match=r"zoneout: expected a number, got \(0\.5, 0\.5\)"):
        make(3, 4, zoneout=(0.5, 0.5))


# --- shapes with a projection ---------------------------------------------------------------


def state(*shapes):
    return tuple(np.zeros(shape, np.float32) for shape in shapes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 2, 4), (2, 2, 4)), r"'s h: expected shape \(2, 2, 3\), got \(2, 2, 4\)"),
        (((2, 2, 3), (2, 2, 3)), r"'s c: expected shape \(2, 2, 4\), got \(2, 2, 3\)"),
    ],
)
def test_states_of_a_projection(shapes, message, backend):
    layer = pyrnn.LSTM(3, 4, 2, proj_size=3)
    y, _, cache = layer.forward(X)
    with pytest.raises(ValueError, match=f"^state{message}"):
        layer(X, state(*shapes))
    with pytest.raises(ValueError, match=f"^dstate{message}"):
        layer.backward(cache, np.zeros_like(y), state(*shapes))
    with pytest.raises(ValueError, match=f"^state{message}"):
        layer.stream(2).state = state(*shapes)


def test_states_of_a_projection_without_a_batch(backend):
    layer = pyrnn.LSTM(3, 4, proj_size=3)
    with pytest.raises(ValueError, match=r"state's h: expected shape \(1, 3\), got \(1, 4\)"):
        layer(X[:, 0], state((1, 4), (1, 4)))


def test_gradient_and_output_of_a_projection(backend):
    layer = pyrnn.LSTM(3, 4, proj_size=2)
    _, _, cache = layer.forward(X)
    with pytest.raises(ValueError, match=r"dy: expected shape \(5, 2, 2\), got \(5, 2, 4\)"):
        layer.backward(cache, np.zeros((5, 2, 4), np.float32))
    with pytest.raises(ValueError, match=r"out: expected shape \(2, 2\), got \(2, 4\)"):
        layer.stream(2).step(X[0], np.zeros((2, 4), np.float32))


# --- checkpoints ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        (0, ValueError, "checkpoint: expected a whole number of at least 1, got 0"),
        (-3, ValueError, "checkpoint: .* at least 1, got -3"),
        (2.0, TypeError, r"checkpoint: expected a whole number, got 2\.0"),
        (True, TypeError, "checkpoint: expected a whole number, got True"),
    ],
)
def test_checkpoint(checkpoint, error, message, backend):
    with pytest.raises(error, match=message):
        pyrnn.GRU(3, 4).forward(X, checkpoint=checkpoint)
