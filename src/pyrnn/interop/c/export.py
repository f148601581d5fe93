"""`export`: a model as a folder of C files."""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import re
from typing import Any, NamedTuple

import numpy as np

from pyrnn import _checks
from pyrnn._files import (
    AnyPath,
    check_writable,
    checked_path,
    open_regular,
    shown,
    write_atomically,
)
from pyrnn._number_formats.narrow import is_narrow
from pyrnn._types import Array, Indices, WeightFormat
from pyrnn._version import version
from pyrnn.interop.c import layers, template
from pyrnn.interop.c.source import Source
from pyrnn.layers._layer import Layer
from pyrnn.layers.composition.sequential import Sequential
from pyrnn.parameters import formats
from pyrnn.text.character_model import CharacterModel
from pyrnn.text.vocabulary import Vocabulary

_STEPS = 25
_HEADERS = {
    *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits"),
    *("locale", "math", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef"),
    *("stdint", "stdio", "stdlib", "stdnoreturn", "string", "tgmath", "threads", "time", "uchar"),
    *("wchar", "wctype"),
}
"""The system's: a program that looks for headers in the folder would get the model's instead."""


class Exported(NamedTuple):
    """What `export` wrote: the files, and the bytes that the model needs.

    Parameters
    ----------
    files : tuple of str
        The paths of the files.
    flash : int
        The bytes of the constant weights.
    state : int
        The bytes of the state of one sequence.
    stack : int
        The bytes of the arrays of one step.

    Examples
    --------
    >>> import tempfile, pyrnn
    >>> from pyrnn.interop import c
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = c.export(pyrnn.GRU(3, 4, seed=0), folder)
    >>> len(made.files), made.state
    (4, 16)
    """

    files: tuple[str, ...]
    flash: int
    state: int
    stack: int


def export(
    model: Layer | CharacterModel,
    folder: AnyPath,
    *,
    name: str = "model",
    weights: WeightFormat | None = None,
) -> Exported:
    """Write a model as C99 that needs no other library: one header, one source.

    Parameters
    ----------
    model : Layer or CharacterModel
        Linear, Embedding, RNN, LSTM, GRU, MinGRU, Activation, Softmax, LayerNorm, BatchNorm1d,
        LastStep, MeanOverTime, or a `Sequential` of them. What only acts in training (dropout) is
        left out.
    folder : str, bytes or os.PathLike
        Where to write; created if it does not exist.
    name : str, default "model"
        Begins the names of the files and of what the header declares.
    weights : {"float32", "float64", "int8"}, optional
        "int8" stores matrices as whole numbers of 8 bits, with a scale for each row, for a model of
        float32: a quarter of the memory. x and h are rounded to 16 bits at each step, with the very
        whole numbers that pyrnn has after ``eval(weights="int8")``. By default the model's dtype.

    Returns
    -------
    Exported
        ``files``, the paths written; ``flash``, bytes of constant weights; ``state``, bytes of the
        state of one sequence; ``stack``, bytes of the arrays of one step.

    Raises
    ------
    TypeError
        If a layer is none of these, or of a class derived from them that computes in its own way.
    ValueError
        If a layer runs backwards in time or has no running averages, layers do not fit each other,
        parameters or outputs are not finite, ``weights`` is no such format of the model, or
        ``name`` is no identifier of C, or the name of a header of C.
    OSError
        If a file cannot be written, or a file of that name exists that `export` did not make.

    Notes
    -----
    The header declares ``NAME_state``, ``NAME_init``, ``NAME_reset`` and ``NAME_step``, which
    advances by one time step. There is no allocation and nothing global that changes, so each
    sequence and thread may have a state of its own. Of the C library, ``expf`` and ``tanhf`` are
    called (and ``sqrtf`` for layer norm, ``log1pf`` for softplus); in float64 ``exp`` and ``tanh``.
    Outputs equal pyrnn's to 1e-5 of the largest (1e-12 in float64) unless the network amplifies
    roundings, and not to the bit: compilers choose the order of sums. `MeanOverTime` gives the mean
    of the steps so far. Beside the model there are a test, ``test_NAME.c``, with what pyrnn
    computes for 25 steps, and a ``Makefile`` whose ``make test`` runs it. A `CharacterModel` takes
    the index of a character; ``NAME_vocabulary`` has the characters, as Unicode code points. Of
    other tokens, bytes or words, it takes the index, and the files do not say what they are.

    Examples
    --------
    >>> import os, tempfile, pyrnn
    >>> from pyrnn.interop import c
    >>> model = pyrnn.Sequential(pyrnn.GRU(3, 8, seed=0), pyrnn.Linear(8, 2, seed=1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = c.export(model, folder, name="gesture")
    ...     sorted(os.listdir(folder))
    ['Makefile', 'gesture.c', 'gesture.h', 'test_gesture.c']
    >>> made.flash, made.state
    (1320, 32)
    """
    path = checked_path(folder)
    source = Source(_checked_name(name), _dtype(model))
    source.int8 = _is_int8(weights, source.dtype)
    described = _add_all(source, model)
    mark = f"{template.MARK} {version()}"
    header, text = template.header_and_source(source, described, mark)
    x, y = _example(model, source)
    files = {
        f"{name}.h": header,
        f"{name}.c": text,
        f"test_{name}.c": template.test_program(source, x, y, mark),
        "Makefile": template.makefile(source, mark),
    }
    _make_folder(path)
    paths = {os.path.join(path, file): content for file, content in files.items()}
    for file in paths:
        _check_ours(file)
        check_writable(file)
    for file, content in paths.items():
        write_atomically(file, content.encode("ascii"))
    return Exported(tuple(paths), source.flash, source.state_bytes(), source.stack_bytes())


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w{0,39}", name, re.ASCII):
        raise ValueError(
            "name: expected an identifier of C, a letter and up to 39 letters, digits and '_', got "
            f"{_checks.shown(name)}"
        )
    if name.lower() in _HEADERS:
        raise ValueError(f"name: expected none of C's own headers, got {name!r}")
    return name


def _dtype(model: Any) -> np.dtype[Any]:
    if not isinstance(model, (Layer, CharacterModel)):
        raise TypeError(
            f"model: expected a layer, a Sequential or a CharacterModel, got {type(model).__name__}"
        )
    bad = [name for name, array in model.parameters.items() if not np.isfinite(array).all()]
    if bad:
        raise ValueError(f"model: expected finite parameters, got others in {bad[0]}")
    return np.dtype(model.dtype or np.float32)


def _is_int8(weights: object, dtype: np.dtype[Any]) -> bool:
    storage = "full" if weights is None else formats.storage_of(weights, dtype)
    if storage not in ("full", "int8"):
        raise ValueError(f"weights: expected {dtype.name!r} or 'int8' in C, got {weights!r}")
    return storage == "int8"


def _add_all(source: Source, model: Layer | CharacterModel) -> str:
    """Add all layers in order; what the files call the model."""
    named = _flat(model)
    if isinstance(model, CharacterModel) and isinstance(model.vocabulary, Vocabulary):
        source.vocabulary = [ord(character) for character in model.vocabulary.characters]
    if isinstance(model, CharacterModel) and model.embedding is None:
        source.take_indices(len(model.vocabulary))
    else:
        layers.begin(source, next(iter(named.values())))
    for name, layer in named.items():
        layers.add(source, name, layer)
    described = type(model).__name__
    return f"{described} of {len(named)} layers" if len(named) > 1 else described


def _flat(model: Layer | CharacterModel) -> dict[str, Layer]:
    """The layers that compute, by name; those of compositions within."""
    if isinstance(model, (CharacterModel, Sequential)):
        layers.check_own(model)
    if isinstance(model, CharacterModel):
        first = {} if model.embedding is None else {"embedding": model.embedding}
        return {**first, "rnn": model.rnn, "linear": model.linear}
    if not isinstance(model, Sequential):
        return {type(model).__name__.lower(): model}
    flat: dict[str, Layer] = {}
    for name, layer in model.layers.items():
        inner = _flat(layer) if isinstance(layer, Sequential) else {"": layer}
        flat |= {f"{name}.{within}".rstrip("."): one for within, one in inner.items()}
    return flat


def _example(model: Layer | CharacterModel, source: Source) -> tuple[Array | Indices, Array]:
    """Inputs of some steps, and the output after each, as pyrnn computes it."""
    generator = np.random.default_rng(0)
    x: Any
    if source.indices:
        x = generator.integers(0, source.indices, _STEPS)
    else:
        x = generator.standard_normal((_STEPS, source.inputs)).astype(source.dtype)
    y = _outputs(model, x, source.int8)
    if not np.isfinite(y).all():
        raise ValueError("model: expected finite outputs for inputs of usual size, got others")
    source.allowed *= max(1.0, float(np.abs(y).max()))
    # A rounding seldom moves a number over an edge of 16 bits, and then by much: several draws.
    draws = 4 if source.int8 else 1
    effects = [_effect_of_rounding(model, source, x, y, generator) for _ in range(draws)]
    source.allowed = max(source.allowed, 8 * max(effects))
    return x, y


def _outputs(model: Layer | CharacterModel, x: Any, int8: bool) -> Array:
    # Whatever eval stored and products rounded.
    run: Any = copy.deepcopy(model).train(compute=formats.FULL)
    run = run.eval(weights="int8", activations="int16") if int8 else run.eval()
    outputs = []
    for end in range(1, len(x) + 1):
        given = run.forward(x[:end]) if isinstance(model, CharacterModel) else run(x[:end])
        y = given[0] if isinstance(given, tuple) else given
        outputs.append(y if y.ndim == 1 else y[-1])
    return np.stack(outputs)


def _effect_of_rounding(
    model: Layer | CharacterModel, source: Source, x: Any, y: Array, generator: np.random.Generator
) -> float:
    """How far outputs move if each parameter moves by a rounding: a network may amplify it.

    Not those that are whole numbers in C, which are the same here; but x instead.
    """
    other = copy.deepcopy(model).train()

    def moved(array: Array) -> Array:
        rounding = np.finfo(array.dtype).eps * generator.choice((-1, 1), array.shape)
        result: Array = array * (1 + rounding).astype(array.dtype)
        return result

    for name, array in other.parameters.items():
        if not source.int8 or not is_narrow(name, array):
            array[...] = moved(array)
    if source.int8 and not source.indices:
        x = moved(x)
    return float(np.abs(_outputs(other, x, source.int8) - y).max())


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", shown(path)) from None


def _check_ours(path: str) -> None:
    """Refuse to replace a file that `export` did not make."""
    with contextlib.suppress(FileNotFoundError), open_regular(path) as file:
        if template.MARK.encode() not in file.readline(200):
            raise FileExistsError(
                errno.EEXIST, "the file exists and was not written by pyrnn", shown(path)
            )
