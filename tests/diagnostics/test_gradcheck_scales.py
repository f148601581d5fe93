"""Gradients of every size and layout, right ones and wrong ones."""

import numpy as np
import pytest

import pyrnn

SCALES = [1e-12, 1e-9, 1e-4, 1.0, 1e4, 1e8]


class Wrong:
    """A layer one of whose gradients is off by a factor."""

    def __init__(self, layer, name, factor):
        self.layer, self.name, self.factor = layer, name, factor
        self.parameters = layer.parameters

    def forward(self, x):
        return self.layer.forward(x)

    def backward(self, cache, dy):
        dx, _, grads = self.layer.backward(cache, dy)
        return dx, None, {n: g * self.factor if n == self.name else g for n, g in grads.items()}


class WrongInput(pyrnn.Linear):
    """A linear layer whose gradient of x is off by a factor."""

    factor = 3.0

    def backward(self, cache, dy, dstate=None):
        dx, _, grads = super().backward(cache, dy, dstate)
        return dx * self.factor, None, grads


def values(*shape):
    return np.random.default_rng(3).standard_normal(shape)


def linear(kind=pyrnn.Linear, weight=1.0, bias=1.0):
    layer = kind(3, 2, dtype="float64", seed=0)
    layer.parameters["weight"] *= weight
    layer.parameters["bias"] *= bias
    return layer


@pytest.mark.parametrize("scale", SCALES)
def test_right_gradients_pass_at_any_scale_of_x(scale, make_layer):
    assert pyrnn.gradcheck(linear(), values(5, 3) * scale)
    layer = make_layer(3, 4, dtype="float64", seed=0)
    assert pyrnn.gradcheck(layer, values(3, 2, 3) * scale, samples=4)


@pytest.mark.parametrize("weight", SCALES)
@pytest.mark.parametrize("bias", [0.0, 1e-9, 1.0, 1e9])
def test_right_gradients_pass_at_any_scale_of_parameters(weight, bias):
    assert pyrnn.gradcheck(linear(weight=weight, bias=bias), values(5, 3))


@pytest.mark.parametrize("factor", [3.0, 0.0, -1.0, 1.01])
@pytest.mark.parametrize(
    ("weight", "beside"),
    [(weight, beside) for weight in SCALES for beside in (0.0, 1e-9)]
    + [(weight, 1.0) for weight in SCALES if weight >= 1e-9],
)
def test_wrong_gradients_of_any_size_are_refused(factor, weight, beside):
    """``beside`` them, outputs of that size: near 1, 1e-12 is too little to compare."""
    layer = linear(WrongInput, weight=weight, bias=beside)
    layer.factor = factor
    report = pyrnn.gradcheck(layer, values(5, 3))
    assert not report
    assert [name for name, entry in report.entries.items() if entry.relative > 1e-6] == ["x"]


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_wrong_gradients_of_parameters(name, scale):
    assert pyrnn.gradcheck(Wrong(linear(), name, 1.0), values(5, 3) * scale)
    assert not pyrnn.gradcheck(Wrong(linear(), name, 3.0), values(5, 3) * scale)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "strided": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "big-endian": lambda x: x.astype(">f8"),
    "list": np.ndarray.tolist,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_of_x_and_state(layout, make_layer, backend):
    layer = make_layer(3, 4, dtype="float64", seed=0)
    x = values(5, 2, 3)
    given = layout(x)
    report = pyrnn.gradcheck(layer, given, samples=3)
    assert report, report
    assert np.array_equal(given, x)
    assert report.entries == pyrnn.gradcheck(layer, x, samples=3).entries
    _, state = layer(x)
    state = tuple(map(layout, state)) if isinstance(state, tuple) else np.asarray(layout(state))
    assert pyrnn.gradcheck(layer, x, state, samples=3)


def test_gradients_of_other_classes():
    """A model of one's own may compute with matrices: they are compared element by element."""

    class Model:
        def __init__(self):
            self.parameters = {"w": values(3, 2)}

        def forward(self, x, state=None):
            return np.matrix(x) @ self.parameters["w"], None, x

        def backward(self, x, dy, dstate=None):
            dx = np.matrix(dy) @ self.parameters["w"].T
            return dx, None, {"w": np.asfortranarray(np.matrix(x).T @ dy)}

    with pytest.warns(PendingDeprecationWarning):
        report = pyrnn.gradcheck(Model(), values(4, 3))
    assert report
    assert report.entries["w"].tried == 6


@pytest.mark.parametrize(
    ("gradient", "error", "match"),
    [
        (np.ma.masked_less(np.ones((2, 3)) * [1, -1, 1], 0), TypeError, "weight: .* mask"),
        (np.ones((2, 3), complex), TypeError, "weight: expected a gradient of floats"),
        (np.ones((3, 2)), ValueError, r"weight: expected a gradient of shape \(2, 3\)"),
        ("no", TypeError, "weight: expected a gradient of floats"),
    ],
)
def test_what_is_no_gradient(gradient, error, match):
    class Layer(Wrong):
        def backward(self, cache, dy):
            dx, _, grads = super().backward(cache, dy)
            return dx, None, grads | {"weight": gradient}

    with pytest.raises(error, match=match):
        pyrnn.gradcheck(Layer(linear(), "weight", 1.0), values(5, 3))


def test_a_tolerance_of_zero_leaves_what_rounding_explains():
    report = pyrnn.gradcheck(linear(), values(5, 3), tolerance=0.0)
    assert all(entry.relative == 0 for entry in report.entries.values())
    assert not pyrnn.gradcheck(linear(WrongInput), values(5, 3), tolerance=0.0)
