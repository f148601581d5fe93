"""scikit-learn's own checks of estimators."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from pyrnn.sklearn import RNNClassifier, RNNRegressor

# In float64 and with all sequences in one batch, a weight of 2 is a sequence twice, exactly.
EXACT = {"hidden_size": 8, "batch_size": 1000, "learning_rate_init": 0.05, "dtype": "float64"}
WEIGHTS_ARE_NO_COPIES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a sequence that is there twice is in two batches, where one of weight 2 is in one; and "
        "float32 has 7 digits, which is what is compared"
    )
}


@parametrize_with_checks(
    [RNNClassifier(**EXACT), RNNRegressor(**EXACT, bidirectional=False, max_iter=60)]
)
def test_without_exceptions(estimator, check):
    check(estimator)


@pytest.mark.long
@parametrize_with_checks(
    [RNNClassifier(), RNNRegressor()], expected_failed_checks=lambda _: WEIGHTS_ARE_NO_COPIES
)
def test_defaults(estimator, check):
    check(estimator)
