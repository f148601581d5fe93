"""Checkpoints: every bit as without them, with less memory."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyrnn
from tests.layers.recurrent.bits import all_bits

INPUTS, UNITS = 3, 4


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# The backend is active for all examples of a test.
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    time_steps=st.integers(1, 9),
    rows=st.integers(1, 4),
    checkpoint=st.integers(1, 12),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    with_lengths=st.booleans(),
    as_indices=st.booleans(),
    noisy=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 1000),
)
def test_every_bit_is_the_same(
    make_noisy,
    backend,
    time_steps,
    rows,
    checkpoint,
    num_layers,
    bidirectional,
    with_lengths,
    as_indices,
    noisy,
    dtype,
    seed,
):
    generator = np.random.default_rng(seed)
    options = {"dropout": 0.3 * (num_layers > 1), "zoneout": 0.4} if noisy else {}
    if noisy and make_noisy is not pyrnn.MinGRU:
        options["recurrent_dropout"] = 0.3
    x = random(time_steps, rows, INPUTS, dtype=dtype, seed=seed)
    if as_indices:
        x = generator.integers(0, INPUTS, (time_steps, rows))
    lengths = generator.integers(1, time_steps + 1, rows) if with_lengths else None
    bits = []
    for every in (None, checkpoint):
        layer = make_noisy(
            INPUTS, UNITS, num_layers,
            bidirectional=bidirectional, dtype=dtype, seed=seed, **options,
        )  # fmt: skip
        y, state, cache = layer.forward(x, None, lengths, checkpoint=every)
        dstate = tuple(random(*s.shape, dtype=dtype, seed=seed) for s in _parts(state))
        dy = random(*y.shape, dtype=dtype, seed=seed)
        gradients = layer.backward(cache, dy, dstate if len(dstate) > 1 else dstate[0])
        bits.append(all_bits(y, state, gradients))
    assert bits[0] == bits[1]


def _parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("checkpoint", [1, 2, 5, 9])
def test_projected(checkpoint, backend):
    layer = pyrnn.LSTM(INPUTS, UNITS, 2, proj_size=2, peephole=True, seed=0)
    x = random(7, 2, INPUTS)
    bits = []
    for every in (None, checkpoint):
        y, state, cache = layer.forward(x, checkpoint=every)
        bits.append(all_bits(y, state, layer.backward(cache, np.ones_like(y))))
    assert bits[0] == bits[1]


@pytest.mark.parametrize("checkpoint", [1, 3, 4, 20])
@pytest.mark.parametrize(("k1", "k2"), [(1, 3), (2, 2), (3, 8)])
def test_truncated_backward(make_noisy, checkpoint, k1, k2, backend):
    bits = []
    for every in (None, checkpoint):
        layer = make_noisy(INPUTS, UNITS, 2, zoneout=0.5, dropout=0.5, seed=0)
        y, _, cache = layer.forward(random(7, 2, INPUTS), checkpoint=every)
        bits.append(all_bits(*layer.backward_truncated(cache, random(*y.shape, seed=1), k1, k2)))
    assert bits[0] == bits[1]


def test_parameters_may_change_before_backward(make_noisy, backend):
    """The steps run again with the weights of the forward, not with those of the moment."""
    bits = []
    for every in (None, 2):
        layer = make_noisy(INPUTS, UNITS, seed=0)
        y, _, cache = layer.forward(random(7, 2, INPUTS), checkpoint=every)
        for array in layer.parameters.values():
            array *= 0.5
        bits.append(all_bits(*layer.backward(cache, np.ones_like(y))))
    assert bits[0] == bits[1]


def test_a_cache_still_serves_once(backend):
    layer = pyrnn.GRU(INPUTS, UNITS, seed=0)
    y, _, cache = layer.forward(random(7, 2, INPUTS), checkpoint=3)
    layer.backward(cache, np.ones_like(y))
    with pytest.raises(ValueError, match="cache: it was used by an earlier backward"):
        layer.backward(cache, np.ones_like(y))
