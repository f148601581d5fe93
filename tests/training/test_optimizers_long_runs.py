"""Optimisers over many steps, far from their defaults: the definition written out, and torch."""

import functools
import itertools
import pickle
from functools import partial

import numpy as np
import pytest

from pyrnn import SGD, Adagrad, Adam, AdamW, RMSprop

BETAS = [0.5, 0.9, 0.9999, 1 - 1e-6, 1 - 1e-9]
CASES = [
    *((RMSprop, {"alpha": beta}) for beta in [0.0, *BETAS, 1.0]),
    *((Adam, {"betas": (0.9, beta)}) for beta in [0.0, *BETAS]),
    *((Adam, {"betas": (beta, 0.999), "weight_decay": 0.1}) for beta in [0.0, *BETAS]),
    *((AdamW, {"betas": (beta, beta), "weight_decay": 0.1}) for beta in BETAS),
    *((SGD, {"momentum": beta, "nesterov": beta > 0.9}) for beta in BETAS),
    (SGD, {"weight_decay": 1e-3}),
    *((Adagrad, {"eps": eps}) for eps in [0.0, 1e-10, 1e3]),
]
KINDS = [SGD, Adagrad, RMSprop, Adam, AdamW]
ALL = pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{kind.__name__}-{options}" for kind, options in CASES]
)
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)


def gradients(dtype):
    """Rows of gradients, used over and over: magnitudes from 1e-3 to 1e3, and one constant."""
    rows = np.random.default_rng(0).standard_normal((101, 7)) * 10.0 ** np.arange(-3, 4)
    return np.hstack([rows, np.ones((101, 1))]).astype(dtype)


def rates(steps):
    """The learning rate of each step: it changes, and is 0 for a while."""
    return [(1e-3, 3e-3, 0.0, 1e-4)[step // 30 % 4] for step in range(steps)]


def start(dtype):
    return np.linspace(-1, 1, 8).astype(dtype)


def ours(number, dtype, steps):
    """Parameters after the steps; each fifth of them is made by an optimiser loaded anew."""
    optimiser, options = CASES[number]
    parameters = {"w": start(dtype)}
    stepper = optimiser(parameters, **options)
    rows = itertools.cycle(gradients(dtype))
    for step, rate in enumerate(rates(steps)):
        if step and step % (steps // 5) == 0:
            saved = pickle.loads(pickle.dumps(stepper.state_dict()))
            stepper = optimiser(parameters)
            stepper.load_state_dict(saved)
        stepper.lr = rate
        stepper.step({"w": next(rows)})
    return parameters["w"]


@functools.cache
def by_definition(number, dtype, steps):
    """The papers' formulas in extended precision, from the same numbers."""
    optimiser, options = CASES[number]
    p = start(dtype).astype(np.longdouble)
    rows = itertools.cycle(gradients(dtype).astype(np.longdouble))
    decay = options.get("weight_decay", 0.0)
    eps = np.longdouble(options.get("eps", 1e-8))
    m = s = np.zeros_like(p)
    for t, rate in enumerate(rates(steps), start=1):
        g = next(rows)
        if optimiser is AdamW:
            p = p - rate * decay * p
        elif decay:
            g = g + decay * p
        if optimiser is SGD:
            momentum = options.get("momentum", 0.0)
            m = momentum * m + g
            p = p - rate * (g + momentum * m if options.get("nesterov") else m)
        elif optimiser is Adagrad:
            s = s + g * g
            p = p - rate * g / (np.sqrt(s) + eps)
        elif optimiser is RMSprop:
            alpha = np.longdouble(options["alpha"])
            s = alpha * s + (1 - alpha) * g * g
            p = p - rate * g / (np.sqrt(s) + eps)
        else:
            beta1, beta2 = map(np.longdouble, options["betas"])
            m = beta1 * m + (1 - beta1) * g
            s = beta2 * s + (1 - beta2) * g * g
            # The corrections in double, as torch has them: next to 1 they have fewer digits.
            first, second = (1 - beta**t for beta in options["betas"])
            p = p - rate * m / first / (np.sqrt(s / second) + eps)
    return p


@functools.cache
def by_torch(number, dtype, steps):
    torch = pytest.importorskip("torch")
    optimiser, options = CASES[number]
    tensor = torch.tensor(start(dtype), requires_grad=True)
    peer = getattr(torch.optim, optimiser.__name__)([tensor], **options)
    rows = itertools.cycle(torch.tensor(gradients(dtype)))
    for rate in rates(steps):
        peer.param_groups[0]["lr"] = rate
        tensor.grad = next(rows)
        peer.step()
    return tensor.detach().numpy()


def check(got, expected, dtype):
    assert got.dtype == np.dtype(dtype)
    worst, scale = np.abs(got - expected).max(), np.abs(expected).max()
    assert worst <= TOLERANCE[dtype] * scale, f"{worst} > {TOLERANCE[dtype]} of {scale}"


@DTYPES
@ALL
def test_steps_are_those_of_torch(number, dtype, backend):
    check(ours(number, dtype, 120), by_torch(number, dtype, 120), dtype)


@DTYPES
@ALL
def test_steps_follow_the_definition(number, dtype, backend):
    check(ours(number, dtype, 120), by_definition(number, dtype, 120), dtype)


@pytest.mark.long
@DTYPES
@ALL
def test_ten_thousand_steps_are_those_of_torch(number, dtype, backend):
    check(ours(number, dtype, 10_000), by_torch(number, dtype, 10_000), dtype)


@DTYPES
@pytest.mark.parametrize("betas", [(0.9, 0.9999), (1 - 1e-6, 1 - 1e-6)])
def test_ten_thousand_steps_of_adam(betas, dtype, backend):
    number = next(n for n, (_, options) in enumerate(CASES) if options.get("betas") == betas)
    check(ours(number, dtype, 10_000), by_torch(number, dtype, 10_000), dtype)


# --- single steps -------------------------------------------------------------------------------


def one_step(optimiser, gradient, dtype, start=0.0, steps=0, **options):
    """What one step with lr = 1 makes of a parameter."""
    parameters = {"w": np.full(37, start, dtype)}
    stepper = optimiser(parameters, lr=1.0, **options)
    state = stepper.state_dict()
    state["steps"] = steps
    stepper.load_state_dict(state)
    stepper.step({"w": np.full(37, gradient, dtype)})
    assert (parameters["w"] == parameters["w"][0]).all() or np.isnan(parameters["w"]).all()
    return stepper, float(parameters["w"][0])


@DTYPES
@pytest.mark.parametrize("optimiser", [Adam, AdamW])
@pytest.mark.parametrize("beta1", [0.0, 0.3, *BETAS, 1 - 1e-15])
def test_the_first_step_of_adam_is_lr(optimiser, beta1, dtype, backend):
    """m and v are corrected for all that they lack."""
    tolerance = 1e-6 if dtype == "float32" else 1e-8  # eps is 1e-8
    for beta2 in (0.0, 0.3, *BETAS, 1 - 1e-15):
        for gradient in (1.0, -30.0, 1e19):
            _, p = one_step(optimiser, gradient, dtype, betas=(beta1, beta2))
            assert abs(p + np.sign(gradient)) < tolerance, (beta2, gradient, p)


@DTYPES
@pytest.mark.parametrize("alpha", [0.0, 0.3, *BETAS])
def test_the_first_step_of_rmsprop(alpha, dtype, backend):
    """lr / √(1 - α), whatever the gradient."""
    for gradient in (1.0, -30.0, 1e19):
        expected = -np.sign(gradient) / np.sqrt(1 - alpha)
        _, p = one_step(RMSprop, gradient, dtype, alpha=alpha, eps=0.0)
        assert abs(p / expected - 1) < (1e-6 if dtype == "float32" else 1e-14), (gradient, p)


@pytest.mark.parametrize("beta", [0.9999, 1 - 1e-6, 1 - 1e-9])
def test_gradients_whose_square_is_more_than_float32_holds(beta, backend):
    _, p = one_step(RMSprop, 1e21, "float32", alpha=beta)
    assert abs(p * np.sqrt(1 - beta) + 1) < 1e-6
    for optimiser in (Adam, AdamW):
        _, p = one_step(optimiser, 1e21, "float32", betas=(0.9, beta))
        assert abs(p + 1) < 1e-6


@DTYPES
@pytest.mark.parametrize("optimiser", KINDS)
@pytest.mark.parametrize("steps", [2**31 - 2, 2**31 - 1, 2**31, 2**53, 2**63 - 1])
def test_counts_beyond_32_bits(optimiser, steps, dtype, backend):
    """Corrections are 1 by then: Adam's first of these steps is (1 - β₁) g / √(1 - β₂) |g|."""
    stepper, p = one_step(optimiser, 2.0, dtype, steps=steps, weight_decay=0.0)
    assert stepper.state_dict()["steps"] == steps + 1
    if optimiser in (Adam, AdamW):
        assert abs(p + (1 - 0.9) / np.sqrt(1 - 0.999)) < 1e-5


def test_counts_beyond_64_bits_are_refused(backend):
    with pytest.raises(ValueError, match=r"steps.*at most 9223372036854775807"):
        one_step(Adam, 1.0, "float32", steps=2**63)


@pytest.mark.parametrize("optimiser", KINDS)
def test_a_step_that_fails_is_not_counted(optimiser, monkeypatch):
    stepper = optimiser({"w": np.ones(3)})

    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(stepper, "_make_step", lambda *arguments: partial(fail))
    with pytest.raises(MemoryError):
        stepper.step({"w": np.ones(3)})
    assert stepper.state_dict()["steps"] == 0


@DTYPES
@pytest.mark.parametrize(
    ("optimiser", "options"),
    [*((kind, {}) for kind in KINDS), (SGD, {"momentum": 0.9}), (Adam, {"betas": (0.0, 0.9)})],
)
def test_an_infinite_parameter_stays_without_decay(optimiser, options, dtype, backend):
    """Zero times it is no number, and is not added to the gradient."""
    if optimiser is AdamW:
        options = {"weight_decay": 0.0}
    _, p = one_step(optimiser, 1.0, dtype, start=np.inf, **options)
    assert p == np.inf


@pytest.mark.parametrize("optimiser", [SGD, Adagrad, RMSprop, Adam])
def test_a_decay_that_rounds_to_none_is_none(optimiser, backend):
    _, p = one_step(optimiser, 1.0, "float32", start=np.inf, weight_decay=5e-324)
    assert p == np.inf


@DTYPES
@pytest.mark.parametrize("nesterov", [False, True])
def test_an_infinite_velocity_goes_on(nesterov, dtype, backend):
    _, p = one_step(SGD, np.inf, dtype, momentum=0.9, nesterov=nesterov)
    assert p == -np.inf
