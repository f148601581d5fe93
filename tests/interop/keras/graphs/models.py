"""Models of Keras as configurations, so that no Keras need be there."""

import numpy as np

from pyrnn.interop import keras
from tests.interop.keras import files

X = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32)


def layer(class_name, name="it", **config):
    return files.config_of(class_name, name, **config)


def given(name, *shape, dtype="float32"):
    """An input; its first axis is the batch."""
    return layer("InputLayer", name, batch_shape=[None, *shape], dtype=dtype)


def floats(seed, *shapes):
    r = np.random.default_rng(seed)
    return [r.standard_normal(shape).astype(np.float32) for shape in shapes]


def sequential(path, rows, entries=(), shape=(6, 4), version="3.15.1"):
    """A Sequential model, ready to run."""
    config = files.model_config(given("x", *shape), *rows)
    files.keras3(path, config, [(key, None, arrays) for key, arrays in entries], version)
    return keras.prepare(path)


def tensor(name, output=0, call=0):
    """An argument as Keras 3 writes it."""
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, output]}}


def called(row, *arguments, **options):
    """A layer that is called once, with the outputs of others."""
    return {
        **row,
        "name": row["config"]["name"],
        "inbound_nodes": [{"args": list(arguments), "kwargs": options}] if arguments else [],
    }


def functional(rows, inputs, outputs):
    """The configuration of a functional model; inputs and outputs are places."""
    config = {"name": "m", "layers": rows, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def branches(path, rows, outputs=(("end", 0, 0),), entries=(), shape=(6, 4)):
    """A functional model of one input ``x``."""
    config = functional([called(given("x", *shape)), *rows], ["x", 0, 0],
                        [list(one) for one in outputs])  # fmt: skip
    files.keras3(path, config, entries)
    return keras.prepare(path)


def masked(path, row, entries, width, **options):
    """A recurrent layer that takes ``x`` and the numbers that say which steps count."""
    rows = [
        called(given("x", None, width)),
        called(given("flags", None)),
        called({"class_name": "NotEqual", "config": {"name": "ne"}}, tensor("flags"), 0),
        called(row, tensor("x"), mask=tensor("ne"), **options),
    ]
    name = row["config"]["name"]
    model = functional(rows, [["x", 0, 0], ["flags", 0, 0]], [[name, 0, 0]])
    files.keras3(path, model, entries)
    return keras.prepare(path)
