"""An output depends, to the last bit, on its own sequence alone.

Not on the batch that the sequence sits in, nor on the number of threads, nor on how the sequence
was cut, nor on how the arrays lie in memory. Gradients are the same for every number of threads.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyrnn

# Sizes that fill no vector, one vector and a bit, several panels and a bit.
features = st.sampled_from([1, 7, 33]) | st.integers(1, 70)
rows = st.sampled_from([1, 3, 5]) | st.integers(1, 12)
steps = st.just(1) | st.integers(2, 9)

# (T, N, I, H) so large that calls are split over threads: by units of one or a few sequences, by
# rows of many.
LARGE = [(12, 1, 33, 300), (8, 3, 20, 257), (5, 5, 40, 192), (6, 40, 30, 128), (9, 23, 17, 90)]


@dataclass(frozen=True)
class Case:
    """A layer's arguments and the sizes of its input; arrays are drawn from the seed."""

    dtype: str
    input_size: int
    hidden_size: int
    time_steps: int
    batch_size: int
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    as_indices: bool = False
    with_lengths: bool = False
    seed: int = 0

    def layer(self, make_layer, **options):
        return make_layer(
            self.input_size, self.hidden_size, self.num_layers, bias=self.bias,
            bidirectional=self.bidirectional, dtype=self.dtype, seed=self.seed, **options,
        )  # fmt: skip

    def random(self, *shape, stream):
        generator = np.random.default_rng([self.seed, stream])
        return generator.standard_normal(shape).astype(self.dtype)

    def x(self):
        if self.as_indices:
            generator = np.random.default_rng(self.seed)
            return generator.integers(0, self.input_size, (self.time_steps, self.batch_size))
        return self.random(self.time_steps, self.batch_size, self.input_size, stream=0)

    def lengths(self):
        if not self.with_lengths:
            return None
        generator = np.random.default_rng(self.seed)
        return generator.integers(1, self.time_steps + 1, self.batch_size)

    def dy(self):
        width = self.hidden_size * (1 + self.bidirectional)
        return self.random(self.time_steps, self.batch_size, width, stream=1)

    def states(self, layer, stream):
        """A state of the layer's form: h, or (h, c)."""
        count = self.num_layers * (1 + self.bidirectional)
        shape = (count, self.batch_size, self.hidden_size)
        h = self.random(*shape, stream=stream)
        return (h, self.random(*shape, stream=stream + 1)) if isinstance(layer, pyrnn.LSTM) else h


@st.composite
def cases(draw, one_direction=False, equal_lengths=False):
    return Case(
        dtype=draw(st.sampled_from(["float32", "float64"])),
        input_size=draw(features),
        hidden_size=draw(features),
        time_steps=draw(steps),
        batch_size=draw(rows),
        num_layers=draw(st.integers(1, 2)),
        bidirectional=not one_direction and draw(st.booleans()),
        bias=draw(st.booleans()),
        as_indices=draw(st.booleans()),
        with_lengths=not equal_lengths and draw(st.booleans()),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def map_state(function, state):
    return tuple(function(s) for s in state) if isinstance(state, tuple) else function(state)


def pick(state, which):
    """Some sequences of a state."""
    return map_state(lambda s: np.ascontiguousarray(s[:, which]), state)


def run(layer, x, state=None, lengths=None, dy=None, dstate=None):
    """Everything a training step gives: y, state, dx, dstate0, gradients."""
    y, final, cache = layer.forward(x, state, lengths)
    return y, final, *layer.backward(cache, np.ones_like(y) if dy is None else dy, dstate)


def past(array, length):
    """What stands behind a sequence's end, all of it zero."""
    return array is None or not array[length:].any()


def check_rows(case, make_layer, same_bits):
    layer = case.layer(make_layer)
    x, state, lengths, dy = case.x(), case.states(layer, 2), case.lengths(), case.dy()
    dstate = case.states(layer, 4)
    y, final, dx, dstate0, _ = run(layer, x, state, lengths, dy, dstate)
    for n in range(case.batch_size):
        length = case.time_steps if lengths is None else lengths[n]
        own = slice(n, n + 1)
        y_n, final_n, dx_n, dstate0_n, _ = run(
            layer, x[:length, own], pick(state, own), None, dy[:length, own], pick(dstate, own)
        )
        same_bits(y[:length, own], y_n, "y")
        same_bits(pick(final, own), final_n, "state")
        same_bits(None if dx is None else dx[:length, own], dx_n, "dx")
        same_bits(pick(dstate0, own), dstate0_n, "dstate0")
        assert past(y[:, own], length)
        assert past(None if dx is None else dx[:, own], length)


@pytest.mark.kernels
@given(case=cases())
def test_a_row_of_a_batch_is_that_row_alone(make_layer, same_bits, case):
    """Outputs, states, dx and dstate0; with lengths, the row is cut at its own."""
    check_rows(case, make_layer, same_bits)


@pytest.mark.kernels
@pytest.mark.parametrize("sizes", LARGE, ids=str)
@pytest.mark.parametrize("with_lengths", [False, True])
def test_a_row_of_a_large_batch_is_that_row_alone(
    make_layer, same_bits, num_threads, sizes, with_lengths
):
    time_steps, batch_size, input_size, hidden_size = sizes
    case = Case(
        "float32", input_size, hidden_size, time_steps, batch_size, with_lengths=with_lengths
    )
    with num_threads(2):
        check_rows(case, make_layer, same_bits)


@given(case=cases(), data=st.data())
def test_the_order_of_a_batch_is_the_order_of_its_outputs(make_layer, same_bits, case, data):
    layer = case.layer(make_layer)
    order = np.array(data.draw(st.permutations(range(case.batch_size))))
    x, state, lengths = case.x(), case.states(layer, 2), case.lengths()
    y, final = layer(x, state, lengths)
    permuted = None if lengths is None else lengths[order]
    y_permuted, final_permuted = layer(x[:, order], pick(state, order), permuted)
    same_bits(y_permuted, y[:, order])
    same_bits(final_permuted, pick(final, order))


def check_time(case, make_layer, same_bits, cuts):
    layer = case.layer(make_layer)
    x, state = case.x(), case.states(layer, 2)
    y, final = layer(x, state)
    same_bits(layer.forward(x, state)[:2], (y, final), "forward")

    stream = layer.stream(case.batch_size)
    stream.state = state
    same_bits(np.stack([stream.step(x_t) for x_t in x]), y, "steps")
    same_bits(stream.state, final, "the stream's state")

    parts = []
    for part in np.split(x, cuts):
        y_part, state = layer.forward(part, state)[:2] if len(parts) % 2 else layer(part, state)
        parts.append(y_part)
    same_bits(np.concatenate(parts), y, "parts")
    same_bits(state, final, "the last part's state")


@pytest.mark.kernels
@given(case=cases(one_direction=True, equal_lengths=True), data=st.data())
def test_a_sequence_can_be_cut_anywhere(make_layer, same_bits, case, data):
    """Called, forward, in parts with carried state, step by step."""
    last = case.time_steps - 1
    cuts = data.draw(st.sets(st.integers(1, last), max_size=3)) if last else set()
    check_time(case, make_layer, same_bits, sorted(cuts))


@pytest.mark.parametrize("sizes", LARGE, ids=str)
def test_a_large_sequence_can_be_cut_anywhere(make_layer, same_bits, num_threads, sizes):
    time_steps, batch_size, input_size, hidden_size = sizes
    case = Case("float32", input_size, hidden_size, time_steps, batch_size)
    for count in (1, 2, 3):
        with num_threads(count):
            check_time(case, make_layer, same_bits, [1, 4])


@given(case=cases())
def test_all_ways_to_call_give_the_same(make_layer, same_bits, case):
    """In train and in eval mode, keeping what backward needs or not."""
    layer = case.layer(make_layer)
    x, state, lengths = case.x(), case.states(layer, 2), case.lengths()
    expected = layer(x, state, lengths)
    same_bits(layer.forward(x, state, lengths)[:2], expected)
    layer.eval()
    same_bits(layer(x, state, lengths), expected)
    same_bits(layer.forward(x, state, lengths)[:2], expected)


def check_threads(case, make_layer, same_bits, num_threads, counts):
    results = []
    for count in counts:
        with num_threads(count):
            layer = case.layer(make_layer, dropout=0.25 if case.num_layers > 1 else 0.0)
            x, state, lengths = case.x(), case.states(layer, 2), case.lengths()
            dstate = case.states(layer, 4)
            result = [layer(x, state, lengths), run(layer, x, state, lengths, case.dy(), dstate)]
            if not (case.bidirectional or case.with_lengths):
                cache = layer.forward(x, state)[2]
                result.append(layer.backward_truncated(cache, case.dy(), 2, 5))
            results.append(result)
    for count, result in zip(counts[1:], results[1:], strict=True):
        same_bits(result, results[0], f"{count} threads")


@pytest.mark.kernels
@given(case=cases())
def test_number_of_threads(make_layer, same_bits, num_threads, case):
    """Outputs and every gradient, truncated ones too."""
    check_threads(case, make_layer, same_bits, num_threads, [1, 2, 3, 4])


@pytest.mark.parametrize("sizes", LARGE, ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float32"},
        {"dtype": "float64", "as_indices": True},
        {"dtype": "float32", "with_lengths": True},
        {"dtype": "float32", "bidirectional": True, "with_lengths": True, "as_indices": True},
        {"dtype": "float32", "num_layers": 2},
        {"dtype": "float64", "num_layers": 2, "bidirectional": True},
    ],
    ids=lambda options: "-".join(str(v) if v is not True else k for k, v in options.items()),
)
def test_number_of_threads_of_a_large_call(make_layer, same_bits, num_threads, sizes, options):
    time_steps, batch_size, input_size, hidden_size = sizes
    case = Case(
        input_size=input_size, hidden_size=hidden_size, time_steps=time_steps,
        batch_size=batch_size, **options,
    )  # fmt: skip
    check_threads(case, make_layer, same_bits, num_threads, [1, 2, 4])


@pytest.mark.kernels
@given(case=cases())
def test_indices_are_one_hot_rows(make_layer, case):
    """A gather is the product with one-hot rows: outputs and gradients, up to signs of zeros."""
    layer = case.layer(make_layer)
    indices = np.random.default_rng(case.seed).integers(
        0, case.input_size, (case.time_steps, case.batch_size)
    )
    one_hot = np.eye(case.input_size, dtype=case.dtype)[indices]
    arguments = (case.states(layer, 2), case.lengths(), case.dy(), case.states(layer, 4))
    y, final, dx, dstate0, grads = run(layer, indices, *arguments)
    expected_y, expected_final, _, expected_dstate0, expected_grads = run(
        layer, one_hot, *arguments
    )
    assert dx is None
    assert np.array_equal(y, expected_y)
    assert np.array_equal(final, expected_final)
    assert np.array_equal(dstate0, expected_dstate0)
    for name, grad in grads.items():
        assert np.array_equal(grad, expected_grads[name]), name


def misaligned(array):
    """A copy that begins one byte past where its numbers should."""
    room = np.empty(array.nbytes + 1, np.uint8)
    copy = room[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize(
    "lay_out",
    [
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
        lambda a: a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
        np.asfortranarray,
        lambda a: a.swapaxes(0, 1).copy().swapaxes(0, 1),
        misaligned,
    ],
    ids=["steps", "rows", "columns", "backwards", "fortran", "batch first", "misaligned"],
)
@given(case=cases())
def test_how_arrays_lie_in_memory(make_layer, same_bits, lay_out, case):
    layer = case.layer(make_layer)
    x, state, dy, dstate = case.x(), case.states(layer, 2), case.dy(), case.states(layer, 4)
    expected = run(layer, x, state, case.lengths(), dy, dstate)
    other_x = x if case.as_indices else lay_out(x)
    got = run(
        layer, other_x, map_state(lay_out, state), case.lengths(), lay_out(dy),
        map_state(lay_out, dstate),
    )  # fmt: skip
    same_bits(got, expected)


@given(case=cases())
def test_batch_first(make_layer, same_bits, case):
    one, other = case.layer(make_layer), case.layer(make_layer, batch_first=True)
    x, lengths, dy = case.x(), case.lengths(), case.dy()
    y, final, dx, dstate0, grads = run(one, x, None, lengths, dy)
    y_first, *rest, grads_first = run(other, x.swapaxes(0, 1), None, lengths, dy.swapaxes(0, 1))
    same_bits(y_first.swapaxes(0, 1), y)
    same_bits([rest[0], rest[2], grads_first], [final, dstate0, grads])
    same_bits(None if dx is None else rest[1].swapaxes(0, 1), dx)
