"""Conv1d: equations, torch, gradients, and the same bits whatever it is computed with."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest

import pyrnn

# in_channels, out_channels, kernel_size, stride, padding, dilation, groups
FORMS = [
    (3, 5, 1, 1, 0, 1, 1),
    (1, 6, 4, 2, 0, 1, 1),
    (3, 5, 3, 1, "same", 1, 1),
    (4, 6, 4, 1, "same", 3, 2),
    (3, 4, 3, 2, 2, 2, 1),
    (6, 6, 3, 1, "causal", 1, 6),
    (5, 37, 2, 3, 1, 1, 1),
    (32, 70, 3, 1, 1, 1, 2),
    (37, 37, 5, 1, 2, 2, 37),
]
ids = [str(form) for form in FORMS]
EACH = pytest.mark.parametrize("form", FORMS, ids=ids)


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def written_out(layer, x):
    """The equation, number by number: (T, N, C)."""
    weight, groups = layer.parameters["weight"], layer.groups
    out, size, kernel = weight.shape
    reach = (kernel - 1) * layer.dilation
    if isinstance(layer.padding, int):
        before, both = layer.padding, 2 * layer.padding
    else:
        before, both = (reach // 2 if layer.padding == "same" else reach), reach
    steps = (len(x) + both - reach - 1) // layer.stride + 1
    y = np.zeros((steps, x.shape[1], out))
    for t, n, o in np.ndindex(*y.shape):
        first = o // (out // groups) * size
        for k in range(kernel):
            at = t * layer.stride + k * layer.dilation - before
            if 0 <= at < len(x):
                y[t, n, o] += x[at, n, first : first + size] @ weight[o, :, k]
    return y + layer.parameters["bias"] if layer.bias else y


@EACH
@pytest.mark.parametrize("bias", [True, False])
def test_the_equation(form, bias, backend):
    layer = pyrnn.Conv1d(*form, bias, dtype="float64", seed=0)
    x = random(11, 2, form[0])
    np.testing.assert_allclose(layer(x), written_out(layer, x), rtol=1e-12, atol=1e-13)


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_torch_agrees(form, dtype, backend):
    torch = pytest.importorskip("torch")
    layer = pyrnn.Conv1d(*form, dtype=dtype, seed=0)
    padding = form[4]
    causal = padding == "causal"
    peer = torch.nn.Conv1d(*form[:4], 0 if causal else padding, *form[5:]).double()
    peer.load_state_dict({n: torch.tensor(a).double() for n, a in layer.parameters.items()})
    x = random(13, 3, form[0], dtype=dtype)
    given = torch.tensor(x.transpose(1, 2, 0)).double().requires_grad_()
    padded = torch.nn.functional.pad(given, (layer.reach, 0)) if causal else given
    theirs = peer(padded)
    y, _, cache = layer.forward(x)
    close = {"rtol": 2e-5, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(y, theirs.detach().numpy().transpose(2, 0, 1), **close)
    dy = random(*y.shape, dtype=dtype, seed=1)
    theirs.backward(torch.tensor(dy.transpose(1, 2, 0)).double())
    dx, _, grads = layer.backward(cache, dy)
    np.testing.assert_allclose(dx, given.grad.numpy().transpose(2, 0, 1), **close)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, getattr(peer, name).grad.numpy(), **close)


@EACH
@pytest.mark.parametrize("batch_first", [True, False])
def test_gradients(form, batch_first, backend):
    layer = pyrnn.Conv1d(*form, batch_first=batch_first, dtype="float64", seed=0)
    report = pyrnn.gradcheck(layer, random(9, 7, form[0]), samples=12)
    assert report, str(report)
    report = pyrnn.gradcheck(layer, random(9, form[0]), samples=12)
    assert report, str(report)


@EACH
def test_layouts_and_modes_give_the_same_bits(form, backend):
    same = np.array_equal if backend == "native" else partial(np.allclose, atol=1e-5)  # BLAS
    x = random(12, 4, form[0], dtype="float32")
    layer = pyrnn.Conv1d(*form, seed=0)
    other = pyrnn.Conv1d(*form, batch_first=True, seed=0)
    y, _, cache = layer.forward(x)
    dx, _, grads = layer.backward(cache, y)
    turned, _, cache = other.forward(x.swapaxes(0, 1))
    other_dx, _, other_grads = other.backward(cache, turned)
    assert same(turned.swapaxes(0, 1), y)
    assert same(other_dx.swapaxes(0, 1), dx)
    assert all(same(other_grads[name], grads[name]) for name in grads)
    assert y.flags.c_contiguous
    assert turned.flags.c_contiguous
    assert other_dx.flags.c_contiguous
    assert same(layer(x[:, 1]), y[:, 1])  # one sequence, and alone
    assert same(layer.eval()(x), y)
    assert same(layer(np.repeat(x, 2, axis=2)[..., ::2]), y)
    assert same(layer(x[::-1].copy()[::-1]), y)
    assert same(layer(np.asfortranarray(x)), y)


@EACH
def test_any_number_of_threads_and_rows(form):
    """Enough work for several threads, and shapes whose parts fall differently."""
    layer = pyrnn.Conv1d(*form, seed=0).eval()
    before = pyrnn.get_num_threads()
    try:
        for steps, rows in ((9, 1), (11, 300), (3000, 1), (90, 40)):
            x = random(steps, rows, form[0], dtype="float32")
            pyrnn.set_num_threads(1)
            y = layer(x)
            _, _, cache = layer.forward(x)
            dx, _, grads = layer.backward(cache, y)
            pyrnn.set_num_threads(3)
            assert np.array_equal(layer(x), y)
            _, _, cache = layer.forward(x)
            again, _, other = layer.backward(cache, y)
            assert np.array_equal(again, dx)
            assert all(np.array_equal(other[name], grads[name]) for name in grads)
            row = rows // 2
            assert np.array_equal(layer(x[:, row : row + 1]), y[:, row : row + 1])
    finally:
        pyrnn.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_channels_of_few_steps(dtype):
    """Weights that several threads share by their panels."""
    layer = pyrnn.Conv1d(256, 512, 3, padding=1, dtype=dtype, seed=0).eval()
    x = random(3, 1, 256, dtype=dtype)
    with pyrnn.use_backend("reference"):
        expected = layer(x)
    before = pyrnn.get_num_threads()
    try:
        pyrnn.set_num_threads(1)
        y = layer(x)
        pyrnn.set_num_threads(4)
        assert np.array_equal(layer(x), y)
    finally:
        pyrnn.set_num_threads(before)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)


@EACH
def test_chunks_are_the_whole(form):
    """Cut anywhere: the steps that a chunk's outputs see give the bits of the whole."""
    channels, _, kernel, stride, _, dilation, _ = form
    layer = pyrnn.Conv1d(*form[:4], 0, *form[5:], seed=0).eval()
    x = random(40, 2, channels, dtype="float32")
    y = layer(x)
    for first in range(0, len(y), 3):
        last = min(first + 3, len(y)) - 1
        seen = x[first * stride : last * stride + (kernel - 1) * dilation + 1]
        assert np.array_equal(layer(seen), y[first : last + 1])


def test_a_view_whose_steps_and_channels_overlap():
    """Of a sliding window: the next step begins at the next channel."""
    layer = pyrnn.Conv1d(5, 5, 3, groups=5, seed=0).eval()
    x = np.lib.stride_tricks.sliding_window_view(random(20, dtype="float32"), 5)[:, None]
    assert x.strides[0] == x.strides[2]
    assert np.array_equal(layer(x), layer(x.copy()))


def test_values_that_are_not_finite(backend):
    layer = pyrnn.Conv1d(2, 3, 3, padding=1, seed=0)
    x = random(8, 1, 2, dtype="float32")
    x[4, 0, 1] = np.nan
    y = layer(x)
    assert np.isnan(y[3:6]).all()
    assert np.isfinite(y[:3]).all()
    assert np.isfinite(y[6:]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("channels", "per_group"), [(37, 1), (12, 2), (12, 3)])
def test_gradients_of_groups_are_those_of_each_alone(channels, per_group, dtype):
    """Bit for bit, and what is not finite in one group reaches no other."""
    groups = channels // per_group
    options = {"kernel_size": 3, "padding": 2, "dilation": 2, "dtype": dtype}
    layer = pyrnn.Conv1d(channels, channels, groups=groups, **options, seed=0)
    x, dy = (random(300, 4, channels, dtype=dtype, seed=seed) for seed in (1, 2))
    x[7, 1, 0], dy[9, 2, per_group], dy[11, 0, 2 * per_group] = np.inf, np.nan, -np.inf
    dx, _, grads = layer.backward(layer.forward(x)[2], dy)
    for g in range(groups):
        own = slice(g * per_group, (g + 1) * per_group)
        alone = pyrnn.Conv1d(per_group, per_group, **options)
        alone.parameters.update({n: a[own] for n, a in layer.parameters.items()})
        dx_alone, _, grads_alone = alone.backward(alone.forward(x[..., own])[2], dy[..., own])
        assert np.array_equal(dx[..., own], dx_alone, equal_nan=True)
        for name, grad in grads_alone.items():
            assert np.array_equal(grads[name][own], grad, equal_nan=True)


def test_parameters_are_those_of_torch():
    layer = pyrnn.Conv1d(4, 6, 5, groups=2, seed=0)
    assert {n: a.shape for n, a in layer.parameters.items()} == {"weight": (6, 2, 5), "bias": (6,)}
    bound = 1 / np.sqrt(10)
    for array in layer.parameters.values():
        assert np.abs(array).max() <= bound
        assert np.abs(array).max() > 0.5 * bound
    assert list(pyrnn.Conv1d(4, 6, 5, bias=False).parameters) == ["weight"]
    again = pyrnn.Conv1d(4, 6, 5, groups=2, seed=1)
    again.load_state_dict(layer.state_dict())
    x = random(7, 2, 4, dtype="float32")
    assert np.array_equal(again(x), layer(x))


def test_weights_changed_after_forward_do_not_reach_its_backward(backend):
    layer = pyrnn.Conv1d(2, 3, 2, dtype="float64", seed=0)
    x = random(5, 1, 2)
    y, _, cache = layer.forward(x)
    expected = layer.backward(cache, y)[0]
    _, _, cache = layer.forward(x)
    layer.parameters["weight"] *= 2
    assert np.array_equal(layer.backward(cache, y)[0], expected)
    assert not np.array_equal(layer(x), y)
    with pytest.raises(ValueError, match="used by an earlier backward"):
        layer.backward(cache, y)


def test_no_sequences_give_none(backend):
    layer = pyrnn.Conv1d(2, 3, 2, dtype="float64", seed=0)
    y, _, cache = layer.forward(np.zeros((5, 0, 2)))
    dx, _, grads = layer.backward(cache, y)
    assert y.shape == (4, 0, 3)
    assert dx.shape == (5, 0, 2)
    assert not any(grad.any() for grad in grads.values())


def test_copies_and_files(tmp_path, backend):
    layer = pyrnn.Conv1d(4, 6, 3, 2, 1, 2, 2, batch_first=True, seed=0).eval()
    x = random(3, 15, 4, dtype="float32")
    y = layer(x)
    pyrnn.save(layer, tmp_path / "conv.safetensors")
    for other in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        pyrnn.load(tmp_path / "conv.safetensors"),
    ):
        assert np.array_equal(other(x), y)
        assert repr(other) == repr(layer)
    assert repr(layer) == (
        "Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, batch_first=True)"
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((3, 4, 0), ValueError, "kernel_size: expected a whole number of at least 1, got 0"),
        ((3, 4, 2.5), TypeError, "kernel_size: expected a whole number, got 2.5"),
        ((3, 4, 2, 0), ValueError, "stride: expected a whole number of at least 1"),
        ((3, 4, 2, 1, -1), ValueError, "padding: expected a whole number of at least 0"),
        ((3, 4, 2, 1, "full"), ValueError, "padding: expected 'valid', 'same' or 'causal', got"),
        ((3, 4, 2, 2, "same"), ValueError, "stride: expected 1 with padding='same', got 2"),
        ((3, 4, 2, 1, 0, 1, 2), ValueError, "in_channels: expected a multiple of groups=2, got 3"),
        ((4, 3, 2, 1, 0, 1, 2), ValueError, "out_channels: expected a multiple of groups=2"),
        ((3, 4, 2, 1, 0, 1, 1, "no"), TypeError, "bias: expected"),
    ],
)
def test_options_that_are_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        pyrnn.Conv1d(*arguments)


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (np.zeros((5, 2, 4), "f"), ValueError, r"x: expected shape \(T, N, 3\) or \(T, 3\), got"),
        (np.zeros(3, "f"), ValueError, r"x: expected shape \(T, N, 3\) or \(T, 3\), got \(3,\)"),
        (np.zeros((5, 2, 3)), TypeError, "x: expected dtype float32, got float64"),
        (np.zeros((2, 2, 3), "f"), ValueError, "x: expected at least 3 steps for one of y, got 2"),
        (np.zeros((0, 2, 3), "f"), ValueError, "x: expected at least 3 steps for one of y, got 0"),
    ],
)
def test_inputs_that_are_refused(x, kind, message, backend):
    layer = pyrnn.Conv1d(3, 4, 3, seed=0)
    for call in (layer, layer.forward):
        with pytest.raises(kind, match=message):
            call(x)


def test_gradients_that_are_refused(backend):
    layer = pyrnn.Conv1d(3, 4, 3, seed=0)
    y, _, cache = layer.forward(np.zeros((5, 2, 3), "f"))
    with pytest.raises(ValueError, match=r"dy: expected shape \(3, 2, 4\), got \(5, 2, 4\)"):
        layer.backward(cache, np.zeros((5, 2, 4), "f"))
    layer.backward(cache, y)


def test_padding_past_all_memory_is_an_error(backend):
    layer = pyrnn.Conv1d(64, 1, 1, padding=1 << 31)
    with pytest.raises(MemoryError):
        layer(np.zeros((1, 1 << 10, 64), "f"))
