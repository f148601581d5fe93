"""The layers users build networks of: `RNN`, `LSTM` and `GRU`, with torch's names and shapes."""

from __future__ import annotations

import numpy.typing as npt

from pyrnn._recurrent import Recurrent


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
    dtype : {"float32", "float64"}
        Of everything.
    seed : int, optional
        Makes the first parameters and the dropout repeatable.
    initialization : {"torch", "glorot", "orthogonal", "identity"}
        How the first parameters are drawn; `pyrnn.initialize` says what each means.

    Notes
    -----
    Parameters are drawn from U(-1/√H, 1/√H), as in `torch.nn.RNN`. Source: J. L. Elman, "Finding
    structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.RNN(3, 4, seed=0)
    >>> y, h = layer(np.zeros((5, 2, 3), dtype=np.float32))
    >>> y.shape, h.shape
    ((5, 2, 4), (1, 2, 4))
    """

    _gates = 1

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
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
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
            initialization,
        )

    def _repr_options(self) -> list[tuple[str, object]]:
        return [("nonlinearity", "tanh"), *super()._repr_options()]


class LSTM(Recurrent):
    """Long short-term memory, gates i f g o; the state is the pair (h, c).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed,
    initialization
        As for `RNN`, without "identity".
    proj_size : int
        Size to which h is projected; 0 for none. Not there yet.
    peephole : bool
        Whether the gates see c. Not there yet.
    forget_bias : float, optional
        First bias of the forget gate: b_ih of it has this value and b_hh zero; 1.0 is Keras'
        default. None leaves both as ``initialization`` draws them.

    Raises
    ------
    NotImplementedError
        For ``proj_size`` or ``peephole``.
    ValueError
        If a ``forget_bias`` is given and there are no biases.

    Notes
    -----
    ``c' = σ(z_f) c + σ(z_i) tanh(z_g)``, ``h' = σ(z_o) tanh(c')`` with
    ``z = W_ih x + b_ih + W_hh h + b_hh``. Source: Gers, Schmidhuber, Cummins, "Learning to forget",
    Neural Computation 12, 2000.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.LSTM(3, 4, seed=0)
    >>> y, (h, c) = layer(np.zeros((5, 2, 3), dtype=np.float32))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 4), (1, 2, 4), (1, 2, 4))
    """

    _gates = 4
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
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
        forget_bias: float | None = None,
    ) -> None:
        if proj_size:
            raise NotImplementedError("proj_size: LSTM with a projection is not there yet")
        if peephole:
            raise NotImplementedError("peephole: LSTM with peepholes is not there yet")
        super().__init__(
            "lstm",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            seed,
            initialization,
            forget_bias,
        )


class GRU(Recurrent):
    """Gated recurrent unit, gates r z n.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed,
    initialization
        As for `RNN`, without "identity".
    reset_after : bool
        Whether the reset gate acts after the product with W_hn (torch, Keras' default) or before
        it (the paper's; not there yet).

    Raises
    ------
    NotImplementedError
        For ``reset_after=False``.

    Notes
    -----
    ``h' = (1 - z) n + z h`` with ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``. Source: Cho et
    al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014, in the form of
    `torch.nn.GRU`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.GRU(3, 4, seed=0)
    >>> y, h = layer(np.zeros((5, 2, 3), dtype=np.float32))
    >>> y.shape, h.shape
    ((5, 2, 4), (1, 2, 4))
    """

    _gates = 3

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
        dtype: npt.DTypeLike = "float32",
        seed: int | None = None,
        initialization: str = "torch",
    ) -> None:
        if not reset_after:
            raise NotImplementedError("reset_after: GRU with the reset before is not there yet")
        super().__init__(
            "gru",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            dtype,
            seed,
            initialization,
        )
