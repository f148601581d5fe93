"""Programs that are recorded of accelerated modules, by `torch.fx` and `torch.jit`."""

import pytest

torch = pytest.importorskip("torch")

from pyrnn.interop.torch import accelerate, nn  # noqa: E402

NAMES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")


class Within(torch.nn.Module):
    """A model whose forward is recorded."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(2 * x)


class WithState(Within):
    """The same with a first state."""

    def forward(self, x, hx):
        return self.layer(2 * x, hx)


class Doubled(torch.nn.RNNCell):
    """Somebody's cell, whose result is doubled."""

    def forward(self, x, hx=None):
        return 2 * super().forward(x, hx)


class Ours(nn.RNNCell):
    """The same on top of pyrnn's."""

    def forward(self, x, hx=None):
        return 2 * super().forward(x, hx)


@pytest.mark.parametrize("name", NAMES)
def test_symbolic_traces_have_a_call_of_the_module(core_calls, close, name):
    graphs, found = [], []
    x = torch.randn(5, 3)
    for module in (torch.nn, nn):
        torch.manual_seed(0)
        model = Within(getattr(module, name)(3, 4))
        traced = torch.fx.symbolic_trace(model)
        graphs.append([(node.op, str(node.target)) for node in traced.graph.nodes])
        found.append(traced(x))
        assert not core_calls or module is nn
    assert graphs[0] == graphs[1]
    assert ("call_module", "layer") in graphs[1]
    close(found[1], found[0], 1e-5)
    assert len(core_calls) == 1


def test_symbolic_traces_with_a_state():
    model = WithState(nn.GRU(3, 4))
    traced = torch.fx.symbolic_trace(model)
    call = next(node for node in traced.graph.nodes if node.op == "call_module")
    assert len(call.args) == 2
    x, h = torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    assert torch.equal(traced(x, h)[0], model(x, h)[0])


@pytest.mark.parametrize("make", [Ours, lambda *sizes: accelerate(Doubled(*sizes)), Doubled])
def test_somebodys_forward_is_not_taken_for_the_whole(make):
    """A call of the module would double twice."""
    with pytest.raises(torch.fx.proxy.TraceError):
        torch.fx.symbolic_trace(Within(make(3, 4)))
    cell = nn.RNNCell(3, 4)
    forward = cell.forward
    cell.forward = lambda x: 2 * forward(x)
    with pytest.raises(torch.fx.proxy.TraceError):
        torch.fx.symbolic_trace(Within(cell))


@pytest.mark.filterwarnings("ignore")
def test_scripts_of_somebodys_forward():
    """TorchScript has no `super`: torch refuses, and so does pyrnn, rather than leave it out."""
    for make in (Doubled, lambda *sizes: accelerate(Doubled(*sizes))):
        with pytest.raises(RuntimeError):
            torch.jit.script(Within(make(3, 4)))
    with pytest.raises(
        RuntimeError, match=r"cannot compile the forward of Ours.*torch\.jit\.trace"
    ):
        torch.jit.script(Within(Ours(3, 4)))
    x, cell = torch.randn(2, 3), Ours(3, 4)
    assert torch.allclose(torch.jit.trace(cell, x)(x), cell(x), atol=1e-6)


class Scripted(torch.nn.GRUCell):
    """Somebody's cell, which TorchScript compiles."""

    def forward(self, x, hx: torch.Tensor):
        return 2 * x[:, :1] + hx


@pytest.mark.filterwarnings("ignore")
def test_scripts_of_a_forward_without_super():
    x, h = torch.randn(2, 3), torch.randn(2, 4)
    cell = accelerate(Scripted(3, 4))
    assert torch.equal(torch.jit.script(WithState(cell))(x, h), cell(2 * x, h))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", ["drop-in", "accelerated", "within"])
@pytest.mark.filterwarnings("ignore")
def test_in_a_script_module(close, name, make):
    """Which compiles itself and what is in it as soon as it is made."""
    layer = accelerate(getattr(torch.nn, name)(3, 4))
    if make != "accelerated":
        layer = getattr(nn, name)(3, 4)
    layer = torch.nn.Sequential(layer) if make == "within" else layer
    x = torch.randn(2, 3) if "Cell" in name else torch.randn(5, 2, 3)
    expected = layer(x)

    class Script(torch.jit.ScriptModule):
        def __init__(self):
            super().__init__()
            self.layer = layer

        @torch.jit.script_method
        def forward(self, x):
            return self.layer(x)

    close(Script()(x), expected, 1e-6)


@pytest.mark.filterwarnings("ignore")
def test_traced_modules_stay_what_they_are():
    layer = nn.GRU(3, 4)
    torch.jit.trace(torch.nn.Sequential(layer), torch.randn(5, 2, 3))
    torch.jit.script(torch.nn.Sequential(layer))
    assert type(layer) is nn.GRU
