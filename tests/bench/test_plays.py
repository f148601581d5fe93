"""The job on plays, in small: both libraries take the same steps."""

from pathlib import Path

import numpy as np
import pytest

from bench import plays
from pyrnn import text


def test_both_train_the_same_model(
    tmp_path: Path, native: None, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    words = ["to be ", "or not ", "that is\n", "the question "]
    choice = np.random.default_rng(0).integers(len(words), size=800)
    path = tmp_path / "play.txt"
    path.write_text("".join(words[i] for i in choice))
    result = plays.compare(
        text.load([path]), hidden=8, layers=2, streams=4, length=6, steps=2 * plays.TURN + 3
    )
    assert result.pyrnn.losses == pytest.approx(result.torch.losses, rel=1e-4)
    assert result.pyrnn.losses[-1] < result.pyrnn.losses[0]
    assert result.pyrnn_bits == pytest.approx(result.torch_bits, abs=1e-3)
    assert len(plays._turns(result.pyrnn.seconds)) == 3
    assert result.ratio > 0
    assert plays.main([str(path), "--hidden", "4", "--steps", "2", "--length", "3"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["pyrnn", "torch", "pyrnn"]


def test_the_batches_go_round() -> None:
    found = plays.batches(np.arange(22), 3, 2)
    starts = [next(found)[0][0].tolist() for _ in range(5)]
    assert starts == [[0, 7, 14], [2, 9, 16], [4, 11, 18], [0, 7, 14], [2, 9, 16]]
