"""The character model, its text, and gradcheck."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import pyrnn
from pyrnn import text as pyrnn_text
from tests.fuzz.case import Case, Relation, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import (
    KINDS,
    caches_refused,
    draw_gradient,
    draw_input,
    draw_state,
    layer_options,
    state_sizes,
)

Arguments = dict[str, Any]
LETTERS = "abcdefgh \n\u00e9\u4e2d\U0001f600\ufffd\ud800"


def _vocabulary(draw: Draw) -> str:
    return "".join(draw.random.sample(LETTERS, draw.integer(1, len(LETTERS))))


def _model(draw: Draw, options: Arguments) -> Any:
    model = pyrnn.CharacterModel(**options)
    draw.settle(model.parameters)
    return model


def model_options(draw: Draw) -> Arguments:
    """Arguments of a model's constructor that fit each other."""
    options: Arguments = {
        "vocabulary": _vocabulary(draw),
        "cell": draw.choice(("rnn", "lstm", "gru")),
        "hidden_size": draw.size(),
        "dtype": draw.dtype_argument(),
        "seed": draw.integer(0, 2**40),
    }
    if draw.chance(0.3):
        options["num_layers"] = draw.choice((1, 2))
    if draw.chance(0.3):
        options["embedding_dim"] = draw.choice((1, 3, 8))
    if draw.chance(0.2):
        options["dropout"] = draw.choice((0.0, 0.4, 1.0))
    return options


@entry(
    "CharacterModel", "CharacterModel", "CharacterModel.forward", "CharacterModel.backward",
    "CharacterModel.__call__", "CharacterModel.eval", "CharacterModel.train",
    "CharacterModel.parameters", weight=1.5,
)  # fmt: skip
def model_case(draw: Draw) -> Case:
    """Forward and backward, and the call that keeps nothing."""
    options = model_options(draw)
    classes, hidden = len(options["vocabulary"]), options["hidden_size"]
    steps, rows, batched = draw.steps(), draw.rows(), draw.chance(0.7)
    lead = (steps, rows) if batched else (steps,)
    layers = options.get("num_layers", 1)
    state_lead = (layers, rows) if batched else (layers,)
    sizes = (hidden,) * (2 if options["cell"] == "lstm" else 1)
    arguments = {
        "options": options,
        "indices": draw.integers(*lead, below=classes),
        "state": draw_state(draw, sizes, state_lead),
        "dlogits": draw_gradient(draw, *lead, classes),
        "dstate": draw_state(draw, sizes, state_lead),
    }
    training = draw.chance(0.7)

    def run(a: Arguments) -> Any:
        model = _model(draw, a["options"])
        if not training:
            model.eval()
        logits, state, cache = model.forward(a["indices"], a["state"])
        _, dstate0, grads = model.backward(cache, a["dlogits"], a["dstate"])
        return {"logits": logits, "state": state, "grads": grads, "dstate0": dstate0}

    def called(a: Arguments) -> tuple[Any, Any]:
        model = _model(draw, a["options"])
        forward = model.eval().forward(a["indices"], a["state"])[:2]
        return model(a["indices"], a["state"]), forward

    def caches(a: Arguments) -> tuple[Any, Any]:
        def make() -> Any:
            model = _model(draw, a["options"])
            return model if training else model.eval()

        return caches_refused(make, (a["indices"], a["state"]), (a["dlogits"], a["dstate"]))

    ways = [Relation("call", called), Relation("caches", caches)]
    # Its layers name what they get from it: x, dy.
    names = {"x", "dy", "cache", "embedding_dim", "dropout", "num_layers", "weight_ih_l0", "weight"}
    return Case(arguments, run, ways, names=names)


@entry(
    "CharacterModel.sample",
    "CharacterModel.sample",
    "CharacterModel.sample_stream",
    "CharacterModel.bits_per_character",
)
def sample_case(draw: Draw) -> Case:
    """A text written, alone and beside another, in whole and in pieces, and a text scored."""
    options = model_options(draw)
    letters = options["vocabulary"]
    chosen: Arguments = {"temperature": draw.choice((0.0, 1e-300, 0.5, 1.0, 50.0))}
    if draw.chance(0.3):
        chosen["top_k"] = draw.integer(1, 9)
    if draw.chance(0.3):
        chosen["top_p"] = draw.choice((1e-9, 0.5, 0.99, 1.0))
    if draw.chance(0.3):
        chosen["stop"] = draw.choice(letters) * draw.integer(1, 2)
    arguments = {
        "options": options,
        "prompt": "".join(draw.choice(letters) for _ in range(draw.integer(1, 4))),
        "length": draw.integer(1, 5),
        "chosen": chosen,
        "beams": draw.integer(1, 4),
        "indices": draw.integers(draw.integer(2, 40), below=len(letters)),
    }

    def run(a: Arguments) -> Any:
        model = _model(draw, a["options"])
        prompt, length = a["prompt"], a["length"]
        written = "".join(model.sample_stream(prompt, length, seed=7, **a["chosen"]))
        known = set(model.vocabulary.characters)
        if not set(written) <= known or len(written) > length:
            raise AssertionError(f"wrote {written!r}")
        if len(written) < length and "stop" not in a["chosen"]:
            raise AssertionError(f"wrote {len(written)} characters of {length}")
        searched = model.sample(prompt, length, num_beams=a["beams"])
        if len(searched) != length:
            raise AssertionError(f"found {searched!r}")
        return len(searched), model.bits_per_character(a["indices"]), model.training

    def streamed(a: Arguments) -> tuple[Any, Any]:
        model = _model(draw, a["options"])
        pieces = model.sample_stream(a["prompt"], a["length"], seed=7, **a["chosen"])
        return "".join(pieces), model.sample(a["prompt"], a["length"], seed=7, **a["chosen"])

    def beside(a: Arguments) -> tuple[Any, Any]:
        model = _model(draw, a["options"])
        prompts = [a["prompt"][:1], a["prompt"]]
        several = model.sample(prompts, a["length"], seed=[3, 7], **a["chosen"])
        return several[1], model.sample(a["prompt"], a["length"], seed=7, **a["chosen"])

    ways = [Relation("streamed", streamed), Relation("beside", beside)]
    names = {"embedding_dim", "dropout", "num_layers", "weight_ih_l0", "weight", "num_beams"}
    return Case(arguments, run, ways, names=names)


@entry(
    "CharacterModel.score",
    "CharacterModel.score",
    "CharacterModel.score_lines",
    "text.Score",
    "text.LineScore",
)
def score_case(draw: Draw) -> Case:
    """A text scored as a whole, in pieces, and line by line."""
    options = model_options(draw)
    letters = options["vocabulary"] + "?\n"
    text = "".join(draw.choice(letters) for _ in range(draw.integer(3, 40)))
    arguments = {"options": options, "text": options["vocabulary"][0] * 2 + text}

    def run(a: Arguments) -> Any:
        score = _model(draw, a["options"]).score(a["text"])
        return np.array([score.bits, score.characters]), sorted(score.unknown.items())

    def in_lines(a: Arguments) -> tuple[Any, Any]:
        model = _model(draw, a["options"])
        lines = list(model.score_lines(list(a["text"])))
        score = model.score(a["text"])
        bits = sum(line.bits for line in lines)
        if not np.isclose(bits, score.bits, rtol=1e-4):
            raise AssertionError(f"{bits} in lines, {score.bits} as a whole")
        return sum(line.characters for line in lines), score.characters

    names = {"embedding_dim", "dropout", "num_layers", "weight_ih_l0", "weight"}
    return Case(arguments, run, [Relation("in_lines", in_lines)], names=names)


@entry("text", "text.Vocabulary", "text.split", "text.streams", "text.chunks", weight=0.7)
def text_case(draw: Draw) -> Case:
    """A vocabulary there and back, a text cut into streams."""
    characters = _vocabulary(draw)
    text = "".join(draw.choice(characters) for _ in range(draw.integer(0, 30)))
    arguments = {"characters": characters, "text": text, "texts": [text + "abcd", text]}

    def run(a: Arguments) -> Any:
        vocabulary = pyrnn_text.Vocabulary(a["characters"])
        indices = vocabulary.encode(a["text"])
        return {
            "decoded": vocabulary.decode(indices),
            "split": list(pyrnn_text.split(a["texts"])),
            "cut": list(pyrnn_text.chunks(*pyrnn_text.streams(np.arange(20) % 7, 3), 4)),
            "indices": indices,
        }

    def expected(a: Arguments) -> Any:
        result = run(a)
        kept, held_out = result["split"]
        if a["text"] != result["decoded"]:
            raise AssertionError("the text is not what came back")
        if sorted((kept + held_out).replace("\n", "")) != sorted(
            "".join(a["texts"]).replace("\n", "")
        ):
            raise AssertionError("the parts are not the texts")
        result["indices"] = np.array([characters.index(c) for c in a["text"]], np.intp)
        return result

    return Case(arguments, run, expected=expected, names={"vocabulary", "text", "texts"})


@entry("gradcheck", "gradcheck", "GradcheckReport", weight=0.5)
def gradcheck_case(draw: Draw) -> Case:
    """A right layer passes, on either backend."""
    draw.drawn_dtype = draw.dtype = "float64"
    draw.wild, draw.large = "", False
    kind = draw.choice(tuple(KINDS))
    options = layer_options(draw, kind) | {"dtype": "float64"}
    options |= {name: min(options[name], 4) for name in ("input_size", "hidden_size")}
    options.pop("proj_size", None)
    steps, rows = draw.integer(1, 3), draw.integer(1, 2)
    lead = (rows, steps) if options.get("batch_first") else (steps, rows)
    directions = 2 if options.get("bidirectional") else 1
    arguments: Arguments = {
        "options": options,
        "x": draw_input(draw, lead, options["input_size"]),
        "state": draw_state(
            draw, state_sizes(kind, options), (directions * options.get("num_layers", 1), rows)
        ),
        "samples": draw.choice((1, 3, 5)),
        "seed": draw.integer(0, 2**40),
        "diagnose": draw.chance(0.1),
    }
    if draw.chance(0.3):
        arguments["lengths"] = draw.integers(rows, below=steps + 1, least=0)
    run = partial(_gradcheck, kind)
    names = {"target", "lengths", "epsilon", "tolerance"}
    names |= set(KINDS[kind](1, 2, 3, bidirectional=True).parameters)
    return Case(arguments, run, names=names | {"zoneout", "proj_size", "forget_bias"})


def _gradcheck(kind: str, a: Arguments) -> Any:
    layer = KINDS[kind](**a["options"])
    rest = {name: value for name, value in a.items() if name != "options"}
    report = pyrnn.gradcheck(layer, **rest)
    if not (str(report) and repr(report)):
        raise AssertionError("a report that says nothing")
    plain = "(" not in layer.cell  # else it may have corners
    smooth = plain and layer.cell != "rnn_relu" and not getattr(layer, "layer_norm", False)
    shapes = {name: (entry.shape, entry.tried) for name, entry in report.entries.items()}
    return {"ok": report.ok if smooth else None, "shapes": shapes}


@entry("gradcheck_loss", "gradcheck_loss", weight=0.3)
def gradcheck_loss_case(draw: Draw) -> Case:
    """The gradient of a sum of squares passes, whatever the shapes; a wrong one does not."""
    draw.drawn_dtype = draw.dtype = "float64"
    draw.wild, draw.large = "", False
    names = ("w", "b", "c")[: draw.integer(1, 3)]
    arguments: Arguments = {
        "parameters": {name: draw.array(*draw_shape(draw)) for name in names},
        "diagnose": draw.chance(0.5),
        "samples": draw.choice((None, 1, 4)),
    }
    run = partial(_gradcheck_loss, draw.choice((1.0, 2.0)))
    return Case(arguments, run, names={"f", "parameters", "epsilon", "tolerance"})


def draw_shape(draw: Draw) -> tuple[int, ...]:
    """Up to two axes, none of them empty."""
    return tuple(draw.integer(1, 4) for _ in range(draw.integer(1, 2)))


def _gradcheck_loss(factor: float, a: Arguments) -> Any:
    def loss(parameters: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        squares = sum(float((value**2).sum()) for value in parameters.values())
        return squares, {f"d{name}": factor * value for name, value in parameters.items()}

    report = pyrnn.gradcheck_loss(
        loss, a["parameters"], diagnose=a["diagnose"], samples=a["samples"]
    )
    given = [np.asarray(value) for value in a["parameters"].values()]
    right = factor == 2.0 or not any(map(np.any, given))  # of zero, any factor is
    chosen = a["samples"] is not None and not all(map(np.all, given))  # perhaps zeros alone
    if report.ok != right and not (chosen and report.ok):
        raise AssertionError(f"ok is {report.ok} for a factor of {factor}")
    return {"ok": report.ok}
