"""``pyrnn train`` killed at any moment: the old model or the new one, never half of one."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrnn import serialization

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")

MODEL = "pyrnn-lstm.safetensors"
HISTORY = "pyrnn-lstm.history.json"
PICTURE = "pyrnn-lstm.png"
# Large enough for a write to last, with steps that do not.
OPTIONS = ("--hidden", 900, "--steps", 2, "--batch", 1, "--seq-len", 4)
SLOW_DISK = """
import os, sys, time
from pyrnn.cli import main
sync = os.fsync
os.fsync = lambda file: (time.sleep(0.2), sync(file))
sys.exit(main(sys.argv[1:]))
"""


def leftovers() -> set[str]:
    return {name for name in os.listdir() if name.endswith(".tmp")}


def amid_the_write(process: Any, draw: random.Random) -> None:
    """When bytes of the model are in a temporary file, or up to a while later."""
    while process.poll() is None and not any(size(name) for name in leftovers()):
        time.sleep(0.001)
    time.sleep(draw.choice((0, 0.01, draw.uniform(0, 0.4))))


def at_any_moment(process: Any, draw: random.Random) -> None:
    time.sleep(draw.uniform(0, 2.5))


def size(name: str) -> int:
    try:
        return os.path.getsize(name)
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize(
    "moments",
    [
        (amid_the_write, at_any_moment, amid_the_write),
        pytest.param((amid_the_write, at_any_moment) * 25, marks=pytest.mark.long),
    ],
    ids=len,
)
def test_a_model_is_never_lost_and_nothing_stays_beside_it(
    moments: tuple[Callable[..., None], ...], text: Path, run: Any, start: Any
) -> None:
    assert run("train", text, "--hidden", 8, "--steps", 1).status == 0
    draw, killed, begun = random.Random(0), 0, 0
    for number, moment in enumerate(moments):
        before = Path(MODEL).read_bytes()
        left = leftovers()
        process = start("train", text, *OPTIONS, "--seed", number, code=SLOW_DISK)
        if moment is amid_the_write:
            assert process.stdout.readline().startswith("LSTM 900, ")
            assert not left & leftovers()
        moment(process, draw)
        killed += process.poll() is None
        process.kill()
        process.communicate()
        begun += bool(leftovers() - left)
        after = Path(MODEL).read_bytes()
        loaded = serialization.load_character_model(MODEL)
        assert after == before or loaded.rnn.hidden_size == 900
    assert killed >= len(moments) / 2
    assert begun >= len(moments) / 4, "too few writes were cut short"
    assert run("train", text, "--hidden", 8, "--steps", 1).status == 0
    assert sorted(os.listdir()) == [HISTORY, PICTURE, MODEL, "text.py"]
