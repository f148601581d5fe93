"""Optimisers: by hand, by the formulas in exact fractions, against torch, their state, errors."""

import copy
import math

import numpy as np
import pytest

import pyrnn
from pyrnn import SGD, Adagrad, Adam, AdamW, RMSprop

CASES = [
    (SGD, {}),
    (SGD, {"lr": 0.1, "weight_decay": 0.2}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (Adagrad, {}),
    (Adagrad, {"lr": 0.1, "weight_decay": 0.2, "eps": 1e-3}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.1, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.2}),
    (Adam, {}),
    (Adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}),
    (AdamW, {}),
    (AdamW, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}),
]
ALL = pytest.mark.parametrize(("optimiser", "options"), CASES, ids=str)
KINDS = pytest.mark.parametrize("optimiser", [SGD, Adagrad, RMSprop, Adam, AdamW])


def random(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --- one number, by the formulas ------------------------------------------------------------


def by_formula(optimiser, options, p, gradients):
    """Plain scalar arithmetic, as the papers have it."""
    defaults = {SGD: 1e-3, Adagrad: 1e-2, RMSprop: 1e-2, Adam: 1e-3, AdamW: 1e-3}
    lr = options.get("lr", defaults[optimiser])
    decay = options.get("weight_decay", 0.01 if optimiser is AdamW else 0.0)
    v = s = m = 0.0
    for t, gradient in enumerate(gradients, start=1):
        g = gradient if optimiser is AdamW else gradient + decay * p
        if optimiser is SGD:
            mu = options.get("momentum", 0.0)
            v = mu * v + g
            p -= lr * (g + mu * v if options.get("nesterov") else v)
        elif optimiser is Adagrad:
            s += g * g
            p -= lr * g / (math.sqrt(s) + options.get("eps", 1e-10))
        elif optimiser is RMSprop:
            alpha = options.get("alpha", 0.99)
            s = alpha * s + (1 - alpha) * g * g
            p -= lr * g / (math.sqrt(s) + options.get("eps", 1e-8))
        else:
            beta1, beta2 = options.get("betas", (0.9, 0.999))
            if optimiser is AdamW:
                p -= lr * decay * p
            m = beta1 * m + (1 - beta1) * g
            s = beta2 * s + (1 - beta2) * g * g
            root = math.sqrt(s / (1 - beta2**t))
            p -= lr * (m / (1 - beta1**t)) / (root + options.get("eps", 1e-8))
    return p


@ALL
def test_steps_follow_the_formulas(optimiser, options, backend):
    start, gradients = random(5), random(4, 5, seed=1)
    parameters = {"w": start.copy()}
    stepper = optimiser(parameters, **options)
    for g in gradients:
        stepper.step({"w": g})
    expected = [
        by_formula(optimiser, options, p, g) for p, g in zip(start, gradients.T, strict=True)
    ]
    np.testing.assert_allclose(parameters["w"], expected, rtol=1e-13)


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_those_of_torch(optimiser, options, dtype, backend):
    torch = pytest.importorskip("torch")
    start, gradients = random(3, 4, dtype=dtype), random(5, 3, 4, seed=1, dtype=dtype)
    tensor = torch.tensor(start, requires_grad=True)
    peer = getattr(torch.optim, optimiser.__name__)([tensor], **options)
    parameters = {"w": start.copy()}
    stepper = optimiser(parameters, **options)
    for g in gradients:
        tensor.grad = torch.tensor(g)
        peer.step()
        stepper.step({"w": g})
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert parameters["w"].dtype == np.dtype(dtype)
    np.testing.assert_allclose(parameters["w"], tensor.detach().numpy(), rtol=tolerance)


# --- live arrays ----------------------------------------------------------------------------


@KINDS
def test_layer_learns_in_place_and_gradients_stay(optimiser, make_layer, backend):
    layer = make_layer(3, 4, dtype="float64", seed=0)
    stepper = optimiser(layer.parameters, weight_decay=0.0)
    x = random(5, 2, 3)
    y, _, cache = layer.forward(x)
    _, _, grads = layer.backward(cache, y)
    before, kept = copy.deepcopy(dict(layer.parameters)), copy.deepcopy(grads)
    stepper.step(grads)
    for name, array in layer.parameters.items():
        assert ((array != before[name]) == (grads[name] != 0)).all()
        assert (array != before[name]).any()
        assert np.array_equal(grads[name], kept[name])
    assert not np.array_equal(layer(x)[0], y)


@KINDS
def test_several_layers_under_one_dict(optimiser, backend):
    rnn, linear = pyrnn.RNN(2, 3, seed=0), pyrnn.Linear(3, 1, seed=0)
    merged = {f"rnn.{n}": a for n, a in rnn.parameters.items()}
    merged |= {f"linear.{n}": a for n, a in linear.parameters.items()}
    before = copy.deepcopy(merged)
    optimiser(merged).step({name: np.ones_like(array) for name, array in merged.items()})
    assert (rnn.parameters["weight_ih_l0"] != before["rnn.weight_ih_l0"]).all()
    assert (linear.parameters["bias"] != before["linear.bias"]).all()


@KINDS
def test_every_memory_layout_of_a_gradient(optimiser, backend):
    g = random(3, 4)
    expected, got = {"w": np.ones((3, 4))}, {"w": np.ones((3, 4))}
    optimiser(expected).step({"w": g})
    stepper = optimiser(got)
    strided = np.zeros((6, 4))[::2]
    strided[...] = g
    for other in (np.asfortranarray(g), strided, g.astype(g.dtype.newbyteorder())):
        got["w"][...] = 1
        stepper.load_state_dict(optimiser(got).state_dict())
        stepper.step({"w": other})
        assert np.array_equal(got["w"], expected["w"])


@KINDS
def test_scalars_and_empty_arrays(optimiser, backend):
    parameters = {"scalar": np.array(1.0), "empty": np.zeros((0, 3))}
    optimiser(parameters, lr=0.1).step({"scalar": np.array(2.0), "empty": np.zeros((0, 3))})
    assert parameters["scalar"] < 1


def test_lr_can_be_set(backend):
    p = {"w": np.array([1.0])}
    optimiser = SGD(p, lr=0.5)
    optimiser.lr = 0.25
    optimiser.step({"w": np.array([1.0])})
    assert p["w"] == [0.75]
    for value, error in ((-1, ValueError), (math.nan, ValueError), ("a", TypeError)):
        with pytest.raises(error, match="lr: expected a number"):
            optimiser.lr = value
    assert optimiser.lr == 0.25


def test_loss_goes_down_on_a_line(backend):
    """Least squares with the solution (2, -3): each optimiser finds it."""
    x = random(50, 2)
    y = x @ np.array([2.0, -3.0])
    for optimiser, lr in ((SGD, 0.1), (Adagrad, 1.0), (RMSprop, 0.01), (Adam, 0.1), (AdamW, 0.1)):
        p = {"w": np.zeros(2)}
        options = {"weight_decay": 0.0} if optimiser is AdamW else {}
        stepper = optimiser(p, lr=lr, **options)
        for _ in range(1000):
            stepper.step({"w": 2 * x.T @ (x @ p["w"] - y) / len(x)})
        np.testing.assert_allclose(p["w"], [2, -3], atol=0.02)


# --- state ----------------------------------------------------------------------------------


@ALL
def test_state_dict_goes_on_where_it_was(optimiser, options, backend):
    gradients = random(6, 3, 4, seed=1)
    whole = {"w": np.ones((3, 4))}
    stepper = optimiser(whole, **options)
    for g in gradients:
        stepper.step({"w": g})

    first = {"w": np.ones((3, 4))}
    stepper = optimiser(first, **options)
    for g in gradients[:3]:
        stepper.step({"w": g})
    saved = stepper.state_dict()
    stepper.step({"w": gradients[3]})  # the saved state is a copy

    second = {"w": np.ones((3, 4))}
    other = optimiser(second, **options)
    for g in gradients[:3]:
        other.step({"w": g})
    kept = second["w"].copy()
    fresh = optimiser(second, lr=7.0)
    fresh.load_state_dict(saved)
    assert np.array_equal(second["w"], kept)
    for g in gradients[3:]:
        fresh.step({"w": g})
    assert np.array_equal(second["w"], whole["w"])
    assert fresh.lr == optimiser(whole, **options).lr


def test_state_dict_holds_plain_things():
    optimiser = Adam({"w": np.ones(2)}, lr=0.1)
    optimiser.step({"w": np.array([1.0, 2.0])})
    state = optimiser.state_dict()
    assert state["optimizer"] == "Adam"
    assert state["steps"] == 1
    options = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    assert state["param_groups"] == [{"params": ["w"], **options}]
    assert state["frozen"] == []
    assert {m: list(a) for m, a in state["state"].items()} == {"m": ["w"], "v": ["w"]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.update(optimizer="AdamW"), ValueError, "expected one of Adam, got 'AdamW'"),
        (lambda s: s.pop("steps"), KeyError, r"state_dict: missing \['steps'\]"),
        (lambda s: s.update(extra=1), KeyError, r"unknown \['extra'\]"),
        (lambda s: s.update(steps=-1), ValueError, "steps.*at least 0, got -1"),
        (lambda s: s.update(steps=1.5), TypeError, r"steps.*got 1\.5"),
        (lambda s: s.update(param_groups=None), ValueError, "param_groups.*expected 1 groups, got"),
        (lambda s: s["param_groups"].append(1), ValueError, "param_groups.*expected 1 groups, got"),
        (lambda s: s["param_groups"][0].update(lr="fast"), TypeError, "lr: expected a number"),
        (lambda s: s["param_groups"][0].pop("eps"), KeyError, r"groups.*missing \['eps'\]"),
        (lambda s: s["param_groups"][0].update(params=["v"]), ValueError, "the parameters.*got.*v"),
        (lambda s: s.update(frozen=["v"]), ValueError, "frozen.*expected parameters, got 'v'"),
        (lambda s: s.update(frozen=3), TypeError, "frozen.*expected a list of names, got 3"),
        (lambda s: s["state"].pop("m"), KeyError, r"state.*missing \['m'\]"),
        (lambda s: s["state"]["v"].pop("w"), KeyError, r"\['v'\]: missing \['w'\]"),
        (lambda s: s["state"]["v"].update(w=np.ones(3)), ValueError, r"\['w'\]: expected shape"),
        (lambda s: s["state"]["v"].update(w=np.ones(2, "f4")), TypeError, "expected dtype float64"),
    ],
)
def test_other_states_are_refused_and_change_nothing(change, error, message):
    optimiser = Adam({"w": np.ones(2)}, lr=0.5)
    optimiser.step({"w": np.array([1.0, 2.0])})
    state = Adam({"w": np.ones(2)}).state_dict()
    change(state)
    before = copy.deepcopy(optimiser.state_dict())
    with pytest.raises(error, match=message):
        optimiser.load_state_dict(state)
    np.testing.assert_equal(optimiser.state_dict(), before)


def test_state_dict_must_be_a_dict():
    with pytest.raises(TypeError, match="state_dict: expected a dict, got list"):
        SGD({"w": np.ones(2)}).load_state_dict([])


def test_repr():
    optimiser = SGD({"w": np.ones(2)}, lr=0.5)
    assert repr(optimiser) == (
        "SGD(1 parameters, lr=0.5, momentum=0.0, weight_decay=0.0, nesterov=False)"
    )


# --- errors ---------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    ("grads", "error", "message"),
    [
        ({"a": np.ones(2)}, KeyError, r"grads: missing \['b'\], unknown \[\]"),
        (
            {"a": np.ones(2), "b": np.ones(3), "c": np.ones(1)},
            KeyError,
            r"grads: missing \[\], unknown \['c'\]",
        ),
        (
            {"a": np.ones(2), "b": np.ones(2)},
            ValueError,
            r"grads\['b'\]: expected shape \(3,\), got \(2,\)",
        ),
        (
            {"a": np.ones(2), "b": np.ones(3, "float32")},
            TypeError,
            r"grads\['b'\]: expected dtype float64, got float32",
        ),
        ({"a": np.ones(2), "b": None}, TypeError, r"grads\['b'\]: .* got NoneType"),
        ([np.ones(2), np.ones(3)], TypeError, "grads: expected a dict of arrays, got list"),
    ],
    ids=str,
)
def test_wrong_gradients_change_nothing(optimiser, grads, error, message, backend):
    parameters = {"a": np.ones(2), "b": np.ones(3)}
    stepper = optimiser(parameters, lr=0.1)
    before = stepper.state_dict()
    with pytest.raises(error, match=message):
        stepper.step(grads)
    assert (parameters["a"] == 1).all()
    np.testing.assert_equal(stepper.state_dict(), before)


@KINDS
def test_parameters_of_a_layer_in_eval_mode_are_refused(optimiser, backend):
    layer = pyrnn.Linear(2, 3, dtype="float64")
    stepper = optimiser(layer.parameters)
    grads = {name: np.ones_like(array) for name, array in layer.parameters.items()}
    layer.eval()
    with pytest.raises(ValueError, match=r"weight: the parameter is read-only; .* train\(\)"):
        stepper.step(grads)
    layer.train()
    stepper.step(grads)


@KINDS
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ([np.ones(2)], TypeError, r"parameters\[0\]: expected a dict with .params."),
        ({}, ValueError, "parameters: expected one array or more"),
        ({"w": [1.0, 2.0]}, TypeError, r"parameters\['w'\]: expected a NumPy array, got list"),
        ({"w": np.ones(2, int)}, TypeError, r"parameters\['w'\]: expected float32 or float64"),
        ({"w": np.ones(2, ">f8")}, TypeError, r"parameters\['w'\]: .* got >f8"),
        ({"w": np.ones((2, 3)).T}, ValueError, r"parameters\['w'\]: expected a contiguous array"),
    ],
    ids=str,
)
def test_wrong_parameters(optimiser, parameters, error, message):
    with pytest.raises(error, match=message):
        optimiser(parameters)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: SGD(p, -0.1), ValueError, r"lr: expected a number in \[0\.0, inf\], got -0\.1"),
        (lambda p: SGD(p, None), TypeError, "lr: expected a number, got None"),
        (lambda p: SGD(p, momentum=-1), ValueError, "momentum: .* got -1"),
        (lambda p: SGD(p, weight_decay=math.inf), ValueError, "weight_decay: .* got inf"),
        (lambda p: SGD(p, nesterov=True), ValueError, "nesterov: expected a momentum above 0"),
        (lambda p: Adagrad(p, eps=-1), ValueError, "eps: .* got -1"),
        (lambda p: RMSprop(p, alpha=1.1), ValueError, r"alpha: .* in \[0\.0, 1\.0\], got 1\.1"),
        (lambda p: Adam(p, betas=0.9), TypeError, r"betas: expected a pair of numbers, got 0\.9"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), ValueError, "betas: expected numbers below 1"),
        (lambda p: Adam(p, betas=(-0.1, 0.9)), ValueError, r"betas: .* got -0\.1"),
        (lambda p: AdamW(p, eps="x"), TypeError, "eps: expected a number, got 'x'"),
    ],
)
def test_wrong_options(make, error, message):
    with pytest.raises(error, match=message):
        make({"w": np.ones(2)})
