"""Parameters or gradients of several layers in one dict: `merge_parameters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array
from pyrnn.parameters.dictionary import ParameterDict


@public("pyrnn")
def merge_parameters(**groups: Mapping[str, Array]) -> dict[str, Array]:
    """Merge the parameters, or the gradients, of several layers into one dict.

    Each name is prefixed with that of its layer: ``merge_parameters(encoder=a.parameters)`` has the
    key ``"encoder.weight"``. (``{**a.parameters, **b.parameters}`` keeps only one array of each
    name: of two Linears, the second.)

    Parameters
    ----------
    **groups : dict of arrays
        One dict for each prefix. For prefixes that are no identifiers: ``**{"encoder.0": ...}``.

    Returns
    -------
    dict
        The same arrays, not copies, in the order given. If all dicts are parameters of layers,
        assigning to a key copies into the existing array, as it does in each of them.

    Raises
    ------
    TypeError
        If an argument is not a dict of arrays.
    ValueError
        If two names become equal.

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
