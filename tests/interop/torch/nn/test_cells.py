"""RNNCell, LSTMCell and GRUCell of the drop-in: torch's numbers, gradients and errors."""

import pytest

torch = pytest.importorskip("torch")

from pyrnn.interop.torch import nn  # noqa: E402

N, F, H = 4, 5, 7
KINDS = {
    "tanh": ("RNNCell", {}),
    "relu": ("RNNCell", {"nonlinearity": "relu"}),
    "LSTM": ("LSTMCell", {}),
    "GRU": ("GRUCell", {}),
}


def twins(kind, **options):
    name, own = KINDS[kind]
    theirs = getattr(torch.nn, name)(F, H, **own, **options)
    ours = getattr(nn, name)(F, H, **own, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def results(cell, x, state):
    """The states after three steps, and all gradients."""
    cell.zero_grad()
    x = x.clone().requires_grad_()
    first = None if state is None else [s.clone().requires_grad_() for s in state]
    is_lstm = isinstance(cell, torch.nn.LSTMCell)
    hx = None if first is None else (tuple(first) if is_lstm else first[0])
    for x_t in x:
        hx = cell(x_t, hx)
    last = hx if is_lstm else (hx,)
    sum((s * torch.arange(H, dtype=x.dtype)).sum() for s in last).backward()
    grads = [tensor.grad for tensor in (x, *(first or ()), *cell.parameters())]
    return [*last, *grads]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [(N,), ()], ids=["batch", "one row"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_as_torch(core_calls, close, kind, rows, dtype, bias, given):
    theirs, ours = twins(kind, bias=bias, dtype=dtype)
    x = torch.randn(3, *rows, F, dtype=dtype)
    count = 2 if kind == "LSTM" else 1
    state = [torch.randn(*rows, H, dtype=dtype) for _ in range(count)] if given else None
    expected = results(theirs, x, state)
    got = results(ours, x, state)
    close(got, expected, 2e-5 if dtype == torch.float32 else 1e-11)
    assert len(core_calls) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_inference(close, kind):
    theirs, ours = twins(kind)
    with torch.inference_mode():
        close(ours(torch.ones(N, F)), theirs(torch.ones(N, F)), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind):
    _, cell = twins(kind, dtype=torch.float64)
    x = torch.randn(N, F, dtype=torch.float64, requires_grad=True)

    def h(x):
        found = cell(x)
        return found[0] if kind == "LSTM" else found

    assert torch.autograd.gradgradcheck(h, (x,))


def calls_with_errors():
    x, h = torch.randn(N, F), torch.randn(N, H)
    yield lambda m: m.LSTMCell(F, H)(torch.randn(N, F + 1))
    yield lambda m: m.LSTMCell(F, H)(x, h)
    yield lambda m: m.LSTMCell(F, H)(x, (h, h[:, 1:]))
    yield lambda m: m.GRUCell(F, H)(x, torch.randn(N + 1, H))
    yield lambda m: m.GRUCell(F, H)(torch.randn(1, N, F))
    yield lambda m: m.RNNCell(F, H)(x, torch.randn(1, N, H))
    yield lambda m: m.RNNCell(F, H, nonlinearity="gelu")(x)
    yield lambda m: m.RNNCell(F, H)(x.double())


@pytest.mark.parametrize("call", list(calls_with_errors()))
def test_errors_are_torchs(core_calls, call):
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whichever it is
        call(torch.nn)
    with pytest.raises(expected.type) as got:
        call(nn)
    assert str(got.value) == str(expected.value)
    assert not core_calls


def test_autocast_and_other_dtypes_are_torchs(core_calls):
    theirs, ours = twins("GRU")
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(torch.ones(N, F)).dtype == theirs(torch.ones(N, F)).dtype
    assert ours.bfloat16()(torch.ones(N, F).bfloat16()).dtype == torch.bfloat16
    assert not core_calls
