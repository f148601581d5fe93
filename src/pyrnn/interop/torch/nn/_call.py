"""One call of a stack of layers: torch's tensors in and out, over the same memory as the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyrnn.interop.torch.nn import _stack
from pyrnn.interop.torch.nn._layout import Layout

_alias: Any = getattr(torch._C, "_from_dlpack", torch.utils.dlpack.from_dlpack)


class Call:
    """One forward: the stack, the layout of its input, the dropout masks between its layers."""

    def __init__(self, kind: _stack.Kind, layout: Layout, masks: list[Tensor]) -> None:
        self.kind = kind
        self.layout = layout
        self.masks = masks

    def run(
        self, x: Tensor, states: tuple[Tensor, ...], weights: tuple[Tensor, ...], keep: bool
    ) -> _stack.Outputs:
        """Run the stack on the memory of the tensors, without copies."""
        return _stack.forward(
            self.kind,
            self.layout.to_core(numbers_of(x)),
            tuple(map(self._state, states)) or None,
            self.layout.lengths,
            [weight_of(weight) for weight in weights],
            [self.layout.mask(mask.numpy()) for mask in self.masks],
            keep,
        )

    def outputs(self, found: _stack.Outputs) -> tuple[Tensor, ...]:
        """y, and the states after, as tensors over the same memory."""
        y = torch.from_numpy(self.layout.from_core(found.y))
        return y, *(torch.from_numpy(self.layout.state_out(s)) for s in found.states)

    def backward(
        self,
        kept: _stack.Kept,
        dy: Tensor | None,
        dstates: tuple[Tensor | None, ...],
        like: Any,
        with_dx: bool,
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        """Gradients of x (None if not wanted), of the first states and of the weights."""
        y_shape, state_shapes, dtype = like
        dy_numbers = numbers_of(torch.zeros(y_shape, dtype=dtype) if dy is None else dy)
        last: tuple[Any, ...] | None = None
        if any(d is not None for d in dstates):
            last = tuple(
                torch.zeros(shape, dtype=dtype) if d is None else d
                for d, shape in zip(dstates, state_shapes, strict=True)
            )
            last = tuple(map(self._state, last))
        found = _stack.backward(kept, self.layout.to_core(dy_numbers), last, with_dx)
        return (
            None if found.x is None else torch.from_numpy(self.layout.from_core(found.x)),
            [torch.from_numpy(self.layout.state_out(s)) for s in found.states],
            [torch.from_numpy(array) for array in found.arrays],
        )

    def _state(self, state: Tensor) -> npt.NDArray[Any]:
        return np.ascontiguousarray(self.layout.state_in(numbers_of(state)))


def numbers_of(tensor: Tensor) -> npt.NDArray[Any]:
    """The memory of a tensor as an array; of one that is lazily negated, a copy."""
    return tensor.numpy(force=True)


def weight_of(tensor: Tensor) -> npt.NDArray[Any]:
    """The same of a weight, which is read during this call alone.

    `Tensor.numpy` forbids for ever to resize the memory, as sharded training (FSDP) does with
    weights between calls. So it gets another tensor on the same memory.
    """
    plain = tensor.resolve_neg() if tensor.is_neg() else tensor
    return _alias(torch.utils.dlpack.to_dlpack(plain)).numpy()  # type: ignore[no-any-return]
