"""Types of the compiled core. Arrays of one call share a dtype: float32 or float64."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from pyrnn._types import Array, Indices, Noise, State, StepForm

def isa() -> str: ...
def isas() -> list[str]: ...
def numerics() -> int: ...
def bfloat16_unit() -> str: ...
def cells() -> list[str]: ...
def cell_facts(
    cell: str, input_size: int, hidden_size: int, output_size: int
) -> tuple[int, int, dict[str, int]]: ...
def fma_peak(threads: int, seconds: float) -> float: ...
def plan(
    cell: str, input_size: int, hidden_size: int, batch_size: int, steps: int, threads: int
) -> tuple[str, int, float]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int, /) -> None: ...
def release_memory() -> int: ...

functions_float32: ModuleType
functions_float64: ModuleType

class _Cache: ...
class CacheFloat32(_Cache): ...
class CacheFloat64(_Cache): ...

class _Weights:
    def __init__(
        self,
        cell: str,
        parameters: dict[str, Array],
        suffix: str = "",
        follow: bool = False,
        storage: str = "full",
        activations: Sequence[float] = (),
        compute: str = "full",
    ) -> None: ...

class WeightsFloat32(_Weights): ...
class WeightsFloat64(_Weights): ...

class _Linear:
    def __init__(
        self, weight: Array, bias: Array | None, storage: str = "full", compute: str = "full"
    ) -> None: ...
    def __call__(self, x: Array, out: Array | None = None) -> Array: ...

class LinearFloat32(_Linear): ...
class LinearFloat64(_Linear): ...

class _Convolution:
    def __init__(
        self,
        weight: Array,
        bias: Array | None,
        stride: int,
        dilation: int,
        groups: int,
        layout: str,
        relu: bool,
    ) -> None: ...
    def __call__(self, x: Array, before: int, after: int) -> Array: ...

class ConvolutionFloat32(_Convolution): ...
class ConvolutionFloat64(_Convolution): ...

class _Chain:
    def __init__(
        self,
        links: Sequence[tuple[_Convolution, tuple[int, int], tuple[int, int, int, int] | None]],
    ) -> None: ...
    def __call__(self, x: Array) -> Array: ...

class ChainFloat32(_Chain): ...
class ChainFloat64(_Chain): ...

class _Stream:
    def __init__(
        self,
        layers: Sequence[_Weights],
        batch_size: int,
        check: Callable[[Any, Any], tuple[Array | Indices, Array | None]],
        zoneout: Sequence[float] = (),
    ) -> None: ...
    def step(self, x_t: Any, out: Any = None, /) -> Array: ...
    def state(self, rows: Indices | None = None, /) -> State: ...
    def set_state(self, state: State, rows: Indices | None = None, /) -> None: ...

class StreamFloat32(_Stream): ...
class StreamFloat64(_Stream): ...

class _OneStep:
    def __init__(
        self, layers: Sequence[_Weights], form: StepForm, zoneout: Sequence[float]
    ) -> None: ...
    def call(self, x: Any, state: Any = None, /) -> Any: ...

class OneStepFloat32(_OneStep): ...
class OneStepFloat64(_OneStep): ...

class Shortcut:
    def __init__(
        self, method: Callable[..., Any], attribute: str, choices: ContextVar[Any]
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def forward(
    weights: _Weights,
    x: Array | Indices,
    state: Sequence[Array] | None,
    lengths: npt.NDArray[np.intp] | None = None,
    reverse: bool = False,
    keep: bool = False,
    checkpoint: int = 0,
    noise: Noise | None = None,
) -> tuple[Array, State, _Cache | None]: ...
def forward_both(
    weights: Sequence[_Weights],
    x: Array | Indices,
    states: Sequence[Sequence[Array] | None],
    lengths: npt.NDArray[np.intp] | None,
    keep: bool,
    checkpoint: int,
    noise: Sequence[Noise | None],
) -> tuple[tuple[Array, State, _Cache | None], tuple[Array, State, _Cache | None]]: ...
def backward(
    saved: _Cache, dy: Array, dstate: Sequence[Array] | None, with_dx: bool = True
) -> tuple[Array | None, State, dict[str, Array]]: ...
def backward_both(
    saved: Sequence[_Cache],
    dy: Sequence[Array],
    dstates: Sequence[Sequence[Array] | None],
    with_dx: bool = True,
) -> tuple[
    tuple[Array | None, State, dict[str, Array]], tuple[Array | None, State, dict[str, Array]]
]: ...
def renew(saved: _Cache) -> None: ...
def backward_windows(
    caches: Sequence[_Cache], dy: Array, k1: int, k2: int, masks: Sequence[Array | None]
) -> tuple[Array | None, list[dict[str, Array]]]: ...
def linear(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array | None = None,
    compute: str = "full",
) -> Array: ...
def instance_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float, layout: str
) -> tuple[Array, Array, Array]: ...
def scale_channels(x: Array, mean: Array, factor: Array, shift: Array) -> Array: ...
def linear_backward(
    x: Array, weight: Array, dy: Array, compute: str = "full"
) -> tuple[Array, Array, Array]: ...
def embedding(indices: Indices, weight: Array) -> Array: ...
def embedding_backward(indices: Indices, dy: Array, rows: int) -> Array: ...
def softmax_cross_entropy(logits: Array, targets: Indices) -> tuple[float, Array]: ...
def sgd(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    velocities: Sequence[Array] | None,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def adagrad(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    squares: Sequence[Array],
    lr: float,
    eps: float,
    weight_decay: float,
) -> None: ...
def rmsprop(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    squares: Sequence[Array],
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None: ...
def adam(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    means: Sequence[Array],
    squares: Sequence[Array],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None: ...
def norm(arrays: Sequence[Array]) -> float: ...
def scale(arrays: Sequence[Array], factor: float) -> None: ...
def clip(arrays: Sequence[Array], limit: float) -> None: ...
def all_below(indices: Indices, count: int) -> bool: ...
def fit(parameters: list[Array], gradients: list[Array]) -> bool: ...
