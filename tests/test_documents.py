"""The documents: links lead to what is there; snippets print what they say.

The textbook's snippets have their own test, in textbook/test_document.py.
"""

import re
from pathlib import Path

import pytest

from pyrnn.reference.cells import CELLS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TUNING = ROOT / "docs" / "tuning"
MOST_BYTES_OF_THE_MAP = 12 * 1024
WORDED = sorted(
    path
    for folder in ("src", "bench", "examples", "docs", ".ci", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".pyi", ".hpp", ".cpp", ".md", "") and path.is_file()
) + sorted(ROOT.glob("*.md"))
NOT_THE_FIELDS_WORDS = re.compile(
    r"way back|way forward|\bamid\b|at the begin\b|from its begin\b|in force\b|taken off"
    r"|machine's mood|manieth|foretold|foretell|takes? off\b|deep in each other",
    re.IGNORECASE,
)
LINE_BREAK = re.compile(r"\n[ \t]*(?://|#)?[ \t]*")
"""Phrases are found across lines of a paragraph, or of a comment."""
PAGES = sorted(
    path
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "learn").glob("*.md")]
    if path.name not in ("textbook.md", "command-line.md")  # the latter's needs a trained model
)
SNIPPET = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
SNIPPETS = [
    pytest.param(*found.groups(), id=f"{page.stem}-{number}")
    for page in PAGES
    for number, found in enumerate(SNIPPET.finditer(page.read_text(encoding="utf-8")))
]
MEASURED = re.compile(
    r"\d ?(?:%|x\b|µs|us\b|ms\b|ns\b|GB/s|ULP)|\d (?:times|cycles)\b"
    r"|\ba (?:fifth|tenth|third) of"
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(path):
    """The names that a document's headings can be linked by."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documents_are_found():
    assert {"README.md", "CONTRIBUTING.md", "textbook.md"} <= {path.name for path in DOCUMENTS}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links(path):
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), link
        if anchor:
            assert anchor in anchors(found), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_that_are_named(path):
    """Files and folders of the tree by their whole path: `tests/core/threads/test_threads.py`."""
    named = re.findall(r"`((?:tests|src|bench)/[\w./-]*)`", path.read_text(encoding="utf-8"))
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_words_are_the_fields():
    """Backward pass, forward pass, active backend, subtracted: see CONTRIBUTING.md, Style."""
    found = {
        path.relative_to(ROOT).as_posix(): NOT_THE_FIELDS_WORDS.findall(
            LINE_BREAK.sub(" ", path.read_text(encoding="utf-8", errors="replace"))
        )
        for path in WORDED
        if not path.samefile(__file__)
    }
    assert len(found) > 300
    assert not {name: phrases for name, phrases in found.items() if phrases}


def test_the_map_stays_short():
    assert len((ROOT / "ARCHITECTURE.md").read_bytes()) <= MOST_BYTES_OF_THE_MAP


def test_the_map_repeats_no_measurement():
    """Ratios, percentages and times belong into docs/tuning/."""
    assert not MEASURED.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def test_comments_of_the_core_repeat_no_measurement():
    """They name the record, or docs/numerics.md for errors of functions."""
    found = [
        (source.name, comment.strip())
        for source in (ROOT / "src" / "cpp").rglob("*.?pp")
        for comment in re.findall(r"//.*", source.read_text(encoding="utf-8"))
        if MEASURED.search(comment)
    ]
    assert not found


def test_the_index_of_records_is_whole():
    linked = {link.partition("#")[0] for link in LINK.findall((TUNING / "README.md").read_text())}
    assert {path.name for path in TUNING.iterdir()} - {"README.md"} <= linked


@pytest.mark.parametrize("path", sorted(TUNING.glob("*.md")), ids=lambda p: p.name)
def test_records_name_their_machine_and_commit(path):
    if path.name == "README.md":
        return
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"^\*.*\b20\d\d · [0-9a-f]{7}\b", text, re.MULTILINE)
    headings = re.findall(r"^## ", text, re.MULTILINE)
    in_table = re.findall(r"[XZ]\d, [0-9a-f]{7}", text)
    assert len(named) >= max(1, len(headings)) or in_table


def test_records_that_the_core_names_are_there():
    """A number that was measured names its record; a comment elsewhere may."""
    sources = [*(ROOT / "src" / "cpp").rglob("*.hpp"), *(ROOT / "src" / "cpp").rglob("*.cpp")]
    named = {
        name
        for source in sources
        for name in re.findall(r"docs/tuning/[\w-]+\.md", source.read_text(encoding="utf-8"))
    }
    assert len(named) >= 5
    assert not [name for name in named if not (ROOT / name).exists()]


def test_snippets_are_found():
    assert len(SNIPPETS) >= 40


@pytest.fixture
def cells():
    """The list of cells, which a snippet may add to."""
    before = dict(CELLS)
    yield CELLS
    CELLS.clear()
    CELLS.update(before)


@pytest.mark.parametrize(("snippet", "printed"), SNIPPETS)
def test_snippet(backend, cells, capsys, snippet, printed, tmp_path, monkeypatch):
    """It prints what stands behind each print, or in the block below it."""
    if "import torch" in snippet:
        pytest.importorskip("torch")
    if "pyrnn.sklearn" in snippet:
        pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "snippet", "exec"), {})
    expected = re.findall(r"^ *print\(.*\) +# (.*)$", snippet, re.MULTILINE)
    if printed is None:
        assert len(expected) == snippet.count("print(")
    else:
        expected = printed.splitlines()
    assert capsys.readouterr().out.splitlines() == expected
