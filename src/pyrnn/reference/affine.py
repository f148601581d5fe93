"""The products every cell has: input (dense or one-hot) and hidden state with their weights."""

from __future__ import annotations

from pyrnn._types import Array, Indices, Parameters, is_indices
from pyrnn.reference.products import columns, times, times_back, weight_gradient
from pyrnn.reference.sums import sum_at_indices, sum_of_rows


def input_product(x: Array | Indices, parameters: Parameters) -> Array:
    """x W_ihᵀ + b_ih, shape (N, G·H).

    ``x`` is (N, I), or (N,) of integers: the positions of the ones in one-hot rows, for which the
    product selects columns.
    """
    weight = parameters["weight_ih"]
    product = columns(x, weight) if is_indices(x) else times(x, weight)
    return add_bias(product, parameters, "bias_ih")


def hidden_product(h: Array, parameters: Parameters, mask: Array | None = None) -> Array:
    """(mask ∘ h) W_hhᵀ + b_hh, shape (N, G·H)."""
    return add_bias(times(masked(h, mask), parameters["weight_hh"]), parameters, "bias_hh")


def masked(h: Array, mask: Array | None) -> Array:
    """The h that the products use: mask ∘ h, or h where there is no mask."""
    return h if mask is None else mask * h


def add_bias(product: Array, parameters: Parameters, name: str) -> Array:
    """The product with its bias, where the cell has one."""
    return product + parameters[name] if name in parameters else product


def input_backward(
    dgates: Array, x: Array | Indices, parameters: Parameters
) -> tuple[Array | None, dict[str, Array]]:
    """Backward of `input_product`: dx (None for integers), gradients of its parameters."""
    weight = parameters["weight_ih"]
    grads: dict[str, Array] = {}
    dx: Array | None = None
    if is_indices(x):
        grads["weight_ih"] = sum_at_indices(x, dgates, weight.shape[1]).T
    else:
        dx = times_back(dgates, weight)
        grads["weight_ih"] = weight_gradient(dgates, x, weight)
    if "bias_ih" in parameters:
        grads["bias_ih"] = sum_of_rows(dgates)
    return dx, grads


def hidden_backward(
    dgates: Array, h: Array, parameters: Parameters, mask: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """Backward of `hidden_product`: dh and the gradients of its parameters."""
    weight = parameters["weight_hh"]
    grads: dict[str, Array] = {"weight_hh": weight_gradient(dgates, masked(h, mask), weight)}
    if "bias_hh" in parameters:
        grads["bias_hh"] = sum_of_rows(dgates)
    return masked(times_back(dgates, weight), mask), grads
