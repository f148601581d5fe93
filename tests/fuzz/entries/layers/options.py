"""Options of constructors: what `config` says makes another of the same."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pyrnn
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries import common, models
from tests.fuzz.entries.layers import cells, convolution

DENSE = {
    "Linear": ("in_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"),
}
SMALL = {
    "Dropout": {"p": (0.0, 0.5, 1.0), "seed": (None, 1)},
    "Activation": {"function": ("tanh", "relu", "sigmoid", "softplus")},
    "Softmax": {},
    "LayerNorm": {"normalized_shape": (1, 3), "eps": (0.0, 1e-3)},
    "MaxPool1d": {"kernel_size": (2, 3), "stride": (None, 1), "batch_first": (True, False)},
    "InstanceNorm1d": {"num_features": (1, 3), "eps": (0.0, 1e-3), "affine": (True, False)},
    "BatchNorm1d": {
        "num_features": (1, 3),
        "momentum": (None, 0.0, 0.1),
        "affine": (True, False),
        "track_running_stats": (True, False),
    },
    "LastStep": {"batch_first": (True, False), "bidirectional": (True, False)},
    "MeanOverTime": {"batch_first": (True, False)},
}
KINDS = [*common.KINDS, *cells.KINDS, *DENSE, *SMALL, "Conv1d", "CharacterModel"]


def options_case(draw: Draw, kind: str) -> Case:
    """A layer, cell or model of any options, from its config."""
    options = _options(draw, kind)
    by_json = draw.chance(0.5)

    def run(a: dict[str, Any]) -> Any:
        made = getattr(pyrnn, kind)(**a["options"])
        config = made.config()
        again = type(made).from_config(json.loads(json.dumps(config)) if by_json else config)
        assert again.config() == config == made.get_params()
        assert repr(again) == repr(made)
        return dict(again.parameters), dict(made.parameters)

    parameters = getattr(pyrnn, kind)(**options).parameters
    names = {*options, *parameters, *(name.split(".")[-1] for name in parameters)}
    return Case(
        {"options": options}, run, in_numpy=True, names={*names, "initialization", "dropout"}
    )


def _options(draw: Draw, kind: str) -> dict[str, Any]:
    if kind in common.KINDS:
        return common.layer_options(draw, kind)
    if kind in cells.KINDS:
        return cells.cell_options(draw, kind)
    if kind == "CharacterModel":
        return models.model_options(draw)
    if kind == "Conv1d":
        return convolution.options_of(draw)
    if kind in SMALL:
        return {name: draw.choice(values) for name, values in SMALL[kind].items()}
    options: dict[str, Any] = {name: draw.size() for name in DENSE[kind]}
    options |= {"dtype": draw.dtype_argument(), "seed": draw.integer(0, 2**32)}
    if kind == "Linear" and draw.chance(0.5):
        options["bias"] = draw.choice((True, False))
    return options


@entry(
    "Sequential's options", "Sequential.config", "Sequential.from_config", "Sequential.get_params",
    weight=0.2,
)  # fmt: skip
def sequential_case(draw: Draw) -> Case:
    """Some of the other layers, one after the other, from their config."""
    kinds = [draw.choice(list(SMALL)) for _ in range(draw.integer(1, 4))]
    options = [_options(draw, kind) for kind in kinds]
    for given in options:
        given.pop("batch_first", None)

    def run(a: dict[str, Any]) -> Any:
        layers = [getattr(pyrnn, k)(**o) for k, o in zip(kinds, options, strict=True)]
        made = pyrnn.Sequential(*layers)
        again = pyrnn.Sequential.from_config(made.config())
        assert again.config() == made.config()
        assert list(made.get_params()) == list(again.get_params())
        assert repr(again) == repr(made)
        return dict(again.parameters), dict(made.parameters)

    return Case({}, run, in_numpy=True)


for _kind in KINDS:
    entry(
        f"{_kind}'s options", f"{_kind}.config", f"{_kind}.from_config", f"{_kind}.get_params",
        weight=0.2,
    )(partial(options_case, kind=_kind))  # fmt: skip
