"""The node in torch's graph: going back twice, changes in between, hooks, second derivatives."""

import copy
import gc
import io
import weakref

import pytest

torch = pytest.importorskip("torch")

from torch.utils.checkpoint import checkpoint  # noqa: E402

from pyrnn.interop.torch import nn  # noqa: E402

T, N, F, H = 5, 3, 4, 6


@pytest.fixture(params=["RNN", "LSTM", "GRU"])
def layer(request):
    return getattr(nn, request.param)(F, H, num_layers=2, dropout=0.4, bidirectional=True)


def gradients(loss, layer, **options):
    return torch.autograd.grad(loss, list(layer.parameters()), **options)


def equal(ones, others):
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def test_twice_through_the_graph(layer):
    loss = layer(torch.randn(T, N, F))[0].square().sum()
    first = gradients(loss, layer, retain_graph=True)
    again = gradients(loss, layer, retain_graph=True)
    assert equal(first, again)
    assert equal(first, gradients(loss, layer))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        gradients(loss, layer)


def test_weights_may_change_before_backward(layer):
    """The gradients are those at the weights of the forward, with its dropout masks."""
    x = torch.randn(T, N, F)
    loss = layer(x)[0].square().sum()
    first = gradients(loss, layer, retain_graph=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1.5)
    assert equal(first, gradients(loss, layer, retain_graph=True))
    for parameter in layer.parameters():
        parameter.data = torch.zeros_like(parameter)
    assert equal(first, gradients(loss, layer))


def test_gradients_accumulate_over_two_losses(layer):
    y, _ = layer(torch.randn(T, N, F))
    (y.sum() + y.square().sum()).backward(retain_graph=True)
    both = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    y.sum().backward(retain_graph=True)
    y.square().sum().backward()
    for parameter, expected in zip(layer.parameters(), both, strict=True):
        assert torch.allclose(parameter.grad, expected, atol=1e-4)


def test_y_may_be_changed_in_place(layer):
    """The core looks into y; what an activation in place leaves there must not count."""
    layer.eval()
    x = torch.randn(T, N, F)
    expected = gradients(torch.relu(layer(x)[0]).square().sum(), layer)
    assert equal(gradients(torch.relu_(layer(x)[0]).square().sum(), layer), expected)
    y, _ = layer(x)
    y.detach().zero_()
    reference = gradients(layer(x)[0].sum(), layer)
    assert equal(gradients(y.sum(), layer), reference)


def test_x_changed_in_place_is_torchs_error(layer):
    x = torch.randn(T, N, F)
    y, _ = layer(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_states_may_be_changed_in_place():
    layer = nn.GRU(F, H)
    x, h = torch.randn(T, N, F), torch.randn(1, N, H)
    expected = gradients(layer(x, h)[0].sum(), layer)
    y, last = layer(x, h)
    h.zero_()
    last.detach().zero_()
    assert equal(gradients(y.sum(), layer), expected)


def test_outputs_that_nobody_uses():
    layer = nn.LSTM(F, H)
    x = torch.randn(T, N, F, requires_grad=True)
    _, (_, c) = layer(x)
    c.sum().backward()
    alone = x.grad.clone()
    x.grad = None
    y, (h, c) = layer(x)
    (c.sum() + 0 * y.sum() + 0 * h.sum()).backward()
    assert torch.allclose(x.grad, alone, atol=1e-7)


def test_what_is_frozen_has_no_gradient():
    layer = nn.GRU(F, H)
    layer.weight_hh_l0.requires_grad_(False)
    layer(torch.randn(T, N, F))[0].sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad is not None


def test_an_input_without_a_gradient_costs_no_product(layer, monkeypatch):
    from pyrnn.interop.torch.nn import _stack

    wanted = []
    backward = _stack.backward

    def noted(kept, dy, dstates, with_dx):
        wanted.append(with_dx)
        return backward(kept, dy, dstates, with_dx)

    monkeypatch.setattr(_stack, "backward", noted)
    x = torch.randn(T, N, F)
    layer.eval()
    plain = gradients(layer(x)[0].square().sum(), layer)
    assert equal(gradients(layer(x.requires_grad_())[0].square().sum(), layer), plain)
    assert wanted == [False, True]


def test_gradients_of_strange_layouts(close):
    layer = nn.LSTM(F, H, dtype=torch.float64)
    x = torch.randn(N, F, T, dtype=torch.float64).permute(2, 0, 1)
    y, _ = layer(x)
    expected = gradients(layer(x.contiguous())[0].square().sum(), layer)
    close(gradients(y.square().sum(), layer), expected, 1e-12)
    expanded = gradients(layer(x)[0].sum(), layer)  # the gradient of y is one number, expanded
    whole = torch.autograd.grad(layer(x)[0], list(layer.parameters()), torch.ones_like(y))
    close(expanded, whole, 1e-12)


# --- second derivatives ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("packed", [False, True])
def test_second_derivatives(name, packed):
    layer = getattr(nn, name)(2, 3, num_layers=2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def outputs(x):
        if not packed:
            return layer(x)[0]
        given = torch.nn.utils.rnn.pack_padded_sequence(x, [3, 2])
        return layer(given)[0].data

    assert torch.autograd.gradcheck(outputs, (x,))
    assert torch.autograd.gradgradcheck(outputs, (x,))


def test_second_derivatives_with_dropout_and_a_state(close):
    """A gradient penalty, beside the same with the masks as constants."""
    layer = nn.GRU(F, H, num_layers=2, dropout=0.5, dtype=torch.float64)
    x = torch.randn(T, N, F, dtype=torch.float64, requires_grad=True)
    h = (x.mean(0)[:, :1] * torch.ones(2, N, H, dtype=torch.float64)).tanh()
    y, _ = layer(x, h)
    (plain,) = torch.autograd.grad(y.square().sum(), x, retain_graph=True)
    (composed,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    close(composed.detach(), plain, 1e-12)
    composed.square().sum().backward()
    assert layer.weight_hh_l0.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_batch_of_gradients_at_once(close, name):
    """A Jacobian with ``vectorize=True``; torch's operators, since the core has no such axis."""
    layer = getattr(nn, name)(F, H, num_layers=2, dtype=torch.float64)
    x = torch.randn(2, 1, F, dtype=torch.float64, requires_grad=True)

    def outputs(x):
        return layer(x)[0]

    expected = torch.autograd.functional.jacobian(outputs, x)
    close(torch.autograd.functional.jacobian(outputs, x, vectorize=True), expected, 1e-12)
    y = outputs(x)
    several = torch.eye(y.numel(), dtype=torch.float64).reshape(-1, *y.shape)
    dx, dw = torch.autograd.grad(
        y, (x, layer.weight_hh_l0), several, is_grads_batched=True, allow_unused=True
    )
    close(dx, expected.reshape(-1, *x.shape), 1e-12)
    assert dw.shape == (y.numel(), *layer.weight_hh_l0.shape)


def test_second_derivatives_after_weights_changed_are_torchs_error():
    layer = nn.GRU(F, H)
    y, _ = layer(torch.randn(T, N, F))
    with torch.no_grad():
        layer.weight_ih_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradients(y.sum(), layer, create_graph=True)


# --- tensors that are rebound, written to through a view, copied, pickled ---------------------


def test_rebound_tensors(core_calls, close):
    layer = nn.LSTM(F, H)
    x = torch.randn(T, N, F)
    before, _ = layer(x)
    layer.double()
    close(layer(x.double())[0].float(), before, 1e-6)
    layer.to(torch.float32)
    close(layer(x)[0], before, 1e-6)
    layer._apply(lambda tensor: tensor * 2)
    expected, _ = torch.nn.LSTM.forward(layer, x)
    close(layer(x)[0], expected, 1e-5)
    layer.share_memory()
    close(layer(x)[0], expected, 1e-5)
    assert len(core_calls) == 5


@pytest.mark.parametrize(
    "write",
    [
        lambda w: w.data.mul_(2),
        lambda w: w.detach().numpy().__imul__(2),
        lambda w: w.data[1:].zero_(),
        lambda w: w.data.view(-1)[::2].add_(1),
        lambda w: setattr(w, "data", torch.ones_like(w)),
        lambda w: torch.nn.init.zeros_(w),
    ],
)
def test_writes_in_eval_mode_count(close, write):
    layer = nn.GRU(F, H).eval()
    x = torch.randn(T, N, F)
    with torch.no_grad():
        before, _ = layer(x)
        write(layer.weight_hh_l0)
        got, _ = layer(x)
        assert not torch.equal(got, before)
        close(got, torch.nn.GRU.forward(layer, x)[0], 1e-5)


def test_copies_and_files(layer, tmp_path):
    layer.eval()
    x = torch.randn(T, N, F)
    expected, _ = layer(x)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    again = type(layer)(F, H, num_layers=2, dropout=0.4, bidirectional=True).eval()
    again.load_state_dict(layer.state_dict())
    for other in (copy.deepcopy(layer), loaded, again):
        assert type(other) is type(layer)
        assert torch.equal(other(x)[0], expected)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    assert torch.equal(layer(x)[0], expected)


def test_a_graph_holds_no_memory_after_its_backward():
    layer = nn.GRU(F, H)
    y, _ = layer(torch.randn(T, N, F))
    node = y.grad_fn
    assert node.kept is not None
    y.sum().backward()
    assert node.kept is None
    x = torch.randn(T, N, F)
    alive = weakref.ref(x)
    y, h = layer(x)
    del x, y, h
    gc.collect()
    assert alive() is None


# --- hooks, parametrizations, functional_call, checkpoints ------------------------------------


def test_hooks():
    layer = nn.GRU(F, H)
    seen = []
    layer.register_forward_pre_hook(lambda module, args: seen.append("pre"))
    layer.register_forward_hook(lambda module, args, out: seen.append("forward"))
    layer.register_full_backward_hook(lambda module, dx, dy: seen.append("backward"))
    layer.weight_ih_l0.register_hook(lambda grad: grad * 0)
    x = torch.randn(T, N, F, requires_grad=True)
    layer(x)[0].sum().backward()
    assert seen == ["pre", "forward", "backward"]
    assert layer.weight_ih_l0.grad.abs().max() == 0


def test_parametrizations(core_calls, close):
    layer = nn.LSTM(F, H)
    x = torch.randn(T, N, F)
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    layer.parametrizations.weight_hh_l0.original0.data.mul_(3)
    y, _ = layer(x)
    plain = torch.nn.LSTM(F, H)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(getattr(layer, name))
    close(y, plain(x)[0], 1e-5)
    y.sum().backward()
    assert layer.parametrizations.weight_hh_l0.original0.grad.abs().max() > 0
    assert len(core_calls) == 1


def test_functional_call(core_calls, close):
    layer = nn.GRU(F, H)
    x = torch.randn(T, N, F)
    doubled = {name: 2 * p for name, p in layer.named_parameters()}
    y, _ = torch.func.functional_call(layer, doubled, (x,))
    close(y, torch.func.functional_call(torch.nn.GRU(F, H), doubled, (x,))[0], 1e-5)
    y.sum().backward()
    assert layer.weight_hh_l0.grad.abs().max() > 0
    assert len(core_calls) == 1


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint(layer, reentrant):
    x = torch.randn(T, N, F, requires_grad=True)
    layer.eval()
    layer(x)[0].square().sum().backward()
    expected = [x.grad.clone(), *(p.grad.clone() for p in layer.parameters())]
    x.grad = None
    layer.zero_grad()
    y, _ = checkpoint(layer, x, use_reentrant=reentrant)
    y.square().sum().backward()
    assert equal([x.grad, *(p.grad for p in layer.parameters())], expected)


def test_hooks_on_saved_tensors():
    """What is packed away is what goes back, and the core keeps nothing meanwhile."""
    layer = nn.LSTM(F, H, num_layers=2, dropout=0.5)
    x = torch.randn(T, N, F)
    torch.manual_seed(1)
    expected = gradients(layer(x)[0].square().sum(), layer)
    packed = []

    def pack(tensor):
        packed.append(tensor.clone())
        return len(packed) - 1

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda number: packed[number]):
        y, _ = layer(x)
    assert y.grad_fn.kept is None
    loss = y.square().sum()
    assert equal(gradients(loss, layer, retain_graph=True), expected)
    assert equal(gradients(loss, layer), expected)
    assert len(packed) == 1 + len(list(layer.parameters()))


# --- programs that are recorded -------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_trace(core_calls, close):
    layer = nn.GRU(F, H).eval()
    x = torch.randn(T, N, F)
    traced = torch.jit.trace(layer, x)
    calls = len(core_calls)
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    close(loaded(x)[0], layer(x)[0], 1e-5)
    assert len(core_calls) == calls + 1


@pytest.mark.filterwarnings("ignore")
def test_compile(core_calls):
    layer = nn.GRU(F, H)
    x = torch.randn(T, N, F)

    def function(x):
        return layer(2 * x)[0] + 1

    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager")
    expected = function(x)
    for _ in range(2):
        calls = len(core_calls)
        y = compiled(x)
        assert len(core_calls) == calls + 1
        assert torch.equal(y, expected)
    y.sum().backward()
    assert layer.weight_hh_l0.grad is not None


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_export(close):
    layer = nn.GRU(F, H).eval()
    x = torch.randn(T, N, F)
    exported = torch.export.export(layer, (x,)).module()
    close(exported(x)[0], layer(x)[0], 1e-5)


class Within(torch.nn.Module):
    """Of which TorchScript compiles the call."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"])
def test_script(close, name):
    """Compiled is torch's own module, over the same parameters."""
    layer = getattr(nn, name)(3, 4)
    x = torch.randn(5, 3)
    expected = layer(x)
    scripted = torch.jit.script(Within(layer))
    close(scripted(x), expected, 1e-6)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert all(not parameter.any() for parameter in scripted.parameters())
    assert type(layer).__module__.startswith("pyrnn")
