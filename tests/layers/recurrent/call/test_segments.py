"""Masks with holes and resets: equal to a loop over single time steps, forward and backward."""

import copy
import warnings

import numpy as np
import pytest

import pyrnn
from pyrnn.layers.recurrent._call import segments

TIME_STEPS, ROWS, INPUTS, UNITS = 7, 5, 3, 4

RESET = np.zeros((TIME_STEPS, ROWS), bool)
RESET[[3, 0, 5, 6, 2], [0, 1, 1, 2, 3]] = True
MASK = np.random.default_rng(5).random((TIME_STEPS, ROWS)) < 0.6
MASK[:, 0] = [False, True, False, False, True, False, False]
MASK[:, 4] = False

GIVEN = {
    "mask": {"mask": MASK},
    "zero": {"mask": MASK, "zero_output_for_mask": True},
    "reset": {"reset": RESET},
    "both": {"mask": MASK, "reset": RESET},
}


@pytest.fixture(params=GIVEN.values(), ids=GIVEN)
def given(request):
    return request.param


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def parts(state):
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def whole(state):
    return state if len(state) > 1 else state[0]


def one_layer(layer, index, inputs):
    """A layer of one direction, with the parameters of one layer and direction."""
    suffix = layer._suffixes()[index]
    config = layer.config() | {
        "num_layers": 1,
        "bidirectional": False,
        "reverse": False,
        "merge_mode": "concat",
        "input_size": inputs,
    }
    single = type(layer).from_config(config)
    for name in single.parameters:
        single.parameters[name] = layer.parameters[name.replace("_l0", f"_{suffix}")]
    return single


def walked(single, x, state, lengths, reverse, mask, reset, zero):
    """One layer in one direction, by one call for each row and time step."""
    steps, rows = x.shape[:2]
    y = np.zeros((steps, rows, parts(state)[0].shape[-1]), x.dtype)
    final = [part.copy() for part in state]
    for row in range(rows):
        now = tuple(part[None, row : row + 1] for part in state)
        held = np.zeros(y.shape[2], x.dtype)
        times = range(lengths[row])
        for time in reversed(times) if reverse else times:
            # The end of a segment is its beginning for a layer that runs in reverse.
            begins = (
                time + 1 < lengths[row] and reset[time + 1, row] if reverse else reset[time, row]
            )
            if begins:
                now = tuple(np.zeros_like(part) for part in now)
                held = np.zeros_like(held)
            if mask[time, row]:
                output, after = single(x[time : time + 1, row : row + 1], whole(now))
                now, held = parts(after), output[0, 0]
                y[time, row] = held
            elif not zero:
                y[time, row] = held
        for into, part in zip(final, now, strict=True):
            into[row] = part[0, 0]
    return y, final


def expected(layer, x, state, lengths, mask=None, reset=None, zero_output_for_mask=False):
    """All layers and directions."""
    shape = x.shape[:2]
    mask = np.ones(shape, bool) if mask is None else mask
    reset = np.zeros(shape, bool) if reset is None else reset
    lengths = [len(x)] * x.shape[1] if lengths is None else lengths
    finals = []
    for number in range(layer.num_layers):
        outputs = []
        zero = zero_output_for_mask
        for direction in range(layer.num_directions):
            index = number * layer.num_directions + direction
            reverse = layer.reverse or direction == 1
            before = [part[index] for part in state]
            single = one_layer(layer, index, x.shape[2])
            y, final = walked(single, x, before, lengths, reverse, mask, reset, zero)
            outputs.append(y)
            finals.append(final)
        x = outputs[0]
        if len(outputs) == 2:
            merge = {
                "concat": lambda a, b: np.concatenate([a, b], 2),
                "sum": np.add,
                "mul": np.multiply,
                "ave": lambda a, b: (a + b) * a.dtype.type(0.5),
            }
            x = merge[layer.merge_mode](*outputs)
    return x, [np.stack(part) for part in zip(*finals, strict=True)]


OPTIONS = (
    {},
    {"reverse": True},
    {"num_layers": 2, "bidirectional": True},
    {"bidirectional": True, "merge_mode": "mul"},
    {"bidirectional": True, "merge_mode": "ave"},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("lengths", [None, [7, 4, 0, 5, 3]], ids=["full", "lengths"])
def test_a_loop_over_steps(make_layer, options, lengths, given, backend, assert_close):
    layer = make_layer(INPUTS, UNITS, dtype="float32", seed=1, **options)
    x = random(TIME_STEPS, ROWS, INPUTS, dtype="float32")
    stacked = layer.num_layers * layer.num_directions
    state = [
        random(stacked, ROWS, UNITS, dtype="float32", seed=n)
        for n in range(len(layer._state_names))
    ]
    y, final = layer(x, whole(tuple(state)), lengths, **given)
    wanted_y, wanted_final = expected(layer, x, state, lengths, **given)
    for got, wanted in zip((y, *parts(final)), (wanted_y, *wanted_final), strict=True):
        if backend == "native":
            assert np.array_equal(got, wanted)
        else:
            assert_close(got, wanted, 1e-6)


class Given:
    """A layer that is always called with the same mask and resets."""

    def __init__(self, layer, given):
        self.layer, self.given, self.parameters = layer, given, layer.parameters

    def forward(self, x, state=None, lengths=None):
        return self.layer.forward(x, state, lengths, **self.given)

    def backward(self, cache, dy, dstate=None):
        return self.layer.backward(cache, dy, dstate)

    def __deepcopy__(self, memo):
        return Given(copy.deepcopy(self.layer, memo), self.given)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients(options, given, backend):
    layer = pyrnn.LSTM(2, 3, dtype="float64", seed=1, **options)
    stacked = layer.num_layers * layer.num_directions
    state = (random(stacked, ROWS, 3, seed=3), random(stacked, ROWS, 3, seed=4))
    report = pyrnn.gradcheck(Given(layer, given), random(TIME_STEPS, ROWS, 2), state, samples=5)
    assert report, str(report)


def test_gradients_of_every_variant(make_variant, backend):
    layer = make_variant(2, 3, dtype="float64", seed=1)
    given = Given(layer, {"mask": MASK[:4], "reset": RESET[:4]})
    report = pyrnn.gradcheck(given, random(4, ROWS, 2), samples=4)
    assert report, str(report)


@pytest.mark.parametrize("training", [True, False])
def test_a_mask_that_is_a_prefix_has_the_bits_of_lengths(make_noisy, training, backend):
    lengths = np.array([7, 4, 0, 1, 5])
    prefix = np.arange(TIME_STEPS)[:, None] < lengths
    noise = {} if make_noisy is pyrnn.MinGRU else {"recurrent_dropout": 0.3}
    results = []
    for given in ({"lengths": lengths}, {"mask": prefix, "zero_output_for_mask": True}):
        layer = make_noisy(3, 4, 2, bidirectional=True, dropout=0.2, zoneout=0.2, seed=1, **noise)
        layer.train() if training else layer.eval()
        y, state, cache = layer.forward(random(TIME_STEPS, ROWS, 3, dtype="float32"), **given)
        dx, dstate, grads = layer.backward(cache, random(*y.shape, dtype="float32", seed=2))
        results.append([y, *parts(state), dx, *parts(dstate), *grads.values()])
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_reset_is_the_segments_by_themselves(make_layer):
    layer = make_layer(INPUTS, UNITS, 2, seed=1)
    x = random(TIME_STEPS, ROWS, INPUTS, dtype="float32")
    reset = np.zeros((TIME_STEPS, ROWS), bool)
    reset[3] = True
    y, final = layer(x, reset=reset)
    first, _ = layer(x[:3])
    second, last = layer(x[3:])
    assert np.array_equal(y, np.concatenate([first, second]))
    assert all(map(np.array_equal, parts(final), parts(last)))


def test_layouts_indices_checkpoints_and_eval(given, backend):
    layer = pyrnn.GRU(INPUTS, UNITS, seed=1)
    indices = np.random.default_rng(0).integers(0, INPUTS, (TIME_STEPS, ROWS))
    y, _, cache = layer.forward(indices, **given)
    dx, _, grads = layer.backward(cache, np.ones_like(y))
    assert dx is None
    rowwise = pyrnn.GRU(INPUTS, UNITS, batch_first=True, seed=1)
    turned = {n: v.T if isinstance(v, np.ndarray) else v for n, v in given.items()}
    other, _, cache = rowwise.forward(np.eye(INPUTS, dtype="float32")[indices.T], **turned)
    assert np.array_equal(other.swapaxes(0, 1), y)
    assert rowwise.backward(cache, np.ones_like(other))[0].shape == (ROWS, TIME_STEPS, INPUTS)
    again, _, cache = layer.forward(indices, checkpoint=2, **given)
    assert np.array_equal(again, y)
    same = layer.backward(cache, np.ones_like(y))[2]
    assert all(np.array_equal(same[name], grads[name]) for name in grads)
    assert np.array_equal(layer.eval()(indices, **given)[0], y)
    row = {n: v[:, 0] if isinstance(v, np.ndarray) else v for n, v in given.items()}
    assert np.array_equal(layer(indices[:, 0], **row)[0], y[:, 0])


def test_an_empty_batch(given, backend):
    layer = pyrnn.GRU(INPUTS, UNITS, seed=1)
    given = {n: v[:, :0] if isinstance(v, np.ndarray) else v for n, v in given.items()}
    y, _, cache = layer.forward(np.zeros((TIME_STEPS, 0, INPUTS), "float32"), **given)
    dx, _, grads = layer.backward(cache, y)
    assert dx.shape == (TIME_STEPS, 0, INPUTS)
    assert not any(grad.any() for grad in grads.values())


def test_segments_of_unlike_lengths_waste_at_most_half():
    reset = np.zeros((256, 4), bool)
    reset[:, 1:] = True
    found = segments.groups((256, 4), None, None, reset, False)
    assert sum(group.steps * len(group.rows) for group in found) <= 2 * reset.size
    assert len(found) > 1
    layer = pyrnn.GRU(2, 3, dtype="float64", seed=1)
    x = random(256, 4, 2)
    y, _, cache = layer.forward(x, reset=reset)
    assert np.array_equal(y[:, :1], layer(x[:, :1])[0])
    assert np.array_equal(y[:, 1], layer(x[None, :, 1])[0][0])
    total = layer.backward(cache, np.ones_like(y))[2]["weight_hh_l0"]
    one, _, cache = layer.forward(x[:, :1])
    # Segments of one step begin with zeros, so that only the first row has a gradient here.
    expected = layer.backward(cache, np.ones_like(one))[2]["weight_hh_l0"]
    assert np.allclose(total, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"mask": np.ones((7, 5))}, TypeError, "mask: expected dtype bool, got float64"),
        ({"mask": np.ones((5, 7), bool)}, ValueError, r"mask: expected shape \(7, 5\), got"),
        ({"reset": np.ones((7, 5), int)}, TypeError, "reset: expected dtype bool, got int64"),
        ({"reset": np.ones(7, bool)}, ValueError, r"reset: expected shape \(7, 5\), got \(7,\)"),
        ({"zero_output_for_mask": 1}, TypeError, "zero_output_for_mask: expected True or False"),
    ],
    ids=str,
)
def test_wrong_arguments(given, error, message):
    layer = pyrnn.GRU(3, 4)
    with pytest.raises(error, match=message):
        layer.forward(np.zeros((7, 5, 3), np.float32), **given)


def test_truncated_back_propagation_needs_whole_sequences():
    layer = pyrnn.GRU(3, 4)
    y, _, cache = layer.forward(np.zeros((7, 5, 3), np.float32), mask=MASK)
    with pytest.raises(NotImplementedError, match="without mask or reset"):
        layer.backward_truncated(cache, y, 2, 2)


def test_infinite_gradients_of_a_held_output_add_up_without_a_warning():
    layer = pyrnn.GRU(2, 3, dtype="float64", seed=0)
    mask = np.array([[True], [False]])
    _, _, cache = layer.forward(np.ones((2, 1, 2)), mask=mask)
    dy = np.array([[[np.inf, 1.0, 1.0]], [[-np.inf, 1.0, 1.0]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dx, _, _ = layer.backward(cache, dy)
    assert np.isnan(dx[0]).all()
