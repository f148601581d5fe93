"""The error of narrow weights, on data of one's own."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyrnn
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import (
    KINDS,
    build,
    draw_input,
    draw_mode,
    draw_weights,
    layer_options,
    switched,
)

Arguments = dict[str, Any]

_METHODS = sorted(
    f"{name}.quantization_error"
    for name in pyrnn.__all__
    if hasattr(getattr(pyrnn, name), "quantization_error")
)


@entry("quantization_error", *_METHODS, weight=0.5)
def error_case(draw: Draw) -> Case:
    """A recurrent layer in any format; the others have the method of the same base."""
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind)
    layer = KINDS[kind](**options)
    lead = draw.steps(), draw.rows()
    if options.get("batch_first"):
        lead = lead[::-1]
    arguments = {
        "options": options,
        "weights": draw_weights(draw, layer),
        "x": draw_input(draw, lead, options["input_size"]),
    }
    names = {"weights", *layer.parameters, *options}
    return Case(arguments, partial(_error, draw, kind, draw_mode(draw, layer)), names=names)


def _error(draw: Draw, kind: str, mode: str, a: Arguments) -> Any:
    """The outputs are compared; that they are off by what rounding makes of them, is not."""
    layer = switched(build(draw, kind, a), mode)
    before = layer.weight_format, layer.training
    found = layer.quantization_error(a["x"])
    if (layer.weight_format, layer.training) != before:
        raise AssertionError("the layer has changed")
    if mode in ("train", "eval") and found.largest > 0:
        raise AssertionError(f"{found} of a format that does not round")
    return {"mean_output": found.mean_output}
