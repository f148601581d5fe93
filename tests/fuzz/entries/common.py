"""How recurrent layers are drawn, for all families that need one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import pyrnn
from pyrnn._number_formats import narrow
from tests.fuzz.draw import Draw

KINDS: dict[str, Any] = {
    "RNN": pyrnn.RNN,
    "LSTM": pyrnn.LSTM,
    "GRU": pyrnn.GRU,
    "MinGRU": pyrnn.MinGRU,
}


def layer_options(draw: Draw, kind: str, *, directions: bool = True) -> dict[str, Any]:
    """Arguments of a layer's constructor that fit each other."""
    options: dict[str, Any] = {"input_size": draw.size(), "hidden_size": draw.size()}
    options["dtype"] = draw.dtype_argument()
    options["seed"] = draw.integer(0, 2**32)
    if draw.chance(0.35):
        options["num_layers"] = draw.choice((1, 2, 2, 3))
    if directions and draw.chance(0.35):
        options["bidirectional"] = draw.choice((True, True, False))
        if options["bidirectional"] and draw.chance(0.25):
            options["merge_mode"] = draw.choice(("concat", "sum", "mul", "ave"))
    elif directions and draw.chance(0.15):
        options["reverse"] = True
    for name, share, values in (
        ("bias", 0.25, (True, False)),
        ("batch_first", 0.3, (True, False)),
        ("dropout", 0.2, (0.0, 0.3, 0.5, 1.0)),
        ("zoneout", 0.15, (0.0, 0.2, 0.5, 1.0)),
        ("input_dropout", 0.05, (0.0, 0.3, 1.0)),
    ):
        if draw.chance(share):
            options[name] = draw.choice(values)
    if kind != "MinGRU" and draw.chance(0.15):
        options["recurrent_dropout"] = draw.choice((0.0, 0.3, 1.0))
    _own_options(draw, kind, options)
    if draw.chance(0.1):
        schemes = ["torch", "glorot", "orthogonal"]
        if options.get("nonlinearity") == "relu":
            schemes.append("identity")
        options["initialization"] = draw.choice(schemes)
    return options


def _own_options(draw: Draw, kind: str, options: dict[str, Any]) -> None:
    """What only this kind of layer has."""
    if kind == "RNN" and draw.chance(0.5):
        options["nonlinearity"] = draw.choice(("tanh", "relu", draw.choice(ACTIVATIONS)))
    elif kind == "GRU":
        form = draw.random.random()
        if form < 0.25:
            options["reset_after"] = False
        elif form < 0.4:
            options |= {"layer_norm": True, "eps": draw.choice((1e-5, 1e-5, 1e-3, 1.0))}
    elif kind == "LSTM":
        if draw.chance(0.15):
            options |= {"layer_norm": True, "eps": draw.choice((1e-5, 1e-5, 1e-3, 1.0))}
            options["normalised_state"] = draw.chance(0.3)
        else:
            for name in ("peephole", "coupled"):
                if draw.chance(0.25):
                    options[name] = True
            if options["hidden_size"] > 1 and draw.chance(0.3):
                options["proj_size"] = draw.integer(1, options["hidden_size"] - 1)
            if not options.get("coupled") and options.get("bias", True) and draw.chance(0.1):
                options["forget_bias"] = draw.choice((0.0, 1.0, -2.5))
            if draw.chance(0.1):
                options["output_activation"] = draw.choice(ACTIVATIONS)
        if "zoneout" in options and draw.chance(0.5):
            options["zoneout"] = (options["zoneout"], draw.choice((0.0, 0.4)))
    if kind in ("LSTM", "GRU") and not options.get("layer_norm"):
        if draw.chance(0.15):
            options["activation"] = draw.choice(ACTIVATIONS)
        if draw.chance(0.15):
            options["recurrent_activation"] = draw.choice(("hard_sigmoid", *ACTIVATIONS))
    if kind != "MinGRU" and not options.get("layer_norm") and draw.chance(0.08):
        options["clip"] = draw.choice((0.3, 1.0, 50.0))


ACTIVATIONS = (
    "sigmoid",
    "tanh",
    "relu",
    ("hard_sigmoid", 1 / 6, 0.5),
    "identity",
    "softsign",
    ("leaky_relu", 0.1),
    ("elu", 0.5),
    ("affine", 0.5, 0.25),
    ("scaled_tanh", 0.8, 0.5),
    ("thresholded_relu", 0.2),
    "softplus",
)


def draw_weights(draw: Draw, layer: Any) -> dict[str, Any] | None:
    """New values for a layer's parameters; None to keep the first ones."""
    if not draw.chance(0.4):
        return None
    return {
        name: draw.array(
            *array.shape, scale=draw.choice((0.3, 0.3, 1.0)) / np.sqrt(array.shape[-1])
        )
        for name, array in layer.parameters.items()
    }


def build(draw: Draw, kind: str, arguments: dict[str, Any]) -> Any:
    """The layer of a case: options, then weights."""
    layer = KINDS[kind](**arguments["options"])
    draw.settle(layer.parameters)
    if arguments.get("weights") is not None:
        layer.parameters.update(arguments["weights"])
    return layer


def state_sizes(kind: str, options: dict[str, Any]) -> tuple[int, ...]:
    """Features of each part of the state."""
    hidden = options["hidden_size"]
    if kind == "LSTM":
        return options.get("proj_size", 0) or hidden, hidden
    return (hidden,)


def draw_state(draw: Draw, sizes: tuple[int, ...], lead: tuple[int, ...]) -> Any:
    """A state, or None; the pair of an LSTM as a tuple or a list."""
    if draw.chance(0.4):
        return None
    parts = [draw.array(*lead, size) for size in sizes]
    if len(parts) == 1:
        return parts[0]
    return parts if draw.chance(0.2) else tuple(parts)


def draw_input(draw: Draw, shape: tuple[int, ...], features: int) -> Any:
    """Numbers of that shape and features, or indices in their place."""
    if draw.chance(0.2):
        return draw.integers(*shape, below=features)
    return draw.array(*shape, features)


def is_noisy(options: dict[str, Any]) -> bool:
    """Whether a layer draws masks in train mode, which depend on the batch."""
    noise = (options.get(name, 0) for name in ("dropout", "input_dropout", "recurrent_dropout"))
    return any(noise) or bool(np.any(options.get("zoneout", 0)))


def draw_gradient(draw: Draw, *shape: int) -> Any:
    """The gradient of an output; None, which counts as zeros, now and then."""
    return None if draw.chance(0.06) else draw.array(*shape)


def caches_refused(make: Callable[[], Any], given: Sequence[Any], gradients: Sequence[Any]) -> Any:
    """The result of `backward` among calls whose cache is wrong, beside that of a plain one.

    ``make`` makes a layer, ``given`` is what its forward takes, ``gradients`` what its backward
    takes after the cache.
    """
    layer, other, plain = make(), make(), make()
    expected = plain.backward(plain.forward(*given)[-1], *gradients)
    cache = layer.forward(*given)[-1]
    _refuses_cache(other, cache, gradients)
    _refuses_cache(layer, None, gradients)
    got = layer.backward(cache, *gradients)
    _refuses_cache(layer, cache, gradients)
    _refuses_cache(other, cache, gradients)
    return got, expected


def _refuses_cache(layer: Any, cache: Any, gradients: Sequence[Any]) -> None:
    try:
        layer.backward(cache, *gradients)
    except (TypeError, ValueError) as error:
        if not str(error).startswith("cache: "):
            raise
    else:
        raise AssertionError("took a wrong cache")


class ChangedByRefusalError(AssertionError):
    """A call was refused, and had changed something all the same."""


@contextlib.contextmanager
def unchanged_if_refused(arrays: Mapping[Any, Any]) -> Iterator[None]:
    """Hold a call to it that a refusal changes none of these arrays."""
    before = {name: np.asarray(array).tobytes() for name, array in arrays.items()}
    try:
        yield
    except Exception as error:
        for name, array in arrays.items():
            if np.asarray(array).tobytes() != before[name]:
                raise ChangedByRefusalError(f"{name} was changed by a call that raised") from error
        raise


def draw_mode(draw: Draw, layer: Any) -> str:
    """Train mode, or a format of weights in eval mode; "eval" for the layer's own."""
    if draw.chance(0.75):
        return "train"
    formats = ("bfloat16", "float16", "int8", "int8_bytes") if layer.dtype == np.float32 else ()
    return draw.choice(("eval", *formats))


def switched(layer: Any, mode: str) -> Any:
    """The layer in a mode that `draw_mode` gave."""
    if mode == "train":
        return layer
    if mode != "eval" and layer.dtype != np.float32:  # the reference with more digits
        for name, array in layer.parameters.items():
            if narrow.is_narrow(name, array):
                array[...] = narrow.rounded(mode, array.astype(np.float32))
        return layer.eval()
    if mode == "int8_bytes":
        layer.eval(weights="int8", activations="int8")
    else:
        layer.eval(weights=None if mode == "eval" else mode)
    expected = "int8" if mode == "int8_bytes" else mode
    assert layer.weight_format == (layer.dtype.name if mode == "eval" else expected)
    return layer
