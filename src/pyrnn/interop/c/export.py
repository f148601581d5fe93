"""`export`: a model as a folder of C files."""

from __future__ import annotations

import contextlib
import copy
import errno
import functools
import os
import platform
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
    written_beside,
)
from pyrnn._number_formats.narrow import is_narrow, rounded
from pyrnn._types import ActivationFormat, Array, Indices, Storage, WeightFormat
from pyrnn._version import version
from pyrnn.backend import selection
from pyrnn.backend.threads import build_info
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
    activations: ActivationFormat | None = None,
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
    weights : {"float32", "float64", "bfloat16", "float16", "int8"}, optional
        For a model of float32: "int8" stores matrices as whole numbers of 8 bits, with a scale for
        each row, in a quarter of the memory; "bfloat16" and "float16" in half of it, to be widened
        as they are read. By default the model's dtype.
    activations : {"int16", "int8"}, optional
        To how many bits x and h are rounded at each step, beside weights of "int8": "int8" needs
        half the stack, and products of bytes alone. By default "int16", or what the model's file
        said.

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
        parameters or outputs are not finite, ``weights`` or ``activations`` is no such format of
        the model, or ``name`` is no identifier of C, or the name of a header of C.
    OSError
        If a file cannot be written, or a file of that name exists that `export` did not make.

    Notes
    -----
    The header declares ``NAME_state``, ``NAME_init``, ``NAME_reset`` and ``NAME_step``, which
    advances by one time step. There is no allocation and nothing global that changes, so each
    sequence and thread may have a state of its own. Of the C library, ``expf`` and ``tanhf`` are
    called (and ``sqrtf`` for layer norm, ``log1pf`` for softplus); in float64 ``exp`` and ``tanh``.
    Outputs equal pyrnn's to 1e-5 of the largest (1e-12 in float64) unless the network amplifies
    roundings, and not to the bit: compilers choose the order of sums.

    A model of int8 has the bits of pyrnn's, because a number that is rounded to another integer
    changes outputs by more. It calls ``sqrtf`` for layer norm, ``fmaf`` where that is an
    instruction, and ``exp`` and ``sqrt`` of double for `Softmax` and `LayerNorm`, which may differ
    in the last bit.

    `MeanOverTime` gives the mean of the steps so far. Beside the model there are a test,
    ``test_NAME.c``, with what pyrnn computes for 25 steps, and a ``Makefile`` whose ``make test``
    runs it. A `CharacterModel` takes the index of a character; ``NAME_vocabulary`` has the
    characters, as Unicode code points. Of other tokens, bytes or words, it takes the index, and the
    files do not say what they are.

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
    (1256, 32)
    """
    path = checked_path(folder)
    dtype = _dtype(model)
    storage = _storage(weights, activations, model)
    source = Source(_checked_name(name), dtype, storage)
    if source.narrow:
        # The result is that of float32 with rounded weights.
        model, storage = _rounded(model, storage), "full"
    described = _add_all(source, model)
    mark = f"{template.MARK} {version()}"
    header, text = template.header_and_source(source, described, mark)
    x, y = _example(model, source, storage)
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
    with contextlib.ExitStack() as all_files:  # which are renamed when each is complete
        for file, content in paths.items():
            beside = all_files.enter_context(written_beside(file))
            beside.write(content.encode("ascii"))
            beside.flush()
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


def _storage(
    weights: WeightFormat | None, activations: object, model: Layer | CharacterModel
) -> Storage:
    dtype = np.dtype(model.dtype or np.float32)
    storage = formats.storage_in_file(weights, dtype, activations, model._int8_activations)
    formats.check_range(storage, model.parameters)
    return storage


def _rounded(model: Layer | CharacterModel, storage: Storage) -> Layer | CharacterModel:
    other = copy.deepcopy(model).train()
    for name, array in other.parameters.items():
        if is_narrow(name, array):
            array[...] = rounded(storage, array)
    return other


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


def _example(
    model: Layer | CharacterModel, source: Source, storage: Storage
) -> tuple[Array | Indices, Array]:
    """Inputs of some steps, and the output after each, as pyrnn computes it."""
    generator = np.random.default_rng(0)
    x: Any
    if source.indices:
        x = generator.integers(0, source.indices, _STEPS)
    else:
        x = generator.standard_normal((_STEPS, source.inputs)).astype(source.dtype)
    run = functools.partial(_outputs, x=x, storage=storage)
    y = run(model)
    if not np.isfinite(y).all():
        raise ValueError("model: expected finite outputs for inputs of usual size, got others")
    source.allowed *= max(1.0, float(np.abs(y).max()))
    if storage == "full" or not _core_is_fused():
        # A rounding seldom moves a number over an edge of 16 bits, and then by much: several draws.
        draws = 1 if storage == "full" else 4
        effects = [np.abs(run(_moved(model, storage, generator)) - y).max() for _ in range(draws)]
        source.allowed = max(source.allowed, 8 * float(max(effects)))
    return x, y


def _core_is_fused() -> bool:
    """Whether the core has multiply-adds that round once, as models of int8 have."""
    isa = build_info()["isa"]
    return isa is not None and (isa != "baseline" or platform.machine() in ("aarch64", "arm64"))


def _outputs(model: Layer | CharacterModel, x: Any, storage: Storage) -> Array:
    # Whatever eval stored and products rounded.
    run: Any = copy.deepcopy(model).train(compute=formats.FULL)
    if storage == "full":
        run.eval()
    else:
        run.eval(weights="int8", activations=formats.activations_of(storage, run.dtype))
    outputs = []
    with selection.use_backend("native" if selection.native_module() else "reference"):
        for end in range(1, len(x) + 1):
            given = run.forward(x[:end]) if isinstance(model, CharacterModel) else run(x[:end])
            y = given[0] if isinstance(given, tuple) else given
            outputs.append(y if y.ndim == 1 else y[-1])
    return np.stack(outputs)


def _moved(
    model: Layer | CharacterModel, storage: Storage, generator: np.random.Generator
) -> Layer | CharacterModel:
    """The model with each parameter moved by a rounding: a network may amplify it.

    Not those that are whole numbers in C, which are the same here.
    """
    other = copy.deepcopy(model).train()
    for name, array in other.parameters.items():
        if storage == "full" or not is_narrow(name, array):
            rounding = np.finfo(array.dtype).eps * generator.choice((-1, 1), array.shape)
            array *= (1 + rounding).astype(array.dtype)
    return other


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
