"""What units are compared with: quotes, indentation, brackets, line length."""

import pytest

from pyrnn.report import properties


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('a "b c" d', "  1111   "),
        ("a 'b' \"c'd\" e", "  11  1111   "),
        ("don't 'do'", "      111 "),
        ("'open\nnext 'x'", "11111      11 "),
        ("'a\\'b' c", "11111   "),
        ("'''doc''' 'x'", "          11 "),
        ("“a” «b»", "11  11 "),
        ("", ""),
    ],
)
def test_quotes(text: str, inside: str) -> None:
    found = "".join("1" if value else " " for value in properties.quotes(text))
    assert found == inside


def test_indentation() -> None:
    found = properties.indentation("a b\n   c d\n\te\n\n")
    assert found.tolist() == [0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 0, 4, 4, 0, 0]


def test_brackets() -> None:
    assert properties.brackets("f(a[1])\n").tolist() == [0, 1, 1, 2, 2, 1, 0, 0]
    assert properties.brackets("(')' a").tolist() == [1] * 6
    assert properties.brackets(")a(\n\nb").tolist() == [0, 0, 1, 1, 0, 0]


def test_line_length() -> None:
    assert properties.line_length("ab\n\ncde").tolist() == [1, 2, 0, 0, 1, 2, 3]
    assert properties.line_length("a\x0cb\u2028").tolist() == [1, 2, 3, 4]
