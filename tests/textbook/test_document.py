"""The snippets of docs/textbook.md run, and print what stands beside them."""

import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "textbook.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def test_every_notation_has_a_snippet():
    sections = re.findall(r"^## (?!Where)", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(SNIPPETS) >= len(sections) == 8


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet(backend, capsys, snippet):
    exec(compile(snippet, str(DOCUMENT), "exec"), {})
    expected = re.findall(r"^print\(.*\) +# (.*)$", snippet, re.MULTILINE)
    assert len(expected) == snippet.count("print(")
    assert capsys.readouterr().out.splitlines() == expected
