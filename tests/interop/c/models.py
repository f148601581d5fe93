"""Models of every kind that can be exported to C."""

import numpy as np

import pyrnn

DOUBLE = {"dtype": "float64"}
LAYERS = {
    "rnn": lambda **more: pyrnn.RNN(3, 5, 2, seed=0, **more),
    "relu": lambda **more: pyrnn.RNN(3, 5, nonlinearity="relu", bias=False, seed=0, **more),
    "lstm": lambda **more: pyrnn.LSTM(3, 7, 2, seed=0, **more),
    "projection": lambda **more: pyrnn.LSTM(3, 7, 2, proj_size=4, seed=0, **more),
    "peephole": lambda **more: pyrnn.LSTM(3, 7, peephole=True, bias=False, seed=0, **more),
    "coupled": lambda **more: pyrnn.LSTM(3, 7, coupled=True, seed=0, **more),
    "coupled peephole": lambda **more: pyrnn.LSTM(
        3, 7, coupled=True, peephole=True, proj_size=2, seed=0, **more
    ),
    "lstm norm": lambda **more: pyrnn.LSTM(3, 7, 2, layer_norm=True, seed=0, **more),
    "gru norm": lambda **more: pyrnn.GRU(3, 7, layer_norm=True, bias=False, seed=0, **more),
    "gru": lambda **more: pyrnn.GRU(3, 7, 2, seed=0, **more),
    "gru reset before": lambda **more: pyrnn.GRU(3, 7, 2, reset_after=False, seed=0, **more),
    "minimal": lambda **more: pyrnn.MinGRU(3, 7, 2, seed=0, **more),
    "zoneout": lambda **more: pyrnn.LSTM(3, 7, zoneout=(0.25, 0.0), seed=0, **more),
    "activated lstm": lambda **more: pyrnn.LSTM(
        *(3, 7, 2),
        activation=("scaled_tanh", 1.7, 0.6),
        recurrent_activation="hard_sigmoid",
        output_activation="softsign",
        **{"clip": 0.7, "seed": 0, **more},
    ),
    "activated peephole": lambda **more: pyrnn.LSTM(
        3, 7, peephole=True, coupled=True, proj_size=3, activation="relu", seed=0, **more
    ),
    "activated gru": lambda **more: pyrnn.GRU(
        3, 7, activation="elu", recurrent_activation=("hard_sigmoid", 0.1, 0.5), seed=0, **more
    ),
    "activated reset before": lambda **more: pyrnn.GRU(
        3, 7, reset_after=False, activation="softplus", clip=1.5, seed=0, **more
    ),
    "activated rnn": lambda **more: pyrnn.RNN(
        3, 5, 2, nonlinearity=("leaky_relu", 0.1), clip=2.0, seed=0, **more
    ),
    "own norm": lambda **more: pyrnn.LSTM(
        3, 7, 2, layer_norm=True, eps=0.01, normalised_state=True, seed=0, **more
    ),
    "linear": lambda **more: pyrnn.Linear(3, 4, seed=0, **more),
    "embedding": lambda **more: pyrnn.Embedding(9, 4, seed=0, **more),
    "sequence": lambda **more: pyrnn.Sequential(
        pyrnn.Embedding(11, 4, seed=0, **more),
        pyrnn.Sequential(pyrnn.GRU(4, 6, seed=0, **more), pyrnn.Dropout(0.3)),
        pyrnn.LayerNorm(6, **more),
        pyrnn.Activation("softplus"),
        pyrnn.MeanOverTime(),
        pyrnn.Linear(6, 2, seed=1, **more),
    ),
    "batch norm": lambda **more: normed(pyrnn.BatchNorm1d(3, **more)),
    "within": lambda **more: pyrnn.Sequential(
        pyrnn.Linear(3, 4, seed=0, **more),
        normed(pyrnn.BatchNorm1d(4, eps=0.1, affine=False, **more)),
        pyrnn.GRU(4, 5, seed=0, **more),
    ),
    "named": lambda **more: pyrnn.Sequential(
        é=pyrnn.LSTM(3, 6, seed=0, **more),
        _=pyrnn.Activation("sigmoid"),
        end=pyrnn.Softmax(),
        last=pyrnn.LastStep(),
        out=pyrnn.Linear(6, 2, seed=1, bias=False, **more),
    ),
    "characters": lambda **more: pyrnn.CharacterModel("ab\n\\é", hidden_size=9, seed=0, **more),
    "embedded characters": lambda **more: pyrnn.CharacterModel(
        "abc", cell="gru", embedding_dim=3, num_layers=2, hidden_size=9, seed=0, **more
    ),
}


def normed(layer):
    """With averages that are not those of a new layer."""
    generator = np.random.default_rng(2)
    for name in ("running_mean", "running_var"):
        shape = layer.buffers[name].shape
        layer.buffers[name] = generator.uniform(0.5, 2, shape).astype(layer.dtype)
    return layer


def moved(model):
    """The same with parameters that are not those of a fresh layer, as gains of 1."""
    generator = np.random.default_rng(1)
    for array in model.parameters.values():
        array += 0.3 * generator.standard_normal(array.shape).astype(array.dtype)
    return model


def drawn_layer(generator, features):
    """A recurrent layer with any options that a stream has."""
    kind = generator.choice(["RNN", "LSTM", "GRU", "MinGRU"])
    hidden, layers = int(generator.integers(1, 40)), int(generator.integers(1, 4))
    options = {"num_layers": layers, "bias": bool(generator.integers(2))}
    if kind == "RNN":
        options["nonlinearity"] = str(generator.choice(["tanh", "relu"]))
    if kind == "GRU":
        options |= [{}, {"reset_after": False}, {"layer_norm": True}][generator.integers(3)]
    if kind == "LSTM":
        options |= {"peephole": bool(generator.integers(2)), "coupled": bool(generator.integers(2))}
        if hidden > 1:
            options["proj_size"] = int(generator.integers(hidden))
        if not generator.integers(3):
            options = {"num_layers": layers, "layer_norm": True}
    if not generator.integers(3):
        options["zoneout"] = float(generator.random())
    return getattr(pyrnn, kind)(features, hidden, seed=0, **options)
