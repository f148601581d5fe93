"""Long short-term memory: `LSTM` and `LSTMCell`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pyrnn import _checks
from pyrnn._options import Option, Setting
from pyrnn._pickling import public
from pyrnn._types import DTypeLike, Pair, PairLike
from pyrnn.layers.initializers import Initialization
from pyrnn.layers.recurrent import _noise
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.layers.recurrent._kind import Kind, check_forget_bias
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.parameters import shapes


class _LSTMKind(Kind):
    proj_size = Option(partial(_checks.size, least=0))
    peephole = Option(_checks.flag)
    coupled = Option(_checks.flag)
    layer_norm = Option(_checks.flag)
    forget_bias = Option(check_forget_bias, shown=False)

    _state_names = ("h", "c")

    @property
    def cell(self) -> str:
        if self.layer_norm:
            return "lstm_layer_norm"
        return "lstm" + "_coupled" * self.coupled + "_peephole" * self.peephole

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _cell_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        return shapes.of_cell(self.cell, columns, self.hidden_size, self.bias, self.proj_size)

    def _check_together(self, options: Mapping[str, Any]) -> None:
        super()._check_together(options)
        for name in ("peephole", "coupled", "proj_size"):
            if options["layer_norm"] and options[name]:
                raise ValueError(
                    f"layer_norm, {name}: expected at most one of them, got layer_norm=True and "
                    f"{name}={options[name]}"
                )
        if options["proj_size"] >= options["hidden_size"]:
            raise ValueError(
                f"proj_size: expected less than hidden_size = {options['hidden_size']}, "
                f"got {_checks.shown(options['proj_size'])}"
            )


@public("pyrnn")
class LSTM(_LSTMKind, Recurrent[PairLike, Pair]):
    """Long short-term memory, gates i f g o; the state is the pair (h, c).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `RNN`.
    recurrent_dropout, dtype, seed, initialization
        As for `RNN`, without "identity".
    proj_size : int
        Features P < hidden_size to which h is projected, as in `torch.nn.LSTM`; 0 for none. y and
        h have P features, c keeps hidden_size.
    peephole : bool
        Whether the gates see the cell: the parameter ``weight_peephole``, rows i f o.
    coupled : bool
        Whether the forget gate is f = 1 - i; the gates are then i g o, and the peepholes i o.
    layer_norm : bool
        Whether both products and the cell are normalised.
    zoneout : float or pair of floats
        As for `RNN`, of h and c alike, or (p_h, p_c).
    forget_bias : float, optional
        First bias of the forget gate: b_ih of it has this value and b_hh zero; 1.0 is Keras'
        default. None leaves both as ``initialization`` draws them.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value; if ``layer_norm`` comes with ``peephole``,
        ``coupled`` or ``proj_size``, or ``proj_size`` is not below ``hidden_size``;
        if ``forget_bias`` is given without biases or without a forget gate.

    Notes
    -----
    ``c' = σ(z_f) c + σ(z_i) tanh(z_g)``, ``h' = σ(z_o) tanh(c')`` with
    ``z = W_ih x + b_ih + W_hh h + b_hh``. Source: Gers, Schmidhuber, Cummins, "Learning to forget",
    Neural Computation 12, 2000.

    - ``peephole``: z_i and z_f get ``p c``, z_o gets ``p c'``. F. A. Gers, J. Schmidhuber,
      "Recurrent nets that time and count", IJCNN 2000.
    - ``coupled``: K. Greff et al., "LSTM: a search space odyssey", IEEE TNNLS 28, 2017 (CIFG).
    - ``proj_size``: ``h' = W_hr (σ(z_o) tanh(c'))`` with ``weight_hr`` (P, H). H. Sak, A. Senior,
      F. Beaufays, arXiv:1402.1128.
    - ``layer_norm``: ``z = gain_ih n(W_ih x) + b_ih + gain_hh n(W_hh h) + b_hh`` and
      ``h' = σ(z_o) tanh(gain_c n(c') + b_c)``, where n takes off the mean and divides by
      √(variance + 1e-5). Gains start at 1, biases at 0. J. L. Ba, J. R. Kiros, G. E. Hinton,
      "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.LSTM(3, 4, seed=0)
    >>> y, (h, c) = layer(np.zeros((5, 2, 3), dtype=np.float32))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 4), (1, 2, 4), (1, 2, 4))
    """

    zoneout = Setting(_noise.rate_or_pair)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        peephole: bool = False,
        coupled: bool = False,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(locals())


@public("pyrnn")
class LSTMCell(_LSTMKind, Cell[PairLike, Pair]):
    """One step of long short-term memory, gates i f g o; the state is the pair (h, c).

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, seed, initialization
        As for `RNNCell`, without "identity".
    proj_size, peephole, coupled, layer_norm, forget_bias
        As for `LSTM`.

    Notes
    -----
    Equations and source as for `LSTM`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> cell = pyrnn.LSTMCell(3, 4, seed=0)
    >>> h, c = cell(np.ones((2, 3), dtype=np.float32))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        proj_size: int = 0,
        peephole: bool = False,
        coupled: bool = False,
        layer_norm: bool = False,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(locals())
