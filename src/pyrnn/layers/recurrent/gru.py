"""The gated recurrent unit: `GRU` and `GRUCell`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from pyrnn import _checks
from pyrnn._options import Option
from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.layers.initializers import Initialization
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.layers.recurrent._kind import Kind
from pyrnn.layers.recurrent._stack import Recurrent


class _GRUKind(Kind):
    reset_after = Option(_checks.flag)
    layer_norm = Option(_checks.flag)

    @property
    def cell(self) -> str:
        if self.layer_norm:
            return "gru_layer_norm"
        return "gru" if self.reset_after else "gru_reset_before"

    def _check_together(self, options: Mapping[str, Any]) -> None:
        super()._check_together(options)
        if options["layer_norm"] and not options["reset_after"]:
            raise ValueError(
                "layer_norm, reset_after: expected reset_after=True with layer_norm=True, "
                "got reset_after=False"
            )


@public("pyrnn")
class GRU(_GRUKind, Recurrent[npt.ArrayLike, Array]):
    """Gated recurrent unit, gates r z n.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `RNN`.
    recurrent_dropout, zoneout, dtype, seed, initialization
        As for `RNN`, without "identity".
    reset_after : bool
        Whether the reset gate acts after the product with W_hn (torch, Keras' default) or before
        it (the paper's).
    layer_norm : bool
        Whether both products are normalised.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value, or if ``layer_norm`` comes with
        ``reset_after=False``.

    Notes
    -----
    ``h' = (1 - z) n + z h`` with ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``, or
    ``n = tanh(W_in x + b_in + W_hn (r h) + b_hn)`` with the reset before. Source: Cho et al.,
    "Learning phrase representations using RNN encoder-decoder", EMNLP 2014; the reset after in the
    form of `torch.nn.GRU`. With ``layer_norm``, ``gain_ih n(W_ih x)`` and ``gain_hh n(W_hh h)``
    take the place of the products, with n as in `LSTM`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.GRU(3, 4, seed=0)
    >>> y, h = layer(np.zeros((5, 2, 3), dtype=np.float32))
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
        reset_after: bool = True,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
    ) -> None:
        super().__init__(locals())


@public("pyrnn")
class GRUCell(_GRUKind, Cell[npt.ArrayLike, Array]):
    """One step of the gated recurrent unit, gates r z n.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, initialization
        As for `RNNCell`, without "identity".
    reset_after, layer_norm
        As for `GRU`.

    Notes
    -----
    Equations and source as for `GRU`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> cell = pyrnn.GRUCell(3, 4, seed=0)
    >>> cell(np.array([0, 2])).shape
    (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        reset_after: bool = True,
        layer_norm: bool = False,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
    ) -> None:
        super().__init__(locals())
