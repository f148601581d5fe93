"""The precision of a trainer: what the model computes with, and what checkpoints have of it."""

import numpy as np
import pytest

import pyrnn
from pyrnn.training.run import checkpoint
from tests.training.run.models import assert_same, classifier, labelled, trainer_of

WORDS = "the cat sat on the mat; the dog lay by the door; both ran off. "


def test_it_is_the_type_of_products_in_all_that_a_trainer_does(backend):
    model, data = classifier(), labelled()
    trainer = trainer_of(model, precision="bf16")
    assert model.compute_format == "float32"
    trainer.evaluate(data)
    assert model.layers["rnn"].compute_format == "bfloat16"
    model.train(compute="float32")
    trainer.fit(data, validation=data, epochs=2)
    assert {layer.compute_format for layer in model.layers.values()} == {"bfloat16"}
    assert model.training
    other = classifier().train(compute="bfloat16")
    trainer_of(other).fit(data, epochs=2)
    assert_same(model, other)
    model.train(compute="float32")
    trainer.predict(data[0])
    assert model.compute_format == "bfloat16"


def test_without_it_the_model_keeps_its_own():
    model, data = classifier().train(compute="bfloat16"), labelled()
    trainer_of(model).fit(data, epochs=1)
    assert model.compute_format == "bfloat16"
    trainer_of(model, precision="float32").fit(data, epochs=1)
    assert model.compute_format == "float32"


def test_a_checkpoint_goes_on_with_the_same_bits(tmp_path):
    pytest.importorskip("safetensors")
    data, path = labelled(), tmp_path / "checkpoint"
    whole = classifier()
    trainer_of(whole, precision="bf16").fit(data, epochs=4)
    first = classifier()
    trainer = trainer_of(first, precision="bf16")
    backup = pyrnn.callbacks.BackupAndRestore(path, delete_checkpoint=False)
    trainer.fit(data, epochs=2, callbacks=[backup])
    resumed = classifier(seed=9)
    trainer = trainer_of(resumed, precision="bf16")
    trainer.fit(data, epochs=4, callbacks=[pyrnn.callbacks.BackupAndRestore(path)])
    assert_same(resumed, whole)


@pytest.mark.parametrize(("saved", "other"), [("bf16", None), (None, "bf16"), ("float32", "bf16")])
def test_a_checkpoint_of_another_precision_is_refused(saved, other, tmp_path):
    pytest.importorskip("safetensors")
    data, path = labelled(), tmp_path / "checkpoint"
    backup = pyrnn.callbacks.BackupAndRestore(path, delete_checkpoint=False)
    trainer_of(classifier(), precision=saved).fit(data, epochs=1, callbacks=[backup])
    backup = pyrnn.callbacks.BackupAndRestore(path)
    with pytest.raises(checkpoint.CheckpointError, match="precision: expected"):
        trainer_of(classifier(), precision=other).fit(data, epochs=1, callbacks=[backup])


@pytest.mark.parametrize("precision", ["float16", "bfloat16", 16, True])
def test_others_are_refused(precision):
    with pytest.raises((TypeError, ValueError), match=r"^precision: expected"):
        trainer_of(classifier(), precision=precision)


@pytest.mark.parametrize("precision", ["bf16", "float32"])
def test_models_of_float64_have_none(precision):
    with pytest.raises(ValueError, match="precision: expected None for a model of float64"):
        trainer_of(pyrnn.GRU(3, 6, dtype="float64"), precision=precision)


def test_training_ends_within_a_hundredth_of_a_bit_of_float32():
    vocabulary = sorted(set(WORDS))
    text = np.array([vocabulary.index(character) for character in WORDS * 40])
    bits = {}
    for precision in ("float32", "bf16"):
        model = pyrnn.Sequential(
            rnn=pyrnn.LSTM(len(vocabulary), 48, seed=0),
            out=pyrnn.Linear(48, len(vocabulary), seed=1),
        )
        trainer = trainer_of(model, precision=precision)
        trainer.fit(text, epochs=12, batch_size=8, k1=16)
        bits[precision] = trainer.evaluate(text) / np.log(2)
    assert bits["float32"] < 0.2
    assert abs(bits["bf16"] - bits["float32"]) < 0.01
    assert bits["bf16"] != bits["float32"]
