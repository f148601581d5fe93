"""The minimal gated recurrent unit, whose gates do not see the state: `MinGRU`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.layers.initializers import Initialization
from pyrnn.layers.recurrent._passes import MergeMode
from pyrnn.layers.recurrent._stack import Recurrent


@public("pyrnn")
class MinGRU(Recurrent[npt.ArrayLike, Array]):
    """Minimal gated recurrent unit, gates z n: neither sees h, so there is no W_hh.

    Parameters
    ----------
    input_size : int
        The number of features of x.
    hidden_size : int
        The number of features of the hidden state, H.
    num_layers : int, default 1
        The number of stacked layers.
    bias : bool, default True
        Whether to add the bias b_ih.
    batch_first : bool, default False
        Whether x and y are (N, T, features) instead of (T, N, features).
    dropout : float, default 0.0
        Probability with which an output of each layer but the last is dropped, in train mode.
    bidirectional : bool, default False
        Whether to add a second direction from the end to the start; y has the features of both.
    reverse : bool, default False
        Whether the layer runs only from each sequence's last time step to its first; y stays in
        the order of x. ONNX's ``reverse``; Keras' ``go_backwards``, whose y is in the opposite
        order.
    merge_mode : {"concat", "sum", "mul", "ave"}, default "concat"
        How y combines the two directions: side by side, as a sum, product or mean (Keras).
    input_dropout : float, default 0.0
        Probability with which a feature of x is dropped, in train mode: one mask for all time steps
        of a sequence (Keras' ``dropout``). Not for indices.
    recurrent_dropout : float, default 0.0
        Only 0 is allowed: there is no product with h that a mask could act on.
    zoneout : float, default 0.0
        Probability with which a unit of h keeps its old value in a time step, in train mode; in
        eval mode, the share of the old value that it keeps.
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters, the dropout and the zoneout. By default they differ from
        layer to layer.
    initialization : {"torch", "glorot", "orthogonal"}
        The scheme of the initial parameters; see `pyrnn.initialize`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    ``h' = (1 - z) h + z n`` with ``z = σ(W_iz x + b_iz)`` and ``n = W_in x + b_in``, without an
    activation. As in its paper, z is the share of the new value; in `GRU` it is that of the old
    one. All products are computed at once, before the loop over time. The parameters of a layer are
    ``weight_ih`` (2H, I) and ``bias_ih`` (2H,), rows z n. Source: L. Feng et al., "Were RNNs all we
    needed?", arXiv:2410.01201.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> y, h = pyrnn.MinGRU(3, 4, seed=0)(np.zeros((5, 2, 3), dtype=np.float32))
    >>> y.shape, h.shape
    ((5, 2, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        reverse: bool = False,
        merge_mode: MergeMode = "concat",
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
    ) -> None:
        super().__init__(locals())

    @property
    def cell(self) -> str:
        """The name of the cell that computes a step."""
        return "min_gru"

    def _check_together(self, options: Mapping[str, Any]) -> None:
        super()._check_together(options)
        if options["recurrent_dropout"]:
            raise ValueError(
                f"recurrent_dropout: expected 0, since {type(self).__name__} has no product with "
                f"h, got {options['recurrent_dropout']!r}"
            )
