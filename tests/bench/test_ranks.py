"""The factors of several ranks."""

from bench import ranks


def test_each_turn_is_compared_with_one_process_of_the_same_turn():
    rates = {"one process": [100.0, 50.0], "two ranks": [190.0, 100.0]}
    first, second = ranks.lines(rates)
    assert first.split() == ["one", "process", "75", "characters/s", "x", "1.00", "1.00"]
    assert second.split() == ["two", "ranks", "145", "characters/s", "x", "1.90", "2.00"]
