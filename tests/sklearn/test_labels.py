"""Labels in types of pandas' own: classes and predictions are of the kind that was given."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
pandas = pytest.importorskip("pandas")

from pyrnn.sklearn import RNNClassifier  # noqa: E402

COUNT, STEPS = 12, 5
BITS = np.array([0, 1] * (COUNT // 2))
NAMES = np.array(["no", "yes"])[BITS]


def fitted(y):
    X = np.random.default_rng(0).standard_normal((COUNT, STEPS, 1))
    return X, RNNClassifier(max_iter=2, hidden_size=3, random_state=0).fit(X, y)


def labels():
    series = pandas.Series
    categories = pandas.Categorical(NAMES, categories=["never", "yes", "no"])
    return {
        "Int64": (pandas.array(BITS, dtype="Int64"), np.dtype("int64")),
        "Int8": (series(BITS - 1, dtype="Int8"), np.dtype("int8")),
        "UInt8": (series(BITS, dtype="UInt8", index=range(5, 5 + COUNT)), np.dtype("uint8")),
        "Index": (pandas.Index(BITS, dtype="Int32"), np.dtype("int32")),
        "boolean": (series(BITS, dtype="boolean"), np.dtype(bool)),
        "Float32": (series(BITS, dtype="Float32"), np.dtype("float32")),
        "string": (series(NAMES, dtype="string"), np.dtype(object)),
        "category": (series(categories), np.dtype(object)),
        "Categorical": (categories, np.dtype(object)),
        "category of int": (series(BITS + 3, dtype="category"), np.dtype("int64")),
        "category of bool": (series(BITS > 0, dtype="category"), np.dtype(bool)),
        "category of Int64": (
            series(series(BITS, dtype="Int64"), dtype="category"),
            np.dtype("int64"),
        ),
        "plain bool": (series(BITS > 0), np.dtype(bool)),
    }


@pytest.mark.parametrize("name", labels())
def test_predictions_are_of_the_kind_of_the_labels(name):
    y, dtype = labels()[name]
    X, estimator = fitted(y)
    plain = np.asarray(y if "category" not in name.lower() else list(y))
    _, same = fitted(plain.astype(str) if dtype.kind == "O" else plain.astype(dtype))
    assert estimator.classes_.dtype == dtype
    assert estimator.classes_.tolist() == sorted(set(plain.tolist()))
    predicted = estimator.predict(X)
    assert predicted.dtype == dtype
    assert predicted.tolist() == same.predict(X).tolist()
    assert estimator.score(X, y) == same.score(X, plain.astype(same.classes_.dtype))


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "string", "category"])
def test_labels_of_time_steps_are_of_their_kind(dtype):
    row = [0, 1, 0, 1, 1] if dtype in ("Int64", "boolean") else list("abaab")
    parts = [pandas.Series(row, dtype=dtype) for _ in range(COUNT)]
    kind = {"Int64": np.dtype("int64"), "boolean": np.dtype(bool)}.get(dtype, np.dtype(object))
    for y in (parts, pandas.Series(parts), [part.array for part in parts]):
        X, estimator = fitted(y)
        assert estimator.classes_.dtype == kind
        assert {part.dtype for part in estimator.predict(X)} == {kind}
        assert 0 <= estimator.score(X, y) <= 1


def test_tables_of_labels_are_of_their_kind():
    with pytest.warns(UserWarning, match="column-vector"):
        X, estimator = fitted(pandas.DataFrame({"y": BITS}, dtype="Int64"))
    assert estimator.predict(X).dtype == np.int64
    table = pandas.DataFrame([[0, 1, 0, 1, 0]] * COUNT, dtype="Int64")  # a column for each step
    X, estimator = fitted(table)
    assert estimator.predict(X).shape == (COUNT, STEPS)
    assert estimator.predict(X).dtype == np.int64


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "string", "category"])
def test_missing_labels_are_refused(dtype):
    values = [None, *(BITS[1:].tolist() if dtype in ("Int64", "boolean") else NAMES[1:].tolist())]
    with pytest.raises(ValueError, match="y contains NaN"):
        fitted(pandas.Series(values, dtype=dtype))
