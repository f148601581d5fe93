"""The articles' models: word_rnn, char_rnn and the stateful cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrnn.textbook import cells, char_rnn, word_rnn
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw
from tests.fuzz.entries.common import unchanged_if_refused

Arguments = dict[str, Any]


# --- word_rnn -------------------------------------------------------------------------------


def _word_parameters(draw: Draw, in_place: bool = False) -> tuple[Arguments, int]:
    vocabulary, embedding, hidden = draw.size(), draw.size(), draw.size()
    shapes = {
        "E": (embedding, vocabulary), "U": (hidden, embedding), "W": (hidden, hidden),
        "V": (vocabulary, hidden), "ba": (hidden, 1), "by": (vocabulary, 1),
    }  # fmt: skip
    parameters = {
        name: draw.array(*shape, scale=0.7 / np.sqrt(shape[1]), in_place=in_place)
        for name, shape in shapes.items()
    }
    return parameters, vocabulary


@entry("word_rnn", "textbook.word_rnn.forward", "textbook.word_rnn.loss_and_gradients")
def word_case(draw: Draw) -> Case:
    """Probabilities, loss and gradients of a sentence."""
    parameters, vocabulary = _word_parameters(draw)
    arguments = {
        "words": draw.integers(draw.steps() + 1, below=vocabulary),
        "parameters": parameters,
        "bptt_truncate": draw.choice((None, 1, 2, 4, 2**40)),
    }

    def run(a: Arguments) -> Any:
        return (
            word_rnn.forward(a["words"], a["parameters"]),
            word_rnn.loss_and_gradients(**a),
        )

    return Case(arguments, run)


@entry("word_rnn.train", "textbook.word_rnn.train", weight=0.7)
def word_train_case(draw: Draw) -> Case:
    """A few epochs; parameters change in place."""
    parameters, vocabulary = _word_parameters(draw, in_place=draw.chance(0.9))
    arguments = {
        "sentences": [
            draw.integers(draw.integer(2, 5), below=vocabulary) for _ in range(draw.integer(1, 3))
        ],
        "parameters": parameters,
        "learning_rate": draw.choice((0.0, 0.01, 0.3)),
        "epochs": draw.integer(0, 3),
        "bptt_truncate": draw.choice((None, 1, 3)),
        "halve_on_rise": draw.chance(0.3),
    }

    def run(a: Arguments) -> Any:
        losses = word_rnn.train(**a)
        learned = {name: np.asarray(array) for name, array in a["parameters"].items()}
        return losses, {n: p.astype(p.dtype.newbyteorder("=")) for n, p in learned.items()}

    return Case(arguments, run, changes=frozenset({"parameters"}))


@entry("word_rnn.initialize_parameters", "textbook.word_rnn.initialize_parameters", weight=0.3)
def word_initial_case(draw: Draw) -> Case:
    """First parameters."""
    names = ("vocabulary_size", "embedding_size", "hidden_size")
    arguments = {name: draw.size() for name in names} | {"seed": draw.integer(0, 2**40)}
    return Case(
        arguments, lambda a: word_rnn.initialize_parameters(**a), names={"E", "U", "W", "V", "by"}
    )


# --- char_rnn -------------------------------------------------------------------------------


def _char_parameters(draw: Draw, vocabulary: int) -> Arguments:
    hidden = draw.size()
    shapes = {
        "Wxh": (hidden, vocabulary), "Whh": (hidden, hidden), "Why": (vocabulary, hidden),
        "bh": (hidden, 1), "by": (vocabulary, 1),
    }  # fmt: skip
    return {n: draw.array(*s, scale=0.7 / np.sqrt(s[1])) for n, s in shapes.items()}


@entry("char_rnn.loss_fun", "textbook.char_rnn.loss_fun")
def char_loss_case(draw: Draw) -> Case:
    """The loss of a window and its gradients."""
    vocabulary, steps = draw.size(), draw.steps()
    parameters = _char_parameters(draw, vocabulary)
    arguments = {
        "inputs": draw.integers(steps, below=vocabulary),
        "targets": draw.integers(steps, below=vocabulary),
        "hprev": draw.array(len(np.asarray(parameters["bh"])), 1),
        "parameters": parameters,
        "clip": draw.choice((5.0, None, 0.1, 0.0)),
    }
    return Case(arguments, lambda a: char_rnn.loss_fun(**a))


LETTERS = "ehlo wrd\u00e9\u4e2d\U0001f600"


def _text(draw: Draw, least: int, most: int, letters: str = LETTERS) -> str:
    return "".join(draw.choice(letters) for _ in range(draw.integer(least, most)))


@entry("char_rnn.train", "textbook.char_rnn.train", "textbook.char_rnn.sample", weight=0.7)
def char_train_case(draw: Draw) -> Case:
    """Some windows of a text, and a sample of what was learned."""
    text = _text(draw, 2, 30)
    arguments: Arguments = {
        "text": text,
        "options": {
            "hidden_size": draw.size(),
            "seq_length": draw.choice((1, 2, 5, 25)),
            "steps": draw.integer(0, 4),
            "learning_rate": draw.choice((0.0, 0.01, 0.1)),
            "clip": draw.choice((5.0, None, 0.1)),
            "dtype": draw.dtype_argument(),
            "seed": draw.integer(0, 2**32 - 1),
        },
        "prompt": _text(draw, 1, 4, text),
        "length": draw.integer(0, 5),
    }

    def run(a: Arguments) -> Any:
        parameters, vocabulary = char_rnn.train(a["text"], **a["options"])
        written = char_rnn.sample(parameters, vocabulary, a["prompt"], a["length"], temperature=0)
        char_rnn.sample(parameters, vocabulary, a["prompt"], a["length"], seed=3)
        # Equal scores, as an untrained model has, may fall either way: the text's length counts.
        return parameters, vocabulary, len(written)

    return Case(arguments, run, names={"Wxh", "Whh", "Why", "vocabulary", "temperature", "seed"})


@entry("char_rnn.sample", "textbook.char_rnn.sample", weight=0.7)
def char_sample_case(draw: Draw) -> Case:
    """A text from given parameters, each draw at some temperature."""
    vocabulary = "".join(sorted(set(_text(draw, 1, 9))))
    arguments = {
        "parameters": _char_parameters(draw, len(vocabulary)),
        "vocabulary": vocabulary,
        "prompt": _text(draw, 1, 4, vocabulary),
        "length": draw.integer(0, 4),
        "temperature": draw.choice((0.0, 1e-300, 0.5, 1.0, 100.0)),
        "seed": draw.integer(0, 2**40),
    }

    def run(a: Arguments) -> Any:
        written = char_rnn.sample(**a)
        if not set(written) <= set(a["vocabulary"]) or len(written) != a["length"]:
            raise AssertionError(f"wrote {written!r}")
        return len(written)

    return Case(arguments, run)


# --- the stateful cell ----------------------------------------------------------------------


@entry("textbook.RNNCell", "textbook.cells.RNNCell")
def stateful_case(draw: Draw) -> Case:
    """Steps forward and steps back, not always as many."""
    features, hidden, rows, steps = draw.size(), draw.size(), draw.rows(), draw.integer(1, 4)
    arguments: Arguments = {
        "parameters": {
            "weight_ih": draw.array(hidden, features, scale=0.5),
            "weight_hh": draw.array(hidden, hidden, scale=0.5),
            "bias_ih": draw.array(hidden),
            "bias_hh": draw.array(hidden),
        },
        "prev_hidden": draw.array(rows, hidden),
    }
    back = draw.choice((steps, steps, steps - 1, steps + 1))
    arguments |= {f"x_{t}": draw.array(rows, features) for t in range(steps)}
    arguments |= {f"dh_{t}": draw.array(rows, hidden) for t in range(steps)}

    def run(a: Arguments) -> Any:
        given = a["parameters"]
        if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
            raise TypeError("parameters: Python itself takes no other names")
        cell = cells.RNNCell(**a["parameters"])
        hidden = a["prev_hidden"]
        states = []
        for t in range(steps):
            hidden = cell(a[f"x_{t}"], hidden)
            states.append(hidden)
        for t in range(back):
            with unchanged_if_refused({"prev_dh": cell.prev_dh}):
                cell.backward(a[f"dh_{t % steps}"])
        return states, vars(cell)["dx_list"], cell.dw_ih_stack, cell.dw_hh_stack, cell.db_ih_stack

    names = {"x", "dh", "backward", "RNNCell"}
    return Case(arguments, run, names=names, errors=(RuntimeError,))
