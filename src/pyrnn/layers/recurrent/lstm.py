"""The layers users build networks of: `RNN`, `LSTM` and `GRU`, with torch's names and shapes."""

from __future__ import annotations

import numpy.typing as npt

from pyrnn import _checks
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.parameters import shapes


class RNN(Recurrent):
    """Vanilla (Elman) recurrent layer: ``h' = f(W_ih x + b_ih + W_hh h + b_hh)``.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of x, and of h.
    num_layers : int
        How many layers are stacked.
    nonlinearity : {"tanh", "relu"}
        f.
    bias : bool
        Whether there are b_ih and b_hh.
    batch_first : bool
        Whether x and y are (N, T, features) instead of (T, N, features).
    dropout : float
        Probability with which an output of a layer but the last is dropped, in train mode.
    bidirectional : bool
        Whether a second direction runs from the end; y has both, side by side.
    recurrent_dropout : float
        Probability with which a unit of h is dropped from the products with W_hh, in train mode:
        one mask for all steps of a sequence, for each layer and direction.
    zoneout : float
        Probability with which a unit of h keeps its old value in a step, in train mode; in eval
        mode it keeps that share of it.
    dtype : {"float32", "float64"}
        Of everything.
    seed : int, optional
        Makes the first parameters, the dropout and the zoneout repeatable.
    initialization : {"torch", "glorot", "orthogonal", "identity"}
        How the first parameters are drawn; `pyrnn.initialize` says what each means.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    Parameters are drawn from U(-1/√H, 1/√H), as in `torch.nn.RNN`. Source: J. L. Elman, "Finding
    structure in time", Cognitive Science 14, 1990. Recurrent dropout: Y. Gal, Z. Ghahramani, "A
    theoretically grounded application of dropout in recurrent neural networks", NeurIPS 2016.
    Zoneout: D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
    activations", ICLR 2017.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.RNN(3, 4, seed=0)
    >>> y, h = layer(np.zeros((5, 2, 3), dtype=np.float32))
    >>> y.shape, h.shape
    ((5, 2, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
    ) -> None:
        self.nonlinearity = _checks.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            f"rnn_{nonlinearity}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            seed,
            initialization=initialization,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )

    def _repr_options(self) -> list[tuple[str, object]]:
        return [("nonlinearity", "tanh"), *super()._repr_options()]


class LSTM(Recurrent):
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

    _state_names = ("h", "c")

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
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
        forget_bias: float | None = None,
    ) -> None:
        self.proj_size = _checks.size("proj_size", proj_size, least=0)
        self.peephole = _checks.flag("peephole", peephole)
        self.coupled = _checks.flag("coupled", coupled)
        self.layer_norm = _checks.flag("layer_norm", layer_norm)
        self._check_layer_norm()
        super().__init__(
            self._cell_name(),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            seed,
            initialization=initialization,
            forget_bias=forget_bias,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )
        self._check_projection()

    def _cell_name(self) -> str:
        if self.layer_norm:
            return "lstm_layer_norm"
        return "lstm" + "_coupled" * self.coupled + "_peephole" * self.peephole

    def _check_layer_norm(self) -> None:
        """Refuse what has no place beside the normalisation."""
        for name in ("peephole", "coupled", "proj_size"):
            if self.layer_norm and getattr(self, name):
                raise ValueError(
                    f"layer_norm, {name}: expected at most one of them, got layer_norm=True and "
                    f"{name}={getattr(self, name)}"
                )

    def _check_projection(self) -> None:
        """Refuse sizes that project nothing."""
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"proj_size: expected less than hidden_size = {self.hidden_size}, "
                f"got {self.proj_size}"
            )

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _cell_shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        return shapes.of_cell(self.cell, columns, self.hidden_size, self.bias, self.proj_size)

    def _repr_options(self) -> list[tuple[str, object]]:
        return [
            *super()._repr_options(),
            ("proj_size", 0),
            ("peephole", False),
            ("coupled", False),
            ("layer_norm", False),
        ]


class GRU(Recurrent):
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
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
    ) -> None:
        self.reset_after = _checks.flag("reset_after", reset_after)
        self.layer_norm = _checks.flag("layer_norm", layer_norm)
        if self.layer_norm and not self.reset_after:
            raise ValueError(
                "layer_norm, reset_after: expected reset_after=True with layer_norm=True, "
                "got reset_after=False"
            )
        super().__init__(
            self._cell_name(),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            seed,
            initialization=initialization,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
        )

    def _cell_name(self) -> str:
        if self.layer_norm:
            return "gru_layer_norm"
        return "gru" if self.reset_after else "gru_reset_before"

    def _repr_options(self) -> list[tuple[str, object]]:
        return [*super()._repr_options(), ("reset_after", True), ("layer_norm", False)]
