"""gradcheck: it passes right gradients, catches wrong ones, says where, leaves its target alone."""

import copy

import numpy as np
import pytest

import pyrnn


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class Changed(pyrnn.GRU):
    """A layer whose backward is changed at one place."""

    def change(self, dx, dstate0, grads):
        raise NotImplementedError

    def backward(self, cache, dy, dstate=None):
        return self.change(*super().backward(cache, dy, dstate))


class WrongElement(Changed):
    def change(self, dx, dstate0, grads):
        grads["weight_hh_l0"][2, 1] *= 1.001
        return dx, dstate0, grads


class WrongInput(Changed):
    def change(self, dx, dstate0, grads):
        dx[1, 0, 2] += 1e-4
        return dx, dstate0, grads


class WrongState(Changed):
    def change(self, dx, dstate0, grads):
        return dx, np.zeros_like(dstate0), grads


class NotANumber(Changed):
    def change(self, dx, dstate0, grads):
        grads["bias_ih_l0"][0] = np.nan
        return dx, dstate0, grads


class WrongShape(Changed):
    def change(self, dx, dstate0, grads):
        return dx[:1], dstate0, grads


class MissingName(Changed):
    def change(self, dx, dstate0, grads):
        del grads["bias_hh_l0"]
        return dx, dstate0, grads


@pytest.mark.parametrize(
    ("kind", "name", "index"),
    [
        (WrongElement, "weight_hh_l0", (2, 1)),
        (WrongInput, "x", (1, 0, 2)),
        (WrongState, "state", None),
        (NotANumber, "bias_ih_l0", (0,)),
    ],
)
def test_a_wrong_gradient_is_caught_and_located(kind, name, index, backend):
    layer = kind(3, 4, dtype="float64", seed=0)
    report = pyrnn.gradcheck(layer, random(5, 2, 3))
    assert not report
    assert not report.ok
    wrong = [entry for entry in report.entries.values() if not entry.relative <= 1e-6]
    assert [entry.name for entry in wrong] == [name]
    if index is not None:
        assert wrong[0].index == index
    assert "WRONG" in str(report)
    assert "<-" in str(report)


def test_the_values_at_the_worst_place_are_told(backend):
    layer = WrongElement(3, 4, dtype="float64", seed=0)
    entry = pyrnn.gradcheck(layer, random(5, 2, 3)).entries["weight_hh_l0"]
    assert entry.analytic == pytest.approx(1.001 * entry.numeric, rel=1e-6)
    assert entry.absolute == pytest.approx(abs(entry.analytic - entry.numeric), rel=1e-12)
    assert entry.tried == 12 * 4
    assert entry.shape == (12, 4)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WrongShape, r"x: expected a gradient of shape \(5, 2, 3\), got \(1, 2, 3\)"),
        (MissingName, "grads: expected the names .*bias_hh_l0"),
    ],
)
def test_gradients_of_other_shapes_or_names_are_refused(kind, message, backend):
    with pytest.raises(ValueError, match=message):
        pyrnn.gradcheck(kind(3, 4, dtype="float64"), random(5, 2, 3))


def test_a_given_state_is_used(backend):
    layer = pyrnn.LSTM(3, 4, dtype="float64", seed=0)
    state = (random(1, 2, 4), random(1, 2, 4, seed=1))
    report = pyrnn.gradcheck(layer, random(5, 2, 3), state)
    assert report, str(report)
    assert list(report.entries)[:3] == ["x", "state[0]", "state[1]"]
    with pytest.raises(ValueError, match=r"state's h: expected shape \(1, 2, 4\)"):
        pyrnn.gradcheck(layer, random(5, 2, 3), (state[0][:, :1], state[1][:, :1]))


def test_target_and_arguments_stay_as_they_are(backend):
    layer = pyrnn.GRU(3, 4, 2, dropout=0.5, dtype="float64", seed=0)
    twin = copy.deepcopy(layer)
    x, state = random(5, 2, 3), random(2, 2, 4)
    kept = x.copy(), state.copy()
    pyrnn.gradcheck(layer, x, state, samples=3)
    assert np.array_equal(x, kept[0])
    assert np.array_equal(state, kept[1])
    for name, array in layer.parameters.items():
        assert np.array_equal(array, twin.parameters[name])
    assert np.array_equal(layer(x)[0], twin(x)[0])  # the dropout to come is the same too


def test_eval_mode_is_checked_as_it_is(backend):
    layer = pyrnn.GRU(3, 4, 2, dropout=0.9, dtype="float64", seed=0).eval()
    report = pyrnn.gradcheck(layer, random(5, 2, 3), samples=5)
    assert report, str(report)
    assert not layer.training
    assert not layer.parameters["weight_ih_l0"].flags.writeable


def test_samples_limit_what_is_tried(backend):
    layer = pyrnn.GRU(3, 4, dtype="float64", seed=0)
    report = pyrnn.gradcheck(layer, random(5, 2, 3), samples=9)
    assert {entry.tried for entry in report.entries.values()} == {8, 9}
    again = pyrnn.gradcheck(layer, random(5, 2, 3), samples=9)
    other = pyrnn.gradcheck(layer, random(5, 2, 3), samples=9, seed=1)
    assert again == report
    assert other != report


def test_tolerance_decides(backend):
    layer = WrongElement(3, 4, dtype="float64", seed=0)
    assert pyrnn.gradcheck(layer, random(5, 2, 3), tolerance=1e-2)


class Model:
    """A model as users write it: a linear layer on top of a recurrent one."""

    def __init__(self, factor=1.0):
        self.rnn = pyrnn.LSTM(3, 4, dtype="float64", seed=0)
        self.linear = pyrnn.Linear(4, 2, dtype="float64", seed=0)
        self.factor = factor

    @property
    def parameters(self):
        return {**self.rnn.parameters, **self.linear.parameters}

    def forward(self, x, state=None):
        h, state, rnn_cache = self.rnn.forward(x, state)
        y, linear_cache = self.linear.forward(h)
        return y, state, (rnn_cache, linear_cache)

    def backward(self, cache, dy, dstate=None):
        dh, linear_grads = self.linear.backward(cache[1], dy)
        _, dstate0, grads = self.rnn.backward(cache[0], self.factor * dh, dstate)
        return grads | linear_grads, dstate0


def test_a_model(backend):
    report = pyrnn.gradcheck(Model(), random(5, 2, 3), samples=10)
    assert report, str(report)
    assert {"weight_ih_l0", "weight", "state[1]"} < set(report.entries)
    assert "x" not in report.entries
    assert not pyrnn.gradcheck(Model(factor=0.99), random(5, 2, 3), samples=10)


def test_the_report_is_a_table(backend):
    text = str(pyrnn.gradcheck(pyrnn.Linear(3, 2, dtype="float64", seed=0), random(4, 3)))
    lines = text.splitlines()
    assert lines[0].split() == [
        "gradient", "shape", "tried", "absolute", "relative", "at", "analytic", "numeric",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:]] == ["x", "weight", "bias", "ok:"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((pyrnn.GRU(3, 4), random(5, 2, 3)), {}, TypeError, "target: expected float64 .* float32"),
        ((pyrnn.Linear(3, 4, dtype="f8"), random(2, 3).astype("f4")), {}, TypeError, "x: expected"),
        (
            (pyrnn.GRU(3, 4, dtype="f8"), random(5, 2, 3), np.zeros((1, 2, 4), "f4")),
            {},
            TypeError,
            "state: expected dtype float64, got float32",
        ),
        (
            (pyrnn.Linear(3, 4, dtype="f8"), random(2, 3), random(2, 4)),
            {},
            TypeError,
            "state: expected None, since Linear takes none",
        ),
        (
            (pyrnn.Linear(3, 4, dtype="f8"), random(2, 3)),
            {"lengths": [1]},
            TypeError,
            "lengths: expected None, since Linear takes none",
        ),
        ((None, random(2, 3)), {"samples": 0}, ValueError, "samples: .* at least 1, got 0"),
        ((None, random(2, 3)), {"epsilon": 0}, ValueError, "epsilon: .* got 0"),
        ((None, random(2, 3)), {"tolerance": -1}, ValueError, "tolerance: .* got -1"),
        ((None, random(2, 3)), {"seed": "x"}, TypeError, "seed: .* got 'x'"),
        ((None, random(2, 3)), {}, TypeError, "target: expected a layer, a cell or a model"),
    ],
)
def test_wrong_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        pyrnn.gradcheck(*arguments, **options)
