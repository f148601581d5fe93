"""The X of estimators: what is taken, what is the same, what is refused."""

import collections

import numpy as np
import pytest

pytest.importorskip("sklearn")

from pyrnn.sklearn import RNNClassifier, RNNRegressor
from pyrnn.sklearn._sequences import scaler_of


def small(**options):
    return RNNClassifier(hidden_size=4, max_iter=2, random_state=0, **options)


def objects(parts):
    array = np.empty(len(parts), object)
    array[:] = parts
    return array


def test_arrays_lists_and_arrays_of_objects_are_the_same(even):
    X, y = even
    expected = small().fit(X, y).predict_proba(X)
    for form in (list(X), tuple(X), objects(list(X)), X.tolist()):
        np.testing.assert_array_equal(small().fit(form, y).predict_proba(form), expected)


def test_a_row_of_a_table_is_a_sequence_of_one_feature(even):
    X, y = even[0][..., 0], even[1]
    table, sequences = small().fit(X, y), small().fit(X[..., None], y)
    assert (table.n_features_in_, sequences.n_features_in_) == (6, 1)
    expected = sequences.predict_proba(X[..., None])
    np.testing.assert_array_equal(table.predict_proba(X), expected)
    np.testing.assert_array_equal(sequences.predict_proba(X), expected)
    np.testing.assert_array_equal(table.predict_proba(X[..., None]), expected)
    with pytest.raises(ValueError, match="X has 5 features, but RNNClassifier is expecting 6"):
        table.predict(X[:, :5])
    assert sequences.predict(X[:, :5]).shape == (60,)  # sequences have any length


def test_sequences_of_numbers(ragged):
    X, y = ragged
    short = [part[:, 0] for part in X]
    columns = small().fit([part[:, :1] for part in X], y).predict_proba(short)
    np.testing.assert_array_equal(small().fit(short, y).predict_proba(short), columns)


def test_a_prediction_does_not_depend_on_the_others(ragged):
    X, y = ragged
    classifier = small().fit(X, y)
    alone = np.concatenate([classifier.predict_proba([part]) for part in X])
    np.testing.assert_array_equal(classifier.predict_proba(X), alone)


def test_a_data_frame_names_the_columns(even):
    pandas = pytest.importorskip("pandas")
    X, y = pandas.DataFrame(even[0][..., 0], columns=list("abcdef")), even[1]
    classifier = small().fit(X, y)
    assert classifier.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(X[list("fedcba")])
    assert not hasattr(classifier.fit(even[0], y), "feature_names_in_")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([np.ones((3, 2)), np.ones((2, 3))], r"X\[1\]: expected 2 features as in X\[0\], got 3"),
        ([np.ones((3, 2)), np.ones((0, 2))], r"X\[1\]: expected shape \(T, features\), not empty"),
        ([np.ones((3, 2)), np.full((1, 2), np.nan)], r"Input X\[1\] contains NaN"),
        ([np.ones((3, 2)), np.ones((1, 2), complex)], r"X\[1\]: expected numbers, got dtype"),
        ([np.ones((3, 2)), np.ones((1, 2, 2))], r"X\[1\]: expected shape \(T, features\)"),
        (np.ones((2, 0, 3)), r"X: expected shape \(N, T, features\), none 0"),
        (np.full((2, 4, 3), np.inf), "Input X contains infinity"),
        (np.ones((2, 3, 2, 2)), "dim 4"),
    ],
)
def test_what_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        small().fit(X, [0, 1])


def test_other_features_than_in_the_fit_are_refused(ragged):
    X, y = ragged
    classifier = small().fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but RNNClassifier is expecting 2"):
        classifier.predict([np.ones((4, 3))])
    with pytest.raises(ValueError, match=r"X: expected shape \(N, T, 2\), or a list"):
        classifier.predict(np.ones((4, 3)))


def test_features_are_standardised_over_all_steps(ragged):
    X, y = ragged
    shifted = [part * [1e-3, 40] + [1e4, -7] for part in X]
    expected = small(dtype="float64").fit(X, y).predict_proba(X)
    got = small(dtype="float64").fit(shifted, y).predict_proba(shifted)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    classifier = small(standardize=False).fit(X, y)
    assert classifier.scaler_.mean.tolist() == [0, 0]
    steps = np.concatenate(X)
    np.testing.assert_allclose(small().fit(X, y).scaler_.mean, steps.mean(axis=0))


def test_a_scaler_of_weighted_sequences(ragged):
    X, _ = ragged
    weights = np.arange(len(X)) % 3
    repeated = scaler_of([p for p, w in zip(X, weights, strict=True) for _ in range(w)], None)
    np.testing.assert_allclose(scaler_of(X, weights.astype(float)), repeated)


def test_a_constant_feature_stays_finite(even):
    X = even[0].copy()
    X[..., 1] = 0.1  # whose mean is not exactly 0.1
    regressor = RNNRegressor(hidden_size=4, max_iter=2).fit(X, X[..., 0].mean(axis=1))
    assert regressor.scaler_.scale[1] == 1
    assert np.isfinite(regressor.predict(X)).all()


def masked(array):
    return np.ma.masked_array(array, mask=array > 1)


def frames_of(pandas, X):
    """The same sequences as other containers hold them."""
    columns = {name: [part[:, k] for part in X] for k, name in enumerate(("a", "b"))}
    return {
        "series of arrays": pandas.Series(list(X)),
        "series with an index": pandas.Series(list(X), index=range(100, 100 + len(X))),
        "series of lists": pandas.Series([part.tolist() for part in X]),
        "series of frames": pandas.Series([pandas.DataFrame(part) for part in X]),
        "one column": pandas.DataFrame({"a": list(X)}),
        "a column for each feature": pandas.DataFrame(columns),
        "a column of Series for each feature": pandas.DataFrame(
            {name: [pandas.Series(cell) for cell in cells] for name, cells in columns.items()}
        ),
        "deque": collections.deque(X),
    }


def test_containers_of_sequences(ragged):
    pandas = pytest.importorskip("pandas")
    X, y = ragged
    expected = small().fit(X, y).predict_proba(X)
    for name, form in frames_of(pandas, X).items():
        found = small().fit(form, pandas.Series(y)).predict_proba(form)
        np.testing.assert_array_equal(found, expected, name)


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("row", [0, 5])
def test_a_missing_sequence_is_named(ragged, missing, row):
    pandas = pytest.importorskip("pandas")
    X, y = ragged
    cells = list(X)
    cells[row] = missing
    with pytest.raises(ValueError, match=rf"X\[{row}\]: expected shape \(T, features\)"):
        small().fit(pandas.Series(cells), y)


def test_a_buffer_is_an_array(even):
    X, y = even
    expected = small().fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(small().fit(memoryview(X), y).predict_proba(X), expected)


def test_a_series_of_targets_for_each_step(ragged):
    pandas = pytest.importorskip("pandas")
    X = ragged[0]
    steps = [np.arange(len(part)) % 2 for part in X]
    for make in (small, lambda: RNNRegressor(hidden_size=4, max_iter=2, random_state=0)):
        expected = make().fit(X, steps).predict(X)
        for y in (pandas.Series(steps), pandas.DataFrame({"y": steps})):
            for one, other in zip(make().fit(X, y).predict(X), expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda X: iter(list(X)), TypeError, "X: expected an array, .* got list_iterator"),
        (lambda X: dict(enumerate(X)), TypeError, "X: .* got dict"),
        (lambda X: "text", TypeError, "X: .* got str"),
        (lambda X: masked(X), ValueError, "X: expected an array without a mask"),
        (lambda X: masked(X[..., 0]), ValueError, "X: expected an array without a mask"),
        (lambda X: [masked(part) for part in X], ValueError, r"X\[0\]: expected an array without"),
        (lambda X: np.full((len(X), 3), None), ValueError, "X contains NaN"),
    ],
)
def test_other_containers_are_refused(even, change, error, match):
    X, y = even
    with pytest.raises(error, match=match):
        small().fit(change(X), y)


def test_columns_of_other_lengths_are_refused(ragged):
    pandas = pytest.importorskip("pandas")
    X, y = ragged
    for second in ([part[:-1, 0] for part in X], 1.0):
        frame = pandas.DataFrame({"a": [part[:, 0] for part in X], "b": second})
        with pytest.raises(ValueError, match=r"X\[0\]: expected columns of one length"):
            small().fit(frame, y)


def test_a_target_that_is_missing_or_masked_is_refused(even):
    X, y = even
    with pytest.raises(ValueError, match="y contains NaN"):
        RNNRegressor(hidden_size=4, max_iter=2).fit(X, [None] * len(X))
    for make in (small, RNNRegressor):
        with pytest.raises(ValueError, match="y: expected an array without a mask"):
            make().fit(X, np.ma.masked_array(y, mask=np.arange(len(y)) == 0))
