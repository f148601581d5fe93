"""The vanilla cell as a stateful object that keeps its steps for the backward pass.

Arrays have one example per row here, as in torch: x (N, I), hidden (N, H).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import Portable, pickled
from pyrnn._types import Array
from pyrnn.backend import selection
from pyrnn.textbook import _layout
from pyrnn.textbook._layout import Shape

_SHAPES: dict[str, Shape] = {
    "weight_ih": ("H", "I"),
    "weight_hh": ("H", "H"),
    "bias_ih": ("H",),
    "bias_hh": ("H",),
}


class _Step(NamedTuple):
    """One forward step: the backend that computed it, its cache, and the new hidden state."""

    backend: str
    saved: Any
    hidden: Array


class RNNCell(Portable):
    """``hidden' = tanh(W_ih x + b_ih + W_hh hidden + b_hh)``, back-propagated last step first.

    Call it T times, then `backward` T times. The gradients are those of one layer of
    ``torch.nn.RNN(...).double()`` with the same weights.

    Parameters
    ----------
    weight_ih : array
        Weights of the input, (H, I), float32 or float64.
    weight_hh : array
        Weights of the hidden state, (H, H).
    bias_ih, bias_hh : array
        Biases, (H,).

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : array
        The parameters. They may be changed after a backward pass, before the next forward step.
    dx_list : list of array
        The gradient of each step's x, (N, I), first step first.
    dw_ih_stack, dw_hh_stack : list of array
        Each step's share of the weights' gradients, (H, I) and (H, H), last step first. The
        gradient is their sum, ``np.sum(cell.dw_ih_stack, axis=0)``.
    db_ih_stack, db_hh_stack : list of array
        Each step's share of the biases' gradients, (N, H), one row per example, last step first.
        The gradient is their sum, ``np.sum(cell.db_ih_stack, axis=(0, 1))``.
    x_stack, prev_hidden_stack, next_hidden_stack : list of array
        What each step took in, the hidden state before it and after it, (N, I) and (N, H), first
        step first; those of the steps that have not gone back yet.
    prev_dh : array or None
        The gradient that the last `backward` passes on to the step before it, (N, H); after T
        calls, that of the initial hidden state. None before the first step.

    Raises
    ------
    TypeError, ValueError
        If a parameter has a wrong dtype or shape.

    Notes
    -----
    The lists grow until `clear`, as torch's ``.grad`` accumulates until ``zero_grad``. Source: J.
    L. Elman, "Finding structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrnn.textbook.cells import RNNCell
    >>> cell = RNNCell(np.ones((2, 3)), np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    >>> hidden = np.zeros((1, 2))
    >>> for x in np.zeros((5, 1, 3)):
    ...     hidden = cell(x, hidden)
    >>> for dh in np.ones((5, 1, 2)):
    ...     _ = cell.backward(dh)
    >>> np.sum(cell.db_ih_stack, axis=(0, 1))
    array([5., 5.])
    """

    def __init__(
        self,
        weight_ih: npt.ArrayLike,
        weight_hh: npt.ArrayLike,
        bias_ih: npt.ArrayLike,
        bias_hh: npt.ArrayLike,
    ) -> None:
        self.weight_ih: Array = _checks.as_array("weight_ih", weight_ih)
        self.weight_hh: Array = _checks.as_array("weight_hh", weight_hh)
        self.bias_ih: Array = _checks.as_array("bias_ih", bias_ih)
        self.bias_hh: Array = _checks.as_array("bias_hh", bias_hh)
        _layout.checked(self._parameters(), _SHAPES)
        self.clear()

    def clear(self) -> None:
        """Discard all steps and gradients.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.textbook.cells import RNNCell
        >>> cell = RNNCell(np.ones((2, 3)), np.zeros((2, 2)), np.zeros(2), np.zeros(2))
        >>> hidden = cell(np.ones((1, 3)), np.zeros((1, 2)))
        >>> cell.clear()  # the next step may be of another batch
        >>> cell(np.ones((4, 3)), np.zeros((4, 2))).shape
        (4, 2)
        """
        self.dx_list: list[Array] = []
        self.dw_ih_stack: list[Array] = []
        self.dw_hh_stack: list[Array] = []
        self.db_ih_stack: list[Array] = []
        self.db_hh_stack: list[Array] = []
        self.prev_dh: Array | None = None
        self.x_stack: list[Array] = []
        self.prev_hidden_stack: list[Array] = []
        self.next_hidden_stack: list[Array] = []
        self._steps: list[_Step] = []
        self._going_back = False

    def __call__(self, x: npt.ArrayLike, prev_hidden: npt.ArrayLike) -> Array:
        """Compute one forward step and keep it for `backward`.

        Parameters
        ----------
        x : array
            The step's input, (N, I).
        prev_hidden : array
            The hidden state before the step, (N, H).

        Returns
        -------
        array
            The next hidden state, (N, H).

        Raises
        ------
        TypeError, ValueError
            If an argument has a wrong dtype or shape.
        RuntimeError
            If a backward pass has begun and is not finished.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.textbook.cells import RNNCell
        >>> cell = RNNCell(np.zeros((2, 3)), np.eye(2), np.zeros(2), np.zeros(2))
        >>> cell(np.ones((1, 3)), np.array([[0.5, -0.5]])).round(4)
        array([[ 0.4621, -0.4621]])
        """
        if self._going_back and self._steps:
            raise RuntimeError(
                f"RNNCell: expected backward for the {len(self._steps)} steps that are left, got a "
                "new step; call backward for each of them, or clear()"
            )
        arrays = _layout.checked(
            self._parameters() | {"x": x, "prev_hidden": prev_hidden},
            _SHAPES | {"x": ("N", "I"), "prev_hidden": ("N", "H")},
        )
        self._check_continues(arrays["prev_hidden"])
        backend = selection.current()
        packed = backend.pack("rnn_tanh", {name: arrays[name] for name in _SHAPES})
        # Copies, because the caller may change x and prev_hidden before the backward pass.
        x_t, before = arrays["x"].copy(), arrays["prev_hidden"].copy()
        _, (hidden,), saved = backend.forward(packed, x_t[None], (before,), keep=True)
        self._steps.append(_Step(backend.name, saved, hidden.copy()))
        self.x_stack.append(x_t)
        self.prev_hidden_stack.append(before)
        self.next_hidden_stack.append(hidden.copy())
        self._going_back = False
        self.prev_dh = np.zeros_like(hidden)
        return hidden

    def backward(self, dh: npt.ArrayLike) -> list[Array]:
        """Back-propagate the last forward step that has not been back-propagated yet.

        Parameters
        ----------
        dh : array
            Gradient of this step's own loss with respect to its hidden state, (N, H). The gradient
            from later steps, ``prev_dh``, is added here.

        Returns
        -------
        list of array
            The gradients of the inputs so far, ``dx_list``.

        Raises
        ------
        TypeError, ValueError
            If ``dh`` has a wrong dtype or shape.
        RuntimeError
            If no forward step is left.

        Examples
        --------
        >>> import numpy as np
        >>> from pyrnn.textbook.cells import RNNCell
        >>> cell = RNNCell(np.ones((2, 3)), np.zeros((2, 2)), np.zeros(2), np.zeros(2))
        >>> hidden = cell(np.zeros((1, 3)), np.zeros((1, 2)))
        >>> cell.backward(np.array([[1.0, -1.0]]))
        [array([[0., 0., 0.]])]
        >>> cell.db_ih_stack
        [array([[ 1., -1.]])]
        """
        if not self._steps or self.prev_dh is None:
            raise RuntimeError(
                "RNNCell.backward: expected a forward step for each call, got one call too many; "
                "call the cell first"
            )
        step = self._steps[-1]
        dh = _layout.checked({"dh": dh}, {"dh": step.hidden.shape})["dh"]
        dh = (dh + self.prev_dh).astype(step.hidden.dtype, copy=False)
        dx, (dprevious,), grads = selection.find(step.backend).backward(step.saved, dh[None], None)
        assert dx is not None
        dtanh = dh * (1 - step.hidden**2)
        self.dx_list.insert(0, dx[0])
        self.dw_ih_stack.append(grads["weight_ih"])
        self.dw_hh_stack.append(grads["weight_hh"])
        self.db_ih_stack.append(dtanh)
        self.db_hh_stack.append(dtanh.copy())
        self.prev_dh = dprevious
        for stack in (self._steps, self.x_stack, self.prev_hidden_stack, self.next_hidden_stack):
            stack.pop()
        self._going_back = True
        return self.dx_list

    def _check_continues(self, prev_hidden: Array) -> None:
        """Refuse a step of another batch size than the steps that are kept."""
        if self._steps and self._steps[-1].hidden.shape != prev_hidden.shape:
            raise ValueError(
                f"prev_hidden: expected shape {self._steps[-1].hidden.shape} as the step before "
                f"returned, got {prev_hidden.shape}; clear() begins another sequence"
            )

    def __getstate__(self) -> dict[str, Any]:
        if self._steps:
            raise TypeError(
                f"RNNCell: it cannot be pickled or copied while {len(self._steps)} steps are not "
                "back-propagated; call backward for each of them, or clear()"
            )
        return {
            name: [pickled(array) for array in value] if isinstance(value, list) else value
            for name, value in super().__getstate__().items()
        }

    def _parameters(self) -> dict[str, npt.ArrayLike]:
        return {
            "weight_ih": self.weight_ih,
            "weight_hh": self.weight_hh,
            "bias_ih": self.bias_ih,
            "bias_hh": self.bias_hh,
        }
