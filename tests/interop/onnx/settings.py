"""Drawn settings of RNN, GRU and LSTM with all attributes, and a reference written out for them.

The reference is another reading of the specification than `pyrnn.interop.onnx.equations`: one row,
one direction, one unit's sum at a time, in float64.
"""

import math

import numpy as np

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {
    "Affine": (lambda x, a, b: a * x + b, 0.0, 0.0),
    "Elu": (lambda x, a, b: x if x >= 0 else a * (math.exp(x) - 1), 1.0, None),
    "HardSigmoid": (lambda x, a, b: max(0.0, min(1.0, a * x + b)), 0.2, 0.5),
    "LeakyRelu": (lambda x, a, b: x if x >= 0 else a * x, 0.01, None),
    "Relu": (lambda x, a, b: max(0.0, x), None, None),
    "ScaledTanh": (lambda x, a, b: a * math.tanh(b * x), 0.0, 0.0),
    "Sigmoid": (lambda x, a, b: 1 / (1 + math.exp(-x)), None, None),
    "Softplus": (lambda x, a, b: math.log(1 + math.exp(x)), None, None),
    "Softsign": (lambda x, a, b: x / (1 + abs(x)), None, None),
    "Tanh": (lambda x, a, b: math.tanh(x), None, None),
    "ThresholdedRelu": (lambda x, a, b: x if x > a else 0.0, 0.0, None),
}
COUNTS = {"RNN": 1, "GRU": 2, "LSTM": 3}
USUAL = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}


def draw(seed):
    """Kind, attributes, and inputs by name (None for one left out), float32."""
    r = np.random.default_rng(seed)
    kind = ("RNN", "GRU", "LSTM")[seed % 3]
    T, N, inputs, H = (int(r.integers(1, top)) for top in (6, 5, 6, 8))
    direction = ("forward", "reverse", "bidirectional")[int(r.integers(3))]
    D = 2 if direction == "bidirectional" else 1
    attributes = {"hidden_size": H, "direction": direction}
    if r.random() < 0.5:
        names = [str(n) for n in r.choice(list(FUNCTIONS), COUNTS[kind] * D)]
        attributes["activations"] = names
        alphas = [n for n in names if FUNCTIONS[n][1] is not None]
        betas = [n for n in names if FUNCTIONS[n][2] is not None]
        if alphas and r.random() < 0.6:
            attributes["activation_alpha"] = [float(v) for v in r.uniform(0.1, 0.9, len(alphas))]
        if betas and r.random() < 0.6:
            attributes["activation_beta"] = [float(v) for v in r.uniform(0.1, 0.9, len(betas))]
    if r.random() < 0.3:
        attributes["clip"] = float(r.uniform(0.2, 1.5))
    if kind == "LSTM" and r.random() < 0.3:
        attributes["input_forget"] = 1
    if kind == "GRU" and r.random() < 0.5:
        attributes["linear_before_reset"] = 1
    if r.random() < 0.15:
        attributes["layout"] = 1

    def numbers(*shape):
        return (r.standard_normal(shape) * 0.5).astype(np.float32)

    G = GATES[kind]
    given = {
        "X": numbers(T, N, inputs),
        "W": numbers(D, G * H, inputs),
        "R": numbers(D, G * H, H),
        "B": numbers(D, 2 * G * H) if r.random() < 0.7 else None,
        "sequence_lens": r.integers(0, T + 1, N).astype(np.int32) if r.random() < 0.4 else None,
        "initial_h": numbers(D, N, H) if r.random() < 0.6 else None,
    }
    if kind == "LSTM":
        given["initial_c"] = numbers(D, N, H) if r.random() < 0.6 else None
        given["P"] = numbers(D, 3 * H) if r.random() < 0.4 else None
    if attributes.get("layout"):
        for name in ("X", "initial_h", "initial_c"):
            if given.get(name) is not None:
                given[name] = given[name].swapaxes(0, 1).copy()
    return kind, attributes, given


def functions(kind, attributes, directions):
    """The activations of each direction, each a function of a number."""
    names = list(attributes.get("activations", USUAL[kind] * directions))
    alphas = list(attributes.get("activation_alpha", []))
    betas = list(attributes.get("activation_beta", []))
    made = []
    for name in names:
        function, alpha, beta = FUNCTIONS[name]
        a = alphas.pop(0) if alpha is not None and alphas else alpha
        b = betas.pop(0) if beta is not None and betas else beta
        made.append(lambda x, f=function, a=a, b=b: f(float(x), a, b))
    each = COUNTS[kind]
    return [made[n * each : (n + 1) * each] for n in range(directions)]


def reference(kind, attributes, inputs):
    """Y, Y_h and Y_c for drawn settings, in float64."""
    given = {n: None if a is None else a.astype(np.float64) for n, a in inputs.items()}
    X, h0, c0 = given["X"], given["initial_h"], given.get("initial_c")
    layout = attributes.get("layout", 0)
    if layout:
        X, h0, c0 = (None if a is None else a.swapaxes(0, 1) for a in (X, h0, c0))
    (T, N, _), H = X.shape, attributes["hidden_size"]
    flags = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    backwards = flags[attributes["direction"]]
    D = len(backwards)
    Y, Y_h, Y_c = np.zeros((T, D, N, H)), np.zeros((D, N, H)), np.zeros((D, N, H))
    made = functions(kind, attributes, D)
    for d, n in np.ndindex(D, N):
        h = np.zeros(H) if h0 is None else h0[d, n]
        c = np.zeros(H) if c0 is None else c0[d, n]
        length = T if inputs["sequence_lens"] is None else int(inputs["sequence_lens"][n])
        order = range(length)[::-1] if backwards[d] else range(length)
        for t in order:
            h, c = one_step(kind, attributes, given, made[d], d, X[t, n], h, c)
            Y[t, d, n] = h
        if length:  # of no steps onnxruntime leaves zeros
            Y_h[d, n], Y_c[d, n] = h, c
    if layout:
        Y, Y_h, Y_c = Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1), Y_c.swapaxes(0, 1)
    return (Y, Y_h, Y_c) if kind == "LSTM" else (Y, Y_h)


def one_step(kind, attributes, given, functions, d, x, h, c):
    """The next h and c of one row."""
    H, G = len(h), GATES[kind]
    clip = attributes.get("clip", math.inf)
    B = np.zeros(2 * G * H) if given["B"] is None else given["B"][d]
    P = given.get("P")
    P = np.zeros(3 * H) if P is None else P[d]

    def gate(k, function, *, hidden=h, scale=None, more=0.0):
        """``hidden`` is what R is multiplied with; ``scale`` what that product is."""
        rows = slice(k * H, (k + 1) * H)
        inner = given["R"][d][rows] @ hidden + B[G * H :][rows]
        total = given["W"][d][rows] @ x + B[: G * H][rows] + (1 if scale is None else scale) * inner
        return np.array([function(max(-clip, min(clip, v))) for v in total + more])

    if kind == "RNN":
        return gate(0, functions[0]), c
    if kind == "GRU":
        f, g = functions
        z, r = gate(0, f), gate(1, f)
        if attributes.get("linear_before_reset"):
            candidate = gate(2, g, scale=r)
        else:
            candidate = gate(2, g, hidden=r * h)
        return (1 - z) * candidate + z * h, c
    f, g, last = functions
    i = gate(0, f, more=P[:H] * c)
    forget = 1 - i if attributes.get("input_forget") else gate(2, f, more=P[2 * H :] * c)
    c = forget * c + i * gate(3, g)
    o = gate(1, f, more=P[H : 2 * H] * c)
    return o * np.array([last(v) for v in c]), c
