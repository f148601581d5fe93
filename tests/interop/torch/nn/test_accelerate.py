"""Swapping a model's recurrent modules: what changes, what stays, and the losses of a training."""

import copy
import io
import pickle

import pytest

torch = pytest.importorskip("torch")

from pyrnn.interop.torch import accelerate, nn  # noqa: E402

NAMES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")


@pytest.mark.parametrize("name", NAMES)
def test_each_kind(name):
    module = getattr(torch.nn, name)(3, 4)
    before = dict(module.named_parameters())
    assert accelerate(module) is module
    assert type(module) is getattr(nn, name)
    assert all(before[n] is parameter for n, parameter in module.named_parameters())
    assert accelerate(module) is module


def test_a_model_within_which_they_are():
    shared = torch.nn.GRU(4, 4)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.Sequential(torch.nn.ModuleList([shared]), shared)
    )
    seen = []
    shared.register_forward_hook(lambda *args: seen.append("hook"))
    model.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    names = list(model.state_dict())
    assert accelerate(model) is model
    assert type(shared) is nn.GRU
    assert model[1][1] is shared
    assert list(model.state_dict()) == names
    assert not shared.training
    y, _ = shared(torch.ones(2, 1, 4))
    assert seen == ["hook"]
    before = shared.weight_hh_l0.detach().clone()
    y.sum().backward()
    optimizer.step()
    assert not torch.equal(shared.weight_hh_l0, before)


def test_parametrized_modules(core_calls, close):
    layer = torch.nn.LSTM(3, 4)
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_ih_l0")
    x = torch.randn(5, 2, 3)
    y = layer(x)[0].detach()
    accelerate(layer)
    assert isinstance(layer, nn.LSTM)
    close(layer(x)[0], y, 1e-5)
    assert core_calls
    torch.nn.utils.parametrize.remove_parametrizations(layer, "weight_ih_l0")
    assert type(layer) is nn.LSTM
    close(layer(x)[0], y, 1e-5)


class Doubled(torch.nn.LSTM):
    """Somebody's layer, whose y is doubled."""

    def __init__(self, hidden_size):
        super().__init__(3, hidden_size)

    def forward(self, x, hx=None):
        y, state = super().forward(x, hx)
        return 2 * y, state


class Named(torch.nn.GRUCell):
    """Somebody's cell, which computes as torch's does."""


@pytest.mark.parametrize(("make", "shape"), [(Doubled, (5, 2, 3)), (lambda h: Named(3, h), (2, 3))])
def test_somebodys_subclass(core_calls, close, make, shape):
    layer, x = make(4), torch.randn(shape)
    kind = type(layer)
    expected = layer(x)
    accelerate(layer)
    swapped = type(layer)
    assert isinstance(layer, kind)
    assert swapped.__name__ == kind.__name__
    assert swapped.__doc__ == kind.__doc__
    got = layer(x)
    close(got, expected, 1e-5)
    assert len(core_calls) == 1
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(other) is swapped
        assert torch.equal(other(x)[0], got[0])
    accelerate(layer)
    assert type(layer) is swapped
    name = "weight_hh" if isinstance(layer, Named) else "weight_hh_l0"
    torch.nn.utils.parametrizations.weight_norm(layer, name)
    calls = len(core_calls)
    close(accelerate(layer)(x), expected, 1e-5)
    assert len(core_calls) == calls + 1
    torch.nn.utils.parametrize.remove_parametrizations(layer, name)
    assert type(layer) is swapped


class Reduced(torch.nn.GRU):
    """Somebody's layer with its own form in files."""

    def __reduce__(self):
        return Reduced, (3, 4)


def test_somebodys_form_in_files():
    layer = accelerate(Reduced(3, 4))
    assert type(pickle.loads(pickle.dumps(layer))) is Reduced


@pytest.mark.parametrize("make", [*(getattr(torch.nn, n) for n in NAMES), Doubled])
def test_undone(core_calls, close, make):
    layer = make(4) if make is Doubled else make(3, 4)
    x = torch.randn(2, 3) if make.__name__.endswith("Cell") else torch.randn(5, 2, 3)
    expected = layer(x)
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), layer)
    assert accelerate(accelerate(model), undo=True) is model
    assert type(layer) is make
    close(layer(x), expected, 0)
    assert not core_calls
    accelerate(model, undo=True)
    assert type(layer) is make
    name = next(name for name, _ in layer.named_parameters())
    torch.nn.utils.parametrizations.weight_norm(layer, name)
    accelerate(accelerate(layer), undo=True)
    close(layer(x), expected, 1e-5)
    assert not core_calls
    torch.nn.utils.parametrize.remove_parametrizations(layer, name)
    assert type(layer) is make


def test_modules_that_were_made_as_pyrnns_become_torchs_as_well():
    class Own(nn.GRU):
        pass

    model = torch.nn.Sequential(nn.LSTM(3, 4), Own(4, 4))
    accelerate(model, undo=True)
    assert type(model[0]) is torch.nn.LSTM
    assert type(model[1]) is Own  # it has no other form


@pytest.mark.filterwarnings("ignore")
def test_quantized_after_it_was_undone():
    model = accelerate(torch.nn.Sequential(torch.nn.LSTM(3, 4))).eval()
    quantized = torch.ao.quantization.quantize_dynamic(accelerate(model, undo=True))
    assert type(quantized[0]).__module__.startswith("torch.ao.nn.quantized")


def test_an_accelerated_model_through_a_file():
    model = accelerate(torch.nn.Sequential(torch.nn.GRU(3, 4)))
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    x = torch.randn(5, 2, 3)
    assert torch.equal(loaded(x)[0], model(x)[0])
    torch.nn.Sequential(torch.nn.GRU(3, 4)).load_state_dict(model.state_dict())


def test_what_is_no_model():
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module, got dict"):
        accelerate({})


class CharacterModel(torch.nn.Module):
    """Characters, embedded; recurrent layers with dropout between them; logits."""

    def __init__(self, cell, hidden_size):
        super().__init__()
        self.embedding = torch.nn.Embedding(32, 16)
        self.rnn = getattr(torch.nn, cell)(16, hidden_size, num_layers=2, dropout=0.2)
        self.linear = torch.nn.Linear(hidden_size, 32)

    def forward(self, indices, state):
        y, state = self.rnn(self.embedding(indices), state)
        return self.linear(y), state


def losses(cell, swap, steps=100):
    """Of a training with Adam, clipping and the state carried along."""
    torch.manual_seed(0)
    text = torch.randint(32, (8, 20 * steps + 1)).cumsum(1) // 5 % 32
    model = CharacterModel(cell, 32)
    if swap:
        accelerate(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    state, found = None, []
    for step in range(steps):
        part = text[:, 20 * step : 20 * (step + 1) + 1].T
        logits, state = model(part[:-1], state)
        state = tuple(s.detach() for s in state) if cell == "LSTM" else state.detach()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_the_losses_of_a_hundred_steps(core_calls, cell):
    expected = losses(cell, swap=False)
    assert not core_calls
    got = losses(cell, swap=True)
    assert len(core_calls) == 100
    assert expected[-1] < expected[0] - 0.1
    assert max(abs(a - b) for a, b in zip(expected, got, strict=True)) < 1e-4
