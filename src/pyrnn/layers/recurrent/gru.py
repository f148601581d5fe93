"""The gated recurrent unit: `GRU` and `GRUCell`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy.typing as npt

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import Array, DTypeLike
from pyrnn.backend import cells
from pyrnn.layers._options import Option
from pyrnn.layers.initializers import Initialization
from pyrnn.layers.recurrent import _activations
from pyrnn.layers.recurrent._activations import ActivationLike
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.layers.recurrent._kind import Kind
from pyrnn.layers.recurrent._passes import MergeMode
from pyrnn.layers.recurrent._stack import Recurrent


class _GRUKind(Kind):
    reset_after: Option[bool] = Option(_checks.flag)
    layer_norm: Option[bool] = Option(_checks.flag)
    activation: Option[ActivationLike] = Option(_activations.activation)
    recurrent_activation: Option[ActivationLike] = Option(_activations.activation)
    clip: Option[float | None] = Option(_activations.clip)
    eps: Option[float] = Option(partial(_checks.epsilon, zero=False))

    @property
    def cell(self) -> str:
        """The name of the cell that computes a step."""
        if self.layer_norm:
            return cells.normalised_cell("gru_layer_norm", self.eps, False)
        plain = "gru" if self.reset_after else "gru_reset_before"
        return _activations.cell(
            plain, self.recurrent_activation, self.activation, "tanh", self.clip
        )

    def _check_together(self, options: Mapping[str, Any]) -> None:
        super()._check_together(options)
        _activations.check_layer_norm(options)
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
    input_size : int
        The number of features of x.
    hidden_size : int
        The number of features of the hidden state, H.
    num_layers : int, default 1
        The number of stacked layers.
    bias : bool, default True
        Whether to add the biases b_ih and b_hh.
    batch_first : bool, default False
        Whether x and y are (N, T, features) instead of (T, N, features).
    dropout : float, default 0.0
        Probability with which an output of each layer but the last is dropped, in train mode.
    bidirectional : bool, default False
        Whether to add a second direction from the end to the start; y has the features of both.
    reset_after : bool, default True
        Whether the reset gate acts after the product with W_hn (torch, Keras' default) or before
        it (the paper).
    layer_norm : bool, default False
        Whether to normalise both products.
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
    activation : str or tuple, default "tanh"
        The activation of the candidate n (Keras' name); see Notes.
    recurrent_activation : str or tuple, default "sigmoid"
        The activation of the gates r z (Keras' name).
    clip : float, optional
        The bound of pre-activations: they are clipped to [-clip, clip] first (ONNX).
    eps : float, default 1e-5
        What ``layer_norm`` adds to variances.
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
        If an argument has a wrong type or value, or if ``layer_norm`` comes with
        ``reset_after=False``, other activations or ``clip``.

    Notes
    -----
    ``h' = (1 - z) n + z h`` with ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``, or, with the
    reset before the product, ``n = tanh(W_in x + b_in + W_hn (r h) + b_hn)``. Source: Cho et al.,
    "Learning phrase representations using RNN encoder-decoder", EMNLP 2014; the reset after the
    product in the form of `torch.nn.GRU`. With ``layer_norm``, the products are replaced by
    ``gain_ih norm(W_ih x)`` and ``gain_hh norm(W_hh h)``, where norm subtracts the mean and divides
    by √(variance + eps): J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization",
    arXiv:1607.06450.

    Activations are "sigmoid", "tanh", "relu", "identity", "softsign", "softplus", "hard_sigmoid",
    "leaky_relu", "elu" and "thresholded_relu", as ONNX and Keras name them. With numbers they are
    tuples: ("hard_sigmoid", alpha, beta) is ``min(max(alpha z + beta, 0), 1)`` with 0.2 and 0.5 by
    default (ONNX, Keras 1 and 2; of Keras 3 and torch: 1/6 and 0.5); ("leaky_relu", alpha) has
    0.01, ("elu", alpha) and ("thresholded_relu", alpha) have 1. ("affine", alpha, beta), which is
    ``alpha z + beta``, and ("scaled_tanh", alpha, beta), ``alpha tanh(beta z)``, have no defaults.

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
        reverse: bool = False,
        merge_mode: MergeMode = "concat",
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        clip: float | None = None,
        eps: float = 1e-5,
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
    input_size : int
        The number of features of x.
    hidden_size : int
        The number of features of the hidden state, H.
    bias : bool, default True
        Whether to add the biases b_ih and b_hh.
    reset_after : bool, default True
        Whether the reset gate acts after the product with W_hn (torch, Keras' default) or before
        it (the paper).
    layer_norm : bool, default False
        Whether to normalise both products.
    activation : str or tuple, default "tanh"
        The activation of the candidate n (Keras' name); see Notes.
    recurrent_activation : str or tuple, default "sigmoid"
        The activation of the gates r z (Keras' name).
    clip : float, optional
        The bound of pre-activations: they are clipped to [-clip, clip] first (ONNX).
    eps : float, default 1e-5
        What ``layer_norm`` adds to variances.
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters. By default they differ from cell to cell.
    initialization : {"torch", "glorot", "orthogonal"}
        The scheme of the initial parameters; see `pyrnn.initialize`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value, or if ``layer_norm`` comes with
        ``reset_after=False``, other activations or ``clip``.

    Notes
    -----
    ``h' = (1 - z) n + z h`` with ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``, or, with the
    reset before the product, ``n = tanh(W_in x + b_in + W_hn (r h) + b_hn)``. Source: Cho et al.,
    "Learning phrase representations using RNN encoder-decoder", EMNLP 2014; the reset after the
    product in the form of `torch.nn.GRU`. With ``layer_norm``, the products are replaced by
    ``gain_ih norm(W_ih x)`` and ``gain_hh norm(W_hh h)``, where norm subtracts the mean and divides
    by √(variance + eps): J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization",
    arXiv:1607.06450.

    Activations are "sigmoid", "tanh", "relu", "identity", "softsign", "softplus", "hard_sigmoid",
    "leaky_relu", "elu" and "thresholded_relu", as ONNX and Keras name them. With numbers they are
    tuples: ("hard_sigmoid", alpha, beta) is ``min(max(alpha z + beta, 0), 1)`` with 0.2 and 0.5 by
    default (ONNX, Keras 1 and 2; of Keras 3 and torch: 1/6 and 0.5); ("leaky_relu", alpha) has
    0.01, ("elu", alpha) and ("thresholded_relu", alpha) have 1. ("affine", alpha, beta), which is
    ``alpha z + beta``, and ("scaled_tanh", alpha, beta), ``alpha tanh(beta z)``, have no defaults.

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
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        clip: float | None = None,
        eps: float = 1e-5,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
    ) -> None:
        super().__init__(locals())
