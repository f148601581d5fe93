"""What gradcheck says of numbers that are not finite, without NumPy's warnings."""

import numpy as np
import pytest

import pyrnn

WILD = [np.nan, np.inf, -np.inf]


def arguments(layer):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((3, 2, 2))
    after = layer(x)[1]
    return x, tuple(generator.standard_normal(part.shape) for part in after)


@pytest.mark.parametrize("value", WILD)
@pytest.mark.parametrize("place", ["x", "state", "parameters"])
def test_says_what_is_not_finite(place, value, backend):
    layer = pyrnn.LSTM(2, 3, dtype="float64", seed=0)
    x, state = arguments(layer)
    array = {"x": x, "state": state[1], "parameters": layer.parameters["weight_hh_l0"]}[place]
    array[..., -1] = value
    names = {"x": "x: expected finite numbers", "state": "state: expected finite numbers"}
    names["parameters"] = "target: expected finite parameters in 'weight_hh_l0'"
    with pytest.raises(ValueError, match=rf"^{names[place]}, got {value} at \(0, .*\)$"):
        pyrnn.gradcheck(layer, x, state)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the reference, which is NumPy
def test_says_that_an_output_overflows(backend):
    layer = pyrnn.Linear(2, 3, dtype="float64", seed=0)
    layer.parameters["weight"] = np.full((3, 2), 1e300)
    with pytest.raises(ValueError, match=r"^target: expected finite outputs, got inf at \(0, 0\)$"):
        pyrnn.gradcheck(layer, np.full((1, 2), 1e300))


class Wrong(pyrnn.Linear):
    """A gradient with a number that is not finite, and an error beside it."""

    value = np.nan

    def backward(self, cache, dy):
        *rest, grads = super().backward(cache, dy)
        grads["bias"][0] = self.value
        return (*rest, grads)


@pytest.mark.parametrize("value", WILD)
def test_a_gradient_that_is_not_finite_is_wrong(value, backend):
    layer = Wrong(2, 3, dtype="float64", seed=0)
    layer.value = value
    report = pyrnn.gradcheck(layer, np.ones((4, 2)))
    assert not report
    assert report.entries["weight"].relative < 1e-6
    assert not np.isfinite(report.entries["bias"].analytic)
    assert f"{value:g}" in str(report)


def test_large_outputs_excuse_nothing(backend):
    """The square of 1e200 overflows; what rounding does to it does not."""
    layer = Wrong(2, 3, dtype="float64", seed=0)
    layer.value = 1e190
    layer.parameters["weight"] *= 1e200
    assert not pyrnn.gradcheck(layer, np.ones((4, 2)))
    layer.parameters["bias"][...] = 0
    right = pyrnn.Linear(2, 3, dtype="float64", seed=0)
    right.parameters["weight"] *= 1e200
    assert pyrnn.gradcheck(right, np.ones((4, 2)))


@pytest.mark.parametrize(("make", "count"), [(pyrnn.GRU, 1), (pyrnn.LSTM, 2)])
@pytest.mark.parametrize("given", [1, 2, 3, 4])
def test_a_state_of_another_number_of_parts_is_named(make, count, given, backend):
    layer = make(2, 3, dtype="float64", seed=0)
    state = tuple(np.zeros((1, 2, 3)) for _ in range(given))
    if given == count:
        assert pyrnn.gradcheck(layer, np.ones((3, 2, 2)), state)
    else:
        with pytest.raises((TypeError, ValueError), match=r"^state: expected"):
            pyrnn.gradcheck(layer, np.ones((3, 2, 2)), state)
