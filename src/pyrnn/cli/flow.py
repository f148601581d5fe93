"""``pyrnn flow``: how a saved model's gradients flow back through time."""

from __future__ import annotations

import argparse
import io
from dataclasses import replace

import numpy as np

from pyrnn import _files
from pyrnn._files import shown
from pyrnn.cli._common import plotting
from pyrnn.cli._common.arguments import SEEDS, Subparsers, file_name, whole
from pyrnn.cli._common.errors import UsageError
from pyrnn.cli._common.interrupt import deferred
from pyrnn.cli._common.outputs import check_free, check_other
from pyrnn.diagnostics.flow import GradientFlow, gradient_flow
from pyrnn.interop.serialization import load_character_model
from pyrnn.text import corpus
from pyrnn.text.character_model import CharacterModel

STEPS_MOST = 100_000
STATE_MOST = 2048
"""The largest size of a state for which a step's Jacobian is computed."""
WORK_MOST = 3e9
"""The most Jacobians, in numbers of a state cubed: what singular values of one take."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("flow", help="show how gradients flow back through time")
    parser.add_argument(
        "model", type=file_name, metavar="MODEL", help="a file that 'pyrnn train' saved"
    )
    parser.add_argument(
        "--text",
        type=file_name,
        metavar="FILE",
        help="text that the model reads (default: text that it generates)",
    )
    parser.add_argument(
        "--steps", type=whole(1, STEPS_MOST), default=100, metavar="N", help="time steps (100)"
    )
    parser.add_argument(
        "--seed",
        type=whole(0, SEEDS),
        default=0,
        metavar="N",
        help="seed of the text that it generates (0)",
    )
    parser.add_argument(
        "--out", type=file_name, metavar="FILE", help="the picture, a PNG file (default: none)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file that --out names")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the norms over the lag, and draw the picture."""
    if arguments.out:
        check_other("--out", arguments.out, (arguments.model, arguments.text))
        check_free("--out", arguments.out, arguments.force)
        _files.check_writable(arguments.out)
    with deferred():
        model = load_character_model(arguments.model)
    indices = _indices(model, arguments)
    flow = gradient_flow(model, indices[:, None], jacobians=False, seed=arguments.seed)
    parts = 2 if model.cell == "lstm" else 1
    size = parts * model.rnn.num_layers * model.rnn.hidden_size
    if size <= STATE_MOST:
        some = indices[: max(1, int(WORK_MOST / size**3)), None]
        flow = replace(flow, singular_values=gradient_flow(model, some).singular_values)
    print("\n".join(_lines(flow)))
    if arguments.out:
        _files.write_atomically(arguments.out, _picture(flow))
        print(f"picture: {_files.shown(arguments.out)}")
    return 0


def _indices(model: CharacterModel, arguments: argparse.Namespace) -> np.ndarray:
    """What the model reads."""
    vocabulary = model.vocabulary
    if arguments.text is None:
        first = vocabulary._opening()
        text = first + model.sample(first, arguments.steps, 0.7, arguments.seed)
        return vocabulary.encode(text)[: arguments.steps]
    name = shown(arguments.text)
    read = "".join(corpus.text_of(corpus.blocks(arguments.text), name, vocabulary))
    text = vocabulary.normalise(read)[: arguments.steps * vocabulary.most_characters]
    try:
        known = vocabulary.replacement is not None
        return vocabulary.encode(text, replace=known, name="--text")[: arguments.steps]
    except ValueError as error:
        raise UsageError(str(error)) from error


def _lines(flow: GradientFlow) -> list[str]:
    """A table of the norms at lags 0, 1, 2, 4, ... and what the Jacobians say."""
    steps = len(flow.norms["h"]) - 1
    lags = [0, *(1 << n for n in range(steps.bit_length()) if 1 << n < steps), steps]
    columns = [(f"|dL/d{name}|", np.sqrt(np.square(n).sum(1))) for name, n in flow.norms.items()]
    lines = ["steps back  " + "  ".join(f"{title:>10}" for title, _ in columns)]
    lines += [
        f"{lag:>10}  " + "  ".join(f"{norm[lag]:>10.3g}" for _, norm in columns) for lag in lags
    ]
    life = flow.half_life()
    if np.isfinite(life):
        verb = "halves" if life > 0 else "doubles"
        lines.append(f"the gradient of h {verb} every {abs(life):.3g} steps")
    if flow.singular_values.size:
        largest = flow.singular_values[:, 0]
        some = f" (of {len(largest)} steps)" if len(largest) < steps else ""
        lines.append(
            f"largest singular value of a step's Jacobian: median {np.median(largest):.3g}, "
            f"at most {largest.max():.3g}{some}"
        )
    return lines


def _picture(flow: GradientFlow) -> bytes:
    """A PNG file that looks the same whatever a user has configured."""
    with plotting.without_configuration():
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        figure, picture = flow.plot(), io.BytesIO()
        FigureCanvasAgg(figure)
        figure.savefig(picture, format="png")
    return picture.getvalue()
