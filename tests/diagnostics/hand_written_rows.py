"""More hand-written networks with one fault: a row for each example, no biases, packed gates."""

import numpy as np

from tests.diagnostics.hand_written import sigmoid


def word_parameters(vocabulary=7, hidden=5):
    g = np.random.default_rng(0)
    shapes = {"U": (hidden, vocabulary), "W": (hidden, hidden), "V": (vocabulary, hidden)}
    return {name: g.normal(0, 0.5, shape) for name, shape in shapes.items()}


def word_data(steps, batch):
    return tuple(np.random.default_rng(5).integers(0, 7, (2, steps)))


def word_loss(fault=None, k=None):
    """U, W, V without biases over one sentence, as the second article's loops go."""

    def f(p, xs, ys):
        U, W, V = p["U"], p["W"], p["V"]
        steps = len(xs)
        s, o = np.zeros((steps + 1, len(W))), np.zeros((steps, len(V)))  # s[-1] is the first state
        for t in range(steps):
            s[t] = np.tanh(U[:, xs[t]] + W @ s[t - 1])
            e = np.exp(V @ s[t])
            o[t] = e / e.sum()
        loss = -np.log(o[np.arange(steps), ys]).sum()
        dU, dW, dV = (np.zeros_like(each) for each in (U, W, V))
        errors = o.copy()
        errors[np.arange(steps), ys] -= 0 if fault == "no target" else 1
        for t in reversed(range(steps)):
            dV += np.outer(errors[t], s[t - 1 if fault == "V of the state before" else t])
            down = V.T @ (o if fault == "probabilities handed down" else errors)[t]
            delta = down * (1 if fault == "no derivative" else 1 - s[t] ** 2)
            for b in reversed(range(max(0, t - (k or steps) + 1), t + 1)):
                dW += np.outer(delta, s[b if fault == "W of the state after" else b - 1])
                dU[:, xs[t if fault == "x of the last step" else b]] += delta
                back = W @ delta if fault == "W for W.T" else W.T @ delta
                delta = back * (1 if fault == "carry without derivative" else 1 - s[b - 1] ** 2)
        limit = 0.2 if fault == "clipped" else np.inf
        return loss, [np.clip(each, -limit, limit) for each in (dU, dW, dV)]

    return f


def regression_parameters(features=3, hidden=4, outputs=2):
    g = np.random.default_rng(0)
    shapes = {"Wx": (features, hidden), "Wh": (hidden, hidden), "Wo": (hidden, outputs)}
    return {name: g.normal(0, 0.6, shape) for name, shape in shapes.items()}


def regression_data(steps, batch):
    g = np.random.default_rng(5)
    return g.standard_normal((batch, steps, 3)), g.standard_normal((batch, 2))


def regression_loss(fault=None, k=None):
    """A squared error of the last state, (N, T, features), without biases."""

    def f(p, x, y):
        n, steps = x.shape[:2]
        hs = [np.zeros((n, len(p["Wh"])))]
        for t in range(steps):
            hs.append(np.tanh(x[:, t] @ p["Wx"] + hs[-1] @ p["Wh"]))
        error = hs[-1] @ p["Wo"] - y
        dWx, dWh = np.zeros_like(p["Wx"]), np.zeros_like(p["Wh"])
        dh = error @ p["Wo"].T / n
        for t in reversed(range(steps)):
            dz = dh * (1 - hs[t + 1] if fault == "derivative 1 - h" else 1 - hs[t + 1] ** 2)
            dWx = (0 if fault == "= for Wx" else dWx) + x[:, t].T @ dz
            dWh += hs[t + 1 if fault == "state after" else t].T @ dz
            down = dz @ (p["Wh"] if fault == "no transpose" else p["Wh"].T)
            dh = dh + down if fault == "the carry added up" else down
            if k is not None and t <= steps - k:
                break
        return 0.5 * (error**2).sum() / n, [dWx, dWh, hs[-1].T @ error / n]

    return f


def packed_parameters(features=4, hidden=3):
    g = np.random.default_rng(0)
    shapes = {"Wx": (features, 4 * hidden), "Wh": (hidden, 4 * hidden), "b": (4 * hidden,)}
    return {name: g.normal(0, 0.7, shape) for name, shape in shapes.items()}


def packed_lstm(fault=None, k=None):
    """An LSTM, (T, N, features), whose gates i, f, g, o are columns of one product."""

    def forward(x, h0, p):
        h, c, kept, hs = h0, np.zeros_like(h0), [], []
        for x_t in x:
            i, f, g, o = np.split(x_t @ p["Wx"] + h @ p["Wh"] + p["b"], 4, axis=1)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            now = f * c + i * g
            kept.append((h, c, i, f, g, o, np.tanh(now)))
            h, c = o * np.tanh(now), now
            hs.append(h)
        return np.array(hs), (x, kept, p)

    def backward(dhs, cache):
        x, kept, p = cache
        n, size, steps = x.shape[1], dhs.shape[2], len(x)
        d = {name: np.zeros_like(each) for name, each in p.items()}
        dx, dh_next, dc_next = np.zeros_like(x), np.zeros((n, size)), np.zeros((n, size))
        for t in reversed(range(steps)):
            h, c, i, f, g, o, tanh_c = kept[t]
            dh = dhs[t] + dh_next
            dc = dc_next + dh * o * (1 - tanh_c**2)
            if fault == "carry in place of its own" and t < steps - 1:
                dc = dc_next
            df = dc * c * (1 if fault == "forget gate without derivative" else f * (1 - f))
            gates = [dc * g * i * (1 - i), df, dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)]
            dz = np.concatenate(gates, axis=1)
            d["Wx"] += x[t].T @ dz
            d["Wh"] = d["Wh"] - h.T @ dz if fault == "-= for Wh" else d["Wh"] + h.T @ dz
            d["b"] = d["b"] + (dz if fault == "bias not summed" else dz.sum(0))
            dx[t] = dz @ p["Wx"].T
            dh_next, dc_next = dz @ p["Wh"].T, dc * f
            if fault == "blocks of Wh for their transposes":
                pairs = zip(np.split(dz, 4, axis=1), np.split(p["Wh"], 4, axis=1), strict=True)
                dh_next = sum(part @ block for part, block in pairs)
            if fault == "forget gate of the step after":
                dc_next = dc * kept[min(t + 1, steps - 1)][3]
            if k is not None and (steps - t) % k == 0:
                dh_next, dc_next = 0 * dh_next, 0 * dc_next
        if fault == "Wx of the shape of its transpose":
            d["Wx"] = d["Wx"].T
        if fault == "bias as a row":
            d["b"] = d["b"][None]
        return {"dx": dx, "dh0": dh_next, **{f"d{name}": each for name, each in d.items()}}

    return forward, backward
