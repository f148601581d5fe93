"""Check a hand-written recurrent network: its gradients, its outputs, an article's functions.

`gradcheck` takes any object with `parameters`, `forward` and `backward` as below, and checks the
gradients that backward returns: of x, of the initial state and of the parameters.
"""

import numpy as np

import pyrnn
from pyrnn import textbook


class OwnRNN:
    """h' = tanh(Wxh x + Whh h + bh), written by hand; x is (T, N, I)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        draw = np.random.default_rng(0).standard_normal
        shapes = {"Wxh": (hidden_size, input_size), "Whh": (hidden_size,) * 2, "bh": hidden_size}
        self.parameters = {name: 0.5 * draw(shape) for name, shape in shapes.items()}

    def forward(self, x, state=None):
        """All outputs, the last state, and what the backward pass needs."""
        p = self.parameters
        states = [np.zeros((x.shape[1], len(p["bh"]))) if state is None else state]
        for x_t in x:
            states.append(np.tanh(x_t @ p["Wxh"].T + states[-1] @ p["Whh"].T + p["bh"]))
        return np.stack(states[1:]), states[-1], (x, states)

    def backward(self, cache, dy, dstate=None):
        """Gradients of x, of the first state and of the parameters."""
        x, states = cache
        dx, dh = np.empty_like(x), 0 if dstate is None else dstate
        grads = {name: np.zeros_like(p) for name, p in self.parameters.items()}
        for t in reversed(range(len(x))):
            dz = (dy[t] + dh) * (1 - states[t + 1] ** 2)  # try it without the square
            grads["Wxh"] += dz.T @ x[t]
            grads["Whh"] += dz.T @ states[t]
            grads["bh"] += dz.sum(axis=0)
            dx[t] = dz @ self.parameters["Wxh"]
            dh = dz @ self.parameters["Whh"]
        return dx, dh, grads


def main() -> None:
    """Compare the network above with finite differences, with `pyrnn.RNN` and with an article."""
    own, x, h0 = OwnRNN(3, 4), np.random.default_rng(1).standard_normal((5, 2, 3)), np.ones((2, 4))
    print(pyrnn.gradcheck(own, x, h0))

    layer, p = pyrnn.RNN(3, 4, dtype="float64"), own.parameters
    layer.parameters["weight_ih_l0"], layer.parameters["weight_hh_l0"] = p["Wxh"], p["Whh"]
    layer.parameters["bias_ih_l0"], layer.parameters["bias_hh_l0"] = p["bh"], np.zeros(4)
    y, h, _ = own.forward(x, h0)
    print(f"pyrnn.RNN differs by {np.abs(layer(x, h0[None])[0] - y).max():.0e}")

    named = {"Wax": p["Wxh"], "Waa": p["Whh"], "ba": p["bh"][:, None]}
    named |= {"Wya": np.zeros((1, 4)), "by": np.zeros((1, 1))}
    a, _, _ = textbook.rnn_forward(x.transpose(2, 1, 0), h0.T, named)  # columns are examples
    print(f"textbook.rnn_forward differs by {np.abs(a[:, :, -1].T - h).max():.0e}")


if __name__ == "__main__":
    main()
