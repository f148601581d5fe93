"""BatchNorm1d: torch's numbers in both modes, gradients, running averages, the same bits."""

import copy
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn.distributed.batch import BatchExchange
from pyrnn.distributed.ranks import ranks_of
from pyrnn.layers.composition._shared_batch import shared_batch
from tests.distributed.threads import on_ranks

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def make(channels=3, *options, dtype="float64", **more):
    layer = pyrnn.BatchNorm1d(channels, *options, dtype=dtype, **more)
    for number, array in enumerate(layer.parameters.values()):
        array[...] = random(*array.shape, seed=number + 7)
    if layer.buffers:
        layer.buffers["running_mean"] = random(channels, dtype=dtype, seed=5)
        layer.buffers["running_var"] = random(channels, dtype=dtype, seed=6) ** 2
    return layer


@pytest.mark.parametrize("momentum", [0.1, 0.6, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_does_the_same(momentum, affine, tracked, dtype, backend):
    """Three batches in train mode, then one in eval mode: outputs, gradients, averages."""
    torch = pytest.importorskip("torch")
    options = (1e-3, momentum, affine, tracked)
    layer = make(5, *options, dtype=dtype)
    peer = torch.nn.BatchNorm1d(5, *options, dtype=getattr(torch, dtype))
    peer.load_state_dict({n: torch.tensor(a) for n, a in layer.state_dict().items()})
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    for seed in range(4):
        if seed == 3:
            layer.eval(), peer.eval()
        x, dy = (random(7, 3, 5, dtype=dtype, seed=seed + k) + 2 for k in (0, 10))
        y, _, cache = layer.forward(x)
        dx, _, grads = layer.backward(cache, dy)
        given = torch.tensor(x.transpose(1, 2, 0)).requires_grad_()
        theirs = peer(given)
        peer.zero_grad()
        theirs.backward(torch.tensor(dy.transpose(1, 2, 0)))
        pairs = [(y, theirs.detach().numpy().transpose(2, 0, 1))]
        pairs += [(dx, given.grad.numpy().transpose(2, 0, 1))]
        pairs += [(grads[n], p.grad.numpy()) for n, p in peer.named_parameters()]
        pairs += [(layer.buffers[n], b.numpy()) for n, b in peer.named_buffers()]
        for mine, expected in pairs:
            np.testing.assert_allclose(mine, expected, rtol=tolerance, atol=tolerance)
    assert list(layer.state_dict()) == list(peer.state_dict())


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("train", [True, False])
def test_gradients(tracked, train, backend):
    for shape in ((4, 2, 3), (6, 3)):
        layer = make(3, 1e-2, track_running_stats=tracked)
        layer = layer if train else layer.eval()
        _, _, cache = layer.forward(random(*shape))
        numeric = pyrnn.gradcheck(layer, random(*shape), samples=24)
        assert numeric, str(numeric)
        assert layer.backward(cache, random(*shape))[0].shape == shape


def test_backends_agree_to_the_bit_in_eval_mode():
    layer, x = make(70, dtype="float32").eval(), random(40, 3, 70, dtype="float32")
    with pyrnn.use_backend("native"):
        y = layer(x)
    with pyrnn.use_backend("reference"):
        assert np.array_equal(layer(x), y)


@pytest.mark.parametrize("channels", [1, 3, 64, 150])
def test_no_bit_depends_on_batch_or_threads(channels):
    layer, x = make(channels, dtype="float32"), random(900, 3, channels, dtype="float32")
    before = pyrnn.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            pyrnn.set_num_threads(threads)
            copied = copy.deepcopy(layer)
            trained = copied(x)
            results.append([trained, *copied.buffers.values(), copied.eval()(x)])
            for row in (0, 2):
                assert np.array_equal(copied(x[:, row]), results[-1][-1][:, row])
            assert np.array_equal(copied(x[5:6]), results[-1][-1][5:6])
        for one, three in zip(*results, strict=True):
            assert np.array_equal(one, three)
    finally:
        pyrnn.set_num_threads(before)


def test_far_from_zero(backend):
    """float32 numbers with a mean a thousand times their spread, in both modes."""
    x = random(500, 3, dtype="float32") + np.float32(1000)
    layer = pyrnn.BatchNorm1d(3, 0.0, momentum=1.0)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6, atol=1e-6)
    unbiased = expected * wide.std(axis=0) / wide.std(axis=0, ddof=1)
    np.testing.assert_allclose(layer.eval()(x), unbiased, rtol=1e-4, atol=1e-4)


def test_in_a_row_it_trains_streams_and_travels(tmp_path, backend):
    model = pyrnn.Sequential(
        norm=make(4), rnn=pyrnn.GRU(4, 5, dtype="float64", seed=0), out=make(5, affine=False)
    )
    optimizer = pyrnn.Adam(model.parameters, lr=0.1)
    x, counts = random(6, 3, 4) + 1, []
    for _ in range(3):
        y, _, cache = model.forward(x)
        _, _, grads = model.backward(cache, y)
        optimizer.step(grads)
        counts.append(int(model.buffers["norm.num_batches_tracked"]))
    assert counts == [1, 2, 3]
    assert set(grads) == set(model.parameters)
    assert not any("running" in name for name in model.parameters)
    y, _ = model.eval()(x)
    stream = model.stream(3)
    assert np.array_equal(np.stack([stream.step(step) for step in x]), y)
    pyrnn.save(model, tmp_path / "model.safetensors")
    twin = pyrnn.Sequential(
        norm=pyrnn.BatchNorm1d(4, dtype="float64"),
        rnn=pyrnn.GRU(4, 5, dtype="float64"),
        out=pyrnn.BatchNorm1d(5, affine=False, dtype="float64"),
    )
    twin.load_state_dict(model.state_dict())
    for other in (
        twin.eval(),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        pyrnn.load(tmp_path / "model.safetensors").eval(),
    ):
        assert np.array_equal(other(x)[0], y)
        assert other.buffers["norm.running_var"] is other["norm"].buffers["running_var"]
        assert not np.shares_memory(
            other.buffers["norm.running_var"], model.buffers["norm.running_var"]
        )


def test_eval_mode_fixes_the_buffers():
    layer = make().eval()
    before = layer.state_dict()
    layer(random(5, 3))
    assert all(np.array_equal(layer.state_dict()[n], a) for n, a in before.items())
    with pytest.raises(ValueError, match="running_mean: the layer is in eval mode"):
        layer.buffers["running_mean"] = np.zeros(3)
    with pytest.raises(ValueError, match="read-only"):
        layer.buffers["running_var"][...] = 0
    layer.train().buffers["running_var"][...] = 4.0
    np.testing.assert_allclose(layer.eval().buffers["running_var"], 4.0)
    assert pyrnn.Linear(2, 2).buffers == {}


def test_no_rows():
    for layer in (make(), make().eval()):
        y, _, cache = layer.forward(np.ones((0, 2, 3)))
        dx, _, grads = layer.backward(cache, y)
        assert y.shape == dx.shape == (0, 2, 3)
        assert not any(grad.any() for grad in grads.values())
        assert layer.buffers["num_batches_tracked"] == 0


def test_a_gradient_is_that_of_the_x_and_the_weights_of_the_forward():
    for layer in (make(), make().eval()):
        x = random(5, 3)
        _, _, cache = copy.deepcopy(layer).forward(x)
        twin = copy.deepcopy(layer)
        _, _, cache = twin.forward(x)
        expected = layer.backward(layer.forward(x.copy())[2], x.copy())
        dy = x.copy()
        x[...] = 0
        twin.train().parameters["weight"][...] = 0
        twin.buffers["running_var"][...] = 1
        found = twin.backward(cache, dy)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[2]["weight"], expected[2]["weight"])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pyrnn.BatchNorm1d(0), ValueError, "num_features: expected a whole number of"),
        (lambda: pyrnn.BatchNorm1d(3, -1.0), ValueError, "eps: expected a number in"),
        (lambda: pyrnn.BatchNorm1d(3, momentum=2.0), ValueError, "momentum: expected a number in"),
        (lambda: pyrnn.BatchNorm1d(3)(np.ones((4, 2), "f")), ValueError, r"x: expected shape \("),
        (lambda: pyrnn.BatchNorm1d(3)(np.ones(3, "f")), ValueError, r"x: expected shape \(..., 3"),
        (lambda: pyrnn.BatchNorm1d(3)(np.ones((4, 3))), TypeError, "x: expected dtype float32"),
        (lambda: pyrnn.BatchNorm1d(3)(np.ones((1, 3), "f")), ValueError, "x: expected more than "),
        (
            lambda: pyrnn.BatchNorm1d(3).load_state_dict({"weight": np.ones(3)}),
            KeyError,
            "missing .'bias', 'running_mean', 'running_var', 'num_batches_tracked'",
        ),
        (
            lambda: pyrnn.BatchNorm1d(3).load_state_dict(
                {"num_batches_tracked": np.ones(())}, strict=False
            ),
            TypeError,
            "num_batches_tracked: expected whole numbers",
        ),
        (
            lambda: pyrnn.BatchNorm1d(3).load_state_dict(
                {"num_batches_tracked": np.array(-1)}, strict=False
            ),
            ValueError,
            "num_batches_tracked: expected a count of at least 0, got -1",
        ),
        (
            lambda: pyrnn.Sequential(pyrnn.BatchNorm1d(3, track_running_stats=False)).stream(),
            ValueError,
            "needs the end of the sequence first",
        ),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_an_error_changes_nothing():
    layer = make()
    before = layer.state_dict()
    wrong = {**layer.state_dict(), "weight": np.ones(3), "running_var": np.ones(4)}
    with pytest.raises(ValueError, match="running_var"):
        layer.load_state_dict(wrong)
    assert all(np.array_equal(layer.state_dict()[n], a) for n, a in before.items())


def test_rows_that_do_not_count(backend):
    """As if they were not there: statistics, averages, gradients; whatever is in them."""
    x, dy = random(6, 4, 3), random(6, 4, 3, seed=1)
    mask = random(6, 4, seed=2) > 0
    for train in (True, False):
        layer, twin = (made if train else made.eval() for made in (make(), make()))
        y, _, cache = twin.forward(x[mask])
        dx, _, grads = twin.backward(cache, dy[mask])
        spoiled, dspoiled = (np.where(mask[..., None], array, np.nan) for array in (x, dy))
        found, _, cache = layer.forward(spoiled, mask=mask)
        gradient, _, mine = layer.backward(cache, dspoiled)
        assert np.array_equal(found[mask], y)
        assert np.array_equal(gradient[mask], dx)
        assert not found[~mask].any()
        assert not gradient[~mask].any()
        for name in grads:
            assert np.array_equal(mine[name], grads[name])
        for name in BUFFERS:
            assert np.array_equal(layer.buffers[name], twin.buffers[name])
        assert np.array_equal(layer.eval()(spoiled, mask=mask)[mask], twin.eval()(x[mask]))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("by", ["lengths", "mask", "both"])
def test_padding_of_a_row_of_layers_does_not_count(by, batch_first, backend):
    """However far sequences are padded, in a nested row of layers as well."""

    def model():
        return pyrnn.Sequential(
            norm=make(2),
            rnn=pyrnn.GRU(2, 3, batch_first=batch_first, dtype="float64", seed=0),
            block=pyrnn.Sequential(norm=make(3), relu=pyrnn.Activation("relu")),
            last=pyrnn.MeanOverTime(batch_first=batch_first),
            end=make(3),
        )

    lengths = np.array([4, 1, 3])
    results = []
    for steps in (4, 7):
        x = np.full((steps, 3, 2), np.nan)
        inside = np.arange(steps)[:, None] < lengths
        x[inside] = random(8, 2)
        flags = np.concatenate([np.array([[1, 1, 1], [0, 1, 1]], bool), inside[2:]])
        options = {"mask": inside} if by == "mask" else {"lengths": lengths}
        options |= {"mask": flags} if by == "both" else {}
        if batch_first:
            x = x.swapaxes(0, 1).copy()
            options |= {"mask": options["mask"].T} if "mask" in options else {}
        layer = model()
        y, _, cache = layer.forward(x, **options)
        _, _, grads = layer.backward(cache, random(3, 3, seed=3))
        results.append([y, *grads.values(), *layer.buffers.values(), layer.eval()(x, **options)[0]])
    for one, other in zip(*results, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)


def test_parts_of_a_batch_are_the_whole(backend):
    """Of four processes, of which one has no rows, and one a single one."""
    x, dy, layer = random(9, 3) + 5, random(9, 3, seed=1), make()
    y, _, cache = layer.forward(x)
    dx, _, grads = layer.backward(cache, dy)
    cuts = [slice(0, 4), slice(4, 4), slice(4, 5), slice(5, 9)]

    def work(comm):
        part, cut = make(), cuts[comm.Get_rank()]
        with pyrnn.use_backend(backend), shared_batch(BatchExchange(ranks_of(comm))):
            own, _, cache = part.forward(x[cut])
            assert len(own) == len(x[cut])
            gradient, _, mine = part.backward(cache, dy[cut])
        return own, gradient, mine, part.buffers

    outputs, gradients, sums, buffers = zip(*on_ranks(4, work), strict=True)
    np.testing.assert_allclose(np.concatenate(outputs), y, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate(gradients), dx, rtol=1e-12, atol=1e-14)
    for name in grads:
        np.testing.assert_allclose(sum(own[name] for own in sums), grads[name], rtol=1e-12)
    for name in BUFFERS:
        np.testing.assert_allclose(buffers[0][name], layer.buffers[name], rtol=1e-12)
        assert all(np.array_equal(own[name], buffers[0][name]) for own in buffers)


def test_masks_that_do_not_fit():
    layer, x = make(), random(4, 2, 3)
    with pytest.raises(TypeError, match="mask: expected dtype bool, got int64"):
        layer(x, mask=np.ones((4, 2), np.int64))
    with pytest.raises(ValueError, match=r"mask: expected shape \(4, 2\), got \(2, 4\)"):
        layer.forward(x, mask=np.ones((2, 4), bool))
    with pytest.raises(ValueError, match="x: expected more than one row"):
        layer(x, mask=np.arange(8).reshape(4, 2) == 3)
