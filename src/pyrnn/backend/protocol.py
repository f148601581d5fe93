"""What a backend computes: the protocol that the compiled core and the reference follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array, Compute, Indices, Link, Noise, Parameters, State, StepForm, Storage

StepCheck = Callable[[Any, Any], "tuple[Array | Indices, Array | None]"]
"""Checks ``(x_t, out)`` as a user gave them; returns them ready for a step, or raises."""

Forward = tuple[Array, State, Any]
"""Of one direction of a layer: y, the final states, the cache."""

Backward = tuple["Array | None", State, "dict[str, Array]"]
"""Of one direction of a layer: the gradients of x, of the first states and of the parameters."""


class StreamEngine(Protocol):
    """A stack of layers that advances one step a call."""

    def step(self, x_t: Any, out: Any = None, /) -> Array:
        """Check the arguments and advance; returns the output (N, H), or ``out`` filled with it."""

    def state(self, rows: Indices | None = None, /) -> State:
        """Return copies of the states, (layers, N, H) each, or (layers, len(rows), H)."""

    def set_state(self, state: State, rows: Indices | None = None, /) -> None:
        """Set the states, of the shapes that `state` returns for the same rows."""


class Backend(Protocol):
    """What a backend computes. Arrays are checked before they get here."""

    name: str

    # Recurrent layers: one layer, one direction. `cell` is a name that
    # `reference.cells.cell_of` knows.

    def pack(
        self,
        cell: str,
        parameters: Parameters,
        suffix: str = "",
        follow: bool = False,
        storage: Storage = "full",
        compute: Compute = "full",
    ) -> Any:
        """Convert weights to the form that `forward` takes.

        Later changes of the arrays have no effect, unless ``follow``: then each `forward` reads the
        arrays anew, which must be contiguous. Gradients get the parameters' names with the suffix.
        With a ``storage`` of fewer bits, everything is computed with the rounded matrices; with
        ``compute``, products round both operands, on both passes.
        """

    def forward(
        self,
        weights: Any,
        x: Array | Indices,
        state: State | None,
        lengths: npt.NDArray[np.intp] | None = None,
        reverse: bool = False,
        keep: bool = False,
        checkpoint: int = 0,
        noise: Noise | None = None,
    ) -> Forward:
        """Run over time: x (T, N, I) or (T, N) of indices, states (N, H) each; None: zeros.

        Returns y (T, N, H), the final states and, if ``keep``, what `backward` needs (else None).
        With a projection, h and y have P features. ``checkpoint``, if not 0: keep the state of
        every ``checkpoint``-th time step only; the backward pass computes the steps between them
        again, with the same bits.
        """

    def forward_both(
        self,
        weights: Sequence[Any],
        x: Array | Indices,
        states: Sequence[State | None],
        lengths: npt.NDArray[np.intp] | None,
        keep: bool,
        checkpoint: int,
        noise: Sequence[Noise | None],
    ) -> Sequence[Forward]:
        """`forward` of the two directions of a layer, the second one reversed: a pair of each."""

    def backward(
        self, saved: Any, dy: Array, dstate: State | None, with_dx: bool = True
    ) -> Backward:
        """Gradients of x (None for indices), of the initial states and of the parameters.

        The latter are in the order in which `pack` had the parameters. ``dstate`` None: zeros.
        Without ``with_dx`` that of x is not computed; the others have the same bits.
        ``saved`` holds the noise of its forward, for `backward_windows` too.
        """

    def backward_both(
        self,
        saved: Sequence[Any],
        dy: Sequence[Array],
        dstates: Sequence[State | None],
        with_dx: bool = True,
    ) -> Sequence[Backward]:
        """`backward` of the two directions of a layer: a pair of each."""

    def renew(self, saved: Any) -> None:
        """Make a cache usable for another `backward`, whether or not it has been used.

        The gradients have the bits of the first ones: the weights are those of the forward pass.
        The x of the forward pass must not have changed; its y may have.
        """

    def backward_windows(
        self, saved: Sequence[Any], dy: Array, k1: int, k2: int, masks: Sequence[Array | None]
    ) -> tuple[Array | None, list[dict[str, Array]]]:
        """Truncated BPTT of a stack of layers, lowest first.

        The losses of steps [s, s + k1) go back to step s + k1 - k2, for s = 0, k1, 2 k1, ...
        ``masks[l]`` is what layer l's output was multiplied with before layer l + 1.
        """

    def open_stream(
        self,
        weights: Sequence[Any],
        batch_size: int,
        check: StepCheck,
        zoneout: tuple[float, ...] = (),
    ) -> StreamEngine:
        """Open a stream through a stack of layers, lowest first, with zero states.

        ``weights``: from `pack`, those that do not follow changes; many streams may share them.
        ``zoneout``: the share of its old value that each state keeps in a step, empty for none.
        """

    def one_step(
        self, weights: Sequence[Any], form: StepForm, zoneout: tuple[float, ...]
    ) -> Callable[[Any, Any], Any]:
        """Return a function from a user's (x, state) of one step to (y, state).

        The weights are as for a stream. The function of a cell, whose ``form`` is "cell", returns
        the state alone, as a user has it. The function returns None for arguments that it cannot
        take without conversion.
        """

    # Around them. Two-dimensional arrays, rows first.

    def linear(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        out: Array | None = None,
        compute: Compute = "full",
    ) -> Array:
        """X Wᵀ + b: (M, K), (N, K), (N,) -> (M, N), into ``out`` if it is given."""

    def pack_linear(
        self,
        weight: Array,
        bias: Array | None,
        storage: Storage = "full",
        compute: Compute = "full",
    ) -> Callable[..., Array]:
        """`linear` as a function of x and ``out``, with the weight and bias as they are now.

        The weight is rounded to ``storage``.
        """

    def pack_rounded_lstm(self, weight: Array, scale: Array) -> Callable[..., Any] | None:
        """The loop over time of an LSTM whose h is rounded to 8 bits; None where there is none.

        The weight (4·H, H) has float32 whole numbers up to 256, small enough for exact sums, and
        the scale is that of each row; gates i o f c. The function takes z (T, N, 4·H), what x and
        the biases give, h and c (N, H), and lengths (N,) or None. It gives y (T, N, H) and the last
        h and c.
        """

    def linear_backward(
        self, x: Array, weight: Array, dy: Array, compute: Compute = "full"
    ) -> tuple[Array, Array, Array]:
        """Gradients (dx, dweight, dbias) of `linear`."""

    def pack_convolution(
        self,
        weight: Array,
        bias: Array | None,
        *,
        stride: int,
        dilation: int,
        groups: int,
        layout: str = "time_first",
        relu: bool = False,
    ) -> Callable[[Array, int, int], Array]:
        """A convolution along time with weights and bias as they are now: (M, C/groups, K), (M,).

        It is a function of x and of the numbers of frames of zeros before and after x. ``layout``
        is the order of the axes of x and y: "time_first", (T, N, C); "batch_first", (N, T, C); or
        "channels_first", (N, C, T). With ``relu``, y is max(y, 0).
        """

    def pack_chain(self, links: Sequence[Link]) -> Callable[[Array], Array]:
        """Convolutions of the layout "channels_first", one behind the other, as one function.

        Its bits are those of the convolutions one by one; too few frames raise a ValueError.
        """

    def convolution_backward(
        self,
        x: Array,
        weight: Array,
        dy: Array,
        *,
        before: int,
        after: int,
        stride: int,
        dilation: int,
        groups: int,
    ) -> tuple[Array, Array, Array]:
        """Gradients (dx, dweight, dbias) of a convolution with the time first."""

    def embedding(self, indices: Indices, weight: Array) -> Array:
        """Rows of weight: (M,), (V, D) -> (M, D)."""

    def embedding_backward(self, indices: Indices, dy: Array, num_embeddings: int) -> Array:
        """Gradient (V, D) of the rows' sums."""

    def softmax_cross_entropy(self, logits: Array, targets: Indices) -> tuple[float, Array]:
        """Sum over rows of -ln softmax(logits)[target], and its gradient: (M, V), (M,)."""

    def weighted_cross_entropy(
        self, logits: Array, targets: Indices, weights: Array, smoothing: float
    ) -> tuple[Array, Array]:
        """The loss of each row and its gradient, float64: (M, V), (M,), (V,) -> (M,), (M, V)."""

    def elementwise_loss(
        self, name: str, y: Array, targets: Array, **options: Any
    ) -> tuple[Array, Array]:
        """A loss of `pyrnn.reference.losses.ELEMENTWISE`: of each element, with its derivative."""

    def activation(self, name: str, alpha: float, beta: float, x: Array) -> Array:
        """A function of `pyrnn.reference.activations.FUNCTIONS`, of each element."""

    def activation_backward(
        self, name: str, alpha: float, beta: float, x: Array, dy: Array
    ) -> Array:
        """Gradient of x from that of y = activation(x)."""

    def layer_norm(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Any]:
        """Each row (F,) of x with mean 0 and variance 1, times w, plus b; and what is kept."""

    def layer_norm_backward(
        self, kept: Any, weight: Array | None, dy: Array
    ) -> tuple[Array, Array, Array]:
        """Gradients (dx, dweight, dbias) of `layer_norm`."""

    # Over time: (T, N, C), each channel of each sequence for itself.

    def max_pool(self, x: Array, kernel: int, stride: int, padding: int, dilation: int) -> Array:
        """The largest of the frames of each window; what is outside x does not count."""

    def max_pool_backward(
        self, x: Array, dy: Array, kernel: int, stride: int, padding: int, dilation: int
    ) -> Array:
        """Gradient of x from that of the output of `max_pool`."""

    def instance_norm(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Any]:
        """Mean 0 and variance 1 over time, times w (C,), plus b (C,); and what is kept."""

    def instance_norm_backward(
        self, x: Array, kept: Any, weight: Array | None, dy: Array
    ) -> tuple[Array, Array, Array]:
        """Gradients (dx, dweight, dbias) of `instance_norm`."""

    def scale_channels(self, x: Array, mean: Array, factor: Array, shift: Array) -> Array:
        """(x - mean) * factor + shift of each row: (M, C), three of (C,) -> (M, C)."""

    def scale_channels_backward(
        self, x: Array, mean: Array, variance: Array, factor: Array, dy: Array, eps: float
    ) -> tuple[Array, Array, Array]:
        """Gradients (dx, dweight, dbias) of `scale_channels` with `channel_factors`."""

    def channel_factors(
        self, variance: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array]:
        """w / sqrt(var + eps), and b."""

    def batch_norm_of_part(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        exchange: Callable[[Array], Array],
    ) -> tuple[Array, Any, int]:
        """Rows (M, C) of a batch that processes share, normalised with the statistics of all.

        ``exchange`` gives the vectors of all processes, (P, n), for this one's, (n,). Also
        returns the moments, for `batch_norm_of_part_backward`, and the number of all rows.
        """

    def batch_norm_of_part_backward(
        self,
        x: Array,
        moments: Any,
        count: int,
        weight: Array | None,
        dy: Array,
        exchange: Callable[[Array], Array],
    ) -> tuple[Array, Array, Array]:
        """Gradients (dx, dweight, dbias) of `batch_norm_of_part`."""

    def exp(self, x: Array) -> Array:
        """e^x of each number of a float64 array."""

    def log(self, x: Array) -> Array:
        """ln x of each number of a float64 array."""

    # Optimisers: one step, in place on all parameters and their moments. Each argument holds an
    # array of each parameter, of its shape and dtype.

    def sgd(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        velocities: Sequence[Array] | None,
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        """Stochastic gradient descent with momentum."""

    def adagrad(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        squares: Sequence[Array],
        *,
        lr: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        """Adagrad (Duchi, Hazan, Singer 2011)."""

    def rmsprop(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        squares: Sequence[Array],
        *,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        """RMSprop (Tieleman, Hinton 2012)."""

    def adam(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        means: Sequence[Array],
        squares: Sequence[Array],
        *,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        decoupled: bool,
        step: int,
    ) -> None:
        """Adam (Kingma, Ba 2015); ``decoupled`` weight decay makes it AdamW."""

    # Gradients as a whole.

    def norm(self, arrays: Sequence[Array]) -> float:
        """The Euclidean norm over the elements of all, accumulated in float64."""

    def scale(self, arrays: Sequence[Array], factor: float) -> None:
        """Multiply in place."""

    def clip(self, arrays: Sequence[Array], limit: float) -> None:
        """Clip each element to [-limit, limit] in place."""
