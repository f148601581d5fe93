"""Losses of classes: softmax and sigmoid cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn import _checks, _pieces
from pyrnn._pickling import public
from pyrnn._types import Array, Indices
from pyrnn.backend import selection
from pyrnn.training.losses import _reduction
from pyrnn.training.losses._reduction import Counted, Value


@public("pyrnn")
def softmax_cross_entropy(
    logits: Any, targets: Any, reduction: str = "mean"
) -> tuple[float, Array]:
    """Cross-entropy of softmax(logits) against the right classes, and its gradient.

    Parameters
    ----------
    logits : array
        (..., V), float32 or float64: unnormalised scores.
    targets : array of int
        (...), the right class of each row, in [0, V).
    reduction : {"mean", "sum"}
        Over all rows.

    Returns
    -------
    loss : float
        In nats, accumulated in float64; divide by ln 2 for bits.
    dlogits : array
        Gradient with respect to ``logits``, of its shape and dtype: softmax(logits) minus the
        one-hot target, divided by the number of rows for the mean.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or there is no row.

    Notes
    -----
    The largest logit of each row is subtracted first, so that no exponential overflows. Source:
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 6.2.2.3.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> loss, dlogits = pyrnn.softmax_cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4)  # ln 4
    1.3863
    >>> dlogits
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    _checks.choice("reduction", reduction, ("mean", "sum"))
    scores = _checks.any_float_array("logits", logits)
    if scores.ndim == 0 or not scores.size:
        raise ValueError(f"logits: expected shape (..., V) with a row or more, got {scores.shape}")
    classes = scores.shape[-1]
    indices = _checks.index_array("targets", targets, classes)
    if indices.shape != scores.shape[:-1]:
        raise ValueError(f"targets: expected shape {scores.shape[:-1]}, got {indices.shape}")
    backend = selection.current()
    divisor = _reduction.divisor(reduction, indices.shape)
    loss, dlogits = backend.softmax_cross_entropy(_checks.rows(scores), indices.reshape(-1))
    if divisor != 1:
        loss /= divisor
        backend.scale([dlogits], 1 / divisor)
    return loss, dlogits.reshape(scores.shape)


@public("pyrnn.losses")
def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    mask: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
) -> tuple[Value, Array]:
    """Compute the cross-entropy of softmax(logits) with torch's options, and its gradient.

    Parameters
    ----------
    logits : array
        Unnormalised scores, (..., V), float32 or float64. The classes are the last axis, as layers
        return them; in torch they are the second one.
    targets : array of int
        The right class of each row, (...), in [0, V), or ``ignore_index``.
    weight : array, optional
        The weight of each class, (V,), 0 or more.
    ignore_index : int or None, default -100
        Rows with this target do not count.
    label_smoothing : float, default 0.0
        The share of the target, in [0, 1], that is spread evenly over all classes.
    reduction : {"mean", "sum", "none"}
        How to combine the rows that count. The mean divides by the sum of their targets' weights.
        "none" returns the loss of each row, and the gradient of each row's own loss.
    mask : array of bool, optional
        Which rows count, in the shape of ``targets`` or of its first axes.
    lengths : array of int, optional
        The length of each sequence, (N,), for logits (T, N, ..., V). Time steps past it do not
        count.
    batch_first : bool, default False
        Whether logits are (N, T, ..., V), for ``lengths``.

    Returns
    -------
    loss : float
        In nats, accumulated in float64; an array (...) of float64 for "none".
    dlogits : array
        Gradient with respect to ``logits``, of its shape and dtype; 0 in rows that do not count.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or nothing counts for the mean.

    Notes
    -----
    Source: `torch.nn.functional.cross_entropy`; label smoothing: Szegedy et al., "Rethinking the
    inception architecture for computer vision", CVPR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn import losses
    >>> logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    >>> loss, dlogits = losses.cross_entropy(logits, [0, -100])
    >>> round(loss, 4)  # ln 2; the second row does not count
    0.6931
    >>> dlogits
    array([[-0.5 ,  0.25,  0.25],
           [ 0.  ,  0.  ,  0.  ]])
    """
    _checks.choice("reduction", reduction, _reduction.REDUCTIONS)
    smoothing = _checks.finite_number("label_smoothing", label_smoothing, 0.0, 1.0)
    scores = _checks.any_float_array("logits", logits)
    if scores.ndim == 0 or not scores.size:
        raise ValueError(f"logits: expected shape (..., V) with a row or more, got {scores.shape}")
    shape, classes = scores.shape[:-1], scores.shape[-1]
    indices, known = _classes(targets, classes, shape, ignore_index)
    counted = _reduction.counted_elements(shape, mask, lengths, batch_first)
    if counted is not None:
        counted = _reduction.of_all(counted, shape)
        counted = counted if known is None else counted & known
    else:
        counted = known
    rows, flat = _checks.rows(scores), indices.reshape(-1)
    if weight is None and not smoothing and reduction != "none":
        return _plain(scores, rows, flat, counted, reduction)
    weights: Array = np.ones(classes)
    if weight is not None:
        weights = _reduction.broadcast_option("weight", weight, (classes,), np.dtype("f8"))
        if weights.shape != (classes,):
            raise ValueError(f"weight: expected shape ({classes},), got {weights.shape}")
    loss = selection.current().weighted_cross_entropy
    return _reduction.by_rows(
        lambda some: loss(rows[some], flat[some], weights, smoothing),
        scores,
        counted,
        reduction,
        weights[flat],
    )


def _classes(
    targets: Any, classes: int, shape: tuple[int, ...], ignore_index: int | None
) -> tuple[Indices, Counted | None]:
    """The targets, those to ignore as 0; and which ones count, None for all."""
    array = _checks.as_array("targets", targets)
    if array.shape != shape:
        raise ValueError(f"targets: expected shape {shape}, got {array.shape}")
    known = None
    if ignore_index is not None and array.dtype.kind in "iu":
        ignored = array == _checks.size("ignore_index", ignore_index, -(2**63), 2**63 - 1)
        if ignored.any():
            array = np.where(ignored, np.zeros_like(array), array)
            known = ~ignored
    return _checks.index_array("targets", array, classes), known


def _plain(
    scores: Array, rows: Array, targets: Indices, counted: Counted | None, reduction: str
) -> tuple[float, Array]:
    """Without weights and smoothing: the core's work, on the rows that count."""
    divisor = _reduction.divisor(reduction, scores.shape[:-1], counted)
    backend = selection.current()
    chosen = None if counted is None else np.flatnonzero(counted)
    if chosen is None or len(chosen) == len(rows):
        loss, dlogits = backend.softmax_cross_entropy(rows, targets)
    else:
        dlogits = _pieces.zeros(rows)
        loss = 0.0
        if len(chosen):
            some = _pieces.taken(rows, chosen)
            loss, own = backend.softmax_cross_entropy(some, targets[chosen])
            _pieces.move(own, (), dlogits, (chosen,))
    if divisor != 1:
        loss /= divisor
        backend.scale([dlogits], 1 / divisor)
    return loss, dlogits.reshape(scores.shape)


@public("pyrnn.losses")
def binary_cross_entropy_with_logits(
    logits: Any,
    targets: Any,
    *,
    pos_weight: Any = 1.0,
    reduction: str = "mean",
    mask: Any = None,
    lengths: Any = None,
    batch_first: bool = False,
) -> tuple[Value, Array]:
    """Compute the cross-entropy of sigmoid(logits) with targets in [0, 1], and its gradient.

    Parameters
    ----------
    logits : array
        The output of the model, of any shape, float32 or float64.
    targets : array
        The targets, of the same shape: numbers in [0, 1], or booleans. Each element has a loss.
    pos_weight : float or array, default 1.0
        Weight of the positive part; an array has one for each element of the last axis.
    reduction : {"mean", "sum", "none"}
        How to combine the elements that count. "none" returns the loss of each element, and the
        gradient of each element's own loss.
    mask : array of bool, optional
        Which elements count, in the shape of ``logits`` or of its first axes.
    lengths : array of int, optional
        The length of each sequence, (N,), for logits (T, N, ...). Time steps past it do not count.
    batch_first : bool, default False
        Whether the batch is the first axis, for ``lengths``.

    Returns
    -------
    loss : float
        In nats, accumulated in float64; an array of float64 for "none".
    dlogits : array
        Gradient with respect to ``logits``, of its shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong dtype, shape or value, or nothing counts for the mean.

    Notes
    -----
    Source: `torch.nn.functional.binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn import losses
    >>> loss, dlogits = losses.binary_cross_entropy_with_logits(np.zeros(2), np.array([0.0, 1.0]))
    >>> round(loss, 4), dlogits
    (0.6931, array([ 0.25, -0.25]))
    """
    scores = _checks.any_float_array("logits", logits)
    array = _checks.as_array("targets", targets)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"targets: expected numbers in [0, 1], got dtype {array.dtype}")
    if array.shape != scores.shape:
        raise ValueError(f"targets: expected shape {scores.shape}, got {array.shape}")
    if not _probabilities(array):
        raise ValueError("targets: expected numbers in [0, 1], got others")
    positive = _reduction.broadcast_option("pos_weight", pos_weight, scores.shape, np.dtype("f8"))
    return _reduction.elementwise(
        "binary_cross_entropy", scores, array, scores.shape, {"positive": positive},
        reduction, mask, lengths, batch_first,
    )  # fmt: skip


def _probabilities(targets: Array) -> bool:
    """Whether all numbers are in [0, 1]."""
    return all(
        ((targets[some] >= 0) & (targets[some] <= 1)).all() for some in _pieces.boxes(targets.shape)
    )
