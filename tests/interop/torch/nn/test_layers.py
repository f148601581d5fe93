"""RNN, LSTM and GRU of the drop-in: torch's numbers, gradients, dropout and errors."""

import itertools

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import (  # noqa: E402
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

import pyrnn  # noqa: E402
from pyrnn.interop.torch import nn  # noqa: E402

# torch's own word on its own projections
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

KINDS = {
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "LSTM": ("LSTM", {}),
    "projected": ("LSTM", {"proj_size": 3}),
    "GRU": ("GRU", {}),
}
FORMS = ("batch", "batch first", "one sequence", "packed", "packed unsorted")
T, N, F, H = 6, 4, 5, 7


def twins(kind, **options):
    """torch's layer, and the drop-in's with the same parameters."""
    name, own = KINDS[kind]
    theirs = getattr(torch.nn, name)(F, H, **own, **options)
    ours = getattr(nn, name)(F, H, **own, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def inputs(layer, form, dtype):
    """x, and the parts of a first state."""
    shape = {"one sequence": (T, F), "batch first": (N, T, F)}.get(form, (T, N, F))
    rows = () if form == "one sequence" else (N,)
    stacked = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or H] + [H] * (layer.mode == "LSTM")
    states = [torch.randn(stacked, *rows, size, dtype=dtype) for size in sizes]
    return torch.randn(shape, dtype=dtype), states


def results(layer, form, x, states):
    """y, the last states and all gradients, of a loss over all outputs."""
    torch.manual_seed(1)
    layer.zero_grad()
    x, states = (x.clone().requires_grad_(), [s.clone().requires_grad_() for s in states])
    hx = None
    if states:
        hx = tuple(states) if layer.mode == "LSTM" else states[0]
    given = x
    if form.startswith("packed"):
        lengths = [6, 4, 4, 1] if form == "packed" else [2, 6, 3, 5]
        given = pack_padded_sequence(x, lengths, enforce_sorted=form == "packed")
    y, last = layer(given, hx)
    y = y.data if isinstance(y, PackedSequence) else y
    last = last if isinstance(last, tuple) else (last,)
    loss = (y * torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).sin()).sum()
    (loss + sum((state * state).sum() for state in last)).backward()
    grads = [tensor.grad for tensor in (x, *states, *layer.parameters())]
    return [y, *last, *grads]


CASES = [
    (kind, form, dtype, layers, both, bias, given)
    for number, (kind, form, dtype) in enumerate(
        itertools.product(KINDS, FORMS, (torch.float32, torch.float64))
    )
    for layers, both, bias, given in [
        (1 + number % 3, bool(number // 2 % 2), number % 4 != 3, bool(number % 2)),
        (1 + (number + 1) % 3, not number // 2 % 2, True, not number % 2),
    ]
]


@pytest.mark.parametrize(("kind", "form", "dtype", "layers", "both", "bias", "given"), CASES)
def test_as_torch(core_calls, close, kind, form, dtype, layers, both, bias, given):
    """With the dropout masks of the same seed."""
    options = {
        "num_layers": layers, "bidirectional": both, "bias": bias, "dtype": dtype,
        "batch_first": form == "batch first", "dropout": 0.5 if layers > 1 else 0.0,
    }  # fmt: skip
    theirs, ours = twins(kind, **options)
    x, states = inputs(theirs, form, dtype)
    states = states if given else []
    expected = results(theirs, form, x, states)
    got = results(ours, form, x, states)
    close(got, expected, 2e-5 if dtype == torch.float32 else 1e-11)
    assert len(core_calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_inference(core_calls, close, kind):
    theirs, ours = twins(kind, num_layers=2, bidirectional=True)
    x, _ = inputs(theirs, "batch", torch.float32)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            y, _ = ours.eval()(x)
            close(y, theirs.eval()(x)[0], 1e-5)
        assert not y.requires_grad
    assert len(core_calls) == 2


def test_packed_sequences_keep_their_fields():
    layer = nn.GRU(2, 3)
    packed = pack_sequence([torch.randn(n, 2) for n in (2, 5, 3)], enforce_sorted=False)
    y, _ = layer(packed)
    assert torch.equal(y.batch_sizes, packed.batch_sizes)
    assert torch.equal(y.sorted_indices, packed.sorted_indices)
    padded, lengths = pad_packed_sequence(y)
    assert lengths.tolist() == [2, 5, 3]
    assert padded[2:, 0].abs().max() == 0


def test_dropout_of_everything(close):
    theirs, ours = twins("GRU", num_layers=2, dropout=1.0)
    x, _ = inputs(theirs, "batch", torch.float32)
    close(results(ours, "batch", x, []), results(theirs, "batch", x, []), 1e-5)


def test_y_may_be_written_to():
    layer = nn.LSTM(F, H)
    y, (h, c) = layer(torch.randn(T, N, F))
    with torch.no_grad():
        for tensor in (y, h, c):
            tensor.zero_()
    y, _ = layer.eval()(torch.randn(T, N, F))
    y.detach().numpy()[:] = 0


def test_no_copies():
    """x, y, dy and the weights stay where they are: torch's memory is what the core sees."""
    from pyrnn.interop.torch.nn import _call

    layer = nn.LSTM(F, H)
    x = torch.randn(T, N, F)
    assert _call.numbers_of(x).ctypes.data == x.data_ptr()
    y, _ = layer(x)
    assert y.is_contiguous()
    assert not y.numpy(force=True).flags.owndata  # the core's memory


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_of_weights_may_be_resized_between_calls(core_calls, kind):
    """Sharded training frees it after each call, and fills it before the next."""
    _, layer = twins(kind, num_layers=2)
    x = torch.randn(T, N, F)
    expected = results(layer, "batch", x, [])
    layer.zero_grad()
    y, _ = layer(x)
    loss = (y * torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).sin()).sum()
    copies = [p.detach().clone() for p in layer.parameters()]
    for parameter in layer.parameters():
        parameter.untyped_storage().resize_(0)
    grads = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
    again = torch.autograd.grad(loss, list(layer.parameters()))
    for parameter, copy in zip(layer.parameters(), copies, strict=True):
        parameter.untyped_storage().resize_(copy.nbytes)
        parameter.data.copy_(copy)
    assert torch.equal(layer(x)[0], y)
    last = 1 + (2 if layer.mode == "LSTM" else 1)
    assert len(grads) == len(again) == len(expected) - last - 1
    assert all(map(torch.equal, grads, again))
    assert len(core_calls) == 3


def test_another_backend(close):
    theirs, ours = twins("GRU", num_layers=2)
    x, states = inputs(theirs, "batch", torch.float64)
    theirs, ours = theirs.double(), ours.double()
    expected = results(theirs, "batch", x, states)
    with pyrnn.use_backend("reference"):
        close(results(ours, "batch", x, states), expected, 1e-11)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_it_is_one_of_torchs(name):
    layer = getattr(nn, name)(2, 3, num_layers=2, bidirectional=True)
    theirs = getattr(torch.nn, name)(2, 3, num_layers=2, bidirectional=True)
    assert isinstance(layer, getattr(torch.nn, name))
    assert repr(layer) == repr(theirs)
    assert list(layer.state_dict()) == list(theirs.state_dict())


# --- what is torch's own business -----------------------------------------------------------


def calls_with_errors():
    """What is called, with arguments that torch refuses."""
    x, h = torch.randn(T, N, F), torch.randn(1, N, H)
    yield lambda m: m.LSTM(F, H)(torch.randn(T, N, F + 1))
    yield lambda m: m.LSTM(F, H)(torch.randn(T))
    yield lambda m: m.GRU(F, H)(torch.randn(T, N, F, 1))
    yield lambda m: m.LSTM(F, H)(x, h)
    yield lambda m: m.LSTM(F, H)(x, (h, torch.randn(1, N, H + 1)))
    yield lambda m: m.LSTM(F, H)(x, (h[0], h[0]))
    yield lambda m: m.GRU(F, H)(x, torch.randn(2, N, H))
    yield lambda m: m.GRU(F, H)(x, torch.randn(1, N + 1, H))
    yield lambda m: m.RNN(F, H)(x[:, 0], h)
    yield lambda m: m.RNN(F, H)(x.double())
    yield lambda m: m.RNN(F, H)(x[:0])
    yield lambda m: m.RNN(F, H)(3)
    yield lambda m: m.GRU(F, H)(torch.randint(5, (T, N)))
    yield lambda m: m.GRU(F, H)(PackedSequence(x.reshape(-1, F), torch.tensor([N] * T)), h[:, :2])
    yield lambda m: m.GRU(0, H)
    yield lambda m: m.GRU(F, H, dropout=2)
    yield lambda m: m.GRU(F, H, proj_size=2)
    yield lambda m: m.LSTM(F, H, proj_size=H)
    yield lambda m: m.RNN(F, H, nonlinearity="gelu")
    yield lambda m: m.LSTM(F, H, bias=1)
    yield lambda m: changed(m.GRU(F, H, 2), dropout=2.0)(x)
    yield lambda m: changed(m.GRU(F, H, 2), dropout=-0.5)(x)
    yield lambda m: changed(m.GRU(F, H, 2), dropout=None)(x)
    yield lambda m: changed(m.RNN(F, H), mode="gelu")(x)
    yield lambda m: changed(m.GRU(F, H), _flat_weights=[])(x)


def changed(layer, **attributes):
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


@pytest.mark.parametrize("call", list(calls_with_errors()))
def test_errors_are_torchs(core_calls, call):
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whichever it is
        call(torch.nn)
    with pytest.raises(expected.type) as got:
        call(nn)
    assert str(got.value) == str(expected.value)
    assert not core_calls


def test_inference_tensors_in_a_graph_are_torchs_error():
    with torch.inference_mode():
        x = torch.randn(T, N, F)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        nn.GRU(F, H)(x)
    nn.GRU(F, H).requires_grad_(False)(x)


def test_an_empty_batch(core_calls):
    y, (h, c) = nn.LSTM(F, H)(torch.randn(T, 0, F))
    assert y.shape == (T, 0, H)
    assert h.shape == c.shape == (1, 0, H)
    assert not core_calls


def test_other_dtypes_and_devices(core_calls):
    half = nn.GRU(F, H).bfloat16()
    assert half(torch.randn(T, N, F).bfloat16())[0].dtype == torch.bfloat16
    meta = nn.LSTM(F, H, device="meta")
    assert meta(torch.randn(T, N, F, device="meta"))[0].device.type == "meta"
    assert not core_calls


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_gives_torchs_dtype(core_calls, close, kind):
    theirs, ours = twins(kind)
    x, _ = inputs(theirs, "batch", torch.float32)
    for given in (x, x.bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            y, _ = ours(given)
            expected, _ = theirs(given)
        close(y, expected, 0.05)
        y.float().sum().backward()
    assert ours.weight_ih_l0.grad.dtype == torch.float32
    assert len(core_calls) == 2


@pytest.mark.parametrize("form", FORMS[:1] + FORMS[3:4])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", [None, torch.float32, torch.bfloat16])
def test_autocast_gives_each_output_torchs_dtype(form, kind, state):
    theirs, ours = twins(kind)
    x, states = inputs(theirs, form, torch.float32)
    hx = None
    if state is not None:
        states = tuple(s.to(state) for s in states)
        hx = states if kind in ("LSTM", "projected") else states[0]
    for given in (x, x.bfloat16(), x.half()):
        given = pack_padded_sequence(given, [6, 4, 4, 1]) if form == "packed" else given
        with torch.autocast("cpu", torch.bfloat16):
            found = [layer(given, hx) for layer in (theirs, ours)]
        dtypes = [
            [y.data.dtype, *(s.dtype for s in (last if isinstance(last, tuple) else (last,)))]
            for y, last in found
        ]
        assert dtypes[0] == dtypes[1]


# --- where the weights come from ------------------------------------------------------------


class DroppedWeights(torch.nn.Module):
    """W_hh with dropout, which is written to ``_flat_weights`` before each call."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.index = layer._flat_weights_names.index("weight_hh_l0")

    def forward(self, x):
        weight = self.layer.weight_hh_l0
        dropped = torch.nn.functional.dropout(weight, 0.5, self.training)
        self.layer._flat_weights[self.index] = dropped
        return self.layer(x)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_written_to_the_flat_list(core_calls, close, kind):
    x = torch.randn(T, N, F)
    found = []
    for layer in twins(kind):
        model = DroppedWeights(layer)
        torch.manual_seed(1)
        y, _ = model(x)
        y.sum().backward()
        grads = [p.grad for p in model.parameters()]
        found.append([y, *grads, model.eval()(x)[0]])
    close(found[1], found[0], 1e-5)
    assert not torch.equal(*found[1][:: len(found[1]) - 1])
    assert len(core_calls) == 2


def test_random_parametrizations_draw_as_often_as_with_torch(core_calls, close):
    class Noise(torch.nn.Module):
        def forward(self, weight):
            return weight + torch.randn_like(weight)

    theirs, ours = twins("GRU")
    found = []
    for layer in (theirs, ours):
        torch.nn.utils.parametrize.register_parametrization(layer, "weight_hh_l0", Noise())
        torch.manual_seed(1)
        found.append([layer(torch.ones(T, N, F))[0] for _ in range(2)])
    close(found[1], found[0], 1e-5)
    assert len(core_calls) == 2


def test_what_a_subclass_changes_of_torchs_steps(core_calls):
    class Own(nn.GRU):
        def permute_hidden(self, hx, permutation):
            return super().permute_hidden(hx, permutation) + 1

    packed = pack_sequence([torch.randn(n, F) for n in (2, 3)], enforce_sorted=False)
    layer = Own(F, H)
    _, h = layer(packed)
    assert not core_calls
    plain = nn.GRU(F, H)
    plain.load_state_dict(layer.state_dict())
    _, expected = plain(packed)
    assert torch.allclose(h, expected + 1, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_lazily_negated_tensors(core_calls, close, kind):
    def negated(*shape):
        return torch.randn(*shape, 2).view(torch.complex64)[..., 0].conj().imag

    theirs, ours = twins(kind)
    x, h, dy = negated(T, N, F), negated(1, N, H), negated(T, N, ours.proj_size or H)
    assert x.is_neg()
    hx = (h[..., : ours.proj_size or H], h) if ours.mode == "LSTM" else h
    found = []
    for layer in (theirs, ours):
        y, _ = layer(x, hx)
        y.backward(dy)
        found.append([y, *(p.grad for p in layer.parameters())])
    close(found[1], found[0], 1e-5)
    assert len(core_calls) == 1


def test_functional_transforms(core_calls):
    layer = nn.GRU(F, H)
    x = torch.randn(T, N, F)

    def loss(x):
        return layer(x)[0].square().sum()

    gradient = torch.func.grad(loss)(x)
    assert not core_calls
    x.requires_grad_()
    loss(x).backward()
    assert torch.allclose(x.grad, gradient, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, within torch
def test_forward_mode(core_calls, close):
    layer = nn.RNN(F, H, dtype=torch.float64)
    x, direction = torch.randn(2, T, N, F, dtype=torch.float64)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, direction)
        tangent = torch.autograd.forward_ad.unpack_dual(layer(dual)[0]).tangent
    step = 1e-6
    with torch.no_grad():
        expected = (layer(x + step * direction)[0] - layer(x - step * direction)[0]) / (2 * step)
    close(tangent, expected, 1e-7)
