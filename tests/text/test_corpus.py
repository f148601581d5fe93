"""Corpus and vocabulary."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyrnn.text import corpus as text
from pyrnn.text.corpus import TextError
from pyrnn.text.loading import load
from pyrnn.text.vocabulary import REPLACEMENT, Vocabulary


class TestRead:
    def test_line_ends_and_mark(self, tmp_path: Path) -> None:
        file = tmp_path / "text.txt"
        file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n\xc3\xa9")
        assert text.read(file) == "one\ntwo\nthree\né"

    def test_refuses(self, tmp_path: Path) -> None:
        latin, empty = tmp_path / "latin.txt", tmp_path / "empty.txt"
        latin.write_bytes("ab\xe9cd".encode("latin-1"))
        empty.write_bytes(b"")
        with pytest.raises(TextError, match=r"latin.txt: expected .* UTF-8, got 0xe9 at byte 2$"):
            text.read(latin)
        with pytest.raises(TextError, match=r"empty.txt: expected text, got an empty file"):
            text.read(empty)
        with pytest.raises(TextError, match=r"nowhere.txt: cannot be read .*No such file"):
            text.read(tmp_path / "nowhere.txt")
        with pytest.raises(TextError, match=r"cannot be read .*directory"):
            text.read(tmp_path)
        for name in ("a\0b", ""):
            with pytest.raises(TextError, match=r"^path: expected a file name, got '"):
                text.read(name)
        for wrong in (None, 0, ["text"]):
            with pytest.raises(TypeError, match=r"^path: expected a file name \(str, bytes or"):
                text.read(wrong)

    @pytest.mark.skipif(os.name == "nt", reason="needs pipes as POSIX has them")
    def test_pipe(self, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        writer = subprocess.Popen([sys.executable, "-c", f"open({str(path)!r}, 'w').write('abc')"])
        assert text.read(path) == "abc"
        assert writer.wait(timeout=60) == 0

    def test_names(self, tmp_path):
        path = tmp_path / "\u00e9\n.txt"
        path.write_text("ab", encoding="utf-8")
        assert text.read(str(path)) == text.read(os.fsencode(path)) == text.read(path) == "ab"
        path.write_bytes(b"\xff")
        with pytest.raises(TextError) as caught:
            text.read(path)
        assert "\n" not in str(caught.value)


class TestStandardLibrary:
    def test_modules_in_order(self) -> None:
        names = [path.name for path in text.standard_library()]
        assert names == sorted(names)
        assert {"os.py", "argparse.py", "typing.py"} <= set(names)
        assert os.path.samefile(text.standard_library()[names.index("os.py")], os.__file__)

    def test_without_sources(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "python.zip"))
        with pytest.raises(TextError, match=r"python.zip: expected the source of the standard"):
            text.standard_library()


class TestSplit:
    def test_holds_out_every_end(self) -> None:
        texts = ["a" * 95 + "b" * 5, "c" * 190 + "d" * 10]
        corpus = text.split(texts)
        assert corpus.train == "a" * 95 + "\n" + "c" * 190
        assert corpus.held_out == "bbbbb\ndddddddddd"

    def test_cap(self) -> None:
        corpus = text.split(["x" * 2_000_000, "y" * 2_000_000, "z" * 10])
        assert 99_000 < len(corpus.held_out) <= text.HELD_OUT_MOST
        assert set(corpus.held_out) == {"x", "y", "\n"}
        total = len(corpus.train.replace("\n", "")) + len(corpus.held_out.replace("\n", ""))
        assert total == 4_000_010

    def test_smallest(self) -> None:
        assert text.split(["abcd"]) == ("ab", "cd")
        assert text.split(["x", "abcd"]) == ("x\nab", "cd")

    @pytest.mark.parametrize("texts", [[], [""], ["abc"], ["aa", "bb"]])
    def test_too_short(self, texts: list[str]) -> None:
        with pytest.raises(TextError, match=r"text: expected .*at least 4 characters, got"):
            text.split(texts)


class TestPieces:
    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    def test_cuts_anywhere(
        self, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(text, "PIECE_BYTES", size)
        file = tmp_path / "text.txt"
        file.write_bytes("\ufeffone\r\ntwo\rthree\n\r\né汉😀\ufeff\r".encode())
        found = list(text.pieces(file))
        assert "".join(found) == "one\ntwo\nthree\n\né汉😀\ufeff\n"
        assert "" not in found

    @pytest.mark.parametrize("size", [1, 3, 1000])
    @pytest.mark.parametrize(("data", "byte", "place"), [
        (b"\xef\xbb\xbfab\r\n\xe9cd", 0xE9, 7),
        ("a汉".encode() + b"\xff", 0xFF, 4),
        (b"abc\xe6\xb1", 0xE6, 3),
    ])  # fmt: skip
    def test_names_the_byte_that_is_no_text(
        self, size: int, data: bytes, byte: int, place: int, tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(text, "PIECE_BYTES", size)
        file = tmp_path / "text.txt"
        file.write_bytes(data)
        with pytest.raises(TextError, match=f"got {byte:#04x} at byte {place}$"):
            list(text.pieces(file))

    @pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a device without an end")
    def test_refuses_devices(self) -> None:
        with pytest.raises(TextError, match=r"^/dev/zero: cannot be read \(it is a device\)$"):
            text.read("/dev/zero")


class TestLoad:
    @pytest.mark.parametrize("size", [1, 7, 1 << 18])
    def test_is_read_split_and_encoded(
        self, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contents = ["x", "one\ntwo é\n" * 9, "abc" * 20]
        paths = [tmp_path / str(number) for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content, encoding="utf-8", newline="")
        corpus = text.split(contents)
        monkeypatch.setattr(text, "PIECE_BYTES", size)
        loaded = load(paths)
        assert loaded.vocabulary == Vocabulary.of(corpus.train)
        for part, expected in zip(loaded[1:], corpus, strict=True):
            assert part.dtype == np.uint8
            assert part.tolist() == loaded.vocabulary.encode(expected, replace=True).tolist()

    @pytest.mark.parametrize(
        ("count", "dtype"),
        [(255, "uint8"), (256, "uint16"), (65_535, "uint16"), (65_536, "uint32")],
    )
    def test_smallest_integers(self, count: int, dtype: str) -> None:
        characters = "".join(map(chr, range(0x10000, 0x10000 + count)))
        vocabulary = Vocabulary(characters + REPLACEMENT)
        encoded = vocabulary.encode_pieces([characters[:3], characters[3:] + "a"])
        assert encoded.dtype == dtype
        assert encoded.tolist() == list(range(count + 1))

    @pytest.mark.parametrize("rare", ["".join(map(chr, range(0x10000, 0x30000))), REPLACEMENT * 90])
    def test_refuses_a_text_of_rare_characters_alone(self, rare: str, tmp_path: Path) -> None:
        (tmp_path / "rare").write_text(rare, encoding="utf-8")
        with pytest.raises(TextError, match=r"^text: expected characters that make up 1e-05 of it"):
            load([tmp_path / "rare"])

    @pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's figures")
    @pytest.mark.parametrize(
        ("line", "most"), [("some text of no great interest\n", 3), ("é汉字 ", 4)]
    )
    def test_memory(self, line: str, most: float, tmp_path: Path) -> None:
        path = tmp_path / "large"
        path.write_bytes(line.encode() * (24_000_000 // len(line.encode())))
        code = (
            "import sys; from pyrnn import text\n"
            "def peak():\n"
            "    lines = open('/proc/self/status').read().splitlines()\n"
            "    return 1024 * next(int(x.split()[1]) for x in lines if x.startswith('VmHWM'))\n"
            "before = peak(); corpus = text.load([sys.argv[1]])\n"
            "text.streams(corpus.train, 16)\n"
            "print((peak() - before) / (len(corpus.train) + len(corpus.held_out)))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
        )
        assert float(run.stdout) < most


NO_LISTS = ["abcdef", None, 5, 2.5, [1], ["abcdef", None], [["abcdef"]], [b"abcdef"]]


class TestArguments:
    """Wrong ones are refused by name, before anything is computed."""

    @pytest.mark.parametrize(
        ("name", "call", "wrong"),
        [
            ("texts", text.split, NO_LISTS),
            ("paths", load, [None, "file.txt", b"file.txt", Path("file.txt"), 3]),
            ("path", load, [[None], [3.5]]),
        ],
    )
    def test_are_refused_by_name(self, name: str, call: Any, wrong: list[Any]) -> None:
        for value in wrong:
            with pytest.raises((TypeError, ValueError), match=rf"^{name}\b.*: expected"):
                call(value)

    def test_lists_and_generators_are_taken(self) -> None:
        assert text.split(piece for piece in ["abcd"]) == ("ab", "cd")
