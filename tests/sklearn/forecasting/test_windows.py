"""What the network sees, and on which parts intervals are calibrated."""

import itertools

import numpy as np
import pytest

pytest.importorskip("sklearn")

from pyrnn.sklearn.forecasting import _intervals
from pyrnn.sklearn.forecasting._windows import (
    Layout,
    WindowBatches,
    Windows,
    best_base,
)


def test_lagged_values_are_the_latest_that_are_known():
    layout = Layout(window=4, horizon=5, lags=(2,))
    # Of steps -4 to 4, from the origin: after it, two steps before, or four, or six.
    assert layout.offsets(2).tolist() == [-6, -5, -4, -3, -2, -1, -2, -1, -2]


@pytest.fixture
def windows():
    series = np.arange(40.0).reshape(20, 2)
    known = 100 + np.arange(60.0).reshape(20, 3)
    return Windows(Layout(4, 3, (1, 3)), series, known, hidden=1, base=3)


def test_inputs_by_hand(windows):
    x = windows.inputs(np.array([6, 10]))
    assert x.shape == (7, 2, 2 + 1 + 2 * 2 + 3)
    for row, origin in enumerate((6, 10)):
        for number, step in enumerate(range(origin - 4, origin + 3)):
            seen = windows.series[step] if step < origin else [0, 0]
            one = step - 1 if step < origin else origin - 1
            three = step - 3
            expected = [*seen, float(step >= origin)]
            for source in (one, three):
                expected += list(windows.series[source]) if source >= origin - 4 else [0, 0]
            known = windows.known[step].copy()
            known[0] *= step < origin
            assert x[number, row].tolist() == [*expected, *known]


def test_nothing_after_the_origin_is_seen(windows):
    """But what is known of it."""
    before = windows.inputs(np.array([8]))
    windows.series[8:] = np.nan
    windows.known[8:, 0] = np.nan
    np.testing.assert_array_equal(windows.inputs(np.array([8])), before)
    assert np.isfinite(windows.bases(np.array([8]))).all()


def test_nothing_before_the_window_is_seen(windows):
    before = windows.inputs(np.array([8]))
    windows.series[:4] = windows.known[:4] = np.nan
    np.testing.assert_array_equal(windows.inputs(np.array([8])), before)


def test_targets_are_differences_from_the_base(windows):
    batches = WindowBatches(windows, np.array([6, 10, 12]), np.array([2.0, 4.0]), 2)
    batch = batches.load(np.array([10]))
    assert batch.targets.tolist() == [[[3.0, 1.5]]] * 3  # three steps are 6, scaled
    assert (batch.before, batch.size) == (4, 6)
    items = batches.items(np.random.default_rng(0))
    assert sorted(np.concatenate(items).tolist()) == [6, 10, 12]
    assert [len(item) for item in items] == [2, 1]


def test_the_base_is_the_lag_that_forecasts_best():
    layout = Layout(12, 4, (1, 4, 12))
    origins = np.arange(12, 90)
    season = np.sin(np.arange(100) * np.pi / 6)[:, None]
    assert best_base(layout, season, origins) == 12
    walk = np.random.default_rng(0).normal(size=(100, 1)).cumsum(axis=0)
    assert best_base(layout, walk, origins) == 1


@pytest.mark.parametrize(("first", "last", "horizon"), [(10, 60, 6), (48, 35000, 48), (5, 30, 5)])
@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5])
def test_blocks_for_calibration(first, last, horizon, fraction):
    blocks = _intervals.held_out_blocks(first, last, horizon, fraction)
    assert all(first <= start < end <= last for start, end in blocks)
    assert all(end <= later for (_, end), (later, _) in itertools.pairwise(blocks))
    assert all(end - start >= horizon for start, end in blocks)
    held_out = sum(end - start for start, end in blocks)
    assert held_out <= max(horizon, fraction * (last - first) + 1)
    origins = np.arange(first, last - horizon + 1)
    training = set(origins[_intervals.outside(origins, horizon, blocks)].tolist())
    calibration = set(_intervals.inside(horizon, blocks, 1).tolist())
    assert calibration
    steps = {step for origin in training for step in range(origin, origin + horizon)}
    assert not steps & {step for start, end in blocks for step in range(start, end)}
    assert not training & calibration


def test_ranks():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 21))[:, None]
    assert _intervals.rank_of(scores, 0.9) == 18
    assert _intervals.rank_of(scores, 0.91) == 19
    assert _intervals.rank_of(scores, 1.0) == 20


def test_errors_near_a_moment():
    """Forecasts at midnight are calibrated by those made about midnight."""
    moments = np.repeat(np.arange(24) / 24, 40)
    errors = np.round(moments * 24)[:, None, None, None].astype(np.float32)
    calibration = _intervals.Calibration(errors, moments, 5)
    assert np.unique(calibration.near(0.0)).tolist() == [0, 1, 23]
    few = _intervals.Calibration(errors[::20], moments[::20], 5)
    assert len(few.near(0.0)) == 48
    assert len(calibration.near(None)) == len(errors)


def test_new_errors_are_held_as_often_as_is_asked():
    """However few there are: on average over many calibrations."""
    generator = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        errors = generator.normal(size=(10, 1, 1, 1)).astype(np.float32)
        below, above = _intervals.Calibration(errors[:9], None, 9).widths(None, 0.6, 0, 0)
        held.append(-below[0, 0] <= errors[9, 0, 0, 0] <= above[0, 0])
    assert 0.57 <= np.mean(held) <= 0.63


def test_widths_of_two_quantiles():
    """As far as the larger of both errors; where the quantiles were too wide, less than 0."""
    errors = np.stack([np.full(100, 2.0), np.linspace(-1.99, 0, 100)], axis=1)  # y is between
    calibration = _intervals.Calibration(errors[:, None, None].astype(np.float32), None, 1000)
    below, above = calibration.widths(None, 0.5, 0, 1)
    assert below == above == pytest.approx(-1, abs=0.05)
