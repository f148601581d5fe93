"""Bits of every cell and option: threads, checkpoints, steps and neighbours change none of them."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyrnn

# Large enough that the units of one sequence are shared among threads
LARGE = (6, 2, 40, 300)


@dataclass(frozen=True)
class Case:
    """Sizes (T, N, I, H) and options of a layer, and what it is fed."""

    sizes: tuple[int, int, int, int]
    dtype: str = "float32"
    num_layers: int = 1
    bidirectional: bool = False
    with_lengths: bool = False
    noisy: bool = False
    seed: int = 0

    def layer(self, make_any):
        _, _, input_size, hidden_size = self.sizes
        noise = {"zoneout": 0.3, "recurrent_dropout": 0.2} if self.noisy else {}
        if make_any is pyrnn.MinGRU:
            noise.pop("recurrent_dropout", None)
        layer = make_any(
            input_size, hidden_size, self.num_layers,
            bidirectional=self.bidirectional, dtype=self.dtype, seed=self.seed, **noise,
        )  # fmt: skip
        generator = np.random.default_rng(self.seed)
        for array in layer.parameters.values():
            array[...] = generator.standard_normal(array.shape) / np.sqrt(array.shape[-1])
        return layer

    @property
    def x(self):
        time_steps, batch_size, input_size, _ = self.sizes
        generator = np.random.default_rng(self.seed + 1)
        return generator.standard_normal((time_steps, batch_size, input_size)).astype(self.dtype)

    @property
    def lengths(self):
        time_steps, batch_size, *_ = self.sizes
        generator = np.random.default_rng(self.seed + 2)
        return generator.integers(1, time_steps + 1, batch_size) if self.with_lengths else None


@st.composite
def cases(draw, **fixed):
    drawn = {
        "sizes": draw(
            st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 40), st.integers(3, 70))
        ),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "num_layers": draw(st.integers(1, 2)),
        "bidirectional": draw(st.booleans()),
        "with_lengths": draw(st.booleans()),
        "noisy": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**32 - 4)),
    }
    return Case(**(drawn | fixed))


def gradient(y):
    return np.random.default_rng(9).standard_normal(y.shape).astype(y.dtype)


def train(case, make_any, checkpoint=None):
    """All that a training step gives; truncated as well, where there are windows."""
    layer = case.layer(make_any)
    y, final, cache = layer.forward(case.x, None, case.lengths, checkpoint=checkpoint)
    results = [y.copy(), final, layer.backward(cache, gradient(y), final)]
    if not (case.bidirectional or case.with_lengths):
        y, _, cache = layer.forward(case.x, None, case.lengths, checkpoint=checkpoint)
        results.append(layer.backward_truncated(cache, gradient(y), 2, 3))
    return results


@pytest.mark.kernels
@given(case=cases())
def test_number_of_threads(make_any, same_bits, num_threads, case):
    results = []
    for count in (1, 2, 3, 4):
        with num_threads(count):
            results.append(train(case, make_any))
    for result in results[1:]:
        same_bits(result, results[0])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_number_of_threads_of_a_large_layer(make_any, same_bits, num_threads, noisy, bidirectional):
    case = Case(LARGE, noisy=noisy, bidirectional=bidirectional)
    results = []
    for count in (1, 2, 4):
        with num_threads(count):
            results.append((train(case, make_any), train(case, make_any, checkpoint=2)))
    for result in results:
        same_bits(result, results[0])
    same_bits(results[0][1], results[0][0])


@given(case=cases(), checkpoint=st.integers(1, 13))
def test_checkpoints(make_any, same_bits, case, checkpoint):
    same_bits(train(case, make_any, checkpoint), train(case, make_any))


@pytest.mark.kernels
@given(case=cases(noisy=False))
def test_a_row_of_a_batch_is_that_row_alone(make_any, same_bits, case):
    layer = case.layer(make_any)
    x, lengths = case.x, case.lengths
    y, _, cache = layer.forward(x, None, lengths)
    dy = gradient(y)
    dx, _, _ = layer.backward(cache, dy)
    for n in range(x.shape[1]):
        own, length = slice(n, n + 1), len(x) if lengths is None else lengths[n]
        y_n, _, cache = layer.forward(x[:length, own])
        same_bits(y[:length, own], y_n)
        same_bits(dx[:length, own], layer.backward(cache, dy[:length, own])[0])


@pytest.mark.kernels
@given(case=cases(bidirectional=False, with_lengths=False), many=st.sampled_from([0, 40]))
def test_steps_are_the_sequence(make_any, same_bits, num_threads, case, many):
    """In eval mode, where zoneout mixes with its rate; few streams, and enough to be shared out."""
    layer = case.layer(make_any).eval()
    x = np.repeat(case.x, 1 + many, axis=1)
    expected = layer(x)
    for count in (1, 3):
        with num_threads(count):
            stream = layer.stream(x.shape[1])
            same_bits(np.stack([stream.step(x_t) for x_t in x]), expected[0])
            same_bits(stream.state, expected[1])
