"""Checks of what layers are called with: what passes, in which form, what the errors say."""

import numpy as np
import pytest

from pyrnn.layers import _arguments

SINGLE = np.dtype("float32")


def test_lengths_array_is_a_copy():
    lengths = np.array([3, 1])
    checked = _arguments.lengths_array("lengths", lengths, 3, 2)
    assert checked.dtype == np.intp
    lengths[0] = 9
    assert checked.tolist() == [3, 1]
    with pytest.raises(ValueError, match=r"lengths: expected values in \[1, 3\], got \[9, 1\]"):
        _arguments.lengths_array("lengths", lengths, 3, 2)


def test_state_parts():
    assert _arguments.state_parts("state", 7, ("h",)) == {"state": 7}
    assert _arguments.state_parts("state", (1, 2), ("h", "c")) == {"state's h": 1, "state's c": 2}


def test_a_state_or_its_parts_may_be_none():
    assert _arguments.none_given(None)
    assert _arguments.none_given((None, None))
    assert not _arguments.none_given((None, 0))
    assert not _arguments.none_given(np.zeros(1))
    assert np.array_equal(_arguments.state_array("h", None, SINGLE, (1, 2)), np.zeros((1, 2)))
    given = np.ones((1, 2), "f")
    assert _arguments.state_array("h", given, SINGLE, (1, 2)) is given


class Plain:
    """A layer that takes neither states nor lengths."""


def test_arguments_that_a_layer_does_not_take():
    _arguments.not_taken(Plain(), state=None, lengths=None)
    with pytest.raises(TypeError, match="lengths: expected None, since Plain takes none, got list"):
        _arguments.not_taken(Plain(), state=None, lengths=[1])


def test_steps_come_time_first_and_as_copies():
    given = np.arange(6).reshape(3, 2) % 2 == 0
    for batch_first, value in ((False, given), (True, given.T)):
        got = _arguments.steps_array("reset", value, 3, 2, batch_first)
        assert np.array_equal(got, given)
        assert got.flags.c_contiguous or batch_first
        assert not np.shares_memory(got, given)
    one = _arguments.steps_array("reset", given[:, 0], 3, 1, None)
    assert np.array_equal(one, given[:, :1])
    assert not np.shares_memory(one, given)
    with pytest.raises(TypeError, match="reset: expected dtype bool, got int"):
        _arguments.steps_array("reset", given.astype(int), 3, 2, False)
    with pytest.raises(ValueError, match=r"reset: expected shape \(2, 3\), got \(3, 2\)"):
        _arguments.steps_array("reset", given, 3, 2, True)


def test_streams_are_indices_or_a_mask():
    assert _arguments.streams([True, False, True], 3).tolist() == [0, 2]
    assert _arguments.streams([2, 0], 3).tolist() == [2, 0]
    assert _arguments.streams([], 3).size == 0
    for wrong, words in (([[1]], r"shape \(n,\), got \(1, 1\)"), ([True], r"mask of shape \(3,\)")):
        with pytest.raises(ValueError, match=words):
            _arguments.streams(wrong, 3)


@pytest.mark.parametrize("lengths", [[3, 1, 2], [3], [[3, 1]], []])
def test_a_length_for_each_sequence(lengths):
    with pytest.raises(ValueError, match=r"lengths: expected shape \(2,\), got"):
        _arguments.lengths_array("lengths", lengths, 3, 2)
