"""A text as parallel streams, in chunks of a number of time steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn.text.corpus import TextError

AnyIndices = npt.NDArray[np.integer[Any]]


@public("pyrnn.text")
def streams(indices: AnyIndices, batch_size: int) -> tuple[AnyIndices, AnyIndices]:
    """Cut a text into parallel streams.

    Parameters
    ----------
    indices : array of int
        The text, (L,).
    batch_size : int
        The number of streams, N. Up to N - 1 characters at the end of the text are left out.

    Returns
    -------
    inputs, targets : array of int
        The characters to read and those to predict, ((L - 1) // N, N) each. Column n of ``inputs``
        is the n-th part of the text; ``targets`` has the character after each. Both are views of
        ``indices``.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type, shape or value.
    TextError
        If the text has fewer than N + 1 characters.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.text import streams
    >>> inputs, targets = streams(np.arange(7), 2)
    >>> inputs.T.tolist(), targets.T.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    indices = _integers("indices", indices)
    if indices.ndim != 1:
        raise ValueError(f"indices: expected shape (L,), got {indices.shape}")
    batch_size = _checks.size("batch_size", batch_size)
    steps = (len(indices) - 1) // batch_size
    if steps < 1:
        raise TextError(
            f"text: expected at least {_checks.shown(batch_size + 1)} characters for "
            f"{_checks.shown(batch_size)} streams, got {len(indices)}"
        )
    used = steps * batch_size
    inputs, targets = (
        part.reshape(batch_size, steps).T for part in (indices[:used], indices[1 : used + 1])
    )
    return inputs, targets


@public("pyrnn.text")
def chunks(
    inputs: AnyIndices, targets: AnyIndices, seq_len: int
) -> Iterator[tuple[AnyIndices, AnyIndices]]:
    """Iterate over streams in chunks of up to ``seq_len`` time steps.

    Parameters
    ----------
    inputs, targets : array of int
        The streams, (T, N) each, from `streams`.
    seq_len : int
        The number of time steps of a chunk. The last one may be shorter.

    Returns
    -------
    iterator of pairs of arrays
        The chunks of ``inputs`` and ``targets``, in the order of time.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value, or the two differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.text import chunks, streams
    >>> [x.shape for x, y in chunks(*streams(np.arange(11), 2), seq_len=3)]
    [(3, 2), (2, 2)]
    """
    inputs, targets = _integers("inputs", inputs), _integers("targets", targets)
    if inputs.ndim != 2:
        raise ValueError(f"inputs: expected shape (T, N), got {inputs.shape}")
    if targets.shape != inputs.shape:
        raise ValueError(f"targets: expected shape {inputs.shape}, got {targets.shape}")
    steps = min(_checks.size("seq_len", seq_len), max(1, len(inputs)))
    return (
        (inputs[start : start + steps], targets[start : start + steps])
        for start in range(0, len(inputs), steps)
    )


def _integers(name: str, value: object) -> AnyIndices:
    """Return an array of integers of any size, without a copy if possible."""
    array = _checks.as_array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected an integer array, got dtype {array.dtype}")
    return array
