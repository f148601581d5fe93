"""The vanilla recurrent network: `RNN` and `RNNCell`."""

from __future__ import annotations

import numpy.typing as npt

from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.layers._options import Option
from pyrnn.layers.initializers import Initialization
from pyrnn.layers.recurrent import _activations
from pyrnn.layers.recurrent._activations import ActivationLike
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.layers.recurrent._kind import Kind
from pyrnn.layers.recurrent._passes import MergeMode
from pyrnn.layers.recurrent._stack import Recurrent


class _RNNKind(Kind):
    nonlinearity: Option[ActivationLike] = Option(_activations.activation)
    clip: Option[float | None] = Option(_activations.clip)

    @property
    def cell(self) -> str:
        """The name of the cell that computes a step."""
        if self.clip is None and self.nonlinearity == "relu":
            return "rnn_relu"
        name = _activations.cell("rnn", "sigmoid", self.nonlinearity, "tanh", self.clip)
        return "rnn_tanh" if name == "rnn" else name


@public("pyrnn")
class RNN(_RNNKind, Recurrent[npt.ArrayLike, Array]):
    """Vanilla (Elman) recurrent layer: ``h' = f(W_ih x + b_ih + W_hh h + b_hh)``.

    Parameters
    ----------
    input_size : int
        The number of features of x.
    hidden_size : int
        The number of features of the hidden state, H.
    num_layers : int, default 1
        The number of stacked layers.
    nonlinearity : str or tuple, default "tanh"
        The activation f: "tanh", "relu" or another one; see Notes.
    bias : bool, default True
        Whether to add the biases b_ih and b_hh.
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
        Probability with which a unit of h is dropped from the products with W_hh, in train mode:
        one mask for all time steps of a sequence, for each layer and direction.
    zoneout : float, default 0.0
        Probability with which a unit of h keeps its old value in a time step, in train mode; in
        eval mode, the share of the old value that it keeps.
    clip : float, optional
        The bound of pre-activations: they are clipped to [-clip, clip] first (ONNX).
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters, the dropout and the zoneout. By default they differ from
        layer to layer.
    initialization : {"torch", "glorot", "orthogonal", "identity"}
        The scheme of the initial parameters; see `pyrnn.initialize`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    By default the parameters are drawn from U(-1/√H, 1/√H), as in `torch.nn.RNN`. Source: J. L.
    Elman, "Finding structure in time", Cognitive Science 14, 1990. Recurrent dropout: Y. Gal, Z.
    Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
    NeurIPS 2016. Zoneout: D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving
    hidden activations", ICLR 2017.

    Activations are "sigmoid", "tanh", "relu", "identity", "softsign", "softplus", "hard_sigmoid",
    "leaky_relu", "elu" and "thresholded_relu", as ONNX and Keras name them. With numbers they are
    tuples: ("hard_sigmoid", alpha, beta) is ``min(max(alpha z + beta, 0), 1)`` with 0.2 and 0.5 by
    default (ONNX, Keras 1 and 2; of Keras 3 and torch: 1/6 and 0.5); ("leaky_relu", alpha) has
    0.01, ("elu", alpha) and ("thresholded_relu", alpha) have 1. ("affine", alpha, beta), which is
    ``alpha z + beta``, and ("scaled_tanh", alpha, beta), ``alpha tanh(beta z)``, have no defaults.

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
        nonlinearity: ActivationLike = "tanh",
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
        clip: float | None = None,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
    ) -> None:
        super().__init__(locals())


@public("pyrnn")
class RNNCell(_RNNKind, Cell[npt.ArrayLike, Array]):
    """One step of the vanilla recurrent network: ``h' = f(W_ih x + b_ih + W_hh h + b_hh)``.

    Parameters
    ----------
    input_size : int
        The number of features of x.
    hidden_size : int
        The number of features of the hidden state, H.
    bias : bool, default True
        Whether to add the biases b_ih and b_hh.
    nonlinearity : str or tuple, default "tanh"
        The activation f: "tanh", "relu" or another one; see Notes.
    clip : float, optional
        The bound of pre-activations: they are clipped to [-clip, clip] first (ONNX).
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters. By default they differ from cell to cell.
    initialization : {"torch", "glorot", "orthogonal", "identity"}
        The scheme of the initial parameters; see `pyrnn.initialize`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    By default the parameters are drawn from U(-1/√H, 1/√H), as in `torch.nn.RNNCell`. Source: J. L.
    Elman, "Finding structure in time", Cognitive Science 14, 1990.

    Activations are "sigmoid", "tanh", "relu", "identity", "softsign", "softplus", "hard_sigmoid",
    "leaky_relu", "elu" and "thresholded_relu", as ONNX and Keras name them. With numbers they are
    tuples: ("hard_sigmoid", alpha, beta) is ``min(max(alpha z + beta, 0), 1)`` with 0.2 and 0.5 by
    default (ONNX, Keras 1 and 2; of Keras 3 and torch: 1/6 and 0.5); ("leaky_relu", alpha) has
    0.01, ("elu", alpha) and ("thresholded_relu", alpha) have 1. ("affine", alpha, beta), which is
    ``alpha z + beta``, and ("scaled_tanh", alpha, beta), ``alpha tanh(beta z)``, have no defaults.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> cell = pyrnn.RNNCell(3, 4, seed=0)
    >>> h, state, cache = cell.forward(np.ones((2, 3), dtype=np.float32))
    >>> dx, dh, grads = cell.backward(cache, np.ones_like(h))
    >>> h.shape, dx.shape, dh.shape, grads["weight_hh"].shape
    ((2, 4), (2, 3), (2, 4), (4, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: ActivationLike = "tanh",
        *,
        clip: float | None = None,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
    ) -> None:
        super().__init__(locals())
