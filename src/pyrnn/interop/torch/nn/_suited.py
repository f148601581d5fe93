"""Which calls the core computes; all others are torch's own, with its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

_PLAIN = (Tensor, Parameter)
_DTYPES = (torch.float32, torch.float64)
_transformed = getattr(torch._C, "_are_functorch_transforms_active", None)
_uncompiled: Callable[..., object] | None = None
_callback = getattr(
    getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None), "get_eval_frame_callback", None
)
_is_exporting = getattr(torch.compiler, "is_exporting", None)
_modes = getattr(torch._C, "_len_torch_dispatch_stack", None)


def compiling() -> bool:
    """Whether `torch.compile` looks at the functions that are called, this one among them."""
    if torch.compiler.is_compiling():
        return not (_is_exporting is not None and _is_exporting())
    return _callback is not None and _callback() not in (None, False)


def uncompiled(module: torch.nn.Module, *arguments: object) -> object:
    """A module's forward, which `torch.compile` does not trace."""
    global _uncompiled
    if _uncompiled is None:  # not earlier, since this imports the compiler
        _uncompiled = torch.compiler.disable(_forward)  # type: ignore[no-untyped-call]
    return _uncompiled(module, *arguments)


def _forward(module: torch.nn.Module, *arguments: object) -> object:
    return module.forward(*arguments)


def ordinary() -> bool:
    """Whether numbers are computed, rather than a program recorded or transformed."""
    return not (
        torch._C._get_tracing_state() is not None
        or torch.compiler.is_compiling()  # an export
        or (_transformed is not None and _transformed())
        or (_modes is not None and _modes())
        or torch.autograd.forward_ad._current_level >= 0
    )


def fit(tensors: Sequence[object], dtype: torch.dtype) -> bool:
    """Whether all are plain dense tensors of that dtype on the CPU."""
    return dtype in _DTYPES and all(
        type(tensor) in _PLAIN
        and tensor.dtype is dtype  # type: ignore[attr-defined]
        and tensor.is_cpu  # type: ignore[attr-defined]
        and tensor.layout is torch.strided  # type: ignore[attr-defined]
        for tensor in tensors
    )


def scriptable(module: Any) -> Any:
    """Return a module of torch's own class over the same parameters, for `torch.jit.script`.

    TorchScript compiles Python sources, and cannot see into the core.
    """
    kind: Any = next(
        each for each in type(module).__mro__ if each.__module__.startswith("torch.nn.")
    )
    plain = kind.__new__(kind)
    plain.__dict__.update(module.__dict__)
    return plain
