"""Streams side by side, and chunks of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrnn import text
from pyrnn.text import TextError

NO_SIZES = [None, 0, -1, 1.5, True, "2", [1]]
NO_INDICES = [None, 3, "abc", [0.5, 1.5, 2.5], np.ones((4, 2), int), [[1, 2], [3]], [True, False]]
CUT = np.arange(12).reshape(6, 2)


class TestStreams:
    @given(st.integers(2, 200), st.integers(1, 10), st.integers(1, 30))
    def test_every_character_once(self, length: int, batch_size: int, seq_len: int) -> None:
        if length <= batch_size:
            return
        inputs, targets = text.streams(np.arange(length), batch_size)
        assert inputs.T.reshape(-1).tolist() == list(range(inputs.size))
        assert (targets == inputs + 1).all()
        assert length - 1 - inputs.size < batch_size
        pieces = list(text.chunks(inputs, targets, seq_len))
        assert all(len(x) == seq_len for x, _ in pieces[:-1])
        assert (np.concatenate([x for x, _ in pieces]) == inputs).all()
        assert (np.concatenate([y for _, y in pieces]) == targets).all()

    def test_too_short(self) -> None:
        with pytest.raises(TextError, match=r"expected at least 5 characters for 4 streams, got 4"):
            text.streams(np.arange(4), 4)


class TestArguments:
    """Wrong ones are refused by name, before anything is computed."""

    @pytest.mark.parametrize(
        ("name", "call", "wrong"),
        [
            ("indices", lambda value: text.streams(value, 1), NO_INDICES),
            ("batch_size", lambda value: text.streams(np.arange(9), value), NO_SIZES),
            ("inputs", lambda value: text.chunks(value, CUT, 2), [None, 3, "a", [1], CUT / 2]),
            ("targets", lambda value: text.chunks(CUT, value, 2), [None, 3, [1], CUT / 2, CUT[1:]]),
            ("seq_len", lambda value: text.chunks(CUT, CUT, value), NO_SIZES),
        ],
    )
    def test_are_refused_by_name(self, name: str, call: Any, wrong: list[Any]) -> None:
        for value in wrong:
            with pytest.raises((TypeError, ValueError), match=rf"^{name}\b.*: expected"):
                call(value)

    def test_sizes_of_any_length(self) -> None:
        assert [len(x) for x, _ in text.chunks(CUT, CUT, 2**80)] == [6]
        with pytest.raises(TextError, match="characters"):
            text.streams(np.arange(9), 10**5000)

    def test_lists_are_taken(self) -> None:
        inputs, targets = text.streams([1, 2, 3], 1)
        assert (inputs.tolist(), targets.tolist()) == ([[1], [2]], [[2], [3]])

    def test_streams_are_views(self) -> None:
        indices = np.arange(9, dtype=np.uint8)
        for part in text.streams(indices, 2):
            assert np.shares_memory(part, indices)
