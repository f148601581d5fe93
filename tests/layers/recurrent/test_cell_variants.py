"""Cells with the options of their layers: a step is the layer's over one step, to the bit."""

from functools import partial

import numpy as np
import pytest

import pyrnn

VARIANTS = {
    "projected": ("LSTM", {"proj_size": 2}),
    "peephole": ("LSTM", {"peephole": True}),
    "peephole-projected": ("LSTM", {"peephole": True, "proj_size": 3}),
    "coupled": ("LSTM", {"coupled": True}),
    "coupled-peephole": ("LSTM", {"coupled": True, "peephole": True}),
    "coupled-peephole-projected": (
        "LSTM", {"coupled": True, "peephole": True, "proj_size": 1, "bias": False}
    ),
    "lstm-norm": ("LSTM", {"layer_norm": True}),
    "reset-before": ("GRU", {"reset_after": False}),
    "gru-norm": ("GRU", {"layer_norm": True}),
    "gru-norm-no-bias": ("GRU", {"layer_norm": True, "bias": False}),
}  # fmt: skip


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def makers(request):
    """Constructors of a cell and of the layer of the same kind."""
    name, options = request.param
    layer, cell = getattr(pyrnn, name), getattr(pyrnn, f"{name}Cell")
    return partial(cell, **options), partial(layer, **options)


def values(rng, *shape):
    return rng.standard_normal(shape)


def stacked(state):
    return tuple(s[None] for s in state) if isinstance(state, tuple) else state[None]


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def like(state, rng):
    drawn = tuple(values(rng, *part.shape) for part in parts(state))
    return drawn if isinstance(state, tuple) else drawn[0]


@pytest.mark.parametrize("lead", [(5,), ()], ids=["batch", "one row"])
def test_a_step_is_the_layers(makers, lead, backend):
    rng = np.random.default_rng(0)
    cell, layer = (make(3, 5, dtype="float64", seed=1) for make in makers)
    assert {f"{name}_l0" for name in cell.parameters} == set(layer.parameters)
    layer.parameters.update({f"{name}_l0": array for name, array in cell.parameters.items()})
    x = values(rng, *lead, 3)
    state = like(cell(x), rng)
    h, after, cache = cell.forward(x, state)
    y, layer_after, layer_cache = layer.forward(x[None], stacked(state))
    assert np.array_equal(h, y[0])
    for one, other in zip(parts(after), parts(layer_after), strict=True):
        assert np.array_equal(one, other[0])
    dy, dstate = like(h, rng), like(after, rng)
    dx, dbefore, grads = cell.backward(cache, dy, dstate)
    layer_dx, layer_dbefore, layer_grads = layer.backward(
        layer_cache, dy[None], stacked(dstate)
    )  # fmt: skip
    assert np.array_equal(dx, layer_dx[0])
    for one, other in zip(parts(dbefore), parts(layer_dbefore), strict=True):
        assert np.array_equal(one, other[0])
    for name, grad in grads.items():
        assert np.array_equal(grad, layer_grads[f"{name}_l0"])


def test_gradients(makers, backend):
    report = pyrnn.gradcheck(makers[0](3, 4, dtype="float64", seed=0), np.ones((2, 3)))
    assert report, str(report)


def test_eval_mode_and_indices(makers, backend):
    cell = makers[0](3, 4, seed=0)
    h, _, _ = cell.forward(np.array([2, 0]))
    one_hot = cell.eval()(np.eye(3, dtype=np.float32)[[2, 0]])
    assert np.array_equal(h, parts(one_hot)[0])


def test_a_wrong_state_of_a_projection():
    cell = pyrnn.LSTMCell(3, 4, proj_size=2)
    x, h, c = (np.zeros((2, size), np.float32) for size in (3, 2, 4))
    cell(x, (h, c))
    with pytest.raises(ValueError, match=r"state's h: expected shape \(2, 2\), got \(2, 4\)"):
        cell(x, (c, c))
    _, _, cache = cell.forward(x)
    with pytest.raises(ValueError, match=r"dy: expected shape \(2, 2\), got \(2, 4\)"):
        cell.backward(cache, c)
