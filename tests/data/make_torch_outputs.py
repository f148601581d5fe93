"""Write torch_outputs.npz beside this file: what torch's recurrent layers compute (needs torch).

Arrays are named ``case/what``; a case is ``cell-layers-directions-lengths-dtype``. All parameters
of a layer are one flat array, in the order of ``layer.parameters()``, and so are their gradients.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

TIME_STEPS = 6
LENGTHS = [6, 2, 5]
CONFIGURATIONS = [
    # input_size, hidden_size, layers, directions, with lengths
    (7, 11, 1, 1, False),
    (3, 5, 2, 2, False),
    (3, 5, 2, 1, True),
    (1, 9, 1, 2, True),
]
LAYERS = {
    "rnn_tanh": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="tanh", **options),
    "rnn_relu": lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
}


def coarse(tensor: torch.Tensor) -> torch.Tensor:
    """The same in multiples of 1/64: numbers with few digits compress well."""
    return torch.round(tensor * 64) / 64


def run(cell: str, configuration: tuple, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """One layer on random input: parameters, inputs, outputs and gradients."""
    input_size, hidden_size, layers, directions, with_lengths = configuration
    layer = LAYERS[cell](input_size, hidden_size, layers, bidirectional=directions == 2)
    layer = layer.to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(coarse(parameter))
    batch_size = len(LENGTHS)

    def random(*shape: int) -> torch.Tensor:
        return coarse(torch.randn(*shape, dtype=dtype)).requires_grad_()

    x = random(TIME_STEPS, batch_size, input_size)
    names = ("h", "c") if cell == "lstm" else ("h",)
    first = {name: random(layers * directions, batch_size, hidden_size) for name in names}
    state = tuple(first.values()) if cell == "lstm" else first["h"]
    if with_lengths:
        packed, last = layer(pack_padded_sequence(x, LENGTHS, enforce_sorted=False), state)
        y, _ = pad_packed_sequence(packed)
    else:
        y, last = layer(x, state)
    last = last if cell == "lstm" else (last,)
    dy = random(*y.shape)
    dlast = [random(*final.shape) for final in last]
    torch.autograd.backward([y, *last], [dy, *dlast])

    arrays = {"x": x, "dx": x.grad, "y": y, "dy": dy}
    for name, final, dfinal in zip(names, last, dlast, strict=True):
        start = first[name]
        arrays |= {f"{name}0": start, f"d{name}0": start.grad, name: final, f"d{name}": dfinal}
    arrays["parameters"] = torch.cat([p.flatten() for p in layer.parameters()])
    arrays["grads"] = torch.cat([p.grad.flatten() for p in layer.parameters()])
    if with_lengths:
        arrays["lengths"] = torch.tensor(LENGTHS)
    return arrays


def main() -> None:
    """Run every case and write them all."""
    torch.manual_seed(0)
    stored = {}
    for configuration in CONFIGURATIONS:
        _, _, layers, directions, with_lengths = configuration
        for cell in LAYERS:
            for dtype in (torch.float32, torch.float64):
                ending = "lengths" if with_lengths else "full"
                case = f"{cell}-{layers}-{directions}-{ending}-{str(dtype).removeprefix('torch.')}"
                for name, tensor in run(cell, configuration, dtype).items():
                    stored[f"{case}/{name}"] = tensor.detach().numpy()
    np.savez_compressed(Path(__file__).with_name("torch_outputs.npz"), **stored)


if __name__ == "__main__":
    main()
