"""Infinities and NaN: the core has them where the reference has them, and nowhere else.

Lanes that fill up a vector stand for nothing. An infinity in them would be NaN as soon as a zero
weight meets it, so that sizes around those of vectors are what matters here.
"""

import itertools
from functools import partial

import numpy as np
import pytest

import pyrnn

pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
VALUES = (np.inf, -np.inf, np.nan)
MODES = ("plain", "lengths", "indices", "checkpoint", "windows", "directions")
PLACES = ("x", "state", "dstate", "dy", "parameter")


def arrays_of(result, name=""):
    """Every array of nested tuples and dicts, with its name."""
    if isinstance(result, dict):
        for key, value in result.items():
            yield from arrays_of(value, f"{name} {key}")
    elif isinstance(result, tuple):
        for number, value in enumerate(result):
            yield from arrays_of(value, f"{name}[{number}]")
    elif result is not None:
        yield name, np.asarray(result)


def assert_alike(got, expected, tolerance):
    """NaN and each infinity in the same places, all else within a multiple of the largest."""
    for (name, one), (_, other) in zip(arrays_of(got), arrays_of(expected), strict=True):
        for what in (np.isnan, np.isposinf, np.isneginf):
            assert np.array_equal(what(one), what(other)), (name, what.__name__)
        finite = np.isfinite(other)
        scale = np.abs(other[finite]).max(initial=0)
        worst = np.abs(one[finite] - other[finite]).max(initial=0)
        assert worst <= tolerance * scale, name


class Case:
    """A layer and the arguments of its calls, some of whose numbers can be replaced."""

    def __init__(self, make, sizes, mode, dtype, seed):
        inputs, hidden = sizes
        self.mode, self.generator = mode, np.random.default_rng(seed)
        self.layer = make(
            inputs, hidden, bidirectional=mode == "directions", dtype=dtype, seed=seed
        )
        self.steps, self.batch = 4, 5
        self.parameters = {name: p.copy() for name, p in self.layer.parameters.items()}
        self.x = self.normal(self.steps, self.batch, inputs)
        if mode == "indices":
            self.x = self.generator.integers(0, inputs, (self.steps, self.batch))
        self.lengths = [4, 1, 3, 2, 4] if mode == "lengths" else None
        y, state = self.layer(self.x)
        self.many = isinstance(state, tuple)
        shapes = [one.shape for one in (state if self.many else (state,))]
        self.state = [self.normal(*shape) for shape in shapes]
        self.dstate = [self.normal(*shape) for shape in shapes]
        self.dy = self.normal(*y.shape)

    def normal(self, *shape):
        return self.generator.standard_normal(shape).astype(self.layer.dtype)

    def array(self, place):
        """One array of a place; None where the mode has none."""
        if (place == "x" and self.mode == "indices") or (
            place == "dstate" and self.mode == "windows"
        ):
            return None
        chosen = {
            "x": [self.x], "state": self.state, "dstate": self.dstate, "dy": [self.dy],
            "parameter": list(self.parameters.values()),
        }[place]  # fmt: skip
        return chosen[self.generator.integers(len(chosen))]

    def put(self, place, value):
        array = self.array(place)
        if array is not None:
            array[tuple(self.generator.integers(0, array.shape))] = value

    def run(self, backend):
        """All that the forward and the backward pass return."""
        for name, array in self.parameters.items():
            self.layer.parameters[name] = array
        with pyrnn.use_backend(backend):
            state, dstate = (tuple(a) if self.many else a[0] for a in (self.state, self.dstate))
            checkpoint = 2 if self.mode == "checkpoint" else None
            y, last, cache = self.layer.forward(self.x, state, self.lengths, checkpoint=checkpoint)
            if self.mode == "windows":
                # Windows that overlap are summed before the products, which inf - inf would show.
                return y, last, self.layer.backward_truncated(cache, self.dy, 2, 2)
            return y, last, self.layer.backward(cache, self.dy, dstate)


def sizes_of(number):
    """Inputs and units around those of vectors and tiles, in an order that mixes both."""
    hidden = (3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 31, 32, 33, 40, 63, 64, 65)
    return (1, 3, 8, 16, 17, 33)[number % 6], hidden[number * 7 % len(hidden)]


@DTYPES
@pytest.mark.parametrize("mode", MODES)
def test_the_same_numbers_are_not_finite_as_on_the_reference(make_any, mode, dtype):
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    cases = itertools.product(PLACES, VALUES)
    for number, (place, value) in enumerate(cases):
        case = Case(make_any, sizes_of(number), mode, dtype, seed=number)
        case.put(place, value)
        assert_alike(case.run("native"), case.run("reference"), tolerance)


@pytest.mark.long
@DTYPES
@pytest.mark.parametrize("mode", MODES)
def test_several_of_them_at_every_size(make_any, mode, dtype, num_threads):
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    sizes = itertools.product((1, 2, 15, 16, 17, 33), (*range(3, 41), 63, 64, 65, 66))
    for seed, size in enumerate(sizes):
        case = Case(make_any, size, mode, dtype, seed)
        for place in case.generator.choice(PLACES, 2):
            case.put(place, case.generator.choice(VALUES))
        expected = case.run("reference")
        for threads in (1, 2):
            with num_threads(threads):
                assert_alike(case.run("native"), expected, tolerance)


@DTYPES
@pytest.mark.parametrize("mode", ["plain", "lengths", "checkpoint", "windows", "directions"])
def test_one_sequence_leaves_the_others_alone(make_any, mode, dtype, same_bits):
    """Outputs, dx and the first state's gradient of all other sequences keep their bits."""
    for number, (place, value) in enumerate(itertools.product(("x", "state", "dy"), VALUES)):
        case = Case(make_any, sizes_of(number), mode, dtype, seed=number)
        untouched = case.run("native")
        array = case.array(place)
        array[..., 2, int(case.generator.integers(array.shape[-1]))] = value
        touched = case.run("native")
        others = [0, 1, 3, 4]

        def of_others(result, others=others):
            y, last, (dx, *dstate) = result
            rest = dstate[:-1]  # without the gradients of parameters, which have it
            return [a[..., others, :] for _, a in arrays_of((y, last, dx, tuple(rest)))]

        same_bits(of_others(touched), of_others(untouched), f"{place} {value}")


@DTYPES
@pytest.mark.parametrize("value", [*VALUES, 3e38])
def test_x_past_a_length_does_not_count(make_any, dtype, value, same_bits):
    for number in range(3):
        case = Case(make_any, sizes_of(number), "lengths", dtype, seed=number)
        expected = case.run("native")
        for sequence, length in enumerate(case.lengths):
            case.x[length:, sequence] = value
            case.dy[length:, sequence] = value
        same_bits(case.run("native"), expected)


@DTYPES
@pytest.mark.parametrize("size", [1, 7, 16, 17, 65])
def test_linear_layers_have_them_where_the_reference_does(dtype, size):
    for number, (place, value) in enumerate(itertools.product(range(4), VALUES)):
        generator = np.random.default_rng(number)
        layer = pyrnn.Linear(size, 17, dtype=dtype, seed=0)
        x, dy = (generator.standard_normal((3, n)).astype(dtype) for n in (size, 17))
        parameters = {name: p.copy() for name, p in layer.parameters.items()}
        array = [x, dy, *parameters.values()][place]
        array[tuple(generator.integers(0, array.shape))] = value
        layer.parameters.update(parameters)
        results = []
        for backend in ("native", "reference"):
            with pyrnn.use_backend(backend):
                y, *_, cache = layer.forward(x)
                results.append((y, layer.backward(cache, dy)))
        assert_alike(*results, 1e-5 if dtype == "float32" else 1e-12)


@DTYPES
@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 40])
def test_losses_have_them_where_the_reference_does(dtype, columns):
    largest = np.finfo(dtype).max
    for number, value in enumerate((*VALUES, largest, -largest)):
        generator = np.random.default_rng(number)
        logits = generator.standard_normal((8, columns)).astype(dtype)
        logits[0, -1] = logits[1, 0] = logits[2, columns // 2] = value
        logits[3] = value
        logits[4, 0], logits[4, -1] = largest, -largest
        targets = np.array([0, 0, columns - 1, 0, columns - 1, 0, 0, 0])
        for rows in (slice(0, 3), slice(3, 4), slice(4, 8)):
            results = []
            for backend in ("native", "reference"):
                with pyrnn.use_backend(backend):
                    results.append(pyrnn.softmax_cross_entropy(logits[rows], targets[rows]))
            assert_alike(*results, 1e-6 if dtype == "float32" else 1e-12)


OPTIMISERS = {
    "sgd": partial(pyrnn.SGD, lr=0.1),
    "momentum": partial(pyrnn.SGD, lr=0.1, momentum=0.9),
    "nesterov": partial(pyrnn.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adagrad": partial(pyrnn.Adagrad, lr=0.1),
    "rmsprop": partial(pyrnn.RMSprop, lr=0.1),
    "adam": partial(pyrnn.Adam, lr=0.1, weight_decay=0.1),
    "adamw": partial(pyrnn.AdamW, lr=0.1),
}


@DTYPES
@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_optimisers_have_them_where_the_reference_does(make, dtype):
    """In a parameter or a gradient; and huge numbers, and subnormal ones to the smallest normal."""
    info = np.finfo(dtype)
    for value in (*VALUES, info.max / 4, np.sqrt(info.max) * 4, 1e-25, info.tiny / 2):
        for place in range(2):
            results = []
            for backend in ("native", "reference"):
                generator = np.random.default_rng(0)
                p, g = (generator.standard_normal(37).astype(dtype) for _ in range(2))
                (p, g)[place][5::9] = value
                with pyrnn.use_backend(backend):
                    optimiser = make({"w": p})
                    for _ in range(3):
                        optimiser.step({"w": g})
                moments = optimiser.state_dict()["state"].values()
                results.append([p, *(moment["w"] for moment in moments)])
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            for got, expected in zip(*results, strict=True):
                np.testing.assert_allclose(got, expected, rtol=tolerance, atol=4 * info.tiny)


@DTYPES
def test_huge_numbers_agree_where_nothing_overflows(make_any, dtype):
    """One huge number in x, a state or dy, through a layer without layer norm."""
    huge = 1e30 if dtype == "float32" else 1e250
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    for number, place in enumerate(("x", "state", "dy")):
        case = Case(make_any, sizes_of(number), "plain", dtype, seed=number)
        if "gain_ih_l0" in case.parameters:
            return
        case.put(place, huge)
        assert_alike(case.run("native"), case.run("reference"), tolerance)
