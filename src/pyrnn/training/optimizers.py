"""Optimisers with torch's names and defaults. Each changes the parameter arrays in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from pyrnn._pickling import public
from pyrnn._types import Array, Parameters
from pyrnn.backend import selection
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.clipping import clip_grad_norm, clip_grad_value

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm",
    "clip_grad_value",
]


@public("pyrnn")
class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum or Nesterov's momentum.

    Parameters
    ----------
    parameters : dict of arrays, or list of dicts
        The live arrays to change: ``layer.parameters``, or those of several layers from
        `pyrnn.merge_parameters`. Or groups with options of their own, as in torch:
        ``[{"params": a, "lr": 0.1}, {"params": b}]``; no name is in two groups.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0
        Decay of the velocity: μ in v ← μ v + g, p ← p − lr v.
    weight_decay : float, default 0
        L2 penalty: ``weight_decay * p`` is added to the gradient of each parameter p.
    nesterov : bool, default False
        Nesterov's momentum: p ← p − lr (g + μ v) instead. It needs a momentum above 0.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` does not hold contiguous float arrays, or an option is out of range.

    Notes
    -----
    Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in
    deep learning", ICML 2013, in the form of `torch.optim.SGD`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> p = {"w": np.array([1.0, 2.0])}
    >>> pyrnn.SGD(p, lr=0.5).step({"w": np.array([1.0, -1.0])})
    >>> p["w"]
    array([0.5, 2.5])

    Two groups; an option that is set on the optimiser is set in all of them:

    >>> groups = [{"params": {"a": np.ones(1)}, "lr": 0.1}, {"params": {"b": np.ones(1)}}]
    >>> optimizer = pyrnn.SGD(groups, lr=0.5)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 0.5]
    """

    def __init__(
        self,
        parameters: Parameters | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )

    @staticmethod
    def _moments(options: Mapping[str, Any]) -> tuple[str, ...]:
        return ("velocity",) if options["momentum"] else ()

    def _make_step(
        self,
        backend: selection.Backend,
        p: list[Array],
        g: list[Array],
        moments: list[list[Array]],
        options: Mapping[str, Any],
    ) -> partial[Any]:
        return partial(backend.sgd, p, g, moments[0] if moments else None, **options)


@public("pyrnn")
class Adagrad(Optimizer):
    """Adagrad: the step of each element shrinks with the sum of its squared gradients.

    Parameters
    ----------
    parameters : dict of arrays
        The live arrays to change: ``layer.parameters``, or those of several layers from
        `pyrnn.merge_parameters`.
    lr : float, default 1e-2
        Learning rate.
    weight_decay : float, default 0
        L2 penalty: ``weight_decay * p`` is added to the gradient of each parameter p.
    eps : float, default 1e-10
        Keeps the divisor above 0: ε in s ← s + g², p ← p − lr g / (√s + ε).

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` does not hold contiguous float arrays, or an option is out of range.

    Notes
    -----
    Source: Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12, 2011, in the form of `torch.optim.Adagrad`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> p = {"w": np.array([1.0, 2.0])}
    >>> pyrnn.Adagrad(p, lr=0.5).step({"w": np.array([3.0, -4.0])})
    >>> p["w"].round(6)
    array([0.5, 2.5])
    """

    def __init__(
        self,
        parameters: Parameters | Sequence[Mapping[str, Any]],
        lr: float = 1e-2,
        *,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, eps=eps)

    @staticmethod
    def _moments(options: Mapping[str, Any]) -> tuple[str, ...]:
        return ("squares",)

    def _make_step(
        self,
        backend: selection.Backend,
        p: list[Array],
        g: list[Array],
        moments: list[list[Array]],
        options: Mapping[str, Any],
    ) -> partial[Any]:
        return partial(backend.adagrad, p, g, *moments, **options)


@public("pyrnn")
class RMSprop(Optimizer):
    """RMSprop: the gradient of each element is divided by its running root mean square.

    Parameters
    ----------
    parameters : dict of arrays
        The live arrays to change: ``layer.parameters``, or those of several layers from
        `pyrnn.merge_parameters`.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        Decay of the mean square: α in s ← α s + (1 − α) g².
    eps : float, default 1e-8
        Keeps the divisor above 0: ε in p ← p − lr g / (√s + ε).
    weight_decay : float, default 0
        L2 penalty: ``weight_decay * p`` is added to the gradient of each parameter p.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` does not hold contiguous float arrays, or an option is out of range.

    Notes
    -----
    Source: Tieleman, Hinton, "Lecture 6.5, RMSProp", Neural networks for machine learning, 2012,
    in the form of `torch.optim.RMSprop`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> p = {"w": np.array([1.0, 2.0])}
    >>> pyrnn.RMSprop(p, lr=0.05).step({"w": np.array([3.0, -4.0])})
    >>> p["w"].round(6)
    array([0.5, 2.5])
    """

    def __init__(
        self,
        parameters: Parameters | Sequence[Mapping[str, Any]],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def _moments(options: Mapping[str, Any]) -> tuple[str, ...]:
        return ("squares",)

    def _make_step(
        self,
        backend: selection.Backend,
        p: list[Array],
        g: list[Array],
        moments: list[list[Array]],
        options: Mapping[str, Any],
    ) -> partial[Any]:
        return partial(backend.rmsprop, p, g, *moments, **options)


@public("pyrnn")
class Adam(Optimizer):
    """Adam: running means of the gradient and of its square, corrected for their start at zero.

    Parameters
    ----------
    parameters : dict of arrays
        The live arrays to change: ``layer.parameters``, or those of several layers from
        `pyrnn.merge_parameters`.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Decay of the means, in [0, 1): m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g².
    eps : float, default 1e-8
        Keeps the divisor above 0: ε in p ← p − lr m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ) and
        v̂ = v / (1 − β₂ᵗ) after t steps.
    weight_decay : float, default 0
        L2 penalty: ``weight_decay * p`` is added to the gradient of each parameter p.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` does not hold contiguous float arrays, or an option is out of range.

    Notes
    -----
    Source: Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, in the form of
    `torch.optim.Adam`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> p = {"w": np.array([1.0, 2.0])}
    >>> pyrnn.Adam(p, lr=0.5).step({"w": np.array([3.0, -4.0])})
    >>> p["w"].round(6)
    array([0.5, 2.5])
    """

    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Parameters | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def _moments(options: Mapping[str, Any]) -> tuple[str, ...]:
        return ("m", "v")

    def _make_step(
        self,
        backend: selection.Backend,
        p: list[Array],
        g: list[Array],
        moments: list[list[Array]],
        options: Mapping[str, Any],
    ) -> partial[Any]:
        beta1, beta2 = options["betas"]
        return partial(
            backend.adam,
            p,
            g,
            *moments,
            lr=options["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=options["eps"],
            weight_decay=options["weight_decay"],
            decoupled=self._decoupled,
            step=self._steps + 1,
        )


@public("pyrnn")
class AdamW(Adam):
    """Adam with decoupled weight decay: the decay acts on the parameters, not on the gradients.

    Parameters
    ----------
    parameters : dict of arrays
        The live arrays to change: ``layer.parameters``, or those of several layers from
        `pyrnn.merge_parameters`.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Decay of the means, in [0, 1): m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g².
    eps : float, default 1e-8
        Keeps the divisor above 0: ε in p ← p − lr m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ) and
        v̂ = v / (1 − β₂ᵗ) after t steps.
    weight_decay : float, default 1e-2
        Decay of the parameters: λ in p ← p − lr λ p, before each step.

    Raises
    ------
    TypeError, ValueError
        If ``parameters`` does not hold contiguous float arrays, or an option is out of range.

    Notes
    -----
    Source: Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, in the form of
    `torch.optim.AdamW`.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> p = {"w": np.array([1.0, 2.0])}
    >>> pyrnn.AdamW(p, lr=0.5, weight_decay=0.1).step({"w": np.array([3.0, -4.0])})
    >>> p["w"].round(6)
    array([0.45, 2.4 ])
    """

    _decoupled = True

    def __init__(
        self,
        parameters: Parameters | Sequence[Mapping[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)
