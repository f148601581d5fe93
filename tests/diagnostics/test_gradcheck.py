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
        y, _, linear_cache = self.linear.forward(h)
        return y, state, (rnn_cache, linear_cache)

    def backward(self, cache, dy, dstate=None):
        dh, _, linear_grads = self.linear.backward(cache[1], dy)
        dx, dstate0, grads = self.rnn.backward(cache[0], self.factor * dh, dstate)
        return dx, dstate0, grads | linear_grads


def test_a_model(backend):
    report = pyrnn.gradcheck(Model(), random(5, 2, 3), samples=10)
    assert report, str(report)
    assert {"x", "weight_ih_l0", "weight", "state[1]"} < set(report.entries)
    assert not pyrnn.gradcheck(Model(factor=0.99), random(5, 2, 3), samples=10)


class Own:
    """h' = tanh(w x + h) over time, written by a user with whatever it takes; x (T, N)."""

    def __init__(self):
        self.parameters = {"w": np.array([0.7])}

    def run(self, x, h=0.0, counts=None):
        hs = [h]
        for t, x_t in enumerate(x):
            following = np.tanh(self.parameters["w"] * x_t + hs[-1])
            hs.append(following if counts is None else np.where(t < counts, following, hs[-1]))
        return np.stack(hs[1:]), hs[-1], (x, hs, counts)

    def run_back(self, cache, dy, dh=0.0):
        x, hs, counts = cache
        dx, dw = np.empty_like(x), 0.0
        for t in reversed(range(len(x))):
            dh = dh + dy[t]
            live = 1.0 if counts is None else t < counts
            dz = dh * (1 - hs[t + 1] ** 2) * live
            dx[t] = dz * self.parameters["w"]
            dw += (dz * x[t]).sum(keepdims=True)
            dh = dz + dh * (1.0 - live)
        return dx, dh, {"w": np.array(dw).reshape(1)}


class Stateless(Own):
    def forward(self, x):
        y, _, cache = self.run(x)
        return y, None, cache

    def backward(self, cache, dy):
        dx, _, grads = self.run_back(cache, dy)
        return dx, None, grads


class Required(Own):
    def forward(self, x, h):
        return self.run(x, h)

    def backward(self, cache, dy, dh):
        return self.run_back(cache, dy, dh)


class Optional(Own):
    def forward(self, x, state=None, *, lengths=None):
        state = np.zeros(x.shape[1:]) if state is None else state
        return self.run(x, state, None if lengths is None else np.array(lengths))

    def backward(self, cache, dy, dstate=None):
        return self.run_back(cache, dy, 0.0 if dstate is None else dstate)


class Anything(Own):
    def forward(self, *arguments, **options):
        return Optional.forward(self, *arguments, **options)

    def backward(self, *arguments):
        return self.run_back(*arguments)


@pytest.mark.parametrize(
    ("kind", "state", "options"),
    [
        (Stateless, None, {}),
        (Required, random(2, seed=1), {}),
        (Optional, None, {}),
        (Optional, random(2, seed=1), {}),
        (Optional, None, {"lengths": [5, 3]}),
        (Anything, None, {"lengths": [5, 3]}),
    ],
)
@pytest.mark.parametrize("wrong", [None, "x", "state", "w"])
def test_a_layer_of_ones_own(kind, state, options, wrong):
    class Changed(kind):
        def run_back(self, *arguments):
            dx, dh, grads = super().run_back(*arguments)
            if wrong == "w":
                return dx, dh, {"w": 1.01 * grads["w"]}
            return dx * (1 + (wrong == "x")), dh * (1 + (wrong == "state")), grads

    report = pyrnn.gradcheck(Changed(), random(5, 2), state, **options)
    has_state = kind is not Stateless
    assert list(report.entries) == ["x", *["state"] * has_state, "w"]
    found = {name for name, entry in report.entries.items() if entry.relative > 1e-6}
    assert found == ({wrong} & set(report.entries)), str(report)


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_a_layer_of_ones_own_may_change_what_it_gets(factor):
    class InPlace:
        def __init__(self):
            self.parameters = {"w": random(3)}

        def forward(self, x, h):
            x *= self.parameters["w"]
            h += x.sum(axis=0)
            return x, h, x.copy()

        def backward(self, cache, dy, dh):
            dy += dh
            grads = {"w": (dy * cache / self.parameters["w"]).sum(axis=0)}
            dy *= factor * self.parameters["w"]
            return dy, dh, grads

    report = pyrnn.gradcheck(InPlace(), random(4, 3), random(3))
    wrong = [name for name, entry in report.entries.items() if entry.relative > 1e-6]
    assert wrong == ([] if factor == 1 else ["x"]), str(report)


def test_no_gradient_of_x_is_not_checked():
    class NoInput(Optional):
        def run_back(self, *arguments):
            return None, *super().run_back(*arguments)[1:]

    report = pyrnn.gradcheck(NoInput(), random(5, 2))
    assert report
    assert list(report.entries) == ["state", "w"]


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("forward", lambda y, state, cache: (y, cache), r"forward: .* cache\), got 2 values"),
        ("forward", lambda y, state, cache: y, r"forward: expected \(y, state, cache\), got ndar"),
        ("backward", lambda dx, dh, grads: (grads, dh), r"backward: .* grads\), got 2 values"),
        ("backward", lambda dx, dh, grads: grads, r"backward: expected \(dx, .*\), got dict"),
        ("backward", lambda dx, dh, grads: (grads, dh, dx), "backward: .* dict of .*, got ndarray"),
    ],
)
def test_other_orders_are_refused(method, returned, message):
    class Other(Optional):
        pass

    own = getattr(Optional, method)
    setattr(Other, method, lambda self, *args, **options: returned(*own(self, *args, **options)))
    with pytest.raises(TypeError, match=message):
        pyrnn.gradcheck(Other(), random(5, 2))


@pytest.mark.parametrize(
    ("kind", "arguments", "options", "message"),
    [
        (Stateless, (random(5, 2), random(2)), {}, "state: .*, since Stateless takes none"),
        (Required, (random(5, 2), random(2)), {"lengths": [5, 3]}, "lengths: .* Required takes n"),
    ],
)
def test_what_a_layer_of_ones_own_does_not_take(kind, arguments, options, message):
    with pytest.raises(TypeError, match=message):
        pyrnn.gradcheck(kind(), *arguments, **options)


def test_indices_have_no_gradient():
    class Table(pyrnn.Embedding):
        def backward(self, cache, dy, dstate=None):
            return np.zeros(3), *super().backward(cache, dy)[1:]

    with pytest.raises(ValueError, match="dx: expected None, since x holds indices"):
        pyrnn.gradcheck(Table(3, 4, dtype="float64"), np.array([0, 2, 1]))


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


def test_an_empty_batch_has_gradients_of_zero(backend):
    layer = pyrnn.GRU(2, 3, dtype="float64", seed=0)
    report = pyrnn.gradcheck(layer, np.empty((4, 0, 2)))
    assert report.ok
    assert report.entries["x"].tried == 0
    assert report.entries["weight_ih_l0"].tried > 0
