"""Estimators for scikit-learn: `RNNClassifier`, `RNNRegressor`, `RNNForecaster`.

Needs the extra ``sklearn``. Within this package ``sklearn`` is scikit-learn, as everywhere.
"""

from pyrnn._imports import extras

extras.require("sklearn", "sklearn")

from pyrnn.sklearn.classifier import RNNClassifier  # noqa: E402
from pyrnn.sklearn.forecasting.backtest import Backtest  # noqa: E402
from pyrnn.sklearn.forecasting.forecaster import RNNForecaster  # noqa: E402
from pyrnn.sklearn.regressor import RNNRegressor  # noqa: E402

__all__ = ["Backtest", "RNNClassifier", "RNNForecaster", "RNNRegressor"]
