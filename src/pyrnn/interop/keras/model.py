"""Whole models of Keras, ready to run without Keras."""

from __future__ import annotations

from pyrnn._files import AnyPath
from pyrnn.interop.keras.archive import errors_of
from pyrnn.interop.keras.graphs.program import program
from pyrnn.interop.keras.hdf5 import ContentError
from pyrnn.interop.keras.read import contents_of
from pyrnn.interop.onnx.model import GraphError, Model, UnsupportedError


def prepare(path: AnyPath) -> Model:
    """Make the whole model in a file of Keras ready to run many times.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        The name of a ``.keras`` file, or of an ``.h5`` file of a whole model, of Keras 1 to 3.

    Returns
    -------
    Model
        The model; its method ``run`` computes the outputs. Inputs and outputs have the names of
        the layers that they belong to in Keras, and its layout, (N, T, features).

    Raises
    ------
    ModelFileError
        If the file cannot be read, has weights alone, or has a layer that no graph is made of; the
        message names the layer.
    MissingExtraError
        If h5py is not installed.

    Notes
    -----
    Sequential and functional models are read, with models in models, layers that are called several
    times, several inputs and outputs, initial and final states. Masks of `Masking` and of
    ``mask_zero`` act as in Keras, with holes too. What only acts in training is left out, and a
    stateful layer begins each run with zeros. Indices of an Embedding are int64. Recurrent layers,
    products and convolutions over time run in pyrnn's core, the rest in NumPy; `load` gives the
    layers themselves, to be trained on or streamed. ``pyrnn convert`` writes the same model to
    ``.onnx``, or to ``.safetensors``, which needs NumPy alone.

    Examples
    --------
    >>> import os, tempfile, numpy as np, pyrnn
    >>> from pyrnn.interop import keras
    >>> layers = {"gru": pyrnn.GRU(3, 4, batch_first=True, seed=0), "out": pyrnn.Linear(4, 2)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.keras")
    ...     keras.save(layers, path)
    ...     model = keras.prepare(path)
    >>> model
    Model(input_layer -> out; 7 nodes)
    >>> (y,) = model.run(np.ones((5, 7, 3), np.float32))
    >>> y.shape
    (5, 7, 2)
    """
    with errors_of(path) as name:
        contents = contents_of(name)
        made = program(contents.archive, contents.sources, *contents.found)
        try:
            return Model(made)
        except (GraphError, UnsupportedError) as error:
            raise ContentError(str(error)) from error
