"""The projection of an LSTM's output, as `torch.nn.LSTM` has it: h' = W_hr (o ∘ tanh(c')).

Source: H. Sak, A. Senior, F. Beaufays, "Long short-term memory based recurrent neural network
architectures for large scale acoustic modeling", arXiv:1402.1128. A cell has a projection if it has
the parameter ``weight_hr`` (P, H); W_hh is then (4H, P).
"""

from __future__ import annotations

from pyrnn._types import Array, Parameters
from pyrnn.reference.products import times, times_back, weight_gradient


def project(output: Array, parameters: Parameters) -> Array:
    """W_hr output, (N, H) -> (N, P); the output itself where there is no projection."""
    return times(output, parameters["weight_hr"]) if "weight_hr" in parameters else output


def project_backward(
    dh: Array, output: Array, parameters: Parameters
) -> tuple[Array, dict[str, Array]]:
    """Backward of `project`: the output's gradient and that of W_hr."""
    if "weight_hr" not in parameters:
        return dh, {}
    weight = parameters["weight_hr"]
    return times_back(dh, weight), {"weight_hr": weight_gradient(dh, output, weight)}
