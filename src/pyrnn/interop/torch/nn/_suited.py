"""Which calls the core computes; all others are torch's own, with its errors."""

from __future__ import annotations

import inspect
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
_batched = getattr(
    getattr(torch._C, "_functorch", None), "is_legacy_batchedtensor", lambda tensor: False
)


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


def numbers(grads: Sequence[Tensor | None]) -> bool:
    """Whether gradients are plain, of one loss rather than of many (``is_grads_batched=True``)."""
    return all(
        grad is None
        or (type(grad) is Tensor and grad.layout is torch.strided and not _batched(grad))
        for grad in grads
    )


def has_onednn() -> bool:
    """Whether torch computes what it can with oneDNN."""
    return bool(torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled())


def symbolic(module: torch.nn.Module, input: object) -> bool:
    """Whether `torch.fx` records the call, and a call of this module is the whole of it."""
    return (
        isinstance(input, torch.fx.Proxy)
        and "forward" not in module.__dict__
        and not _has_own_forward(type(module))
    )


def recorded(module: torch.nn.Module, input: Any, hx: object) -> object:
    """The module as one node of the graph, as `torch.fx` takes all modules of torch."""
    path = input.tracer.path_of_module(module)
    arguments = (input,) if hx is None else (input, hx)
    return input.tracer.create_proxy("call_module", path, arguments, {})


def scriptable(module: Any) -> Any:
    """Return a module of torch's own class over the same parameters, for `torch.jit.script`.

    TorchScript compiles Python sources, and cannot see into the core.
    """
    kind = type(module)
    theirs = kind._theirs
    if not _has_scriptable_forward(kind):
        raise RuntimeError(
            f"torch.jit.script: cannot compile the forward of {kind.__name__}, whose base is a "
            "layer of pyrnn; torch.jit.trace records it"
        )
    plain = theirs.__new__(theirs)
    plain.__dict__.update(module.__dict__)
    return plain


class IgnoredByScript:
    """What TorchScript ignores of a module, nothing: it reads that of each module that it compiles.

    A `torch.jit.ScriptModule` compiles itself as soon as it is made, and asks its modules for
    nothing else before it looks at their forward. It keeps no other reference to them. So they
    become torch's own there; other modules are compiled by `scriptable`, and traced as they are.
    """

    def __get__(self, module: Any, kind: Any) -> list[str]:
        """An attribute of a class, as `property` is, which TorchScript would compile."""
        if module is not None and _has_scriptable_forward(kind) and _within_script_module():
            module.__class__ = kind._theirs
        return []


def _within_script_module() -> bool:
    """Whether TorchScript compiles (rather than traces) a module, a part of which is looked at."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "create_script_module":
            names = frame.f_locals
            within = isinstance(names.get("nn_module"), torch.jit.ScriptModule)
            return within and names.get("is_tracing") is False
        frame = frame.f_back
    return False


def _has_scriptable_forward(kind: Any) -> bool:
    """Whether its forward is torch's, if the core's is taken away."""
    return not _has_own_forward(kind) or kind.forward is kind._theirs.forward


def _has_own_forward(kind: Any) -> bool:
    """Whether a subclass, which is not of this package, defines `forward`."""
    ours = [each for each in kind.__mro__ if each.__module__.startswith("pyrnn.")]
    return all(kind.forward is not each.forward for each in ours)
