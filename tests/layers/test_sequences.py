"""Sequences of different lengths: there and back, torch's forms, errors."""

import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyrnn

ORDERS = pytest.mark.parametrize("batch_first", [False, True])


@st.composite
def batches(draw):
    """Lists of sequences: floats with features, or integers."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["float32", "float64", "int64", "uint8"]))
    if np.dtype(dtype).kind == "f":
        features = draw(st.integers(1, 3))
        return [generator.standard_normal((n, features)).astype(dtype) for n in lengths]
    return [generator.integers(0, 200, n).astype(dtype) for n in lengths]


def floats(*lengths, features=2):
    generator = np.random.default_rng(0)
    return [generator.standard_normal((n, features)).astype(np.float32) for n in lengths]


def assert_same(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert np.array_equal(one, other)


# --- there and back -------------------------------------------------------------------------


@given(sequences=batches(), batch_first=st.booleans())
def test_padded_and_back(sequences, batch_first):
    x, lengths = pyrnn.pad_sequence(sequences, batch_first)
    assert lengths.dtype == np.int64
    assert lengths.tolist() == [len(s) for s in sequences]
    by_row = x if batch_first else x.swapaxes(0, 1)
    assert by_row.shape == (len(sequences), max(lengths), *sequences[0].shape[1:])
    for row, sequence in zip(by_row, sequences, strict=True):
        assert np.array_equal(row[: len(sequence)], sequence)
        assert not row[len(sequence) :].any()
    assert_same(pyrnn.unpad_sequence(x, lengths, batch_first), sequences)


@given(sequences=batches(), batch_first=st.booleans())
def test_packed_and_back(sequences, batch_first):
    x, lengths = pyrnn.pad_sequence(sequences, batch_first)
    packed = pyrnn.pack_padded_sequence(x, lengths, batch_first)
    assert_same(packed, pyrnn.pack_sequence(sequences))
    back, counts = pyrnn.pad_packed_sequence(packed, batch_first)
    assert_same([back, counts], [x, lengths])


@given(sequences=batches())
def test_packed_form_is_its_definition(sequences):
    """At each step the sequences that have it, the longest first."""
    packed = pyrnn.pack_sequence(sequences)
    order = sorted(range(len(sequences)), key=lambda n: -len(sequences[n]))
    longest = len(sequences[order[0]])
    rows = [sequences[n][t] for t in range(longest) for n in order if t < len(sequences[n])]
    assert np.array_equal(packed.data, np.stack(rows))
    assert packed.batch_sizes.tolist() == [
        sum(t < len(s) for s in sequences) for t in range(longest)
    ]
    assert packed.sorted_indices.tolist() == order
    assert packed.sorted_indices[packed.unsorted_indices].tolist() == list(range(len(sequences)))
    assert {a.dtype for a in packed[1:]} == {np.dtype(np.int64)}


def test_what_lies_past_the_lengths_is_left_out():
    x = np.full((5, 2, 3), np.nan, np.float32)
    x[:3, 0], x[:2, 1] = 1, 2
    packed = pyrnn.pack_padded_sequence(x, [3, 2])
    assert np.isfinite(packed.data).all()
    assert_same([packed.batch_sizes], [np.array([2, 2, 1])])
    back, _ = pyrnn.pad_packed_sequence(packed)
    assert back.shape == (3, 2, 3)


def test_results_are_copies():
    (sequence,) = floats(3)
    x, lengths = pyrnn.pad_sequence([sequence])
    data = pyrnn.pack_padded_sequence(x, lengths).data
    (part,) = pyrnn.unpad_sequence(x, lengths)
    x[...] = 9
    assert np.array_equal(data, sequence)
    assert np.array_equal(part, sequence)


def test_other_memory_layouts_and_byte_orders():
    sequences = floats(3, 5)
    expected = pyrnn.pack_sequence(sequences)
    others = [s.astype(">f4") for s in sequences]
    assert_same(pyrnn.pack_sequence(others), expected)
    assert_same(pyrnn.pack_sequence([np.asfortranarray(s) for s in sequences]), expected)
    integers = [np.array([1, 2], ">i4"), np.array([3], ">i4")]
    assert_same([pyrnn.pack_sequence(integers).data], [np.array([1, 3, 2], np.int32)])


def test_lists_of_numbers():
    x, lengths = pyrnn.pad_sequence([[1, 2, 3], (4,)])
    assert x.tolist() == [[1, 4], [2, 0], [3, 0]]
    assert lengths.tolist() == [3, 1]
    assert pyrnn.pad_sequence([[[0.5, 1.0]]])[0].dtype == np.float64


@ORDERS
def test_a_layer_takes_them(make_layer, batch_first, backend, assert_close):
    layer = make_layer(2, 3, batch_first=batch_first, seed=0)
    sequences = floats(2, 5, 3)
    x, lengths = pyrnn.pad_sequence(sequences, batch_first)
    y, _ = layer(x, lengths=lengths)
    alone = [layer(sequence)[0] for sequence in sequences]
    assert_close(pyrnn.unpad_sequence(y, lengths, batch_first), alone, 1e-6)


# --- torch ----------------------------------------------------------------------------------


@given(sequences=batches(), batch_first=st.booleans())
def test_as_torch(sequences, batch_first):
    torch = pytest.importorskip("torch")
    utils = torch.nn.utils.rnn
    x, lengths = pyrnn.pad_sequence(sequences, batch_first)
    tensors = [torch.from_numpy(s) for s in sequences]
    assert np.array_equal(utils.pad_sequence(tensors, batch_first).numpy(), x)

    packed = pyrnn.pack_padded_sequence(x, lengths, batch_first)
    ours = utils.PackedSequence(*map(torch.from_numpy, packed))
    back, counts = utils.pad_packed_sequence(ours, batch_first)
    assert_same([back.numpy(), counts.numpy()], [x, lengths])

    theirs = utils.pack_padded_sequence(
        torch.from_numpy(x), torch.from_numpy(lengths), batch_first, enforce_sorted=False
    )
    assert np.array_equal(theirs.batch_sizes.numpy(), packed.batch_sizes)
    assert_same(pyrnn.pad_packed_sequence(theirs, batch_first), [x, lengths])


def test_torch_without_indices():
    torch = pytest.importorskip("torch")
    sequences = floats(4, 2, 2)
    theirs = torch.nn.utils.rnn.pack_sequence([torch.from_numpy(s) for s in sequences])
    assert theirs.sorted_indices is None
    assert_same(pyrnn.pad_packed_sequence(theirs), pyrnn.pad_sequence(sequences))


def test_torch_that_wants_a_gradient_says_so():
    torch = pytest.importorskip("torch")
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(2, 3, requires_grad=True)])
    with pytest.raises(TypeError, match=r"packed.data: expected an array, got Tensor: .*detach"):
        pyrnn.pad_packed_sequence(packed)


def test_one_kind_of_indices_is_enough():
    sequences = floats(2, 4, 3)
    packed = pyrnn.pack_sequence(sequences)
    expected = pyrnn.pad_sequence(sequences)
    for missing in ("sorted_indices", "unsorted_indices"):
        assert_same(pyrnn.pad_packed_sequence(packed._replace(**{missing: None})), expected)


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        ([], ValueError, "sequences: expected at least one array, got an empty list"),
        (np.zeros((2, 3, 4)), TypeError, "sequences: expected a list of arrays, got ndarray"),
        (None, TypeError, "sequences: expected a list of arrays, got NoneType"),
        ([None], TypeError, r"sequences\[0\]: expected float32 or float64, got NoneType"),
        ([[1, "a"]], TypeError, r"sequences\[0\]: expected float32 or float64, got <U21"),
        ([np.zeros((2, 3), "f2")], TypeError, r"sequences\[0\]: .* got float16"),
        ([np.zeros(2)], ValueError, r"expected floats of shape \(T, features\), got \(2,\)"),
        ([np.zeros((2, 2), int)], ValueError, r"expected integers of shape \(T,\), got \(2, 2\)"),
        ([*floats(2), np.zeros((2, 2))], TypeError, r"\[1\]: .* float32 as the first, got float64"),
        ([*floats(2), np.zeros(2, int)], TypeError, r"\[1\]: .* float32 as the first, got int64"),
        (
            [*floats(2), *floats(2, features=3)],
            ValueError,
            r"sequences\[1\]: expected shape \(T, 2\) as the first, got \(2, 3\)",
        ),
        (floats(2, 0), ValueError, r"sequences\[1\]: expected at least one step, got shape \(0, 2"),
    ],
    ids=str,
)
def test_wrong_lists(sequences, error, message):
    for function in (pyrnn.pad_sequence, pyrnn.pack_sequence):
        with pytest.raises(error, match=message):
            function(sequences)


X = np.zeros((5, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("x", "lengths", "error", "message"),
    [
        (X, [5], ValueError, r"lengths: expected shape \(2,\), got \(1,\)"),
        (X, [5, 0], ValueError, r"lengths: expected values in \[1, 5\], got \[5, 0\]"),
        (X, [6, 1], ValueError, r"lengths: expected values in \[1, 5\], got \[6, 1\]"),
        (X, [5.0, 1.0], TypeError, "lengths: expected integers, got dtype float64"),
        (X, None, TypeError, "lengths: expected integers, got dtype object"),
        (X[0], [3, 3], ValueError, r"expected floats of shape \(T, N, features\), got \(2, 3\)"),
        (X.astype(int), [5, 5], ValueError, r"x: expected integers of shape \(T, N\), got"),
        (X.astype(complex), [5, 5], TypeError, "x: expected float32 or float64, got complex128"),
        (X[:0], [1, 1], ValueError, r"x: expected at least one step and one row, got shape \(0, 2"),
        (X[:, :0], [], ValueError, r"x: expected at least one step and one row, got shape \(5, 0"),
    ],
    ids=str,
)
def test_wrong_batches(x, lengths, error, message):
    for function in (pyrnn.unpad_sequence, pyrnn.pack_padded_sequence):
        with pytest.raises(error, match=message):
            function(x, lengths)


def test_batch_first_says_its_shape():
    with pytest.raises(ValueError, match=r"x: expected floats of shape \(N, T, features\), got"):
        pyrnn.unpad_sequence(X[0], [2], batch_first=True)
    with pytest.raises(ValueError, match=r"lengths: expected shape \(5,\), got \(2,\)"):
        pyrnn.pack_padded_sequence(X, [2, 2], batch_first=True)


def test_enforce_sorted():
    message = r"lengths: expected the longest first because of enforce_sorted=True, got \[2, 5\]"
    with pytest.raises(ValueError, match=message):
        pyrnn.pack_padded_sequence(X, [2, 5], enforce_sorted=True)
    with pytest.raises(ValueError, match="lengths: expected the longest first"):
        pyrnn.pack_sequence(floats(2, 3), enforce_sorted=True)
    sequences = floats(3, 3, 1)
    assert_same(pyrnn.pack_sequence(sequences, enforce_sorted=True), pyrnn.pack_sequence(sequences))


PACKED = pyrnn.pack_sequence(floats(3, 1, 2))  # of batch sizes 3, 2, 1


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"data": None}, TypeError, r"packed.data: expected float32 or float64, got NoneType"),
        ({"data": np.zeros(6)}, ValueError, r"packed.data: .* \(sum of lengths, features\), got"),
        ({"batch_sizes": [3.0, 2.0, 1.0]}, TypeError, "packed.batch_sizes: expected integers"),
        ({"batch_sizes": []}, TypeError, "packed.batch_sizes: expected integers"),
        ({"batch_sizes": np.zeros(0, int)}, ValueError, r"packed.batch_sizes: expected shape \(T"),
        ({"batch_sizes": 6}, ValueError, r"batch_sizes: expected shape \(T,\), .* got \(\)"),
        (
            {"batch_sizes": [2, 3, 1]},
            ValueError,
            r"positive numbers that never increase, got \[2, 3, 1\]",
        ),
        (
            {"batch_sizes": [4, 2, 0]},
            ValueError,
            r"positive numbers that never increase, got \[4, 2, 0\]",
        ),
        ({"batch_sizes": [3, 3, 1]}, ValueError, "expected a sum of 6, as packed.data has 6 rows"),
        ({"batch_sizes": [2**63 - 1] * 2 + [8]}, ValueError, "expected a sum of 6"),
        (
            {"batch_sizes": np.array([2**64 - 1, 2], np.uint64)},
            ValueError,
            "positive numbers that never increase",
        ),
        ({"sorted_indices": [0, 1]}, ValueError, "packed.sorted_indices: expected each of 0 to 2"),
        ({"sorted_indices": [0, 1, 1]}, ValueError, r"each of 0 to 2 once, .* got \[0, 1, 1\]"),
        ({"sorted_indices": [0.0, 1.0, 2.0]}, TypeError, "packed.sorted_indices: expected integ"),
        ({"unsorted_indices": [0, 1, 3]}, ValueError, "packed.unsorted_indices: expected each of"),
        ({"unsorted_indices": [1, 0, 2]}, ValueError, "expected the inverse of sorted_indices"),
    ],
    ids=str,
)
def test_wrong_fields(fields, error, message):
    with pytest.raises(error, match=message):
        pyrnn.pad_packed_sequence(PACKED._replace(**fields))


def test_what_is_not_packed():
    for wrong in (X, None, [1, 2], types.SimpleNamespace(data=X)):
        with pytest.raises(TypeError, match="packed: expected a PackedSequence, got "):
            pyrnn.pad_packed_sequence(wrong)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_padding_to_a_length_with_a_value(batch_first, dtype):
    sequences = [np.arange(1, 4).astype(dtype), np.arange(1, 2).astype(dtype)]
    if dtype != np.int16:
        sequences = [array[:, None] for array in sequences]
    packed = pyrnn.pack_sequence(sequences)
    x, lengths = pyrnn.pad_packed_sequence(packed, batch_first, -7.0, total_length=5)
    by_time = x.swapaxes(0, 1) if batch_first else x
    assert by_time.shape[:2] == (5, 2)
    assert x.dtype == dtype
    assert lengths.tolist() == [3, 1]
    assert by_time.reshape(5, 2).T.tolist() == [[1, 2, 3, -7, -7], [1, -7, -7, -7, -7]]


def test_padding_agrees_with_torch():
    torch = pytest.importorskip("torch")
    packed = pyrnn.pack_sequence([np.ones((3, 2), "f"), np.ones((5, 2), "f")])
    theirs = torch.nn.utils.rnn.PackedSequence(*map(torch.from_numpy, packed))
    x, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs, True, 0.5, 7)
    np.testing.assert_array_equal(pyrnn.pad_packed_sequence(packed, True, 0.5, 7)[0], x.numpy())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"total_length": 2}, ValueError, "total_length: expected a whole number of at least 3"),
        ({"total_length": 3.0}, TypeError, "total_length: expected a whole number"),
        ({"padding_value": 0.5}, TypeError, "padding_value: expected a whole number"),
        ({"padding_value": 300}, ValueError, "padding_value: expected a whole number of at most"),
    ],
)
def test_wrong_padding(options, error, message):
    packed = pyrnn.pack_sequence([np.ones(3, np.int8)])
    with pytest.raises(error, match=message):
        pyrnn.pad_packed_sequence(packed, **options)


@pytest.mark.parametrize("batch_first", [False, True])
def test_more_axes_of_features_are_torchs(batch_first):
    torch = pytest.importorskip("torch")
    rnn = torch.nn.utils.rnn
    generator = np.random.default_rng(0)
    sequences = [generator.standard_normal((n, 2, 3)) for n in (2, 4, 1)]
    tensors = [torch.tensor(sequence) for sequence in sequences]
    x, lengths = pyrnn.pad_sequence(sequences, batch_first)
    theirs = rnn.pad_sequence(tensors, batch_first)
    assert np.array_equal(x, theirs.numpy())
    packed = pyrnn.pack_padded_sequence(x, lengths, batch_first)
    other = rnn.pack_padded_sequence(theirs, lengths, batch_first, enforce_sorted=False)
    assert np.array_equal(packed.data, other.data.numpy())
    back, counts = pyrnn.pad_packed_sequence(other, batch_first, padding_value=-1.0, total_length=5)
    expected, _ = rnn.pad_packed_sequence(other, batch_first, -1.0, 5)
    assert np.array_equal(back, expected.numpy())
    assert counts.tolist() == lengths.tolist()
    for one, sequence in zip(pyrnn.unpad_sequence(x, lengths, batch_first), sequences, strict=True):
        assert np.array_equal(one, sequence)
    assert np.array_equal(pyrnn.pack_sequence(sequences).data, packed.data)
    with pytest.raises(ValueError, match=r"expected shape \(T, 2, 3\) as the first"):
        pyrnn.pad_sequence([sequences[0], sequences[1][:, :1]])
