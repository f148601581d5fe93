"""The drop-in under what torch's own suite asks of its recurrent modules.

The samples are those of torch's ``module_db``, where its testing tools are there; the cases after
them are those of its ``test_nn.py``, without double backward, vmap, message text and other devices.
"""

import copy
import io
import itertools
import warnings

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence  # noqa: E402

from pyrnn.interop.torch import nn  # noqa: E402

pytestmark = [
    # torch's own words, of its projections and of scripts that its tools make
    pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

LAYERS = ("RNN", "LSTM", "GRU")
CELLS = ("RNNCell", "LSTMCell", "GRUCell")


# --- module_db ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def infos():
    """What torch knows about its recurrent modules, by their names."""
    pytest.importorskip("expecttest", reason="torch.testing needs expecttest")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db
    names = {f"nn.{name}" for name in (*LAYERS, *CELLS)}
    return {info.name[3:]: info for info in module_db if info.name in names}


def samples(info, dtype, training):
    """Both modules, with the same parameters, and the arguments of a call."""
    found = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=True, training=training
    )
    for sample in found:
        made = sample.constructor_input
        theirs = info.module_cls(*made.args, **made.kwargs).to(dtype).train(training)
        ours = getattr(nn, info.name[3:])(*made.args, **made.kwargs).to(dtype).train(training)
        ours.load_state_dict(theirs.state_dict())
        yield theirs, ours, sample.forward_input


def leaves(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part)


def run(module, call):
    """The outputs, and the gradients of the arguments and the parameters."""
    arguments = [copy.deepcopy(argument) for argument in call.args]
    arguments = [
        tuple(t.detach().requires_grad_() for t in leaves(a)) if isinstance(a, tuple) else a
        for a in arguments
    ]
    given = [t for t in leaves(arguments) if t.requires_grad]
    torch.manual_seed(3)
    outputs = list(leaves(module(*arguments, **call.kwargs)))
    torch.autograd.backward(outputs, [torch.ones_like(out) for out in outputs])
    return outputs + [t.grad for t in given] + [p.grad for p in module.parameters()]


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_samples_of_module_db(infos, close, core_calls, name, dtype, training):
    count = 0
    for theirs, ours, call in samples(infos[name], dtype, training):
        close(run(ours, call), run(theirs, call), 2e-5 if dtype == torch.float32 else 1e-11)
        count += 1
    assert len(core_calls) == count >= 2


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_error_samples_of_module_db(infos, name):
    info = infos[name]
    if info.module_error_inputs_func is None:
        pytest.skip("torch has none for it")
    found = info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=False
    )
    count = 0
    for error in found:
        sample = error.module_error_input
        made, call = sample.constructor_input, sample.forward_input

        def attempt(made=made, call=call):
            module = getattr(nn, name)(*made.args, **made.kwargs)
            module(*call.args, **call.kwargs)

        with pytest.raises(error.error_type, match=error.error_regex):
            attempt()
        count += 1
    assert count


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_modules_of_module_db_as_modules(infos, close, name):
    """Copies, files, state dicts, devices without memory, arguments that are not contiguous."""
    for _, ours, call in itertools.islice(samples(infos[name], torch.float32, False), 0, None, 5):
        expected = list(leaves(ours(*call.args, **call.kwargs)))
        file = io.BytesIO()
        torch.save(ours, file)
        file.seek(0)
        empty = copy.deepcopy(ours).to_empty(device="meta").to_empty(device="cpu")
        empty.load_state_dict(ours.state_dict())
        for other in (copy.deepcopy(ours), torch.load(file, weights_only=False), empty):
            close(list(leaves(other(*call.args, **call.kwargs))), expected, 0)
        strange = [
            tuple(_not_contiguous(t) for t in a) if isinstance(a, tuple) else _not_contiguous(a)
            for a in call.args
        ]
        close(list(leaves(ours(*strange, **call.kwargs))), expected, 0)


def _not_contiguous(tensor):
    return torch.repeat_interleave(tensor.detach(), 2, dim=-1)[..., ::2]


@pytest.mark.long
@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_gradcheck_of_module_db(infos, name):
    for _, ours, call in samples(infos[name], torch.float64, True):
        tensors = [t for t in leaves(list(call.args)) if t.requires_grad]
        parameters = list(ours.parameters())

        def outputs(*_, ours=ours, call=call):
            torch.manual_seed(0)
            return tuple(leaves(ours(*call.args, **call.kwargs)))

        assert torch.autograd.gradcheck(outputs, (*tensors, *parameters), fast_mode=True)


# --- cases of test_nn.py --------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("both", [False, True])
def test_wrong_sizes_are_runtime_errors(name, both):
    directions = 2 if both else 1
    module = getattr(nn, name)(3, 5, num_layers=6, bidirectional=both)

    def attempt(x_shape, h_shape, c_shape):
        h, c = torch.randn(h_shape), torch.randn(c_shape)
        module(torch.randn(x_shape), (h, c) if name == "LSTM" else h)

    right = (4, 7, 3), (6 * directions, 7, 5), (6 * directions, 7, 5)
    attempt(*right)
    wrong_x = [(4, 7, 2), (4, 6, 3)]
    wrong_h = [(6 * directions + 1, 7, 5), (6 * directions, 6, 5), (6 * directions, 7, 4)]
    for x in wrong_x:
        with pytest.raises(RuntimeError):
            attempt(x, *right[1:])
    for h in wrong_h:
        with pytest.raises(RuntimeError):
            attempt(right[0], h, right[2])
        if name == "LSTM":
            with pytest.raises(RuntimeError):
                attempt(right[0], right[1], h)


def test_wrong_sizes_of_packed_sequences_are_runtime_errors():
    module = nn.GRU(3, 5)
    packed = pack_padded_sequence(torch.randn(4, 2, 3), [4, 2])
    for shape in ((1, 3, 5), (2, 2, 5), (1, 2, 4)):
        with pytest.raises(RuntimeError):
            module(packed, torch.randn(shape))
    with pytest.raises(RuntimeError):
        module(pack_padded_sequence(torch.randn(4, 2, 2), [4, 2]))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_state_of_zeros_is_no_state(name, packed):
    module = getattr(nn, name)(10, 20, 2)
    x = torch.randn(3, 5, 10)
    given = pack_padded_sequence(x, [3, 3, 2, 1, 1]) if packed else x
    h = torch.zeros(2, 5, 20)
    expected, _ = module(given, (h, h) if name == "LSTM" else h)
    got, _ = module(given)
    assert torch.equal(*(out.data if packed else out for out in (got, expected)))


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_projected_states(enforce_sorted):
    module = nn.LSTM(10, 20, 2, bidirectional=True, proj_size=6)
    sequences = [torch.randn(n, 10) for n in ((5, 4, 2) if enforce_sorted else (2, 5, 4))]
    h, c = torch.zeros(4, 3, 6), torch.zeros(4, 3, 20)
    y, (h_last, c_last) = module(pack_sequence(sequences, enforce_sorted), (h, c))
    assert y.data.shape == (11, 12)
    assert h_last.shape == h.shape
    assert c_last.shape == c.shape
    for number, sequence in enumerate(sequences):
        _, (alone, _) = module(sequence)
        assert torch.allclose(h_last[:, number], alone, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("state", [False, True])
def test_sequences_of_different_lengths_are_as_each_alone(close, name, state):
    module = getattr(nn, name)(3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    lengths = (7, 7, 6, 2, 1)
    x = torch.randn(7, 5, 3, dtype=torch.float64, requires_grad=True)
    h = torch.randn(4, 5, 4, dtype=torch.float64)

    def of(part):
        return None if not state else ((part, part) if name == "LSTM" else part)

    y, last = module(pack_padded_sequence(x, lengths), of(h))
    (dx,) = torch.autograd.grad(y.data.square().sum(), x)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
    for number, length in enumerate(lengths):
        own = x.detach()[:length, number : number + 1].requires_grad_()
        alone, own_last = module(own, of(h[:, number : number + 1]))
        close(padded[:length, number : number + 1], alone, 1e-12)
        part = tuple(s[:, number : number + 1] for s in (last if name == "LSTM" else (last,)))
        close(part, own_last if name == "LSTM" else (own_last,), 1e-12)
        (own_dx,) = torch.autograd.grad(alone.square().sum(), own)
        close(dx[:length, number : number + 1], own_dx, 1e-12)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_nonlinearities(nonlinearity):
    for module in (nn.RNN(1, 10, nonlinearity=nonlinearity), nn.RNN(1, 10, 1, nonlinearity)):
        assert module.nonlinearity == nonlinearity
    x = torch.randn(1, 1, 1)
    function = getattr(torch, nonlinearity)
    expected = function(x[0] @ module.weight_ih_l0.T + module.bias_ih_l0 + module.bias_hh_l0)
    assert torch.allclose(module(x)[0][0], expected, atol=1e-6)


@pytest.mark.parametrize("p", [0.0, 0.276, 0.731, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_dropout_scales_what_it_keeps(p, training):
    module = nn.RNN(10, 1000, 2, bias=False, dropout=p, nonlinearity="relu")
    with torch.no_grad():
        module.weight_ih_l0.fill_(1)
        module.weight_hh_l0.fill_(1)
        module.weight_ih_l1.fill_(1)
        module.weight_hh_l1.fill_(1)
    module.train(training)
    y, _ = module(torch.ones(1, 1, 10), torch.zeros(2, 1, 1000))
    assert y.unique().numel() == 1
    value = y[0, 0, 0].item()
    if p == 0 or not training:
        assert value == 10_000
    elif p == 1:
        assert value == 0
    else:
        assert 8_000 < value < 12_000
        dropped = round(1000 - value * (1 - p) / 10)
        assert abs(dropped / 1000 - p) < 0.1


def test_dropout_can_be_changed_and_is_drawn_anew():
    module = nn.LSTM(20, 20, 2, dropout=0.5)
    x = torch.randn(3, 4, 20)
    first, second = module(x)[0], module(x)[0]
    assert not torch.equal(first, second)
    module.dropout = 0
    assert torch.equal(module(x)[0], module(x)[0])
    state = torch.get_rng_state()
    module.dropout = 0.5
    once = module(x)[0]
    torch.set_rng_state(state)
    assert torch.equal(module(x)[0], once)


@pytest.mark.parametrize("name", LAYERS)
def test_no_steps(name):
    module = getattr(nn, name)(5, 6, bidirectional=True)
    with pytest.raises(RuntimeError, match="Expected sequence length to be larger than 0 in RNN"):
        module(torch.ones(0, 10, 5))
    with pytest.raises(ValueError, match="input_size must be greater than zero"):
        getattr(nn, name)(0, 6)


@pytest.mark.parametrize("name", LAYERS)
def test_a_graph_may_be_walked_again(name):
    module = getattr(nn, name)(10, 20, num_layers=2, dtype=torch.float64)
    x = torch.randn(5, 6, 10, dtype=torch.float64, requires_grad=True)
    y, _ = module(x)
    y.sum().backward(retain_graph=True)
    grads = [tensor.grad.clone() for tensor in (x, *module.parameters())]
    for _ in range(4):
        for tensor in (x, *module.parameters()):
            tensor.grad.zero_()
        y.sum().backward(retain_graph=True)
        for tensor, expected in zip((x, *module.parameters()), grads, strict=True):
            assert torch.equal(tensor.grad, expected)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0"])
@pytest.mark.filterwarnings("ignore")
def test_the_older_weight_norm(close, name):
    module = nn.LSTM(32, 32, dtype=torch.float64)
    x = torch.randn(5, 4, 32, dtype=torch.float64)
    expected, _ = module(x)
    module = torch.nn.utils.weight_norm(module, name=name)
    close(module(x)[0], expected, 1e-12)
    module(x)[0].sum().backward()
    assert getattr(module, f"{name}_g").grad is not None
    module = torch.nn.utils.remove_weight_norm(module, name=name)
    close(module(x)[0], expected, 1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_cells_do_not_broadcast(name):
    cell = getattr(nn, name)(10, 20)

    def attempt(x_shape, *h_shapes):
        states = tuple(torch.randn(shape) for shape in h_shapes)
        cell(torch.randn(x_shape), states if name == "LSTMCell" else states[0])

    attempt((3, 10), (3, 20), (3, 20))
    for x, h in (((3, 11), (3, 20)), ((3, 10), (3, 21)), ((3, 10), (1, 20)), ((3, 10), (5, 20))):
        with pytest.raises(RuntimeError):
            attempt(x, h, h)


@pytest.mark.parametrize("name", CELLS)
def test_cells_with_shared_biases_and_without(name):
    for bias in (True, False):
        cell = getattr(nn, name)(10, 20, bias=bias)
        x, state = torch.randn(3, 10), torch.randn(3, 20)
        for _ in range(6):
            found = cell(x, (state, state) if name == "LSTMCell" else state)
            state = found[0] if name == "LSTMCell" else found
        state.sum().backward()
        assert all(parameter.grad is not None for parameter in cell.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_no_units(name):
    cell = getattr(nn, name)(10, 0)
    h = torch.randn(3, 0)
    found = cell(torch.randn(3, 10), (h, h) if name == "LSTMCell" else h)
    assert all(part.shape == (3, 0) for part in leaves(found))


def test_one_of_two_biases_is_torchs_business():
    cell = nn.GRUCell(3, 4)
    cell.register_parameter("bias_hh", None)
    plain = torch.nn.GRUCell(3, 4)
    plain.register_parameter("bias_hh", None)
    plain.load_state_dict(cell.state_dict())
    try:
        expected = plain(torch.ones(2, 3))
    except RuntimeError:
        with pytest.raises(RuntimeError):
            cell(torch.ones(2, 3))
    else:
        assert torch.equal(cell(torch.ones(2, 3)), expected)
