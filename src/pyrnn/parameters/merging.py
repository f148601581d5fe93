"""Parameters or gradients of several layers in one dict: `merge_parameters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrnn import _checks
from pyrnn._types import Array
from pyrnn.parameters.dictionary import ParameterDict


def merge_parameters(**groups: Mapping[str, Array]) -> dict[str, Array]:
    """Put the parameters, or the gradients, of several layers into one dict.

    Each name gets its layer's before it: ``merge_parameters(encoder=a.parameters)`` has
    ``"encoder.weight"``. Without that, ``{**a.parameters, **b.parameters}`` keeps one array of
    each name: of two Linears, only the second.

    Parameters
    ----------
    **groups : dict of arrays
        A name for each dict. For names that are no identifiers, ``**{"encoder.0": ...}``.

    Returns
    -------
    dict
        The same arrays, not copies, in the order given. If all dicts are layers' parameters,
        assigning to a key copies into the array that is there, as in each of them.

    Raises
    ------
    TypeError
        If one is no dict of arrays.
    ValueError
        If two names become the same.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> a, b = pyrnn.Linear(3, 3, seed=0), pyrnn.Linear(3, 3, seed=1)
    >>> optimizer = pyrnn.SGD(pyrnn.merge_parameters(a=a.parameters, b=b.parameters))
    >>> y, _, cache_a = a.forward(np.ones((2, 3), np.float32))
    >>> z, _, cache_b = b.forward(y)
    >>> dy, _, grads_b = b.backward(cache_b, z)
    >>> dx, _, grads_a = a.backward(cache_a, dy)
    >>> optimizer.step(pyrnn.merge_parameters(a=grads_a, b=grads_b))
    """
    merged: dict[str, Any] = {}
    for group, arrays in groups.items():
        if not isinstance(arrays, Mapping):
            kind = type(arrays).__name__
            raise TypeError(f"{group}: expected a dict of arrays, got {kind}")
        for name, array in arrays.items():
            if not isinstance(name, str):
                raise TypeError(f"{group}: expected names as keys, got {_checks.shown(name)}")
            full = f"{group}.{name}"
            if full in merged:
                raise ValueError(f"{group}: its {name!r} becomes {full!r}, which is there already")
            merged[full] = array
    if groups and all(isinstance(arrays, ParameterDict) for arrays in groups.values()):
        return ParameterDict(merged)
    return merged
