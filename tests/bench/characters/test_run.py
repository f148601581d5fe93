"""Character models: what is measured, and pyrnn's step by its losses."""

import pytest

from bench.characters import models as character_models
from bench.characters import run as characters
from bench.characters.case import CharacterCase
from bench.options import Options


def test_every_model_is_measured_with_an_embedding_and_one_hot():
    names = [case.name for case in characters.cases(Options("characters", 1))]
    assert "LSTM 2x128 T50 N50 embedding 64" in names
    assert "LSTM 2x128 T50 N50 one-hot" in names
    assert names[-1].startswith("min-char-rnn")
    assert len(set(names)) == 9


def test_a_step_learns_from_its_batch(backend):
    case = CharacterCase("GRU", 8, 1, 6, 2, 4)
    (contender,) = character_models.contenders(case, 1, with_torch=False)
    losses = contender.outputs(contender.run())["losses"]
    for _ in range(20):
        last = contender.run()
    assert losses[0] == pytest.approx(4.17, abs=0.3)  # ln 65
    assert last < losses[2] < losses[1] < losses[0]


def test_torch_computes_the_same_steps(native):
    pytest.importorskip("torch")
    for entry in (4, 0):
        case = CharacterCase("LSTM", 8, 2, 6, 2, entry)
        own, *others = character_models.contenders(case, 1, with_torch=True)
        expected = own.outputs(own.run())["losses"]
        assert others
        for other in others:
            with other.context():
                got = other.outputs(other.run())["losses"]
            assert got == pytest.approx(expected, rel=1e-5)
