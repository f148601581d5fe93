"""Recurrent dropout and zoneout against what they stand for: changed weights, loops over steps."""

import copy

import numpy as np
import pytest

import pyrnn
from tests.layers.recurrent.bits import all_bits

TIME_STEPS, ROWS, INPUTS, UNITS = 5, 3, 3, 4


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def whole(states):
    return states if len(states) > 1 else states[0]


def same_weights(layer, make, **options):
    """A layer of the same parameters, with other options."""
    other = make(INPUTS, UNITS, dtype="float64", **options)
    other.parameters.update(layer.parameters)
    return other


def first_state(layer, rows=ROWS):
    after = layer(random(1, rows, INPUTS, seed=8))[1]
    return whole(tuple(random(*part.shape, seed=n) for n, part in enumerate(parts(after))))


def has_products(make):
    return make is not pyrnn.MinGRU


# --- recurrent dropout ----------------------------------------------------------------------


def test_dropping_units_of_h_is_dropping_columns_of_the_weights(make_noisy, backend, assert_close):
    """For one sequence: W (m h) = (W m) h, whatever else a cell does with h."""
    if not has_products(make_noisy):
        pytest.skip("no product with h")
    layer = make_noisy(INPUTS, UNITS, recurrent_dropout=0.5, dtype="float64", seed=0)
    drawn = copy.deepcopy(layer._generator).random((1, UNITS))
    mask = np.where(drawn >= 0.5, 2.0, 0.0)
    assert 0 < (mask == 0).sum() < UNITS
    plain = same_weights(layer, make_noisy)
    plain.parameters["weight_hh_l0"] *= mask
    x, state = random(TIME_STEPS, 1, INPUTS), first_state(plain, 1)

    y, last, cache = layer.forward(x, state)
    expected_y, expected_last, expected_cache = plain.forward(x, state)
    assert_close(y, expected_y, 1e-13)
    assert_close(last, expected_last, 1e-13)

    dy = random(*y.shape, seed=5)
    dx, dstate, grads = layer.backward(cache, dy)
    expected_dx, expected_dstate, expected = plain.backward(expected_cache, dy)
    expected["weight_hh_l0"] *= mask
    assert_close(dx, expected_dx, 1e-12)
    assert_close(dstate, expected_dstate, 1e-12)
    assert_close(grads, expected, 1e-12)


def test_one_mask_for_each_sequence(backend):
    """Two equal rows of a batch differ, and a second call differs from the first."""
    layer = pyrnn.RNN(INPUTS, 50, recurrent_dropout=0.5, seed=0)
    x = np.repeat(random(4, 1, INPUTS), 2, axis=1).astype(np.float32)
    y, _ = layer(x)
    assert np.array_equal(y[0, 0], y[0, 1])  # the first state is zero
    assert not np.allclose(y[1, 0], y[1, 1])
    assert not np.allclose(layer(x)[0][1:], y[1:])


def test_each_layer_and_direction_has_its_own_mask(backend, assert_close):
    layer = pyrnn.RNN(
        INPUTS, UNITS, 2, bidirectional=True, recurrent_dropout=0.5, dtype="float64", seed=0
    )
    plain = pyrnn.RNN(INPUTS, UNITS, 2, bidirectional=True, dtype="float64")
    plain.parameters.update(layer.parameters)
    generator = copy.deepcopy(layer._generator)
    masks = [np.where(generator.random((1, UNITS)) >= 0.5, 2.0, 0.0) for _ in range(4)]
    assert len({mask.tobytes() for mask in masks}) > 1
    for suffix, mask in zip(("l0", "l0_reverse", "l1", "l1_reverse"), masks, strict=True):
        plain.parameters[f"weight_hh_{suffix}"] *= mask
    x = random(TIME_STEPS, 1, INPUTS)
    assert_close(layer(x)[0], plain(x)[0], 1e-13)


# --- zoneout --------------------------------------------------------------------------------


def rates_of(make):
    lstm = "lstm" in make(3, 4).cell
    return (0.3, 0.6) if lstm else 0.4


def by_steps(layer, plain, x, state, kept):
    """A loop: one step of the layer without zoneout, then each state's share of the old."""
    outputs = []
    for x_t, shares in zip(x, kept, strict=True):
        old = parts(state)
        new = parts(plain(x_t[None], state)[1])
        state = whole(tuple(n + m * (o - n) for n, o, m in zip(new, old, shares, strict=True)))
        outputs.append(parts(state)[0][0])
    return np.stack(outputs), state


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_is_the_loop_over_its_definition(make_noisy, training, backend, assert_close):
    zoneout = rates_of(make_noisy)
    layer = make_noisy(INPUTS, UNITS, zoneout=zoneout, dtype="float64", seed=0)
    plain = same_weights(layer, make_noisy)
    x, state = random(TIME_STEPS, ROWS, INPUTS), first_state(plain)
    rates = zoneout if isinstance(zoneout, tuple) else (zoneout,)
    if training:
        generator = copy.deepcopy(layer._generator)
        masks = [generator.random((TIME_STEPS, ROWS, UNITS)) < rate for rate in rates]
        kept = [[mask[t].astype(float) for mask in masks] for t in range(TIME_STEPS)]
    else:
        layer.eval()
        kept = [rates] * TIME_STEPS
    y, last = layer(x, state)
    expected_y, expected_last = by_steps(layer, plain, x, state, kept)
    assert_close(y, expected_y, 1e-13)
    assert_close(last, expected_last, 1e-13)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_one_keeps_the_first_state(make_noisy, training, backend, assert_close):
    layer = make_noisy(INPUTS, UNITS, zoneout=1.0, dtype="float64", seed=0)
    state = first_state(layer)
    y, last = (layer if training else layer.eval())(random(TIME_STEPS, ROWS, INPUTS), state)
    assert_close(last, state, 1e-14)
    for y_t in y:
        assert_close(y_t, parts(state)[0][0], 1e-14)


def test_eval_is_the_mean_of_training(make_noisy, backend):
    """Exactly so after one step, in which noise acts linearly."""
    count = 20_000
    layer = make_noisy(INPUTS, UNITS, zoneout=rates_of(make_noisy), dtype="float64", seed=0)
    x = np.repeat(random(1, 1, INPUTS), count, axis=1)
    state = whole(tuple(np.repeat(s, count, axis=1) for s in parts(first_state(layer, 1))))
    for trained, mean in zip(
        parts(layer(x, state)[1]), parts(layer.eval()(x, state)[1]), strict=True
    ):
        spread = trained.std(axis=1) / np.sqrt(count)
        assert (spread > 0).all()
        assert (np.abs(trained.mean(axis=1) - mean[:, 0]) < 5 * spread).all()


def test_zoneout_of_one_state_alone(backend, assert_close):
    layer = pyrnn.LSTM(INPUTS, UNITS, zoneout=(0.0, 1.0), dtype="float64", seed=0)
    h, c = first_state(layer)
    _, (last_h, last_c) = layer(random(TIME_STEPS, ROWS, INPUTS), (h, c))
    assert_close(last_c, c, 1e-14)
    assert np.abs(last_h - h).max() > 0.01


def test_reversed_walk_takes_the_noise_of_its_times(backend, assert_close):
    """Reversed rows of unequal lengths, as forward walks over reversed inputs."""
    layer = pyrnn.GRU(INPUTS, UNITS, bidirectional=True, zoneout=0.5, dtype="float64", seed=0)
    plain = pyrnn.GRU(INPUTS, UNITS, dtype="float64")
    for name in plain.parameters:
        plain.parameters[name] = layer.parameters[f"{name}_reverse"]
    lengths = np.array([2, 5, 4])
    generator = copy.deepcopy(layer._generator)
    shape = (TIME_STEPS, ROWS, UNITS)
    _, kept = (generator.random(shape) < 0.5 for _ in range(2))
    x = random(TIME_STEPS, ROWS, INPUTS)
    y, _ = layer(x, lengths=lengths)
    for row, length in enumerate(lengths):
        shares = [[m] for m in kept[:length, row : row + 1][::-1].astype(float)]
        state = np.zeros((1, 1, UNITS))
        expected, _ = by_steps(layer, plain, x[:length, row : row + 1][::-1], state, shares)
        assert_close(y[:length, row, UNITS:], expected[::-1, 0], 1e-13)


# --- both -----------------------------------------------------------------------------------


def options_of(make):
    dropout = {"recurrent_dropout": 0.3} if has_products(make) else {}
    return {"zoneout": rates_of(make), **dropout}


@pytest.mark.parametrize("training", [True, False])
def test_gradients(make_noisy, training, backend):
    layer = make_noisy(
        2, 3, 2, bidirectional=True, dropout=0.25, dtype="float64", seed=1, **options_of(make_noisy)
    )
    if not training:
        layer.eval()
    report = pyrnn.gradcheck(layer, random(4, 2, 2), lengths=[4, 2], samples=6)
    assert report, str(report)


def test_rates_of_zero_change_no_bit(make_noisy, backend):
    zero = {"zoneout": 0.0} | ({"recurrent_dropout": 0.0} if has_products(make_noisy) else {})
    results = []
    for options in ({}, zero):
        layer = make_noisy(INPUTS, UNITS, 2, dropout=0.5, seed=0, **options)
        y, state, cache = layer.forward(random(TIME_STEPS, ROWS, INPUTS).astype(np.float32))
        results.append(all_bits(y, state, layer.backward(cache, np.ones_like(y))))
    assert results[0] == results[1]


def test_same_seed_same_noise(make_noisy, backend):
    x = random(TIME_STEPS, ROWS, INPUTS).astype(np.float32)
    layers = [make_noisy(INPUTS, UNITS, seed=0, **options_of(make_noisy)) for _ in range(2)]
    bits = [all_bits(*layer(x)) for layer in layers]
    assert bits[0] == bits[1]
    assert all_bits(*layers[0](x)) != bits[0]


def test_eval_mode_draws_nothing(make_noisy, backend):
    layer = make_noisy(INPUTS, UNITS, seed=0, **options_of(make_noisy)).eval()
    x = random(TIME_STEPS, ROWS, INPUTS).astype(np.float32)
    before = copy.deepcopy(layer._generator.bit_generator.state)
    assert all_bits(*layer(x)) == all_bits(*layer(x)) == all_bits(*layer.forward(x)[:2])
    assert layer._generator.bit_generator.state == before


def test_recurrent_dropout_is_gone_in_eval_mode(make_noisy, backend):
    if not has_products(make_noisy):
        pytest.skip("no product with h")
    layer = make_noisy(INPUTS, UNITS, recurrent_dropout=0.5, dtype="float64", seed=0).eval()
    x = random(TIME_STEPS, ROWS, INPUTS)
    assert all_bits(*layer(x)) == all_bits(*same_weights(layer, make_noisy)(x))


@pytest.mark.parametrize("num_layers", [1, 2])
def test_streams_are_in_eval_mode(make_noisy, num_layers, backend):
    layer = make_noisy(INPUTS, UNITS, num_layers, seed=0, **options_of(make_noisy))
    stream = layer.stream(ROWS)
    x = random(TIME_STEPS, ROWS, INPUTS).astype(np.float32)
    y, state = layer.eval()(x)
    steps = np.stack([stream.step(x_t) for x_t in x])
    assert all_bits(steps, stream.state) == all_bits(y, state)
    copied = copy.deepcopy(stream)
    assert all_bits(copied.step(x[0])) == all_bits(stream.step(x[0]))


def truncated_case(make, k1, k2):
    """What truncated backward gives, and the layer anew, which draws the same noise."""
    x, dy = random(6, ROWS, INPUTS), random(6, ROWS, UNITS, seed=1)
    layer, again = (
        make(INPUTS, UNITS, 2, dropout=0.5, dtype="float64", seed=0, **options_of(make))
        for _ in range(2)
    )
    return layer.backward_truncated(layer.forward(x)[2], dy, k1, k2), again, x, dy


def test_one_window_over_everything_sees_the_noise(make_noisy, backend, assert_close):
    (dx, grads), layer, x, dy = truncated_case(make_noisy, 6, 6)
    expected_dx, _, expected = layer.backward(layer.forward(x)[2], dy)
    assert_close(dx, expected_dx, 1e-13)
    assert_close(grads, expected, 1e-13)


def test_the_last_window_sees_the_noise_of_its_times(make_noisy, backend, assert_close):
    """The losses of the last steps reach the inputs of their window as without windows."""
    (dx, _), layer, x, dy = truncated_case(make_noisy, 4, 4)
    dy[:4] = 0
    expected_dx, _, _ = layer.backward(layer.forward(x)[2], dy)
    assert_close(dx[4:], expected_dx[4:], 1e-13)
