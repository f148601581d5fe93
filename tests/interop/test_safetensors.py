"""Headers that are no safetensors: each is one line, whatever they say."""

import io
import json
import struct
import sys
from typing import Any

import numpy as np
import pytest

from pyrnn.interop import _safetensors
from pyrnn.interop._safetensors import FormatError, Tensor, read_contents, read_into

ENTRY = {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}
DATA = struct.pack("<2f", 1.0, 2.0)


def file(header: Any, data: bytes = DATA) -> tuple[io.BytesIO, int]:
    """A file with this header, as bytes or as what JSON makes of it, and its size."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    whole = struct.pack("<Q", len(text)) + text + data
    return io.BytesIO(whole), len(whole)


def refused(header: Any, message: str, data: bytes = DATA) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_contents(*file(header, data))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_what_is_sound_comes_back() -> None:
    header = {
        "b": ENTRY,
        "__metadata__": {"k": '\u00e9{[,"\\'},
        "a": ENTRY | {"data_offsets": [8, 16]},
    }
    for indent in (None, 2):
        text = json.dumps(header, indent=indent, ensure_ascii=False).encode() + b"  "
        source, size = file(text, 2 * DATA)
        contents = read_contents(source, size)
        assert contents.metadata == header["__metadata__"]
        assert contents.tensors == {
            "b": Tensor("F32", (2, 1), 0, 8),
            "a": Tensor("F32", (2, 1), 8, 16),
        }
        array = np.zeros((2, 1), np.float32)
        read_into(array, source, contents.start + 8)
        assert array.tolist() == [[1], [2]]
        with pytest.raises(FormatError, match="it ends before its last tensor"):
            read_into(array, source, contents.start + 9)


def test_empty() -> None:
    assert read_contents(*file({}, b"")).tensors == {}
    zero = {"a": {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]}}
    assert read_contents(*file(zero, b"")).tensors["a"].shape == (0, 3)


def test_bytes_of_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "big" if sys.byteorder == "little" else "little"
    monkeypatch.setattr(sys, "byteorder", other)
    array = np.zeros(2, np.float32)
    read_into(array, io.BytesIO(DATA), 0)
    expected = np.array([1, 2], np.float32)
    assert array.tolist() == (expected.byteswap() if other == "big" else expected).tolist()


@pytest.mark.parametrize("length", [0, 1, 7, 8])
def test_without_a_header(length: int) -> None:
    with pytest.raises(FormatError, match="has"):
        read_contents(io.BytesIO(b"\xff" * length), length)


@pytest.mark.parametrize("length", [0, 30, 2**25 + 1, 2**31, 2**63, 2**64 - 1])
def test_length_of_the_header(length: int) -> None:
    whole = struct.pack("<Q", length) + b"{}"
    with pytest.raises(FormatError, match=rf"its header has ({length} bytes|no '\{{')"):
        read_contents(io.BytesIO(whole), max(len(whole), min(length, 2**26)))


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": 1}, {"dtype": None}, {"dtype": ["F32"]}, {"shape": 2}, {"shape": "21"},
        {"shape": [2.0, 1]}, {"shape": [True, 2]}, {"shape": [-2, -1]}, {"shape": [[2], 1]},
        {"shape": {"2": 1}}, {"shape": [2, 1] + [1] * 1000}, {"shape": [10**19, 10**19]},
        {"shape": [2, 2]}, {"shape": []}, {"shape": [10**30]},
        {"dtype": "F64"}, {"data_offsets": [8, 0]}, {"data_offsets": [-8, 0]},
        {"data_offsets": [0, 4]}, {"data_offsets": [0, 8, 8]}, {"data_offsets": [0]},
        {"data_offsets": [0.0, 8.0]}, {"data_offsets": [False, 8]}, {"data_offsets": None},
        {"data_offsets": [1, 9]}, {"data_offsets": [2**63, 2**63 + 8]}, {"more": 1},
        {"dtype": "}"}, {"dtype": "[" * 3},
    ],
)  # fmt: skip
def test_entry(change: dict[str, Any]) -> None:
    refused({"a": ENTRY | change}, "^(its|the) ")


@pytest.mark.parametrize("missing", ENTRY)
def test_entry_without(missing: str) -> None:
    refused({"a": {n: v for n, v in ENTRY.items() if n != missing}}, "no tensor at character 6$")


@pytest.mark.parametrize("value", [None, 1, "x", [], [[]], True, {}, {"a": {}}])
def test_no_entry(value: object) -> None:
    refused({"a": value}, "no tensor at character 6$")


@pytest.mark.parametrize(
    "value", [None, 1, "x", [], {"a": 1}, {"a": None}, {"a": {}}, {"a": ["b"]}]
)
def test_metadata(value: object) -> None:
    refused({"__metadata__": value, "a": ENTRY}, "^its header has no '{' at|no string at character")


@pytest.mark.parametrize(
    ("tensors", "size"),
    [
        ([(0, 8)], 7),
        ([(0, 8)], 9),
        ([(0, 8), (0, 8)], 8),
        ([(0, 8), (0, 8)], 16),
        ([(0, 8), (4, 12)], 12),
        ([(0, 8), (12, 20)], 20),
        ([(8, 16)], 16),
        ([], 1),
    ],
)
def test_cover(tensors: list[tuple[int, int]], size: int) -> None:
    header = {f"{n}": ENTRY | {"data_offsets": offsets} for n, offsets in enumerate(tensors)}
    refused(header, "^its tensors (overlap or leave a gap|have)", bytes(size))


SOUND = json.dumps({"a": ENTRY}).encode()


@pytest.mark.parametrize(
    "header",
    [
        b"", b"{", b"[]", b"null", b"{}{}", b" {}", b'{"a"', b'{"a":', b'{"a":{', b'{"a"}',
        b"{1:2}",
        SOUND[:-1], SOUND + b"x", SOUND[:-1] + b",}", SOUND[:-1] + b',"b"}', b"\xff" + SOUND,
        SOUND.replace(b'"a"', b'"\xff"'), SOUND.replace(b'"a"', b'"\n"'),
        SOUND.replace(b'"a"', b'"\\x"'), SOUND.replace(b'"a"', b"'a'"),
        SOUND.replace(b"8]", b"NaN]"), SOUND.replace(b"8]", b"Infinity]"),
        SOUND.replace(b"8]", b"8e0]"), SOUND.replace(b"8]", b"8" * 500 + b"]"),
        SOUND.replace(b'"F32"', b'"F32", "dtype": "F32"'),
        SOUND[:-1] + b", " + SOUND[1:], b'{"__metadata__":{},"__metadata__":{}}',
        b'{"__metadata__":{"a":"","a":""}}',
        b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"[" * 100_000,
        b'{"__metadata__":' * 100_000, b'{"__metadata__":{"a":' + b"[" * 100_000,
    ],
)  # fmt: skip
def test_no_json(header: bytes) -> None:
    refused(header, "^its ")


def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_safetensors, "MOST_MEMBERS", 3)
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    refused({f"{n}": empty for n in range(4)}, "more than 3 members", b"")
