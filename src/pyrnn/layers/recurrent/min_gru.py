"""The minimal gated recurrent unit, whose gates do not see the state: `MinGRU`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.layers.initializers import Initialization
from pyrnn.layers.recurrent._stack import Recurrent


@public("pyrnn")
class MinGRU(Recurrent[npt.ArrayLike, Array]):
    """Minimal gated recurrent unit, gates z n: neither sees h, so there is no W_hh.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `RNN`.
    zoneout, dtype, seed, initialization
        As for `RNN`, without "identity".
    recurrent_dropout : float
        0: there is no product with h that it could act on.

    Raises
    ------
    ValueError
        For a ``recurrent_dropout`` above 0; as for `RNN`.

    Notes
    -----
    ``h' = (1 - z) h + z n`` with ``z = σ(W_iz x + b_iz)`` and ``n = W_in x + b_in``, without an
    activation. As in its paper, z is the share of what is new, the other way round than in `GRU`.
    All products are done at once, before the walk over time. Parameters of a layer are
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
