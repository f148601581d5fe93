"""Streams through layers one after the other: the bits of the whole, states, clients, errors."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from tests.layers.composition.test_sequential import classifier, inputs, nested, parts, tagger


@pytest.mark.parametrize("make", [classifier, tagger])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stream_has_the_bits_of_the_whole(make, dtype, backend):
    model = make(dtype)
    stream = model.stream(4)
    model.eval()
    x = inputs(model)
    whole, final = model(x)
    model.train()
    for array in model.parameters.values():
        array[...] = 0  # the stream keeps the weights as they were
    steps = [stream.step(x_t) for x_t in x]
    assert np.array_equal(steps[-1], whole if make is classifier else whole[-1])
    if make is tagger:
        assert np.array_equal(np.stack(steps), whole)
    assert all(map(np.array_equal, parts(stream.state), parts(final)))


def test_the_state_of_a_stream(backend):
    model = tagger().eval()
    x = inputs(model)
    stream = model.stream(4)
    for x_t in x[:3]:
        stream.step(x_t)
    kept, twin = stream.state, pickle.loads(pickle.dumps(stream))
    expected = stream.step(x[3])
    out = np.empty_like(expected)
    assert copy.deepcopy(twin).step(x[3], out) is out
    assert np.array_equal(out, expected)
    stream.state = kept
    assert np.array_equal(stream.step(x[3]), expected)
    with pytest.raises((TypeError, ValueError), match="state"):
        stream.state = (kept[0], kept[1], np.ones(3))
    stream.reset([0])
    assert not stream.state[2][:, 0].any()
    assert stream.state[2][:, 1].any()
    stream.reset()
    assert not any(part.any() for part in stream.state)


def convolved():
    return pyrnn.Sequential(
        conv=pyrnn.Conv1d(3, 4, 4, padding="causal", seed=0),
        inner=pyrnn.Sequential(pyrnn.LSTM(4, 3, seed=1), pyrnn.Linear(3, 3, seed=2)),
        rnn=pyrnn.GRU(3, 2, num_layers=2, seed=3),
    )


@pytest.mark.parametrize(
    "make",
    [
        convolved,
        lambda: pyrnn.Sequential(pyrnn.Linear(3, 2, seed=0)),
        lambda: pyrnn.Conv1d(3, 2, 3, padding="causal", dilation=2, seed=0),
    ],
    ids=["layers", "stateless", "convolution"],
)
def test_clients_come_move_and_go(make, backend):
    """Streams advanced in turn, moved and reset are as streams of their own, to the bit."""
    model, random = make(), np.random.default_rng(5)
    tolerance = 0 if backend == "native" else 1e-5  # NumPy's products depend on the batch
    together, apart = model.stream(5), [model.stream() for _ in range(5)]
    for _ in range(120):
        rows = random.permutation(5)[: random.integers(0, 6)]
        x_t = random.standard_normal((len(rows), 3)).astype(np.float32)
        expected = [apart[row].step(x[None])[0] for row, x in zip(rows, x_t, strict=True)]
        y = together.step(x_t, rows=rows)
        assert len(y) == len(rows)
        for got, one in zip(y, expected, strict=True):
            np.testing.assert_allclose(got, one, rtol=0, atol=tolerance)
        source, target = random.integers(5, size=2)
        together.put(target, together.get(source))
        apart[target] = copy.deepcopy(apart[source])
        if random.random() < 0.2:
            together.reset([target])
            apart[target].reset()
        for row in range(5):
            for got, one in zip(parts(together.get(row)), parts(apart[row].get(0)), strict=True):
                assert got is one is None or np.abs(got - one).max() <= tolerance


def test_a_client_that_is_refused_changes_nothing():
    stream = convolved().stream(2)
    stream.step(np.ones((2, 3), np.float32))
    before = stream.state
    good = stream.get(0)
    for state in (good[:-1], (*good[:-1], good[-1][:1]), (*good[:-1], good[-1].astype(float))):
        with pytest.raises((TypeError, ValueError), match="state"):
            stream.put(1, state)
    with pytest.raises(ValueError, match="stream: expected a whole number of at most 1, got 2"):
        stream.put(2, good)
    with pytest.raises(ValueError, match="rows: expected different indices"):
        stream.step(np.ones((2, 3), np.float32), rows=[1, 1])
    assert all(map(np.array_equal, before, stream.state))
    stateless = pyrnn.Sequential(pyrnn.Linear(3, 2)).stream(2)
    assert stateless.get(1) is None
    stateless.put(1, None)
    with pytest.raises((TypeError, ValueError), match="state"):
        stateless.put(1, np.ones(3))


def test_what_cannot_stream():
    with pytest.raises(ValueError, match=r"got mean, MeanOverTime\(\), which needs the end of the"):
        nested().stream()
    with pytest.raises(ValueError, match=r"stream: expected a layer .* got a bidirectional one"):
        pyrnn.Sequential(pyrnn.GRU(2, 3, bidirectional=True)).stream()
    with pytest.raises(ValueError, match=r"x_t: expected shape \(2, ...\), got \(3, 3\)"):
        classifier().stream(2).step(np.ones((3, 3)))


def wrong_outputs(y):
    read_only = np.empty_like(y)
    read_only.flags.writeable = False
    half = np.empty(y.shape, np.float16)
    return [np.empty((len(y), 9), y.dtype), half, 3, np.broadcast_to(y[:1], y.shape), read_only]


@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_refused_output_leaves_the_state(steps_before, backend):
    model = convolved()
    x_t = np.ones((4, 3), np.float32)
    stream, expected = model.stream(4), model.stream(4)
    for _ in range(steps_before):
        stream.step(x_t)
        expected.step(x_t)
    y = expected.step(x_t)
    for out in wrong_outputs(y):
        with pytest.raises((TypeError, ValueError), match="out: expected"):
            stream.step(x_t, out=out)
    assert np.array_equal(stream.step(x_t, out=np.empty_like(y)), y)
    assert all(map(np.array_equal, parts(stream.state), parts(expected.state)))


def test_layers_that_do_not_fit_leave_the_state(backend):
    stream = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(5, 2, seed=1)).stream(2)
    with pytest.raises(ValueError, match="5"):
        stream.step(np.ones((2, 3), np.float32))
    assert not stream.state.any()


@pytest.mark.parametrize("failure", [MemoryError, KeyboardInterrupt])
def test_a_step_that_ended_between_layers_is_not_gone_on_with(failure, monkeypatch):
    stream = pyrnn.Sequential(pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(4, 2, seed=1)).stream(2)
    x_t = np.ones((2, 3), np.float32)
    first = stream.step(x_t)

    def fail(self, *arguments, **options):
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(pyrnn.Linear, "__call__", fail)
        with pytest.raises(failure):
            stream.step(x_t)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="set the state, or reset all, first"):
            stream.step(x_t)
    stream.reset([0])
    with pytest.raises(RuntimeError, match="reset"):
        stream.step(x_t)
    stream.reset()
    assert np.array_equal(stream.step(x_t), first)


@pytest.mark.parametrize("first", [pyrnn.GRU(3, 4, seed=0), pyrnn.Linear(3, 4, seed=0)], ids=repr)
def test_an_input_refused_after_others_is_not_the_end(first, backend):
    model = pyrnn.Sequential(first, pyrnn.LSTM(4, 2, seed=1), pyrnn.Linear(2, 2, seed=2))
    stream, expected = model.stream(2), model.stream(2)
    x_t = np.ones((2, 3), np.float32)
    for _ in range(2):
        assert np.array_equal(stream.step(x_t), expected.step(x_t))
        for wrong in (np.ones((2, 5), np.float32), np.ones((2, 3)), np.ones((3, 3), np.float32), 1):
            with pytest.raises((TypeError, ValueError), match="x"):
                stream.step(wrong)
    assert np.array_equal(stream.step(x_t), expected.step(x_t))
