"""A stack of layers as one node of torch's graph.

What users of torch do decides what is kept for the backward pass:

- They run backward more than once (``retain_graph=True``), or change y, which the cache refers to,
  in place. Then the cache is renewed: the core runs the forward pass again, with the weights and
  the dropout masks of the first one.
- They change the weights in between. The core has its own packed copies of the weights of the
  forward pass.
- They save memory with hooks on saved tensors, as `torch.utils.checkpoint` does. Then the core
  keeps nothing, and runs the forward pass again from the saved tensors when gradients are needed.

Gradients that are to be differentiated again (``create_graph=True``), and those of a whole batch of
gradients of y at once (``is_grads_batched=True``), are composed of torch's own operators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyrnn.interop.torch.nn import _composed, _stack, _suited
from pyrnn.interop.torch.nn._call import Call

# Neither is documented, so that either may go: then hooks save no memory, and what was kept waits
# for another backward until its graph goes.
_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)


def run(
    call: Call, x: Tensor, states: tuple[Tensor, ...], weights: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """y and the states after; part of torch's graph where one of the tensors is."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *states, *weights)):
        apply: Any = _Recurrence.apply
        outputs: tuple[Tensor, ...] = apply(call, len(states), x, *states, *weights)
        return outputs
    return call.outputs(call.run(x, states, weights, keep=False))


class _Recurrence(torch.autograd.Function):
    """The node."""

    @staticmethod
    def forward(
        ctx: Any, call: Call, count: int, x: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        states, weights = tensors[:count], tensors[count:]
        ctx.save_for_backward(x, *tensors)
        ctx.set_materialize_grads(False)
        ctx.call, ctx.count = call, count
        ctx.kept, ctx.used = None, False
        hooked = _hooks is not None and _hooks(False) is not None
        found = call.run(x, states, weights, keep=not hooked)
        outputs = call.outputs(found)
        ctx.like = outputs[0].shape, [s.shape for s in outputs[1:]], outputs[0].dtype
        if not hooked:
            ctx.kept = found.kept
            # These aliases tell of changes in place. What is saved would as well, but for the
            # weights, which may change, and the output, which may change too.
            # An inference tensor has no versions: saving it is refused next, by torch.
            ctx.x, ctx.x_version = x.detach(), 0 if x.is_inference() else x._version
            ctx.y, ctx.y_version = outputs[0].detach(), outputs[0]._version
        return outputs

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dstates: Tensor | None) -> tuple[Tensor | None, ...]:
        call, count = ctx.call, ctx.count
        grads = dy, *dstates
        again = torch.is_grad_enabled()  # create_graph=True
        if again or not _suited.numbers(grads):
            tensors = ctx.saved_tensors
            needed = ctx.needs_input_grad[2:]
            return None, None, *_composed.backward(call, tensors, count, grads, needed, again)
        with_dx = ctx.needs_input_grad[2]
        dx, dstates0, dweights = call.backward(_kept(ctx), dy, dstates, ctx.like, with_dx)
        if _keeps_graph is not None and not _keeps_graph():
            ctx.kept = ctx.x = ctx.y = None
        return None, None, dx, *(dstates0 if count else ()), *dweights


def _kept(ctx: Any) -> _stack.Kept:
    """What backward needs, as it was after the forward."""
    if ctx.kept is None:
        x, *tensors = ctx.saved_tensors
        count = ctx.count
        found = ctx.call.run(x, tuple(tensors[:count]), tuple(tensors[count:]), keep=True)
        return found.kept  # type: ignore[no-any-return]
    if ctx.x._version != ctx.x_version:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace "
            f"operation: the input of a {ctx.call.kind.cell} layer is at version "
            f"{ctx.x._version}; expected version {ctx.x_version} instead"
        )
    if ctx.used or ctx.y._version != ctx.y_version:
        _stack.renew(ctx.kept)
    ctx.used = True
    return ctx.kept  # type: ignore[no-any-return]
