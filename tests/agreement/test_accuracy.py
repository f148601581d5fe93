"""The promise of docs/numerics.md: how far float32 and float64 results are from the equations.

Drawn without care for what is easy: few units under layer norm, inputs from 1e-3 to 1e3, weights up
to 10 times as large as layers draw them, deep stacks in both directions. What float32 costs whoever
computes is measured beside it, see bench/accuracy.py: the promise is a multiple of that.
"""

from functools import partial

import numpy as np
import pytest

import pyrnn
from bench import accuracy
from pyrnn.backend import selection

pytestmark = pytest.mark.skipif(
    "native" not in selection.available(), reason="the compiled core is not built"
)

DTYPES = pytest.mark.parametrize("dtype", accuracy.BASE)


def draw(make, dtype, seed):
    """Options, parameters and arguments of a layer: numbers of the dtype."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 12), int(generator.choice([3, 4, 8, 20, 48]))
    options = {"num_layers": int(generator.integers(1, 5)), "bidirectional": bool(seed % 2)}
    layer = make(*sizes, dtype=dtype, seed=seed, **options)
    weights, scale = 10.0 ** generator.uniform(-1, 1), 10.0 ** generator.uniform(-3, 3)
    parameters = {
        name: (array + 0.1 * generator.standard_normal(array.shape)) * weights
        for name, array in layer.parameters.items()
    }
    steps, rows = generator.integers(1, 12), generator.integers(1, 5)
    x = scale * generator.standard_normal((steps, rows, sizes[0]))
    lengths = generator.integers(1, steps + 1, rows) if seed % 3 == 0 else None
    dy = generator.standard_normal(layer(x.astype(dtype))[0].shape)
    arrays = {"x": x, "dy": dy, **parameters}
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    return sizes, options, lengths, arrays


def results(make, case, dtype, arrays=None):
    """Outputs and gradients by name, computed in a dtype."""
    sizes, options, lengths, drawn = case
    arrays = {name: np.asarray(a, dtype) for name, a in (arrays or drawn).items()}
    x, dy = arrays.pop("x"), arrays.pop("dy")
    layer = make(*sizes, dtype=dtype, **options)
    for name, array in arrays.items():
        layer.parameters[name] = array
    y, state, cache = layer.forward(x, None, lengths)
    dx, dstate, grads = layer.backward(cache, dy)
    return {"y": y, **named("state", state)}, {"dx": dx, **named("dstate", dstate), **grads}


def named(name, state):
    parts = state if isinstance(state, tuple) else (state,)
    return {f"{name} {number}": part for number, part in enumerate(parts)}


def errors(make, dtype, seed):
    """Of the backends, and of storage alone; each of outputs and of gradients."""
    case = draw(make, dtype, seed)
    generator = np.random.default_rng(seed)

    def stored():
        with accuracy.stored_as(dtype):
            nudged = {n: accuracy.nudge(a, dtype, generator) for n, a in case[3].items()}
            return results(make, case, "float64", nudged)

    def error(got):
        return [accuracy.error(*both) for both in zip(got, exact, strict=True)]

    with pyrnn.use_backend("reference"):
        exact = results(make, case, "float64")
        reference = error(results(make, case, dtype))
        storage = np.max([error(stored()) for _ in range(accuracy.DRAWS)], axis=0)
    with pyrnn.use_backend("native"):
        return error(results(make, case, dtype)), reference, storage


def check(make, dtype, seed):
    native, reference, storage = errors(make, dtype, seed)
    for name, got in (("native", native), ("reference", reference)):
        for error, lost in zip(got, storage, strict=True):
            bound = accuracy.BASE[dtype] + accuracy.FACTOR * lost
            assert error <= bound, f"{name}, seed {seed}: {error} > {bound}"


@DTYPES
def test_errors_are_in_proportion_to_what_storage_costs(make_any, dtype):
    for seed in (4, 7, 35) if dtype == "float32" else (4, 13):
        check(make_any, dtype, seed)


@DTYPES
def test_errors_of_relu(dtype):
    for seed in (4, 7, 11):
        check(partial(pyrnn.RNN, nonlinearity="relu"), dtype, seed)


@pytest.mark.long
@DTYPES
def test_errors_of_many_draws(make_any, dtype):
    for seed in range(60):
        check(make_any, dtype, seed)


def test_easy_cases_need_no_allowance(make_any):
    """What is a fault of the sums and not of float32 must not hide behind the multiple."""
    layer = make_any(5, 20, 2, dtype="float32", seed=0)
    generator = np.random.default_rng(0)
    x = generator.standard_normal((50, 4, 5)).astype("float32")
    arrays = dict(layer.parameters)
    dy = generator.standard_normal(layer(x)[0].shape).astype("float32")
    case = (5, 20), {"num_layers": 2}, None, {"x": x, "dy": dy, **arrays}
    with pyrnn.use_backend("reference"):
        exact = results(make_any, case, "float64")
        plain = results(make_any, case, "float32")
    with pyrnn.use_backend("native"):
        got = results(make_any, case, "float32")
    # Layer norm divides by what may be small, so that no case is easy: there NumPy's error counts.
    bound = largest(plain, exact) if getattr(layer, "layer_norm", False) else 1e-5
    assert largest(got, exact) < bound


def largest(got, exact):
    """The largest error of any output or gradient."""
    return max(accuracy.error(*both) for both in zip(got, exact, strict=True))
