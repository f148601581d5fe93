"""Losses for regression: squared, absolute and Huber error, Gaussian likelihood, quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.training.losses import _reduction
from pyrnn.training.losses._reduction import Value


@public("pyrnn.losses")
def mse_loss(
    y: Any,
    targets: Any,
    *,
    reduction: str = "mean",
    mask: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
) -> tuple[Value, Array]:
    """Compute the squared error (y − t)² and its gradient.

    Parameters
    ----------
    y : array
        The output of the model, of any shape, float32 or float64.
    targets : array
        The targets, of the shape and dtype of ``y``. Nothing is broadcast.
    reduction : {"mean", "sum", "none"}
        How to combine the elements that count. "none" returns the loss of each element, and the
        gradient of each element's own loss.
    mask : array of bool, optional
        Which elements count, in the shape of ``y`` or of its first axes.
    lengths : array of int, optional
        The length of each sequence, (N,), for y (T, N, ...). Time steps past it do not count.
    batch_first : bool, default False
        Whether the batch is the first axis, for ``lengths``.

    Returns
    -------
    loss : float
        The loss, accumulated in float64; an array of float64 for "none".
    dy : array
        Gradient with respect to ``y``, of its shape and dtype; 0 where an element does not count.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or nothing counts for the mean.

    Notes
    -----
    Source: `torch.nn.functional.mse_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn import losses
    >>> losses.mse_loss(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    (2.0, array([0., 2.]))
    """
    y, t = _pair(y, targets)
    return _reduction.elementwise("mse", y, t, y.shape, {}, reduction, mask, lengths, batch_first)


@public("pyrnn.losses")
def l1_loss(
    y: Any,
    targets: Any,
    *,
    reduction: str = "mean",
    mask: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
) -> tuple[Value, Array]:
    """Compute the absolute error |y − t| and its gradient, which is 0 at 0.

    Parameters
    ----------
    y : array
        The output of the model, of any shape, float32 or float64.
    targets : array
        The targets, of the shape and dtype of ``y``. Nothing is broadcast.
    reduction : {"mean", "sum", "none"}
        How to combine the elements that count. "none" returns the loss of each element, and the
        gradient of each element's own loss.
    mask : array of bool, optional
        Which elements count, in the shape of ``y`` or of its first axes.
    lengths : array of int, optional
        The length of each sequence, (N,), for y (T, N, ...). Time steps past it do not count.
    batch_first : bool, default False
        Whether the batch is the first axis, for ``lengths``.

    Returns
    -------
    loss : float
        The loss, accumulated in float64; an array of float64 for "none".
    dy : array
        Gradient with respect to ``y``, of its shape and dtype; 0 where an element does not count.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or nothing counts for the mean.

    Notes
    -----
    Source: `torch.nn.functional.l1_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn import losses
    >>> losses.l1_loss(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    (1.0, array([0. , 0.5]))
    """
    y, t = _pair(y, targets)
    return _reduction.elementwise("l1", y, t, y.shape, {}, reduction, mask, lengths, batch_first)


@public("pyrnn.losses")
def huber_loss(
    y: Any,
    targets: Any,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    mask: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
) -> tuple[Value, Array]:
    """Compute the Huber loss, quadratic for small errors and linear for large, and its gradient.

    Parameters
    ----------
    y : array
        The output of the model, of any shape, float32 or float64.
    targets : array
        The targets, of the shape and dtype of ``y``. Nothing is broadcast.
    delta : float, default 1.0
        The absolute error up to which the loss is quadratic; above 0.
    reduction : {"mean", "sum", "none"}
        How to combine the elements that count. "none" returns the loss of each element, and the
        gradient of each element's own loss.
    mask : array of bool, optional
        Which elements count, in the shape of ``y`` or of its first axes.
    lengths : array of int, optional
        The length of each sequence, (N,), for y (T, N, ...). Time steps past it do not count.
    batch_first : bool, default False
        Whether the batch is the first axis, for ``lengths``.

    Returns
    -------
    loss : float
        The loss, accumulated in float64; an array of float64 for "none".
    dy : array
        Gradient with respect to ``y``, of its shape and dtype; 0 where an element does not count.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or nothing counts for the mean.

    Notes
    -----
    Source: Huber, "Robust estimation of a location parameter", 1964, in the form of
    `torch.nn.functional.huber_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn import losses
    >>> losses.huber_loss(np.array([1.5, 3.0]), np.array([1.0, 1.0]))
    (0.8125, array([0.25, 0.5 ]))
    """
    y, t = _pair(y, targets)
    width = _checks.finite_number("delta", delta, 0.0)
    if width == 0:
        raise ValueError("delta: expected a number above 0, got 0")
    return _reduction.elementwise(
        "huber", y, t, y.shape, {"delta": width}, reduction, mask, lengths, batch_first
    )


@public("pyrnn.losses")
def gaussian_nll_loss(
    y: Any,
    targets: Any,
    *,
    full: bool = False,
    reduction: str = "mean",
    mask: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
) -> tuple[Value, Array]:
    """Compute the negative log-likelihood of a Gaussian, and its gradient.

    The model outputs the mean and the logarithm of the variance.

    Parameters
    ----------
    y : array
        The output of the model, (..., 2 F), float32 or float64: F means, then the logarithms of F
        variances. Torch's function takes means and variances as two arguments.
    targets : array
        The targets, (..., F), of the dtype of ``y``. Each element has a loss.
    full : bool, default False
        Whether to add ln(2π)/2, which changes no gradient.
    reduction : {"mean", "sum", "none"}
        How to combine the elements that count. "none" returns the loss of each element, and the
        gradient of each element's own loss.
    mask : array of bool, optional
        Which elements count, in the shape of ``targets`` or of its first axes.
    lengths : array of int, optional
        The length of each sequence, (N,), for targets (T, N, ...). Time steps past it do not count.
    batch_first : bool, default False
        Whether the batch is the first axis, for ``lengths``.

    Returns
    -------
    loss : float
        The loss, accumulated in float64; an array of float64, of the targets' shape, for "none".
    dy : array
        Gradient with respect to ``y``, of its shape and dtype; 0 where an element does not count.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or nothing counts for the mean.

    Notes
    -----
    Source: Nix, Weigend, "Estimating the mean and variance of the target probability
    distribution", ICNN 1994; `torch.nn.functional.gaussian_nll_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn import losses
    >>> losses.gaussian_nll_loss(np.array([[2.0, 0.0]]), np.array([[1.0]]))  # mean 2, variance 1
    (0.5, array([[1., 0.]]))
    """
    output = _checks.any_float_array("y", y)
    if output.ndim == 0 or output.shape[-1] % 2 or not output.size:
        raise ValueError(f"y: expected shape (..., 2 F), not empty, got {output.shape}")
    shape = (*output.shape[:-1], output.shape[-1] // 2)
    t = _checks.float_array("targets", targets, output.dtype, shape)
    full = _checks.flag("full", full)
    return _reduction.elementwise(
        "gaussian_nll", output, t, shape, {"full": full}, reduction, mask, lengths, batch_first
    )


@public("pyrnn.losses")
def quantile_loss(
    y: Any,
    targets: Any,
    *,
    quantiles: Any = 0.5,
    reduction: str = "mean",
    mask: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
) -> tuple[Value, Array]:
    """Compute the pinball loss, whose minimum is at quantiles of the targets, and its gradient.

    Parameters
    ----------
    y : array
        The output of the model, float32 or float64: of the targets' shape for one quantile,
        (..., Q) for Q quantiles. Each element has a loss.
    targets : array
        The targets, (...), of the dtype of ``y``.
    quantiles : float or array, default 0.5
        The quantiles, above 0 and below 1; an array (Q,) if y has an axis for them.
    reduction : {"mean", "sum", "none"}
        How to combine the elements that count. "none" returns the loss of each element, and the
        gradient of each element's own loss.
    mask : array of bool, optional
        Which elements count, in the shape of ``y`` or of its first axes.
    lengths : array of int, optional
        The length of each sequence, (N,), for y (T, N, ...). Time steps past it do not count.
    batch_first : bool, default False
        Whether the batch is the first axis, for ``lengths``.

    Returns
    -------
    loss : float
        The loss, accumulated in float64; an array of float64 for "none".
    dy : array
        Gradient with respect to ``y``, of its shape and dtype; 0 where an element does not count.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or nothing counts for the mean.

    Notes
    -----
    max(q (t − y), (q − 1) (t − y)). Source: Koenker, Bassett, "Regression quantiles",
    Econometrica 46, 1978.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn import losses
    >>> y = np.array([[0.0, 1.0, 2.0]])
    >>> losses.quantile_loss(y, np.array([2.0]), quantiles=[0.1, 0.5, 0.9], reduction="sum")
    (0.7, array([[-0.1, -0.5,  0. ]]))
    """
    output = _checks.any_float_array("y", y)
    levels = _checks.as_array("quantiles", quantiles)
    if levels.dtype.kind != "f" or levels.ndim > 1 or not levels.size:
        shown = _checks.shown(quantiles)
        raise TypeError(f"quantiles: expected a number or an array of shape (Q,), got {shown}")
    if not ((levels > 0) & (levels < 1)).all():
        shown = _checks.shown(quantiles)
        raise ValueError(f"quantiles: expected numbers above 0 and below 1, got {shown}")
    shape = output.shape
    if levels.ndim:
        if not shape or shape[-1] != len(levels):
            raise ValueError(f"y: expected shape (..., {len(levels)}), got {shape}")
        shape = shape[:-1]
    t = _checks.float_array("targets", targets, output.dtype, shape)
    if levels.ndim:
        t = t[..., None]
    _check_some(output)
    options = {"quantiles": levels.astype(np.float64)}
    return _reduction.elementwise(
        "quantile", output, t, output.shape, options, reduction, mask, lengths, batch_first
    )


def _pair(y: Any, targets: Any) -> tuple[Array, Array]:
    """What a model gives and its targets, of one shape and dtype."""
    output = _checks.any_float_array("y", y)
    _check_some(output)
    return output, _checks.float_array("targets", targets, output.dtype, output.shape)


def _check_some(output: Array) -> None:
    if not output.size:
        raise ValueError(f"y: expected an element or more, got shape {output.shape}")
