"""Masks and zoneout as they are drawn: rates, values, memory, and that nothing is drawn for 0."""

import numpy as np
import pytest

from pyrnn.layers.recurrent import _noise

SHAPES = ((5, 40, 30), (5, 40, 30))
FLOAT32 = np.dtype("float32")


def draw(recurrent_dropout, zoneout, seed=0):
    return _noise.draw(np.random.default_rng(seed), SHAPES, recurrent_dropout, zoneout, FLOAT32)


def test_mask_holds_zero_and_the_scale():
    noise = draw(0.25, ())
    assert noise.zoneout is None
    assert noise.hidden_mask.shape == (40, 30)
    assert noise.hidden_mask.dtype == FLOAT32
    assert set(np.unique(noise.hidden_mask)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((noise.hidden_mask == 0).mean() - 0.25) < 0.05


def test_everything_may_be_dropped():
    assert not draw(1.0, ()).hidden_mask.any()


def test_zoneout_holds_zero_and_one_at_its_rates():
    noise = draw(0.0, (0.125, 0.5))
    assert noise.hidden_mask is None
    for kept, rate in zip(noise.zoneout, (0.125, 0.5), strict=True):
        assert kept.shape == (5, 40, 30)
        assert kept.dtype == FLOAT32
        assert set(np.unique(kept)) == {0.0, 1.0}
        assert abs(kept.mean() - rate) < 0.02


def test_steps_differ_in_zoneout():
    (kept,) = _noise.draw(np.random.default_rng(0), SHAPES[:1], 0.0, (0.5,), FLOAT32).zoneout
    assert not np.array_equal(kept[0], kept[1])


@pytest.mark.parametrize(
    ("recurrent_dropout", "zoneout", "drawn"),
    [(0.0, (), 0), (0.5, (), 40 * 30), (0.0, (0.0, 0.5), 6000), (0.5, (0.5, 0.0), 7200)],
)
def test_nothing_is_drawn_for_zero(recurrent_dropout, zoneout, drawn):
    generator, other = np.random.default_rng(3), np.random.default_rng(3)
    noise = _noise.draw(generator, SHAPES, recurrent_dropout, zoneout, FLOAT32)
    assert (noise is None) == (drawn == 0)
    other.random(drawn)
    assert generator.random() == other.random()


def test_a_rate_of_zero_draws_no_array():
    drawn, kept = draw(0.0, (0.5, 0.0)).zoneout
    assert drawn.any()
    assert kept == 0.0


def test_mean_takes_no_memory():
    assert _noise.expected((0.1, 0.0)) == (None, (0.1, 0.0))
    assert _noise.expected(()) is None


def test_rates():
    assert _noise.zoneout_rates(0.0, 2) == ()
    assert _noise.zoneout_rates((0.0, 0.0), 2) == ()
    assert _noise.zoneout_rates(0.25, 2) == (0.25, 0.25)
    assert _noise.zoneout_rates((0.0, 0.25), 2) == (0.0, 0.25)
    assert _noise.zoneout_rates(0.25, 1) == (0.25,)
