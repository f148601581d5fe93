"""LSTM with a projection against torch: outputs, states and every gradient."""

import numpy as np
import pytest

import pyrnn

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN:UserWarning"
)

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
TIME_STEPS, INPUTS, UNITS, PROJECTED = 6, 3, 5, 2
LENGTHS = [6, 2, 5]


def torch_outputs(theirs, x, state, lengths, dy, dstate):
    """y, final state, and gradients of x, of the first state and of all parameters."""
    leaves = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, *state)]
    source = leaves[0]
    if lengths is not None:
        source = torch.nn.utils.rnn.pack_padded_sequence(source, lengths, enforce_sorted=False)
    y, last = theirs(source, tuple(leaves[1:]))
    if lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
    torch.autograd.backward([y, *last], [torch.from_numpy(d) for d in (dy, *dstate)])
    grads = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    dx, *dfirst = (leaf.grad.numpy() for leaf in leaves)
    final = tuple(part.detach().numpy() for part in last)
    return y.detach().numpy(), final, dx, tuple(dfirst), grads


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "lengths"])
def test_equals_torch(dtype, bias, bidirectional, num_layers, lengths, backend, assert_close):
    options = {"bias": bias, "bidirectional": bidirectional, "proj_size": PROJECTED}
    layer = pyrnn.LSTM(INPUTS, UNITS, num_layers, dtype=dtype, seed=0, **options)
    theirs = torch.nn.LSTM(INPUTS, UNITS, num_layers, **options).to(getattr(torch, dtype))
    assert [name for name, _ in theirs.named_parameters()] == list(layer.parameters)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(torch.from_numpy(layer.parameters[name]))
    generator = np.random.default_rng(0)

    def random(*shape):
        return generator.standard_normal(shape).astype(dtype)

    directions = 1 + bidirectional
    stack = num_layers * directions

    def random_state():
        return random(stack, len(LENGTHS), PROJECTED), random(stack, len(LENGTHS), UNITS)

    x, state, dstate = random(TIME_STEPS, len(LENGTHS), INPUTS), random_state(), random_state()
    dy = random(TIME_STEPS, len(LENGTHS), PROJECTED * directions)

    y, last, cache = layer.forward(x, state, lengths)
    dx, dstate0, grads = layer.backward(cache, dy, dstate)
    got = (y, last, dx, dstate0, grads)
    for one, other in zip(got, torch_outputs(theirs, x, state, lengths, dy, dstate), strict=True):
        assert_close(one, other, TOLERANCE[dtype])
