"""Streams of convolutions: step by step the bits of the whole, alone and among other layers."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn

FORMS = [
    {"kernel_size": 1},
    {"kernel_size": 1, "padding": "same"},
    {"kernel_size": 4, "padding": "causal"},
    {"kernel_size": 3, "padding": "causal", "dilation": 40},
    {"kernel_size": 5, "padding": "causal", "groups": 3},
    {"kernel_size": 2, "padding": "causal", "bias": False, "batch_first": True},
]
EACH = pytest.mark.parametrize("options", FORMS, ids=str)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def layer_of(options):
    return pyrnn.Conv1d(3, 6, **options, seed=0).eval()


def whole(layer, x):
    return layer(x.swapaxes(0, 1)).swapaxes(0, 1) if layer.batch_first else layer(x)


@EACH
def test_steps_are_the_whole(options, backend):
    layer, x = layer_of(options), random(150, 2, 3)
    stream, out = layer.stream(2), np.empty((2, 6), np.float32)
    expected = whole(layer, x)
    for step, x_t in enumerate(x):
        y = stream.step(x_t, out) if step % 2 else stream.step(x_t)
        assert (y is out) == bool(step % 2)
        assert np.array_equal(y, expected[step])


@EACH
def test_state_reset_and_copies(options):
    layer, x = layer_of(options), random(60, 2, 3)
    stream = layer.stream(2)
    for x_t in x[:37]:
        stream.step(x_t)
    state = stream.state
    assert state.shape == (layer.reach, 2, 3)
    kept = min(37, layer.reach)
    assert np.array_equal(state[layer.reach - kept :], x[37 - kept : 37])
    others = [layer.stream(2), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
    others[0].state = state
    for x_t in x[37:]:
        y = stream.step(x_t)
        assert all(np.array_equal(other.step(x_t), y) for other in others)
    stream.reset([1])
    assert not stream.state[:, 1].any()
    assert stream.state[:, 0].any() == (layer.reach > 0)
    stream.reset()
    again = layer.stream(2)
    for x_t in x[:9]:
        assert np.array_equal(stream.step(x_t), again.step(x_t))


def test_a_stream_keeps_its_weights(backend):
    layer = pyrnn.Conv1d(3, 6, 2, padding="causal", seed=0)
    stream, x_t = layer.stream(), random(1, 3)
    expected = layer.stream().step(x_t)
    layer.parameters["weight"] *= 2
    assert np.array_equal(stream.step(x_t), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": "causal", "stride": 2},
    ],
    ids=str,
)
def test_layers_that_cannot_be_streams(options):
    layer = pyrnn.Conv1d(3, 6, **options)
    with pytest.raises(ValueError, match="stream: expected a layer with stride=1 and padding='ca"):
        layer.stream()
    with pytest.raises(ValueError, match="stream: expected a layer with stride=1 and padding='ca"):
        pyrnn.Sequential(layer).stream()


def test_what_a_step_refuses_changes_nothing():
    layer = pyrnn.Conv1d(3, 6, 2, padding="causal", seed=0)
    stream, x_t = layer.stream(2), random(2, 3)
    stream.step(x_t)
    state = stream.state
    for given, out, kind, message in (
        (random(1, 3), None, ValueError, r"x_t: expected shape \(2, 3\), got \(1, 3\)"),
        (np.zeros((2, 3)), None, TypeError, "x_t: expected dtype float32, got float64"),
        (x_t, np.zeros((2, 5), "f"), ValueError, r"out: expected shape \(2, 6\), got \(2, 5\)"),
        (x_t, np.zeros((2, 6)), TypeError, "out: expected dtype float32, got float64"),
        (x_t, [0], TypeError, "out: expected"),
    ):
        with pytest.raises(kind, match=message):
            stream.step(given, out)
    with pytest.raises(ValueError, match=r"state: expected shape \(1, 2, 3\), got \(2, 2, 3\)"):
        stream.state = np.zeros((2, 2, 3), "f")
    with pytest.raises(ValueError, match="streams: expected"):
        stream.reset([2])
    assert np.array_equal(stream.state, state)


@pytest.mark.parametrize("rows", [None, [1]])
def test_a_step_that_fails_within_changes_nothing(rows):
    stream = pyrnn.Conv1d(3, 6, 2, padding="causal", seed=0).stream(2)
    x_t = random(2, 3)
    stream.step(x_t)
    state, packed = stream.state, dict(stream._packed)

    def out_of_memory(*arguments):
        raise MemoryError

    stream._packed = dict.fromkeys(packed, out_of_memory)
    with pytest.raises(MemoryError):
        stream.step(2 * x_t if rows is None else x_t[:1], rows=rows)
    stream._packed = packed
    assert np.array_equal(stream.state, state)


def make_model():
    return pyrnn.Sequential(
        conv=pyrnn.Conv1d(3, 6, 4, padding="causal", seed=0),
        act=pyrnn.Activation("relu"),
        rnn=pyrnn.GRU(6, 5, seed=1),
        out=pyrnn.Linear(5, 2, seed=2),
    ).eval()


def test_among_other_layers(backend):
    model, x = make_model(), random(40, 2, 3)
    stream = model.stream(2)
    y, h = model(x)
    steps = [stream.step(x_t) for x_t in x[:20]]
    frames, now = stream.state  # of the convolution, and of the recurrent layer
    assert frames.shape == (3, 2, 3)
    other = model.stream(2)
    other.state = frames, now
    for x_t in x[20:]:
        steps.append(stream.step(x_t))
        assert np.array_equal(other.step(x_t), steps[-1])
    assert np.array_equal(np.stack(steps), y)
    assert np.array_equal(stream.state[1], h)
    stream.reset([0])
    frames, now = stream.state
    assert not frames[:, 0].any()
    assert frames[:, 1].any()


def test_gradients_among_other_layers(backend):
    model = pyrnn.Sequential(
        pyrnn.Conv1d(3, 4, 3, 2, 1, dtype="float64", seed=0),
        pyrnn.GRU(4, 5, dtype="float64", seed=1),
        pyrnn.LastStep(),
    )
    report = pyrnn.gradcheck(model, random(9, 2, 3).astype(np.float64), samples=10)
    assert report, str(report)


@EACH
def test_rows_step_by_themselves(options, backend):
    """Clients that send a frame at different times get what each would get alone."""
    layer, x = layer_of(options), random(9, 3, 3)
    stream, alone = layer.stream(3), [layer.stream(1) for _ in range(3)]
    for step, x_t in enumerate(x):
        rows = [[2, 0], [1], [0, 1, 2]][step % 3]
        y = stream.step(x_t[rows], rows=rows)
        expected = np.concatenate([alone[row].step(x_t[row : row + 1]) for row in rows])
        if backend == "native":
            assert np.array_equal(y, expected)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, np.uint64(2**63)])
def test_no_stream_is_larger_than_memory(size):
    layer = pyrnn.Conv1d(2, 3, 2, padding="causal", seed=0)
    for opened in (layer, pyrnn.Sequential(layer)):
        with pytest.raises(ValueError, match="batch_size: expected at most"):
            opened.stream(size)
