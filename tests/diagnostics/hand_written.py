"""Hand-written networks as learners write them, each with a switch for one deliberate fault."""

import numpy as np


def softmax(z, axis=0):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def rnn_parameters(n_x=5, n_a=6, n_y=4, seed=0):
    g = np.random.default_rng(seed)
    shapes = {
        "Wax": (n_a, n_x),
        "Waa": (n_a, n_a),
        "Wya": (n_y, n_a),
        "ba": (n_a, 1),
        "by": (n_y, 1),
    }
    return {name: g.normal(0, 0.5, shape) for name, shape in shapes.items()}


def rnn_functions(fault=None, k=None):
    """`rnn_forward` and `rnn_backward` of the first article, with one fault."""

    def forward(x, a0, parameters):
        a, caches, outputs, predictions = a0, [], [], []
        for t in range(x.shape[2]):
            before = a
            a = np.tanh(parameters["Wax"] @ x[:, :, t] + parameters["Waa"] @ a + parameters["ba"])
            z = parameters["Wya"] @ a + parameters["by"]
            if fault == "softmax over the whole array":
                e = np.exp(z)
                predictions.append(e / e.sum())
            elif fault == "softmax over the sequences":
                predictions.append(softmax(z, axis=1))
            else:
                predictions.append(softmax(z))
            caches.append((a, before, x[:, :, t], parameters))
            outputs.append(a)
        return np.stack(outputs, 2), np.stack(predictions, 2), (caches, x)

    def cell(da, cache, final):
        a, before, x, parameters = cache
        if fault == "stale activation":
            a = final
        dz = da * {
            "derivative 1 - a": 1 - a,
            "derivative (1 - a)^2": (1 - a) ** 2,
            "no derivative": np.ones_like(a),
            "derivative of the sigmoid": a * (1 - a),
        }.get(fault, 1 - a**2)
        m = da.shape[1]
        db = dz.sum(axis=1, keepdims=True)
        if fault == "bias not summed":
            db = dz
        if fault == "bias of the first sequence":
            db = dz[:, :1]
        if fault == "bias a mean":
            db = db / m
        dwaa = dz @ (a if fault == "state after in dWaa" else before).T
        dwax = dz @ x.T
        if fault == "dWaa transposed":
            dwaa = dwaa.T
        if fault == "weights a mean":
            dwaa, dwax, db = dwaa / m, dwax / m, db / m
        dprev = parameters["Waa"].T @ dz
        if fault == "Waa for Waa.T":
            dprev = parameters["Waa"] @ dz
        if fault == "da_prev without derivative":
            dprev = parameters["Waa"].T @ da
        return parameters["Wax"].T @ dz, dprev, dwax, dwaa, db

    def backward(da, caches):
        caches, x = caches
        steps = da.shape[2]
        dx = np.zeros(x.shape)
        carried = np.zeros(da.shape[:2])
        total = [0.0, 0.0, 0.0]
        order = range(steps)
        if fault == "a step left out":
            order = range(1, steps)
        if k is not None:
            return truncated(da, caches, x, k)
        final = caches[-1][0]
        for t in reversed(order):
            given = da[:, :, t]
            if fault == "gradient of another step":
                given = da[:, :, -1]
            if fault == "no carry":
                carried = np.zeros_like(carried)
            cache = caches[t]
            if fault == "x of the last step":
                cache = (cache[0], cache[1], caches[-1][2], cache[3])
            if fault == "x of the step before":
                cache = (cache[0], cache[1], caches[t - 1][2], cache[3])
            if fault == "state that never moves":
                cache = (cache[0], caches[0][1], cache[2], cache[3])
            dx[:, :, t], carried, *shares = cell(given + carried, cache, final)
            if fault == "half the carry":
                carried = carried / 2
            for n, share in enumerate(shares):
                overwritten = fault == f"= for {('Wax', 'Waa', 'ba')[n]}" or fault == "= for all"
                total[n] = share if overwritten else total[n] + share
        if fault == "mean over steps in Wax":
            total[0] = total[0] / steps
        names = ("dWax", "dWaa", "dba")
        return {"dx": dx, "da0": carried, **dict(zip(names, total, strict=True))}

    def truncated(da, caches, x, k):
        steps = da.shape[2]
        dx, da0, total = np.zeros(x.shape), np.zeros(da.shape[:2]), [0.0, 0.0, 0.0]
        for t in range(steps):
            carried = da[:, :, t]
            for s in range(t, max(t - k, -1), -1):
                step, carried, *shares = cell(carried, caches[s], None)
                dx[:, :, s] += step
                total = [have + share for have, share in zip(total, shares, strict=True)]
            if t - k < 0:
                da0 += carried
        names = ("dWax", "dWaa", "dba")
        return {"dx": dx, "da0": da0, **dict(zip(names, total, strict=True))}

    return forward, backward


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_parameters(n_x=4, n_a=5, n_y=3, seed=0):
    g = np.random.default_rng(seed)
    found = {}
    for gate in "fico":
        found[f"W{gate}"] = g.normal(0, 0.5, (n_a, n_a + n_x))
        found[f"b{gate}"] = g.normal(0, 0.5, (n_a, 1))
    return found | {"Wy": g.normal(0, 0.5, (n_y, n_a)), "by": g.normal(0, 0.5, (n_y, 1))}


def lstm_functions(fault=None):
    """`lstm_forward` and `lstm_backward` of the same article, with one fault."""

    def forward(x, a0, parameters):
        p, a, c = parameters, a0, np.zeros_like(a0)
        states, cells, predictions, caches = [], [], [], []
        for t in range(x.shape[2]):
            before = a, c
            joint = np.concatenate([a, x[:, :, t]])
            f, i, o = (sigmoid(p[f"W{g}"] @ joint + p[f"b{g}"]) for g in "fio")
            g = np.tanh(p["Wc"] @ joint + p["bc"])
            c = f * c + i * g
            a = o * np.tanh(c)
            states.append(a)
            cells.append(c)
            predictions.append(softmax(p["Wy"] @ a + p["by"]))
            caches.append((a, c, *before, f, i, g, o, x[:, :, t], p))
        return np.stack(states, 2), np.stack(predictions, 2), np.stack(cells, 2), (caches, x)

    def backward(da, caches):
        caches, x = caches
        n_a, m, steps = da.shape
        dx, grads = np.zeros(x.shape), {}
        da_next, dc_next = np.zeros((n_a, m)), np.zeros((n_a, m))
        for t in reversed(range(steps)):
            a, c, a_prev, c_prev, f, i, g, o, xt, p = caches[t]
            if fault == "no carry of da":
                da_next = np.zeros_like(da_next)
            if fault == "no carry of dc":
                dc_next = np.zeros_like(dc_next)
            dh = da[:, :, t] + da_next
            tc = np.tanh(c)
            dc = dc_next + dh * o * ((1 - tc) if fault == "derivative of tanh(c)" else (1 - tc**2))
            dz = {
                "o": dh * tc * o * (1 - o),
                "f": dc * c_prev * (f if fault == "derivative of the forget gate" else f * (1 - f)),
                "i": dc * g * i * (i if fault == "derivative of the input gate" else 1 - i),
                "c": dc * i * (1 - g**2),
            }
            joint = np.concatenate([a if fault == "state after" else a_prev, xt])
            for gate, each in dz.items():
                sums = each.sum(axis=1, keepdims=True)
                if fault == "bias a mean":
                    sums = sums / m
                keep = 0 if fault == "= for Wi" and gate == "i" else grads.get(f"dW{gate}", 0)
                grads[f"dW{gate}"] = keep + each @ joint.T
                grads[f"db{gate}"] = grads.get(f"db{gate}", 0) + sums
            left = {gate: p[f"W{gate}"][:, :n_a] for gate in "fico"}
            if fault == "W for W.T":
                da_next = sum(left[gate] @ dz[gate] for gate in "fico")
            else:
                da_next = sum(left[gate].T @ dz[gate] for gate in "fico")
            dx[:, :, t] = sum(p[f"W{gate}"][:, n_a:].T @ dz[gate] for gate in "fico")
            dc_next = dc if fault == "dc without the forget gate" else dc * f
        return {"dx": dx, "da0": da_next, **grads}

    return forward, backward


def gru_parameters(n_x=4, n_a=5, seed=0):
    """In the style of `lstm_parameters`: update gate u, reset gate r, candidate c."""
    random = np.random.default_rng(seed).standard_normal
    shapes = {f"W{gate}": (n_a, n_a + n_x) for gate in "urc"} | {f"b{g}": (n_a, 1) for g in "urc"}
    return {name: 0.7 * random(shape) for name, shape in shapes.items()}


def gru_functions(fault=None):
    """`gru_forward` and `gru_backward`, with one fault: the reset acts before the product."""

    def forward(x, a0, parameters):
        p, a = parameters, a0
        states, caches = [], []
        for t in range(x.shape[2]):
            joint = np.concatenate([a, x[:, :, t]])
            u, r = (sigmoid(p[f"W{gate}"] @ joint + p[f"b{gate}"]) for gate in "ur")
            c = np.tanh(p["Wc"] @ np.concatenate([r * a, x[:, :, t]]) + p["bc"])
            a, before = u * c + (1 - u) * a, a
            states.append(a)
            caches.append((a, before, u, r, c, x[:, :, t], p))
        return np.stack(states, 2), (caches, x)

    def backward(da, caches):
        caches, x = caches
        n_a, m, steps = da.shape
        dx, grads, da_next = np.zeros(x.shape), {}, np.zeros((n_a, m))
        for t in reversed(range(steps)):
            a, a_prev, u, r, c, xt, p = caches[t]
            dh = da[:, :, t] + (0 if fault == "no carry" else da_next)
            dc = dh * u * ((1 - c) if fault == "derivative of the candidate" else 1 - c**2)
            slope = u if fault == "derivative of the update gate" else u * (1 - u)
            du = dh * (c - a_prev) * slope
            state = a if fault == "state after" else a_prev
            Wc = p["Wc"][:, :n_a]
            dreset = (Wc if fault == "W for W.T" else Wc.T) @ dc  # of r * a_prev
            dr = dreset * a_prev * (r if fault == "derivative of the reset gate" else r * (1 - r))
            joints = {"u": state, "r": state, "c": r * state}
            if fault == "candidate's state not reset":
                joints["c"] = state
            if fault == "x of the last step":
                xt = x[:, :, -1]
            da_next = dreset * r
            if fault != "no carry past the gates":
                da_next = da_next + dh * (1 - u)
            for gate, dz in (("u", du), ("r", dr), ("c", dc)):
                sums = dz.sum(axis=1, keepdims=True) / (m if fault == "bias a mean" else 1)
                keep = 0 if fault == "= for Wr" and gate == "r" else grads.get(f"dW{gate}", 0)
                grads[f"dW{gate}"] = keep + dz @ np.concatenate([joints[gate], xt]).T
                grads[f"db{gate}"] = grads.get(f"db{gate}", 0) + sums
                kept = 0 if fault == "= for dx" else dx[:, :, t]
                dx[:, :, t] = kept + p[f"W{gate}"][:, n_a:].T @ dz
                if gate != "c" and fault != "no carry through the gates":
                    da_next = da_next + p[f"W{gate}"][:, :n_a].T @ dz
        return {"dx": dx, "da0": da_next, **grads}

    return forward, backward


def character_parameters(vocabulary=6, hidden=5, seed=0):
    g = np.random.default_rng(seed)
    shapes = {
        "Wxh": (hidden, vocabulary),
        "Whh": (hidden, hidden),
        "Why": (vocabulary, hidden),
        "bh": (hidden, 1),
        "by": (vocabulary, 1),
    }
    return {name: g.normal(0, 0.5, shape) for name, shape in shapes.items()}


def character_data(vocabulary=6):
    def data(steps, batch):
        g = np.random.default_rng(7)
        return g.integers(0, vocabulary, (2, steps, batch))

    return lambda steps, batch: tuple(data(steps, batch))


def character_loss(fault=None, k=None):
    """The loss and the gradients of min-char-rnn for a batch of windows, with one fault."""

    def f(parameters, inputs, targets):
        p = parameters
        steps, batch = inputs.shape
        vocabulary = len(p["by"])
        hidden = {-1: np.zeros((len(p["bh"]), batch))}
        x, logits = {}, {}
        for t in range(steps):
            x[t] = np.eye(vocabulary)[:, inputs[t]]
            hidden[t] = np.tanh(p["Wxh"] @ x[t] + p["Whh"] @ hidden[t - 1] + p["bh"])
            logits[t] = p["Why"] @ hidden[t] + p["by"]
        if fault == "softmax over all":
            e = np.exp(np.stack(list(logits.values())))
            chances = dict(enumerate(e / e.sum()))
        elif fault == "softmax over the sequences":
            chances = {t: softmax(z, axis=1) for t, z in logits.items()}
        else:
            chances = {t: softmax(z) for t, z in logits.items()}
        picked = [chances[t][targets[t], np.arange(batch)] for t in range(steps)]
        loss = -np.log(picked).sum()
        if fault == "loss over T":
            loss /= steps
        if fault == "loss in bits":
            loss /= np.log(2)
        if fault == "loss over N":
            loss /= batch
        grads = {name: np.zeros_like(value) for name, value in p.items()}
        carried = np.zeros_like(hidden[-1])
        dys = {t: chances[t] - np.eye(vocabulary)[:, targets[t]] for t in range(steps)}
        if fault == "gradient of the logits":
            dys = {t: chances[t] * (1 - chances[t]) for t in range(steps)}
        windows = (
            [range(steps)] if k is None else [range(max(0, t - k + 1), t + 1) for t in range(steps)]
        )
        for window in windows:
            carried = np.zeros_like(hidden[-1])
            for t in reversed(window):
                own = k is None or t == window[-1]
                if own:
                    grads["Why"] += (
                        dys[t] @ hidden[t - 1 if fault == "Why of the state before" else t].T
                    )
                    grads["by"] += dys[t].sum(1, keepdims=True)
                if fault == "no carry":
                    carried = 0 * carried
                down = p["Why"].T @ dys[t]
                if fault == "probabilities handed down":
                    down = p["Why"].T @ chances[t]
                dh = (down if own else 0) + carried
                dz = dh * {"derivative 1 - h": 1 - hidden[t], "no derivative": 1.0}.get(
                    fault, 1 - hidden[t] ** 2
                )
                if fault == "stale activation":
                    dz = dh * (1 - hidden[steps - 1] ** 2)
                grads["bh"] += (
                    dz.mean(1, keepdims=True)
                    if fault == "bias a mean"
                    else dz.sum(1, keepdims=True)
                )
                before, now = hidden[t - 1], x[t]
                if fault == "state after in dWhh":
                    before = hidden[t]
                if fault == "x of the last step":
                    now = x[steps - 1]
                share = dz @ before.T
                grads["Whh"] += share.T if fault == "dWhh transposed" else share
                if fault == "= for Wxh":
                    grads["Wxh"] = dz @ now.T
                else:
                    grads["Wxh"] += dz @ now.T
                if fault == "= for bh":
                    grads["bh"] = dz.sum(1, keepdims=True)
                carried = (p["Whh"] if fault == "Whh for Whh.T" else p["Whh"].T) @ dz
        return loss, *(grads[name] for name in p)

    return f


class Model:
    """An RNN with a linear output layer, in the form of pyrnn's layers, with one fault."""

    def __init__(self, fault=None, features=4, hidden=5, outputs=3, seed=0):
        g = np.random.default_rng(seed)
        self.fault = fault
        self.parameters = {
            "W": g.normal(0, 0.5, (hidden, features)),
            "U": g.normal(0, 0.5, (hidden, hidden)),
            "b": g.normal(0, 0.5, hidden),
            "V": g.normal(0, 0.5, (outputs, hidden)),
            "c": g.normal(0, 0.5, outputs),
        }
        self.read = {name: a.copy() for name, a in self.parameters.items()}

    def forward(self, x, state=None):
        p = self.read if self.fault == "other parameters" else self.parameters
        p = {**p, "U": self.read["U"]} if self.fault == "another U" else p
        h = np.zeros((x.shape[1], len(p["b"]))) if state is None else state
        states = [h]
        for x_t in x:
            h = np.tanh(x_t @ p["W"].T + h @ p["U"].T + p["b"])
            states.append(h)
        y = np.stack(states[1:]) @ p["V"].T + p["c"]
        return y, h, (x, states)

    def backward(self, cache, dy, dstate=None):
        p, (x, states) = self.parameters, cache
        grads = {name: np.zeros_like(a) for name, a in p.items()}
        carried = np.zeros_like(states[0]) if dstate is None else dstate
        if self.fault == "final state's gradient left out":
            carried = np.zeros_like(carried)
        dx = np.zeros(x.shape)
        for t in reversed(range(len(x))):
            h = states[t + 1]
            grads["V"] += dy[t].T @ (states[t] if self.fault == "V of the state before" else h)
            grads["c"] += dy[t].mean(0) if self.fault == "c a mean" else dy[t].sum(0)
            down = dy[t] @ p["V"]
            if self.fault == "half of what V hands down":
                down[:, ::2] *= 0.5
            dh = down + (0 if self.fault == "no carry" else carried)
            dz = dh * (1 - h if self.fault == "derivative" else 1 - h * h)
            grads["W"] += dz.T @ x[t]
            grads["U"] += dz.T @ states[t]
            grads["b"] += dz.sum(0)
            dx[t] = dz @ p["W"]
            carried = dz @ (p["U"].T if self.fault == "U for U.T" else p["U"])
        return dx, carried, grads
