"""Reading files of `torch.save` without torch, and without running what is in them."""

from __future__ import annotations

import os
from typing import Any

from pyrnn._files import AnyPath, checked_path, open_regular, shown
from pyrnn.interop.serialization import ModelFileError
from pyrnn.interop.torch._archive import open_contents
from pyrnn.interop.torch._errors import FormatError
from pyrnn.interop.torch._values import values


def read(path: AnyPath) -> Any:
    """Read a ``.pt``, ``.pth`` or ``.bin`` file: state dicts, nested dicts and whole modules.

    The file is a pickle, which may request to run any code. pyrnn runs none of it: nothing is
    imported and nothing is called. Time and memory are bounded by the file's size. torch is not
    needed.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        Of a regular file from `torch.save`, of torch 0.4 or later; also from `torch.jit.save`.

    Returns
    -------
    dict
        What was saved, usually a state dict or a dict of several: dicts, lists and tuples as they
        were, tensors and NumPy's arrays as arrays. float16 and bfloat16 are widened to float32, and
        quantised tensors are the float32 numbers that they stand for.
        Tensors that shared their storage share memory. An object of any other class is a
        `Placeholder`, a dict of its attributes; a whole module has its parameters in
        ``["_parameters"]`` and the modules in it in ``["_modules"]``, where `from_state_dict`
        finds them. If the saved object is not a dict, it is returned unchanged.

    Raises
    ------
    ModelFileError
        If the file is missing, unreadable, truncated or of another kind, or if an object in it
        contains itself or is nested deeper than any model. It is a ValueError, of one line.
    TypeError
        If ``path`` has a wrong type.

    Notes
    -----
    The format: https://github.com/pytorch/pytorch/blob/main/docs/source/notes/serialization.rst and
    ``torch/serialization.py``. Compressed archives are refused; torch writes none.

    Examples
    --------
    >>> from pyrnn.interop.torch import from_state_dict, read
    >>> layer = from_state_dict(read("model.pt"), prefix="encoder.lstm")  # doctest: +SKIP
    """
    try:
        name = checked_path(path)
    except ValueError as error:
        raise ModelFileError(str(error)) from error
    try:
        with open_regular(name) as file:
            return values(open_contents(file, os.fstat(file.fileno()).st_size))
    except FormatError as error:
        raise ModelFileError(
            f"{shown(name)}: expected a whole file of torch.save, got another or a damaged one "
            f"({error})"
        ) from error
    except MemoryError as error:
        raise ModelFileError(f"{shown(name)}: expected a file that fits into memory") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(f"{shown(name)}: cannot be read ({reason})") from error
