"""Text files and written files: what is read is what the bytes say, and a file is whole or old."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from pyrnn import _files, text
from pyrnn.text import corpus
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw

Arguments = dict[str, Any]
PIECES = (b"a", b"b", b"def ", b"\n", b"\r\n", b"\r", "\u00e9\u4e2d\U0001f600".encode(), b"\0")
ODD = (b"\xef\xbb\xbf", b"\xff", b"\xe4", b"\xf0\x9f", b"\xed\xa0\x80", b"\xc0\x80", b"\x80", b"")
FORMS = (str, os.fsencode, Path)
"""Of a file name."""
NO_NAMES = (None, 3, "", b"", "a\0b", "\ud800", 1.5, [], object)


def _data(draw: Draw) -> bytes:
    """Text of some length, with bytes that are none now and then."""
    parts = [draw.choice(PIECES) for _ in range(draw.choice((0, 1, 3, 10, 60)))]
    if draw.chance(0.3):
        parts.insert(draw.choice((0, draw.integer(0, len(parts)))), draw.choice(ODD))
    return b"".join(parts)


# --- text that is read ----------------------------------------------------------------------


@entry(
    "text files", "text.read", "text.pieces", "text.load", "text.TextError", "text.Corpus",
    "text.EncodedCorpus", weight=0.7,
)  # fmt: skip
def text_files_case(draw: Draw) -> Case:
    """Files read in pieces of a few bytes, beside what Python makes of their bytes at once."""
    draw.mutations = 0  # names that are none are drawn here
    arguments = {
        "files": [_data(draw) for _ in range(draw.choice((1, 1, 2, 4)))],
        "name": draw.choice(("text.txt", "a b", "\u00e9\u4e2d")),
        "form": draw.choice(FORMS),
        "piece": draw.integer(1, 9),
        "no_name": draw.choice(NO_NAMES),
        "place": draw.choice(("file", "file", "file", "file", "folder", "nowhere", "device")),
    }
    return Case(arguments, _read, expected=_expected, names={"text"}, errors=(text.TextError,))


def _read(a: Arguments) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, data in enumerate(a["files"]):
            path = Path(folder) / f"{number}{a['name']}"
            path.write_bytes(data)
            paths.append(path)
        paths[0] = {"folder": Path(folder), "device": Path(os.devnull)}.get(a["place"], paths[0])
        if a["place"] == "nowhere":
            paths[0].unlink()
        with mock.patch.object(corpus, "PIECE_BYTES", a["piece"]):
            read = [_answer(partial(text.read, a["form"](path)), path) for path in paths]
            _no_name(a["no_name"])
            forms = [a["form"](path) for path in paths]
            loaded = _answer(partial(text.load, forms), None)
            _check_cache(forms, a["form"](Path(folder) / "cache"), loaded)
    return {"read": read, "loaded": loaded}


def _check_cache(paths: list[Any], cache: Any, expected: Any) -> None:
    """Made, and then found: the same text."""
    for _ in range(2):
        got = _answer(partial(text.load, paths, cache=cache), None)
        if (got is None) != (expected is None):
            raise AssertionError(f"{got} with a cache, {expected} without one")
        for part, other in zip(got or (), expected or (), strict=True):
            np.testing.assert_array_equal(part, other)


def _answer(call: Any, path: Path | None) -> Any:
    """What it returns; None for a refusal in one line that names the file, or the text."""
    try:
        answer = call()
    except text.TextError as error:
        said = str(error)
        named = path is None or said.startswith((str(path), repr(str(path))))
        if not named or "\n" in said.replace(str(path), "") or len(said) > 600:
            raise AssertionError(f"a message that does not say it: {said!r}") from error
        return None
    if isinstance(answer, text.EncodedCorpus):
        return (answer.vocabulary.characters, *(part.astype(np.intp) for part in answer[1:]))
    return answer


def _no_name(name: Any) -> None:
    for call in (text.read, lambda path: text.load([path])):
        try:
            call(name)
        except (TypeError, ValueError) as error:
            if not str(error).startswith("path: expected a file name"):
                raise AssertionError(f"a message that does not say it: {error}") from error
        else:
            raise AssertionError(f"took {name!r} for a file name")


def _expected(a: Arguments) -> Any:
    """The definition: all of a file decoded at once, and every character counted."""
    read: list[str | None] = []
    for number, data in enumerate(a["files"]):
        decoded = None
        if a["place"] == "file" or number:
            with contextlib.suppress(UnicodeDecodeError):
                plain = data.decode("utf-8").removeprefix("\ufeff")
                decoded = plain.replace("\r\n", "\n").replace("\r", "\n") or None
        read.append(decoded)
    return {"read": read, "loaded": _loaded([one for one in read if one is not None], len(read))}


def _loaded(texts: list[str], count: int) -> Any:
    try:
        parts = text.split(texts) if len(texts) == count else None
    except text.TextError:
        parts = None
    if parts is None:
        return None
    counts = Counter(parts.train)
    common = {c for c, n in counts.items() if n >= 1e-5 * len(parts.train)} - {text.REPLACEMENT}
    if not common:
        return None
    characters = "".join(sorted(common)) + text.REPLACEMENT
    index = {character: number for number, character in enumerate(characters)}
    last = len(characters) - 1
    encoded = (np.array([index.get(c, last) for c in part], np.intp) for part in parts)
    return (characters, *encoded)


@entry("text.standard_library", "text.standard_library", weight=0.02)
def standard_library_case(draw: Draw) -> Case:
    """Files that can be read."""
    draw.mutations = 0
    chosen = draw.random.random()

    def run(a: Arguments) -> Any:
        files = text.standard_library()
        file = files[int(a["chosen"] * len(files))]
        return [str(one) for one in files], text.read(file)

    return Case({"chosen": chosen}, run)


# --- files that are written -----------------------------------------------------------------


@entry("written file", weight=0.3)
def written_case(draw: Draw) -> Case:
    """A new file, one that is there, a link; or something that is none, which stays as it is."""
    draw.mutations = 0
    arguments = {
        "data": _data(draw),
        "before": draw.choice((None, b"", b"what was there")),
        "mode": draw.choice((0o644, 0o600, 0o664)),
        "form": draw.choice(FORMS),
        "place": draw.choice(("file", "file", "link", "link to nothing", "folder", "no folder")),
        "name": draw.choice(("model.bin", "a b", "\u00e9\u4e2d" * 20, "n" * 255)),
        "no_name": draw.choice(NO_NAMES),
    }
    return Case(arguments, _write, expected=_written)


def _write(a: Arguments) -> Any:
    for function in (_files.check_writable, lambda p: _files.write_atomically(p, b"")):
        try:
            function(a["no_name"])
        except (TypeError, ValueError) as error:
            if not str(error).startswith("path: expected a file name"):
                raise AssertionError(f"a message that does not say it: {error}") from error
        else:
            raise AssertionError(f"took {a['no_name']!r} for a file name")
    with tempfile.TemporaryDirectory() as folder:
        path = target = Path(folder) / a["name"]
        if a["place"].startswith("link"):
            target = Path(folder) / "target"
            path.symlink_to(target)
        if a["place"] == "folder":
            path.mkdir()
        elif a["place"] == "no folder":
            path = path / "x"
        elif _is_there(a):
            target.write_bytes(a["before"])
            target.chmod(a["mode"])
        names = sorted(os.listdir(folder))
        said = [_refusal(_files.check_writable, a["form"](path))]
        if sorted(os.listdir(folder)) != names:
            raise AssertionError("check_writable leaves something behind")
        said.append(_refusal(_files.write_atomically, a["form"](path), a["data"]))
        left = set(os.listdir(folder)) - {a["name"], "target"}
        data = target.read_bytes() if target.is_file() else None
        mode = target.stat().st_mode & 0o777 if _is_there(a) else 0
        rest = {"left": sorted(left), "data": data, "mode": mode, "link": path.is_symlink()}
        return {"said": said} | rest


def _is_there(a: Arguments) -> bool:
    """Whether there is a file that is overwritten, or is to be."""
    return a["before"] is not None and a["place"] in ("file", "link")


def _refusal(function: Any, *arguments: Any) -> str:
    try:
        function(*arguments)
    except OSError as error:
        return type(error).__name__
    return ""


def _written(a: Arguments) -> Any:
    error = {"folder": "OSError", "no folder": "FileNotFoundError"}.get(a["place"], "")
    return {
        "said": [error] * 2,
        "left": [],
        "data": None if error else a["data"],
        "mode": a["mode"] if _is_there(a) else 0,
        "link": a["place"].startswith("link"),
    }
