"""Attributes of all objects but estimators: checked as constructors check them, or refused."""

import contextlib
import copy
import pickle

import numpy as np
import pytest

import pyrnn
from pyrnn import callbacks
from pyrnn.layers._options import Configured, Option, Setting
from pyrnn.optim import lr_scheduler
from pyrnn.text import ByteVocabulary, TokenizerVocabulary, Vocabulary, WordVocabulary


def optimizer_of(kind=pyrnn.Adam, **options):
    return kind({"w": np.ones(2)}, **options)


def model_of():
    return pyrnn.Sequential(pyrnn.GRU(2, 3, seed=0), pyrnn.Linear(3, 2, seed=1))


def trainer_of():
    model = model_of()
    return pyrnn.Trainer(model, "mse", pyrnn.Adam(model.parameters))


class Digits:
    def __len__(self):
        return 10

    def encode(self, text):
        return [int(digit) for digit in text]

    def decode(self, indices):
        return "".join(map(str, indices))


CLOSED = {
    **{
        kind.__name__: lambda kind=kind: optimizer_of(kind)
        for kind in (pyrnn.SGD, pyrnn.Adagrad, pyrnn.RMSprop, pyrnn.Adam, pyrnn.AdamW)
    },
    "ParamGroup": lambda: optimizer_of().param_groups[0],
    "StepLR": lambda: lr_scheduler.StepLR(optimizer_of(), 2),
    "CosineAnnealingLR": lambda: lr_scheduler.CosineAnnealingLR(optimizer_of(), 2),
    "LinearLR": lambda: lr_scheduler.LinearLR(optimizer_of()),
    "OneCycleLR": lambda: lr_scheduler.OneCycleLR(optimizer_of(), 0.1, 10),
    "ReduceLROnPlateau": lambda: lr_scheduler.ReduceLROnPlateau(optimizer_of()),
    "Trainer": trainer_of,
    "History": callbacks.History,
    "EarlyStopping": callbacks.EarlyStopping,
    "ModelCheckpoint": lambda: callbacks.ModelCheckpoint("m.safetensors"),
    "BackupAndRestore": lambda: callbacks.BackupAndRestore("m.checkpoint"),
    "CSVLogger": lambda: callbacks.CSVLogger("m.csv"),
    "JSONLogger": lambda: callbacks.JSONLogger("m.jsonl"),
    "RunLogger": lambda: callbacks.RunLogger("m.history.json"),
    "Stream": lambda: pyrnn.LSTM(2, 3, seed=0).stream(),
    "Conv1dStream": lambda: pyrnn.Conv1d(2, 3, 2, padding="causal", seed=0).stream(),
    "SequentialStream": lambda: model_of().stream(),
    "Vocabulary": lambda: Vocabulary("abc"),
    "ByteVocabulary": ByteVocabulary,
    "WordVocabulary": lambda: WordVocabulary(["a", "b"]),
    "TokenizerVocabulary": lambda: TokenizerVocabulary(Digits()),
}
OPEN = {
    "LSTM": lambda: pyrnn.LSTM(2, 3, seed=0),
    "GRUCell": lambda: pyrnn.GRUCell(2, 3, seed=0),
    "Linear": lambda: pyrnn.Linear(2, 3, seed=0),
    "Conv1d": lambda: pyrnn.Conv1d(2, 3, 2, seed=0),
    "BatchNorm1d": lambda: pyrnn.BatchNorm1d(2),
    "Sequential": model_of,
    "CharacterModel": lambda: pyrnn.CharacterModel("abc", hidden_size=3, seed=0),
}
NOT_OF_USERS = {"trainer", "model"}  # of callbacks: a trainer sets them


@pytest.mark.parametrize("name", CLOSED)
def test_unknown_attributes_are_refused(name):
    thing = CLOSED[name]()
    before = dict(vars(thing))
    for misspelt in ("foo", "learning_rate", "momentun", "hiden_size", "stop", "moniter", "Lr"):
        with pytest.raises(AttributeError, match=f"^{misspelt}: .* has no such"):
            setattr(thing, misspelt, 0.5)
    assert vars(thing) == before


@pytest.mark.parametrize("name", CLOSED)
def test_no_attribute_takes_any_object(name):
    thing = CLOSED[name]()
    for attribute in [n for n in dir(thing) if n[0] != "_" and n not in NOT_OF_USERS]:
        before = getattr(thing, attribute)
        with pytest.raises((AttributeError, TypeError, ValueError), match=attribute):
            setattr(thing, attribute, object())
        after = getattr(thing, attribute)
        assert after is before or callable(before) or np.array_equal(after, before)


@pytest.mark.parametrize("name", CLOSED)
def test_what_was_read_can_be_set_again_or_is_fixed(name):
    thing = CLOSED[name]()
    for attribute in [n for n in dir(thing) if n[0] != "_" and n not in NOT_OF_USERS]:
        value = getattr(thing, attribute)
        settable = isinstance(getattr(type(thing), attribute, None), Setting)
        with contextlib.nullcontext() if settable else contextlib.suppress(AttributeError):
            setattr(thing, attribute, value)
        after = getattr(thing, attribute)
        assert after is value or callable(value) or np.array_equal(after, value)


@pytest.mark.parametrize("name", [n for n in CLOSED if n != "Trainer"])
def test_copies_have_the_attributes_and_refuse_the_same(name):
    thing = CLOSED[name]()
    copies = [copy.copy(thing), copy.deepcopy(thing)]
    if name != "TokenizerVocabulary":
        copies.append(pickle.loads(pickle.dumps(thing)))
    for other in copies:
        assert vars(other).keys() == vars(thing).keys()
        with pytest.raises(AttributeError, match="no such attribute"):
            other.foo = 3


@pytest.mark.parametrize(
    ("name", "attribute", "wrong"),
    [
        ("StepLR", "step_size", 0),
        ("StepLR", "gamma", "0.5"),
        ("StepLR", "last_epoch", -1),
        ("StepLR", "base_lrs", [0.1, 0.2]),
        ("StepLR", "base_lrs", [-1.0]),
        ("StepLR", "optimizer", "adam"),
        ("StepLR", "each_batch", "no"),
        ("StepLR", "step", 3),
        ("CosineAnnealingLR", "T_max", 1.5),
        ("LinearLR", "start_factor", 0),
        ("LinearLR", "total_iters", -1),
        ("OneCycleLR", "div_factor", 0),
        ("OneCycleLR", "anneal_strategy", "cosine"),
        ("OneCycleLR", "total_steps", 1),
        ("OneCycleLR", "total_steps", 10**400),
        ("ReduceLROnPlateau", "mode", "lowest"),
        ("ReduceLROnPlateau", "patience", 0.5),
        ("ReduceLROnPlateau", "min_lrs", []),
        ("Trainer", "loss", "mean"),
        ("Trainer", "optimizer", None),
        ("Trainer", "scheduler", "step"),
        ("Trainer", "clip_grad_norm", "1"),
        ("Trainer", "clip_grad_norm", -1),
        ("Trainer", "precision", "float16"),
        ("Trainer", "model", 3),
        ("Trainer", "stop_training", "yes"),
        ("Trainer", "callbacks", [3]),
        ("EarlyStopping", "patience", -1),
        ("EarlyStopping", "baseline", "low"),
        ("EarlyStopping", "verbose", "yes"),
        ("EarlyStopping", "restores", 1),
        ("ModelCheckpoint", "save_freq", "batch"),
        ("ModelCheckpoint", "filepath", ""),
        ("CSVLogger", "separator", ", "),
        ("JSONLogger", "append", "no"),
        ("RunLogger", "prompt", 3),
    ],
)
def test_settings_are_checked_as_the_constructor_checks(name, attribute, wrong):
    thing = CLOSED[name]()
    before = getattr(thing, attribute)
    with pytest.raises((TypeError, ValueError, AttributeError), match=f"^{attribute}: "):
        setattr(thing, attribute, wrong)
    after = getattr(thing, attribute)
    assert after == before or callable(before)


def test_an_option_of_another_optimizer_is_refused():
    for kind, option in (
        (pyrnn.Adam, "momentum"),
        (pyrnn.Adam, "alpha"),
        (pyrnn.SGD, "betas"),
        (pyrnn.Adagrad, "nesterov"),
        (pyrnn.RMSprop, "betas"),
    ):
        optimizer = optimizer_of(kind)
        there_are = ", ".join(optimizer.param_groups[0].options)
        message = f"{option}: {kind.__name__} has no such option; there are {there_are}"
        with pytest.raises(AttributeError, match=message):
            setattr(optimizer, option, 0.9)
        assert not hasattr(optimizer, option)


def test_settings_take_effect():
    optimizer = optimizer_of(pyrnn.SGD, lr=1.0)
    schedule = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    schedule.gamma = 0.25
    schedule.step()
    assert optimizer.lr == 0.25
    trainer = trainer_of()
    trainer.loss, trainer.clip_grad_norm, trainer.precision = "l1", 0.5, "bf16"
    assert trainer.loss is pyrnn.losses.l1_loss
    schedule = lr_scheduler.StepLR(trainer.optimizer, 1)
    trainer.scheduler = (schedule, "step")
    assert trainer.scheduler is schedule
    with pytest.raises(ValueError, match="optimizer: expected that of the scheduler"):
        trainer.optimizer = pyrnn.Adam(trainer.model.parameters)
    trainer.fit((np.ones((2, 4, 2), "f"), np.zeros((2, 4, 2), "f")), steps=1)
    assert trainer.model.compute_format == "bfloat16"
    assert schedule.last_epoch == 1


def test_groups_of_parameters_stay_those_of_the_constructor():
    """Another one would not be looked at: its parameters have no state."""
    optimizer = optimizer_of(pyrnn.Adam)
    group = optimizer.param_groups[0]
    with pytest.raises(AttributeError, match="append"):
        optimizer.param_groups.append(group)
    with pytest.raises(TypeError, match="item assignment"):
        optimizer.param_groups[0] = group
    assert optimizer.param_groups == (group,)


def test_settings_that_do_not_go_together_are_refused():
    schedule = lr_scheduler.OneCycleLR(
        optimizer_of(pyrnn.Adagrad), 0.1, total_steps=5, cycle_momentum=False
    )
    with pytest.raises(ValueError, match="cycle_momentum: expected False"):
        schedule.cycle_momentum = True
    assert schedule.cycle_momentum is False
    group = {"params": {"a": np.ones(1)}}, {"params": {"b": np.ones(1)}}
    with pytest.raises(ValueError, match="base_lrs: expected as many rates"):
        schedule.optimizer = pyrnn.SGD(list(group))


def test_subclasses_of_users_have_attributes_of_their_own():
    class Own(callbacks.EarlyStopping):
        def __init__(self):
            super().__init__(patience=1)
            self.seen = []

    class Rate(lr_scheduler.LRScheduler):
        def get_lr(self):
            self.calls = getattr(self, "calls", 0) + 1
            return self.base_lrs

    own = Own()
    own.more = 3
    with pytest.raises(ValueError, match="patience: expected"):
        own.patience = -1
    assert Rate(optimizer_of()).calls == 1


# --- layers and models: users may note something on them -------------------------------------


@pytest.mark.parametrize("name", OPEN)
def test_layers_refuse_what_is_nearly_an_option(name):
    layer = OPEN[name]()
    layer.name = layer.note = "mine"
    options = [n for n in dir(type(layer)) if isinstance(getattr(type(layer), n, None), Option)]
    for option in [n for n in options if len(n) > 6]:
        for misspelt in (option[:-1], option[:2] + option[3:], option + "s"):
            if hasattr(type(layer), misspelt):
                continue
            with pytest.raises(AttributeError, match=r"has no such attribute; .* is one"):
                setattr(layer, misspelt, 0.5)
    for method in ("train", "eval", "forward", "backward"):
        with pytest.raises(AttributeError, match=f"{method}: expected it to be called"):
            setattr(layer, method, True)
    assert isinstance(layer, Configured)


@pytest.mark.parametrize("name", ["LSTM", "Linear", "Conv1d", "BatchNorm1d", "Sequential"])
def test_nothing_of_a_cache_can_be_set(name):
    layer = OPEN[name]()
    y, *_, cache = layer.forward(np.ones((5, 3, 2), "f"))
    for attribute in ("output_shape", "backend", "lengths", "batched", "shape", "_owner"):
        with pytest.raises(AttributeError, match=f"^{attribute}: nothing of a cache can be set"):
            setattr(cache, attribute, None)
    other = copy.copy(cache)
    layer.backward(other, y)
    assert pickle.loads(pickle.dumps(cache)).output_shape == y.shape
    with pytest.raises(ValueError, match="used by an earlier backward"):
        layer.backward(cache, y)


def test_parts_of_models_are_fixed():
    model = model_of()
    for attribute, value in (("layers", {}), ("batch_first", True)):
        with pytest.raises(AttributeError, match=f"{attribute}: it cannot be changed"):
            setattr(model, attribute, value)
    layers = model.layers
    for change in (
        lambda: layers.__setitem__("0", pyrnn.GRU(2, 3)),
        lambda: layers.pop("0"),
        lambda: layers.update(a=pyrnn.Linear(2, 2)),
        lambda: layers.__delitem__("0"),
        layers.clear,
        layers.popitem,
        lambda: layers.setdefault("a", pyrnn.Linear(2, 2)),
        lambda: layers.__ior__({"a": pyrnn.Linear(2, 2)}),
    ):
        with pytest.raises(TypeError, match="layers: expected none to be added"):
            change()
    assert list(layers) == ["0", "1"]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(other.layers) is type(layers)
        assert list(other.layers) == ["0", "1"]
        assert other.layers["0"] is not layers["0"]
    text = pyrnn.CharacterModel("abc", hidden_size=3, embedding_dim=2, seed=0)
    for attribute in ("rnn", "linear", "embedding"):
        with pytest.raises(AttributeError, match=f"{attribute}: it cannot be changed"):
            setattr(text, attribute, pyrnn.Linear(2, 2))
