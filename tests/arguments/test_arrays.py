"""Arrays of every kind at every entry point: taken as the plain array is, or refused by name."""

import warnings
from functools import partial

import numpy as np
import pytest

import pyrnn
from pyrnn import textbook
from pyrnn.textbook import cells as textbook_cells

T, N, F, H = 4, 3, 2, 3
RANDOM = np.random.default_rng(7)


def of_class(kind):
    def make(array):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)  # np.matrix
            return kind(array) if array.ndim == 2 or kind is not np.matrix else array

    return make


class Own(np.ndarray):
    """A subclass with an arithmetic of its own."""

    def __mul__(self, other):
        raise AssertionError("its own product was used")

    __imul__ = __rmul__ = __pow__ = __matmul__ = __add__ = __iadd__ = __mul__


class Protocol:
    """What is no array but can be seen as one."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class Interface:
    def __init__(self, array):
        self.array = np.ascontiguousarray(array)
        self.__array_interface__ = self.array.__array_interface__


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    view = raw.view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


TAKEN = {
    "matrix": of_class(np.matrix),
    "own class": lambda a: a.copy().view(Own),
    "recarray": lambda a: a.copy().view(np.recarray),
    "unmasked": lambda a: np.ma.array(a, mask=False),
    "fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "read-only": read_only,
    "__array__": Protocol,
    "__array_interface__": Interface,
}


def masked(array):
    mask = np.zeros(array.shape, bool)
    mask.flat[0] = True
    return np.ma.array(array, mask=mask)


REFUSED = {
    "masked": masked,
    "list of masked": lambda a: [masked(part) if np.ndim(part) else np.ma.masked for part in a],
    "complex": lambda a: a.astype(complex),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype(str),
    "dates": lambda a: np.zeros(a.shape, "M8[s]"),
    "structured": lambda a: np.zeros(a.shape, "f8,f8"),
    "none": lambda a: None,
    "0-d": lambda a: np.zeros((), a.dtype),
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "packed": lambda a: pyrnn.pack_sequence([np.ones((2, F), "f")]),
}


def floats(*shape):
    return RANDOM.standard_normal(shape)


def layer_forward(x):
    return pyrnn.LSTM(F, H, dtype="float64", seed=0)(x)[0]


def layer_state(state):
    return pyrnn.GRU(F, H, dtype="float64", seed=0)(np.ones((T, N, F)), state)[0]


def layer_backward(dy):
    layer = pyrnn.GRU(F, H, dtype="float64", seed=0)
    _, _, cache = layer.forward(np.ones((T, N, F)))
    return layer.backward(cache, dy)[0]


def truncated(dy):
    layer = pyrnn.GRU(F, H, dtype="float64", seed=0)
    _, _, cache = layer.forward(np.ones((T, N, F)))
    return layer.backward_truncated(cache, dy, 1, 2)[0]


def cell(x):
    return pyrnn.LSTMCell(F, H, dtype="float64", seed=0)(x)[0]


def cell_backward(dy, dstate=None):
    module = pyrnn.GRUCell(F, H, dtype="float64", seed=0)
    *_, cache = module.forward(np.ones((N, F)))
    return module.backward(cache, dy, dstate)[0]


def linear(x):
    return pyrnn.Linear(F, H, dtype="float64", seed=0)(x)


def linear_backward(dy):
    layer = pyrnn.Linear(F, H, dtype="float64", seed=0)
    *_, cache = layer.forward(np.ones((N, F)))
    return layer.backward(cache, dy)[0]


def embedding_backward(dy):
    layer = pyrnn.Embedding(F, H, dtype="float64", seed=0)
    *_, cache = layer.forward(np.array([0, 1, 0]))
    return layer.backward(cache, dy)[2]["weight"]


def stream(x_t):
    return pyrnn.GRU(F, H, dtype="float64", seed=0).stream(N).step(x_t)


def stream_state(state):
    opened = pyrnn.GRU(F, H, dtype="float64", seed=0).stream(N)
    opened.state = state
    return opened.state


def assigned(value):
    layer = pyrnn.Linear(F, H, dtype="float64", seed=0)
    layer.parameters["weight"] = value
    return layer.parameters["weight"]


def optimizer(kind, **options):
    def step(gradient):
        parameters = {"w": np.ones((N, F))}
        module = kind(parameters, lr=0.1, **options)
        for _ in range(2):
            module.step({"w": gradient})
        return parameters["w"]

    return step


def cross_entropy(logits):
    return pyrnn.softmax_cross_entropy(logits, np.array([0, 1, 0]))[1]


def padded(sequence):
    return pyrnn.pad_sequence([sequence, np.ones((2, F))])[0]


def packed(x):
    return pyrnn.pack_padded_sequence(x, [T, 1, 2]).data


def textbook_forward(x):
    parameters = {
        "Wax": np.ones((H, F)), "Waa": np.ones((H, H)), "Wya": np.ones((1, H)),
        "ba": np.ones((H, 1)), "by": np.ones((1, 1)),
    }  # fmt: skip
    return textbook.rnn_forward(x, np.zeros((H, N)), parameters)[0]


def textbook_cell(weight):
    module = textbook_cells.RNNCell(weight, np.eye(H), np.zeros(H), np.zeros(H))
    return module(np.ones((N, F)), np.zeros((N, H)))


def textbook_adam(gradient):
    parameters = {"W1": np.ones((N, F))}
    v, s = textbook.initialize_adam(parameters)
    textbook.update_parameters_with_adam(parameters, {"dW1": gradient}, v, s, 1)
    return parameters["W1"]


CALLS = {
    "x": (layer_forward, (T, N, F)),
    "state": (layer_state, (1, N, H)),
    "dy": (layer_backward, (T, N, H)),
    "dy truncated": (truncated, (T, N, H)),
    "x of a cell": (cell, (N, F)),
    "dy of a cell": (cell_backward, (N, H)),
    "dstate of a cell": (partial(cell_backward, np.ones((N, H))), (N, H)),
    "x of Linear": (linear, (N, F)),
    "dy of Linear": (linear_backward, (N, H)),
    "dy of Embedding": (embedding_backward, (N, H)),
    "x_t": (stream, (N, F)),
    "state of a stream": (stream_state, (1, N, H)),
    "weight": (assigned, (H, F)),
    "grads of SGD": (optimizer(pyrnn.SGD, momentum=0.9, nesterov=True), (N, F)),
    "grads of Adagrad": (optimizer(pyrnn.Adagrad), (N, F)),
    "grads of RMSprop": (optimizer(pyrnn.RMSprop), (N, F)),
    "grads of Adam": (optimizer(pyrnn.Adam, weight_decay=0.1), (N, F)),
    "grads of AdamW": (optimizer(pyrnn.AdamW), (N, F)),
    "logits": (cross_entropy, (N, F)),
    "sequences": (padded, (T, F)),
    "x to pack": (packed, (T, N, F)),
    "x of the textbook": (textbook_forward, (F, N, T)),
    "weight_ih of the textbook": (textbook_cell, (H, F)),
    "dW1 of the textbook": (textbook_adam, (N, F)),
    "softmax": (textbook.softmax, (N, F)),
}
MAY_BE_NONE = {"state", "dy", "dstate of a cell"}
TAKES_ANY_SHAPE = {"softmax"}


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize("name", CALLS)
def test_other_arrays_are_taken_as_the_plain_one(name, kind, backend):
    call, shape = CALLS[name]
    plain = floats(*shape)
    given = TAKEN[kind](plain)
    before = np.array(given)
    result = call(given)
    assert type(result) is np.ndarray
    assert np.array_equal(result, call(plain))
    assert np.array_equal(np.asarray(given), before)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_such_array_is_refused_by_name(name, kind, backend):
    call, shape = CALLS[name]
    given = REFUSED[kind](floats(*shape))
    argument = name.split()[0]
    if kind == "none" and name in MAY_BE_NONE:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # NumPy's, of a masked element in a list
        with pytest.raises((TypeError, ValueError)) as caught:
            call(given)
    message = str(caught.value)
    assert "\n" not in message or kind == "ragged"
    if argument == "softmax":
        argument = "x"
    assert argument in message, message


IN_PLACE = {
    "clip_grad_norm": lambda grads: pyrnn.clip_grad_norm(grads, 0.5),
    "clip_grad_value": lambda grads: pyrnn.clip_grad_value(grads, 0.5),
    "SGD": lambda p: pyrnn.SGD(p, lr=0.1, momentum=0.9).step({"w": np.ones((2, 2))}),
    "Adagrad": lambda p: pyrnn.Adagrad(p).step({"w": np.ones((2, 2))}),
    "RMSprop": lambda p: pyrnn.RMSprop(p).step({"w": np.ones((2, 2))}),
    "Adam": lambda p: pyrnn.Adam(p).step({"w": np.ones((2, 2))}),
    "AdamW": lambda p: pyrnn.AdamW(p).step({"w": np.ones((2, 2))}),
}


@pytest.mark.parametrize("kind", ["matrix", "own class", "recarray", "unmasked"])
@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_arrays_of_other_classes_are_changed_as_plain_ones(change, kind, backend):
    plain = np.array([[1.0, -2.0], [3.0, 4.0]])
    given = TAKEN[kind](plain)
    change({"w": given})
    change({"w": plain})
    assert np.array_equal(np.asarray(given), plain)


@pytest.mark.parametrize("kind", ["masked", "fortran", "big-endian", "unaligned"])
@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_what_cannot_be_changed_in_place(change, kind, backend):
    plain = np.array([[1.0, -2.0], [3.0, 4.0]])
    given = (TAKEN | REFUSED)[kind](plain)
    with pytest.raises((TypeError, ValueError), match=r"(grads|parameters)\['w'\]: expected"):
        change({"w": given})
    assert np.array_equal(np.asarray(given), plain)


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_arrays_that_share_memory_would_be_changed_twice(change, backend):
    block = np.ones(6)
    for other in (block[:4], block[3:], block[2:3]):
        with pytest.raises(ValueError, match=r"share no memory, got '.' and '.' that do"):
            change({"w": block[:4], "v": other, "u": np.ones(2)})
    assert np.array_equal(block, np.ones(6))


@pytest.mark.parametrize("kind", [pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam])
def test_gradients_that_share_memory_with_parameters(kind, backend):
    def run(gradient_of):
        block = np.arange(1.0, 7.0)
        p = {"a": block[:3], "b": block[3:]}
        kind(p, lr=0.5).step(gradient_of(p))
        return block

    shared = run(lambda p: {"a": p["b"], "b": p["a"]})
    assert np.array_equal(shared, run(lambda p: {"a": p["b"].copy(), "b": p["a"].copy()}))


def test_gradients_may_share_memory_with_each_other(backend):
    """Both biases of a layer have the same gradient."""
    p = {"a": np.ones(3), "b": np.ones(3)}
    gradient = np.ones(3)
    pyrnn.SGD(p, lr=0.5).step({"a": gradient, "b": gradient})
    assert np.array_equal(p["a"], p["b"])
    assert p["a"][0] == 0.5


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (np.ones((T, N, F)), r"got float64; use x\.astype\(np\.float32\), or a layer with dtype='"),
        (np.ones((T, N, F), np.float16), r"got float16; use x\.astype\(np\.float32\)$"),
        (np.ones((T, N, F)).tolist(), r"got float64; use np\.asarray\(x, dtype=np\.float32\), or"),
        (np.ones((T, N, F), bool), r"got bool; use x\.astype\(np\.float32\)$"),
        (np.ones((T, N, F), complex), "got complex128$"),
    ],
)
def test_what_to_do_about_another_dtype(given, advice, make_layer):
    with pytest.raises(TypeError, match=f"x: expected dtype float32, {advice}"):
        make_layer(F, H)(given)


def test_a_packed_sequence_says_how_to_unpack_it(make_layer):
    with pytest.raises(TypeError, match=r"got a PackedSequence; .*pad_packed_sequence.*lengths="):
        make_layer(F, H)(pyrnn.pack_sequence([np.ones((2, F), "f"), np.ones((3, F), "f")]))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("text", lambda nothing: pyrnn.CharacterModel("ab", seed=0).score(nothing)),
        ("texts", pyrnn.text.split),
        ("paths", pyrnn.text.load),
        ("callbacks", lambda nothing: _fitted(callbacks=nothing)),
    ],
)
def test_an_array_without_axes_is_no_sequence(name, call):
    """NumPy lets it count as one that can be iterated over, and refuses only then."""
    with pytest.raises(TypeError, match=f"{name}: expected"):
        call(np.array("abc"))


def _fitted(**options):
    model = pyrnn.Linear(1, 1, seed=0)
    trainer = pyrnn.Trainer(model, "mse", pyrnn.SGD(model.parameters))
    return trainer.fit((np.ones((2, 1, 1), np.float32), np.ones((2, 1, 1))), epochs=1, **options)
