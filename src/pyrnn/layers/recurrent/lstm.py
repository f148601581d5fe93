"""Long short-term memory: `LSTM` and `LSTMCell`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pyrnn import _checks
from pyrnn._pickling import public
from pyrnn._types import DTypeLike, Pair, PairLike
from pyrnn.backend import cells
from pyrnn.layers._options import Option, Setting
from pyrnn.layers.initializers import Initialization
from pyrnn.layers.recurrent import _activations, _noise
from pyrnn.layers.recurrent._activations import ActivationLike
from pyrnn.layers.recurrent._cell import Cell
from pyrnn.layers.recurrent._kind import Kind, check_forget_bias
from pyrnn.layers.recurrent._passes import MergeMode
from pyrnn.layers.recurrent._stack import Recurrent
from pyrnn.parameters import shapes


class _LSTMKind(Kind):
    proj_size: Option[int] = Option(partial(_checks.size, least=0))
    peephole: Option[bool] = Option(_checks.flag)
    coupled: Option[bool] = Option(_checks.flag)
    layer_norm: Option[bool] = Option(_checks.flag)
    forget_bias: Option[float | None] = Option(check_forget_bias, shown=False)
    activation: Option[ActivationLike] = Option(_activations.activation)
    recurrent_activation: Option[ActivationLike] = Option(_activations.activation)
    output_activation: Option[ActivationLike | None] = Option(_activations.optional_activation)
    clip: Option[float | None] = Option(_activations.clip)
    eps: Option[float] = Option(partial(_checks.epsilon, zero=False))
    normalised_state: Option[bool] = Option(_checks.flag)

    _state_names = ("h", "c")

    @property
    def cell(self) -> str:
        """The name of the cell that computes a step."""
        if self.layer_norm:
            return cells.normalised_cell("lstm_layer_norm", self.eps, self.normalised_state)
        plain = "lstm" + "_coupled" * self.coupled + "_peephole" * self.peephole
        return _activations.cell(
            plain, self.recurrent_activation, self.activation, self.output_activation, self.clip
        )

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
        _activations.check_layer_norm(options)
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
    proj_size : int, default 0
        The number of features P < hidden_size to which h is projected, as in `torch.nn.LSTM`; 0
        for no projection. Then y and h have P features, and c has hidden_size.
    peephole : bool, default False
        Whether the gates see the cell state, through the parameter ``weight_peephole``, rows i f o.
    coupled : bool, default False
        Whether the forget gate is f = 1 - i. The gates are then i g o, and the peepholes i o.
    layer_norm : bool, default False
        Whether to normalise both products and the cell state.
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
    zoneout : float or pair of floats, default 0.0
        Probability with which a unit of h or c keeps its old value in a time step, in train mode;
        in eval mode, the share of the old value that it keeps. One number for both, or (p_h, p_c).
    activation : str or tuple, default "tanh"
        The activation of the candidate g, and the f of h' = o f(c') (Keras' name); see Notes.
    recurrent_activation : str or tuple, default "sigmoid"
        The activation of the gates i f o (Keras' name).
    output_activation : str or tuple, optional
        The f of h' = o f(c'), if it is not ``activation`` (ONNX).
    clip : float, optional
        The bound of pre-activations: they are clipped to [-clip, clip] first (ONNX).
    eps : float, default 1e-5
        What ``layer_norm`` adds to variances.
    normalised_state : bool, default False
        Whether the c that ``layer_norm`` carries is the normalised one, gain_c n(c') + b_c, as in
        LayerNormLSTMCell of TensorFlow Addons (whose eps is 1e-3).
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters, the dropout and the zoneout. By default they differ from
        layer to layer.
    initialization : {"torch", "glorot", "orthogonal"}
        The scheme of the initial parameters; see `pyrnn.initialize`.
    forget_bias : float, optional
        Initial bias of the forget gate: its b_ih has this value and its b_hh is zero. Keras'
        default is 1.0. By default ``initialization`` determines both.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value; if ``layer_norm`` comes with ``peephole``,
        ``coupled``, ``proj_size``, other activations or ``clip``; if ``proj_size`` is not below
        ``hidden_size``; or if ``forget_bias`` is given without biases or without a forget gate.

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
      ``h' = σ(z_o) tanh(gain_c n(c') + b_c)``, where n subtracts the mean and divides by
      √(variance + eps). Gains start at 1, biases at 0. J. L. Ba, J. R. Kiros, G. E. Hinton,
      "Layer normalization", arXiv:1607.06450.

    Activations are "sigmoid", "tanh", "relu", "identity", "softsign", "softplus", "hard_sigmoid",
    "leaky_relu", "elu" and "thresholded_relu", as ONNX and Keras name them. With numbers they are
    tuples: ("hard_sigmoid", alpha, beta) is ``min(max(alpha z + beta, 0), 1)`` with 0.2 and 0.5 by
    default (ONNX, Keras 1 and 2; of Keras 3 and torch: 1/6 and 0.5); ("leaky_relu", alpha) has
    0.01, ("elu", alpha) and ("thresholded_relu", alpha) have 1. ("affine", alpha, beta), which is
    ``alpha z + beta``, and ("scaled_tanh", alpha, beta), ``alpha tanh(beta z)``, have no defaults.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> layer = pyrnn.LSTM(3, 4, seed=0)
    >>> y, (h, c) = layer(np.zeros((5, 2, 3), dtype=np.float32))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 4), (1, 2, 4), (1, 2, 4))
    """

    zoneout: Setting[float | tuple[float, ...]] = Setting(_noise.rate_or_pair)

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
        reverse: bool = False,
        merge_mode: MergeMode = "concat",
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        output_activation: ActivationLike | None = None,
        clip: float | None = None,
        eps: float = 1e-5,
        normalised_state: bool = False,
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
    input_size : int
        The number of features of x.
    hidden_size : int
        The number of features of the hidden state, H.
    bias : bool, default True
        Whether to add the biases b_ih and b_hh.
    proj_size : int, default 0
        The number of features P < hidden_size to which h is projected, as in `torch.nn.LSTM`; 0
        for no projection. Then h has P features, and c has hidden_size.
    peephole : bool, default False
        Whether the gates see the cell state, through the parameter ``weight_peephole``, rows i f o.
    coupled : bool, default False
        Whether the forget gate is f = 1 - i. The gates are then i g o, and the peepholes i o.
    layer_norm : bool, default False
        Whether to normalise both products and the cell state.
    activation : str or tuple, default "tanh"
        The activation of the candidate g, and the f of h' = o f(c') (Keras' name); see Notes.
    recurrent_activation : str or tuple, default "sigmoid"
        The activation of the gates i f o (Keras' name).
    output_activation : str or tuple, optional
        The f of h' = o f(c'), if it is not ``activation`` (ONNX).
    clip : float, optional
        The bound of pre-activations: they are clipped to [-clip, clip] first (ONNX).
    eps : float, default 1e-5
        What ``layer_norm`` adds to variances.
    normalised_state : bool, default False
        Whether the c that ``layer_norm`` carries is the normalised one, gain_c n(c') + b_c, as in
        LayerNormLSTMCell of TensorFlow Addons (whose eps is 1e-3).
    dtype : {"float32", "float64"}
        The dtype of the parameters, inputs and outputs.
    seed : int, optional
        Seed of the initial parameters. By default they differ from cell to cell.
    initialization : {"torch", "glorot", "orthogonal"}
        The scheme of the initial parameters; see `pyrnn.initialize`.
    forget_bias : float, optional
        Initial bias of the forget gate: its b_ih has this value and its b_hh is zero. Keras'
        default is 1.0. By default ``initialization`` determines both.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value; if ``layer_norm`` comes with ``peephole``,
        ``coupled``, ``proj_size``, other activations or ``clip``; if ``proj_size`` is not below
        ``hidden_size``; or if ``forget_bias`` is given without biases or without a forget gate.

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
      ``h' = σ(z_o) tanh(gain_c n(c') + b_c)``, where n subtracts the mean and divides by
      √(variance + eps). Gains start at 1, biases at 0. J. L. Ba, J. R. Kiros, G. E. Hinton,
      "Layer normalization", arXiv:1607.06450.

    Activations are "sigmoid", "tanh", "relu", "identity", "softsign", "softplus", "hard_sigmoid",
    "leaky_relu", "elu" and "thresholded_relu", as ONNX and Keras name them. With numbers they are
    tuples: ("hard_sigmoid", alpha, beta) is ``min(max(alpha z + beta, 0), 1)`` with 0.2 and 0.5 by
    default (ONNX, Keras 1 and 2; of Keras 3 and torch: 1/6 and 0.5); ("leaky_relu", alpha) has
    0.01, ("elu", alpha) and ("thresholded_relu", alpha) have 1. ("affine", alpha, beta), which is
    ``alpha z + beta``, and ("scaled_tanh", alpha, beta), ``alpha tanh(beta z)``, have no defaults.

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
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        output_activation: ActivationLike | None = None,
        clip: float | None = None,
        eps: float = 1e-5,
        normalised_state: bool = False,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        initialization: Initialization = "torch",
        forget_bias: float | None = None,
    ) -> None:
        super().__init__(locals())
