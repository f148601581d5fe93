"""The reference in other modes: what is changed within it, and that it is put back."""

import numpy as np
import pytest

from pyrnn import _checks
from pyrnn.reference import activations, affine, layer_norm, products, sums
from tests.fuzz.draw import Mode
from tests.fuzz.modes import chain, rerun

X = np.linspace(-3, 3, 50, dtype=np.float32)
EPS = np.finfo(np.float32).eps


def computed():
    return np.tanh(X), activations.sigmoid(X), np.exp(X)


@pytest.mark.parametrize(("nudge", "ways"), [(1, {1}), (2, {-1}), (3, {-1, 0, 1})])
def test_results_are_off_by_a_unit(nudge, ways):
    plain = computed()
    with rerun(Mode(nudge=nudge)):
        nudged = computed()
    for one, other in zip(nudged[::2], plain[::2], strict=True):
        units = (one.astype(float) - other) / (EPS * np.abs(other))
        assert set(np.rint(units * np.sign(other))) == ways
        assert np.abs(units).max() < 1.6  # rounded
    for one, other in zip(nudged, plain, strict=True):
        assert 0 < np.abs(one - other).max() < 4 * EPS * np.abs(other).max()


def test_what_layer_norm_takes_is_nudged():
    """Numbers that are all equal are so up to rounding alone."""
    equal = np.full((1, 8), 0.3, np.float32)
    plain = layer_norm.normalise(equal, 1e-6).value
    with rerun(Mode(nudge=3)):
        nudged = layer_norm.normalise(equal, 1e-6).value
    assert np.abs(nudged - plain).max() > 5 * EPS


def test_what_the_backward_pass_of_layer_norm_takes_is_nudged():
    """Of two units, n is ±nearly 1, and the gradient is that of one times 1 − n²."""
    n = np.array([[0.9999, -0.9999]], np.float32)
    normalised = layer_norm.Normalised(n, np.ones((1, 1), np.float32))
    dn = np.array([[1, 0]], np.float32)
    plain = layer_norm.normalise_backward(dn, normalised)
    with rerun(Mode(nudge=3)):
        nudged = layer_norm.normalise_backward(dn, normalised)
    assert np.abs(nudged / plain - 1).max() > 100 * EPS


def test_gradients_that_cancel_in_a_backward_pass_are_nudged():
    """As those of the logits of two classes do, which have one weight."""
    dlogits, weight = np.array([[0.3, -0.3]], np.float32), np.ones((2, 1), np.float32)
    assert products.times_back(dlogits, weight) == 0
    with rerun(Mode(nudge=3)):
        nudged = [products.times_back(dlogits, weight) for _ in range(10)]
    assert 0 < np.abs(nudged).max() < 2 * EPS


def test_results_that_are_nearly_subnormal_are_flushed():
    with rerun(Mode(flush=True)):
        assert np.exp(np.float32(-85)) == 0
        assert np.exp(np.float32(-70)) > 0
        assert np.isnan(np.exp(np.float32(np.nan)))


def test_states_that_are_nearly_subnormal_are_flushed_before_products():
    """As zero, one of them is NaN beside an infinite weight."""
    parameters = {"weight_hh": np.array([[np.inf]], np.float32)}
    assert affine.hidden_product(np.array([[2e-44]], np.float32), parameters) == np.inf
    with rerun(Mode(flush=True)), np.errstate(invalid="ignore"):
        assert np.isnan(affine.hidden_product(np.array([[2e-44]], np.float32), parameters))
        assert affine.hidden_product(np.array([[2e-4]], np.float32), parameters) == np.inf


def test_afterwards_all_is_as_it_was():
    before = np.tanh, np.exp, activations.sigmoid, layer_norm.normalise, _checks.FLOATS
    with rerun(Mode(nudge=1)):
        assert np.tanh is not before[0]
        assert np.dtype(np.longdouble) in _checks.FLOATS
    after = np.tanh, np.exp, activations.sigmoid, layer_norm.normalise, _checks.FLOATS
    assert after == before


def test_equal_numbers_are_their_mean_in_chains():
    """However large: with NumPy's mean they may be off by its rounding, which layer norm scales."""
    equal = np.full((1, 28), -1e20, np.float32)
    assert layer_norm.normalise(equal).scale < 1e-10
    with rerun(Mode(chains=True)):
        normalised = layer_norm.normalise(equal)
    assert (normalised.value == 0).all()
    assert normalised.scale > 300


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_in_chains_overflow_to_the_first_infinity(dtype):
    """Which is what a fused multiply-add does: the product that is added is exact."""
    huge = np.finfo(dtype).max
    x = np.array([[huge, -huge, 1.0]], dtype)
    parameters = {"weight_ih": np.full((1, 3), 9, dtype), "weight_hh": -np.full((1, 3), 9, dtype)}
    with rerun(Mode(chains=True)):
        assert affine.input_product(x, parameters) == np.inf
        assert affine.hidden_product(x, parameters) == -np.inf
    x, weight, bias = (np.random.default_rng(n).standard_normal((4, 4)) for n in range(3))
    np.testing.assert_allclose(chain(x, weight, bias[0]), x @ weight.T + bias[0], rtol=1e-13)


def test_what_gradients_sum_up_is_nudged():
    """A sum that is zero up to rounding is another one then, and Adam divides by its size."""
    rows = np.array([[1.5], [2.5], [-1.5], [-2.5]])
    assert sums.sum_of_rows(rows) == 0
    with rerun(Mode(nudge=4)):
        assert sums.sum_of_rows(rows) != 0
        assert (sums.sum_of_products(rows, np.ones((4, 2))) != 0).all()
