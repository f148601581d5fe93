"""Files as Keras 1, 2 and 3 write them, made by h5py, so that no Keras need be there."""

import io
import json
import zipfile

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")


def config_of(class_name, name, **config):
    """A layer as a configuration has it."""
    return {"class_name": class_name, "config": {"name": name, **config}}


def model_config(*layers):
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(layers)}}


def numbered(group, arrays, name=None):
    """The arrays of one layer, as Keras 3 has them."""
    own = group.create_group("vars")
    if name is not None:
        own.attrs["name"] = name
    for number, array in enumerate(arrays):
        own.create_dataset(str(number), data=array)


def weights3(target, entries):
    """A ``.weights.h5``: (group's name, layer's name, arrays or (forward, backward))."""
    with h5py.File(target, "w") as file:
        for key, name, arrays in entries:
            group = file.create_group(f"layers/{key}")
            if isinstance(arrays, tuple):
                for side, part in zip(("forward_layer", "backward_layer"), arrays, strict=True):
                    numbered(group.create_group(f"{side}/cell"), part)
                numbered(group, [], name)
            elif len(arrays) >= 2 and arrays[0].ndim == arrays[1].ndim == 2:
                numbered(group.create_group("cell"), arrays)
                numbered(group, [], name)
            else:
                numbered(group, arrays, name)


def keras3(path, config, entries, version="3.5.0", compression=zipfile.ZIP_STORED):
    """A ``.keras`` file."""
    buffer = io.BytesIO()
    weights3(buffer, entries)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", buffer.getvalue())
    return path


def legacy(path, version, layers, config=None, names=None):
    """An ``.h5`` of Keras 1 and 2: arrays by layer; the configuration if it is a whole model."""
    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
            file.attrs["keras_version"] = version.encode()
            group = file.create_group("model_weights")
        group.attrs["keras_version"] = version.encode()
        group.attrs["layer_names"] = np.array([name.encode() for name in layers])
        for name, arrays in layers.items():
            own = group.create_group(name)
            paths = names[name] if names else [f"{name}/w{n}:0" for n in range(len(arrays))]
            own.attrs["weight_names"] = np.array([p.encode() for p in paths], dtype="S64")
            for where, array in zip(paths, arrays, strict=True):
                own.create_dataset(where, data=array)
    return path


def constants(kind, units, inputs, *, reset_after=True, use_bias=True, values=(0.01, 0.02, 0.03)):
    """The arrays that Keras' own tests have: each initialised by a constant."""
    gates = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[kind]
    kernel, recurrent, bias = values
    arrays = [
        np.full((inputs, gates * units), kernel, np.float32),
        np.full((units, gates * units), recurrent, np.float32),
    ]
    if use_bias:
        made = np.full(gates * units, bias, np.float32)
        if kind == "LSTM":
            made[units : 2 * units] = 1  # unit_forget_bias
        if kind == "GRU" and reset_after:
            made = np.stack([made, made])
        arrays.append(made)
    return arrays


def random_arrays(kind, units, inputs, *, reset_after=False, seed=0):
    """The arrays of one direction with drawn numbers."""
    r = np.random.default_rng(seed)
    return [
        r.standard_normal(array.shape).astype(np.float32) * 0.5
        for array in constants(kind, units, inputs, reset_after=reset_after)
    ]
