"""Layers equal torch's for settings drawn at random: outputs, final states and every gradient.

With the usual profile, 60 settings of each cell and dtype run on the default backend, and 10 on
the reference.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import pyrnn

torch = pytest.importorskip("torch")

# What torch says of processors that are not here, where its flags are set.
pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration")

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)
CELLS = pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])

sizes = st.integers(1, 70)


@pytest.fixture(autouse=True, scope="module")
def plain_torch():
    """Without oneDNN, which compiles an LSTM for each shape anew, and without a second thread.

    Together they took most of the time of these small layers.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.backends.mkldnn.flags(enabled=False):
        yield
    torch.set_num_threads(threads)


def has_projections():
    try:
        return bool(pyrnn.LSTM(2, 3, proj_size=2))
    except NotImplementedError:
        return False


PROJECTIONS = has_projections()


class Problem(NamedTuple):
    """A layer and what goes through it."""

    layer: pyrnn.RNN | pyrnn.LSTM | pyrnn.GRU
    options: dict
    x: np.ndarray
    state: tuple[np.ndarray, ...]
    state_is_given: bool
    lengths: np.ndarray | None
    dy: np.ndarray
    dstate: tuple[np.ndarray, ...]


@st.composite
def problems(draw, cell, dtype):
    input_size, hidden_size = draw(sizes), draw(sizes)
    num_layers, directions = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    layout = draw(st.sampled_from(["time first", "batch first", "one sequence"]))
    options = {
        "num_layers": num_layers,
        "bias": draw(st.booleans()),
        "batch_first": layout == "batch first",
        "bidirectional": directions == 2,
    }
    output_size = hidden_size
    if cell.startswith("rnn"):
        options["nonlinearity"] = cell.removeprefix("rnn_")
    if PROJECTIONS and cell == "lstm" and hidden_size > 1 and draw(st.booleans()):
        options["proj_size"] = output_size = draw(st.integers(1, hidden_size - 1))
    time_steps = draw(st.integers(1, 12))
    batch_size = 1 if layout == "one sequence" else draw(st.integers(1, 9))
    with_lengths = layout != "one sequence" and draw(st.booleans())
    state_is_given = draw(st.booleans())
    seed = draw(st.integers(0, 2**32 - 1))

    kind = pyrnn.RNN if cell.startswith("rnn") else getattr(pyrnn, cell.upper())
    layer = kind(input_size, hidden_size, dtype=dtype, seed=seed, **options)
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, time_steps + 1, batch_size) if with_lengths else None
    lead = {
        "time first": (time_steps, batch_size),
        "batch first": (batch_size, time_steps),
        "one sequence": (time_steps,),
    }[layout]

    def normal(*shape):
        return generator.standard_normal(shape).astype(dtype)

    def state():
        rows = (num_layers * directions, *(() if layout == "one sequence" else (batch_size,)))
        h = normal(*rows, output_size)
        return (h, normal(*rows, hidden_size)) if cell == "lstm" else (h,)

    # No unit saturates: of its gradient, 1 - h**2, float32 would have no digits to agree on.
    scale = np.dtype(dtype).type(min(1.0, math.sqrt(hidden_size / input_size)))
    first = state()
    if not state_is_given:
        first = tuple(np.zeros_like(part) for part in first)
    return Problem(
        layer, options, scale * normal(*lead, input_size), first, state_is_given, lengths,
        normal(*lead, directions * output_size), state(),
    )  # fmt: skip


def in_pyrnn(problem):
    """Outputs, and gradients, by name."""
    layer = problem.layer

    def pair(state):
        return state if isinstance(layer, pyrnn.LSTM) else state[0]

    state = pair(problem.state) if problem.state_is_given else None
    y, final, cache = layer.forward(problem.x, state, problem.lengths)
    dx, dstate, grads = layer.backward(cache, problem.dy, pair(problem.dstate))
    final, dstate = (s if isinstance(s, tuple) else (s,) for s in (final, dstate))
    return by_name(y, final), {**by_name(dx, dstate), **grads}


def in_torch(problem):
    """The same by torch's layer of that name, with the same parameters."""
    layer = problem.layer
    module = getattr(torch.nn, type(layer).__name__)(
        layer.input_size, layer.hidden_size, dtype=getattr(torch, layer.dtype.name),
        **problem.options,
    )  # fmt: skip
    parameters = dict(module.named_parameters())
    assert list(parameters) == list(layer.parameters)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(layer.parameters[name]))
    x = torch.from_numpy(problem.x).requires_grad_()
    state = tuple(torch.from_numpy(part).requires_grad_() for part in problem.state)
    y, final = run_torch(module, x, state if len(state) == 2 else state[0], problem.lengths)
    final = final if isinstance(final, tuple) else (final,)
    torch.autograd.backward(
        (y, *final), [torch.from_numpy(d) for d in (problem.dy, *problem.dstate)]
    )
    grads = {name: parameter.grad.numpy() for name, parameter in parameters.items()}
    dstate = [part.grad.numpy() for part in state]
    outputs = by_name(y.detach().numpy(), [part.detach().numpy() for part in final])
    return outputs, {**by_name(x.grad.numpy(), dstate), **grads}


def run_torch(module, x, state, lengths):
    """Call the layer, with a packed sequence if there are lengths."""
    if lengths is None:
        return module(x, state)
    utils = torch.nn.utils.rnn
    first = module.batch_first
    packed = utils.pack_padded_sequence(x, torch.from_numpy(lengths), first, enforce_sorted=False)
    y, final = module(packed, state)
    time_steps = x.shape[1 if first else 0]
    return utils.pad_packed_sequence(y, first, total_length=time_steps)[0], final


def by_name(sequence, state):
    return {"sequence": sequence, **{f"state {n}": part for n, part in enumerate(state)}}


def assert_same(got, expected, tolerance):
    """Compare arrays, each relative to its largest magnitude.

    The elements of an array of a few may all be sums that nearly cancel. It is compared relative
    to the largest magnitude of all arrays, or to that of the inputs, which is near one.
    """
    assert list(got) == list(expected)
    magnitudes = {name: float(np.abs(array).max()) for name, array in expected.items()}
    for name, array in expected.items():
        assert got[name].shape == array.shape, name
        assert got[name].dtype == array.dtype, name
        few = array.size < 8
        scale = max(1.0, max(magnitudes.values())) if few else magnitudes[name]
        worst = float(np.abs(got[name] - array).max())
        assert worst <= tolerance * scale, f"{name}: {worst} > {tolerance} of {scale}"


def check(problem):
    dtype = problem.layer.dtype.name
    if problem.layer.cell == "rnn_relu" and dtype == "float32":
        assume(distance_from_a_kink(problem) > 1e-5)
    outputs, gradients = in_pyrnn(problem)
    expected_outputs, expected_gradients = in_torch(problem)
    assert_same(outputs, expected_outputs, TOLERANCE[dtype])
    assert_same(gradients, expected_gradients, TOLERANCE[dtype])


def distance_from_a_kink(problem):
    """How near any pre-activation comes to 0, where rounding decides whether relu has a slope."""
    layer, nearest = problem.layer, math.inf
    x = problem.x.astype(np.float64)
    x = x.swapaxes(0, 1) if layer.batch_first else x.reshape(len(x), -1, layer.input_size)
    time_steps, batch_size, _ = x.shape
    lengths = np.full(batch_size, time_steps) if problem.lengths is None else problem.lengths
    states = iter(problem.state[0].reshape(-1, batch_size, layer.hidden_size))
    for number in range(layer.num_layers):
        outputs = []
        for suffix in ("", "_reverse")[: layer.num_directions]:
            p = {n: a for n, a in layer.parameters.items() if n.endswith(f"_l{number}{suffix}")}
            w_ih, w_hh, *biases = (array.astype(np.float64) for array in p.values())
            h, y = next(states), np.zeros((time_steps, batch_size, layer.hidden_size))
            for t in range(time_steps)[:: -1 if suffix else 1]:
                z = x[t] @ w_ih.T + h @ w_hh.T + sum(biases)
                there = (t < lengths)[:, None]
                nearest = min(nearest, np.abs(z).min(where=there, initial=math.inf))
                h = np.where(there, np.maximum(z, 0), h)
                y[t] = h
            outputs.append(y)
        x = np.concatenate(outputs, axis=2)
    return nearest


@DTYPES
@CELLS
@given(data=st.data())
def test_layers_are_torchs(cell, dtype, data):
    check(data.draw(problems(cell, dtype)))


@DTYPES
@CELLS
@settings(max_examples=10)
@given(data=st.data())
def test_reference_is_torchs(cell, dtype, data):
    problem = data.draw(problems(cell, dtype))
    with pyrnn.use_backend("reference"):
        check(problem)


def test_a_difference_is_noticed():
    """Of one part in a thousand of the recurrent weights, in every array."""
    layer = pyrnn.GRU(3, 10, seed=0)
    generator = np.random.default_rng(0)
    x, dy, h, dh = (
        generator.standard_normal(shape).astype(np.float32)
        for shape in ((4, 2, 3), (4, 2, 10), (1, 2, 10), (1, 2, 10))
    )
    problem = Problem(layer, {}, x, (h,), True, None, dy, (dh,))
    outputs, gradients = in_torch(problem)
    assert_same(in_pyrnn(problem)[0], outputs, 1e-5)
    layer.parameters["weight_hh_l0"] *= np.float32(1.001)
    changed_outputs, changed_gradients = in_pyrnn(problem)
    for got, expected in ((changed_outputs, outputs), (changed_gradients, gradients)):
        for name in got:
            with pytest.raises(AssertionError, match=f"{name}: "):
                assert_same({name: got[name]}, {name: expected[name]}, 1e-5)


def test_every_option_is_drawn():
    """Of what the problems are made, all combinations of cell and layout come up."""
    drawn = set()

    @settings(max_examples=100, derandomize=True, database=None)
    @given(problem=problems("lstm", "float64"))
    def collect(problem):
        o = problem.options
        drawn.add((o["bidirectional"], o["batch_first"], problem.lengths is not None))

    collect()
    assert set(itertools.product([False, True], repeat=3)) <= drawn
