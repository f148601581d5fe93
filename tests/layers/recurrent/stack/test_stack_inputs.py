"""What recurrent layers take besides plain arrays: other layouts, tensors, anything array-like."""

import numpy as np
import pytest

import pyrnn

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def random(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def every_second(a):
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), 99, a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def backwards(a):
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1]


def swapped(a):
    return a.astype(a.dtype.newbyteorder())


def misaligned(a):
    moved = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    assert not moved.flags.aligned
    return moved


def swapped_and_misaligned(a):
    return misaligned(swapped(a))


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def from_memoryview(a):
    return memoryview(np.ascontiguousarray(a))


LAYOUTS = [
    every_second, backwards, np.asfortranarray, swapped, misaligned, swapped_and_misaligned,
    read_only, from_memoryview,
]  # fmt: skip
EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)


def flat(results):
    """The arrays within nested tuples and dicts."""
    if isinstance(results, dict):
        results = tuple(results.values())
    if not isinstance(results, tuple):
        return [results]
    return [array for part in results for array in flat(part)]


def assert_same_bits(got, expected):
    for one, other in zip(flat(got), flat(expected), strict=True):
        assert one.dtype == other.dtype
        assert one.dtype.isnative
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


def run(layer, layout):
    """Forward and backward with every argument laid out in a way."""
    h, c = (random(4, 3, 5, dtype=layer.dtype, seed=s) for s in (1, 2))

    def state(h, c):
        return (layout(h), layout(c)) if isinstance(layer, pyrnn.LSTM) else layout(h)

    x, dy = random(6, 3, 4, dtype=layer.dtype), random(6, 3, 10, dtype=layer.dtype, seed=3)
    y, final, cache = layer.forward(layout(x), state(h, c), layout(np.array([6, 1, 3])))
    return y, final, layer.backward(cache, layout(dy), state(c, h))


@DTYPES
@EVERY_LAYOUT
def test_layouts_of_every_argument(make_layer, dtype, layout, backend):
    layer = make_layer(4, 5, 2, bidirectional=True, dtype=dtype, seed=0)
    assert_same_bits(run(layer, layout), run(layer, np.copy))


@EVERY_LAYOUT
@pytest.mark.parametrize("integer", ["int8", "uint16", "int64", "uint64"])
def test_layouts_of_indices(make_layer, integer, layout, backend):
    layer = make_layer(4, 5, seed=0)
    indices = np.array([[0, 3], [1, 2], [3, 3]], integer)
    if indices.itemsize == 1 and "misaligned" in layout.__name__:
        return  # a byte is always aligned
    assert_same_bits(layer(layout(indices)), layer(indices.astype(np.intp)))


@DTYPES
@EVERY_LAYOUT
def test_layouts_of_parameters(make_layer, dtype, layout, backend):
    layer, other = (make_layer(4, 5, dtype=dtype, seed=seed) for seed in (0, 1))
    for name, array in layer.parameters.items():
        other.parameters[name] = layout(array)
    assert_same_bits(dict(other.parameters), dict(layer.parameters))


@DTYPES
@EVERY_LAYOUT
def test_layouts_of_steps_and_of_their_state(make_layer, dtype, layout, backend):
    layer = make_layer(4, 5, dtype=dtype, seed=0)
    x, state = random(2, 4, dtype=dtype), layer(random(3, 2, 4, dtype=dtype, seed=1))[1]
    stream, plain = layer.stream(2), layer.stream(2)
    plain.state = state
    stream.state = tuple(map(layout, state)) if isinstance(state, tuple) else layout(state)
    assert_same_bits(stream.state, state)
    expected = plain.step(x)
    assert_same_bits(stream.step(layout(x)), expected)
    assert_same_bits(stream.state, plain.state)


@DTYPES
def test_step_into_a_misaligned_array(make_layer, dtype, backend):
    layer = make_layer(4, 5, dtype=dtype, seed=0)
    x = random(2, 4, dtype=dtype)
    out = misaligned(np.zeros((2, 5), dtype))
    layer.stream(2).step(x, out=out)
    assert_same_bits(np.copy(out), layer.stream(2).step(x))


# --- tensors --------------------------------------------------------------------------------


@DTYPES
def test_torch_tensors(make_layer, dtype, backend):
    torch = pytest.importorskip("torch")
    layer = make_layer(4, 5, 2, bidirectional=True, dtype=dtype, seed=0)
    assert_same_bits(run(layer, torch.from_numpy), run(layer, np.copy))


@DTYPES
def test_torch_tensors_are_not_copied(make_layer, dtype):
    torch = pytest.importorskip("torch")
    layer = make_layer(4, 5, dtype=dtype)
    tensor = torch.ones((6, 3, 4), dtype=getattr(torch, dtype))
    seen, _ = layer._arguments.check_input(tensor)
    assert np.shares_memory(seen, tensor.numpy())
    state = torch.ones((1, 3, 5), dtype=tensor.dtype)
    pair = (state, state) if isinstance(layer, pyrnn.LSTM) else state
    for part in layer._arguments.check_state("state", pair, 3, True):
        assert np.shares_memory(part, state.numpy())


def test_torch_tensors_that_numpy_cannot_see(make_layer, backend):
    torch = pytest.importorskip("torch")
    layer = make_layer(4, 5)
    tensor = torch.ones((6, 3, 4), requires_grad=True)
    with pytest.raises(TypeError, match=r"x: expected an array, got Parameter: .*detach"):
        layer(torch.nn.Parameter(tensor))
    for wrong in (tensor, torch.ones((6, 3, 4), dtype=torch.bfloat16), tensor.to("meta")):
        with pytest.raises(TypeError, match="x: expected an array, got Tensor: "):
            layer(wrong)
    layer(tensor.detach())


def test_jax_arrays(make_layer, backend):
    numpy = pytest.importorskip("jax.numpy")
    layer = make_layer(4, 5, 2, bidirectional=True, dtype="float32", seed=0)
    assert_same_bits(run(layer, numpy.asarray), run(layer, np.copy))


def test_array_protocols(make_layer, backend):
    class Wrapped:
        def __init__(self, array):
            self.__array_interface__ = array.__array_interface__
            self.array = array

    layer = make_layer(4, 5, 2, bidirectional=True, seed=0)
    assert_same_bits(run(layer, Wrapped), run(layer, np.copy))
