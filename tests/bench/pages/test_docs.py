"""Results in the documentation: between the markers, pictures beside the page."""

import pytest

from bench.pages import docs


@pytest.fixture
def result(make_row):
    return {
        "mode": "grid",
        "date": "2026-01-31",
        "machine": {
            "processor": "A processor",
            "cores": 2,
            "caches": "32K L1",
            "memory": "16 GiB",
            "system": "Linux x86_64",
            "python": "3.12.0",
            "load": 0.1,
        },
        "versions": {"pyrnn": "1.0", "torch": "2.0"},
        "missing": ["jax"],
        "rows": [make_row("RNN", "T25 N1 I65 H100", {"pyrnn": 1e-3, "torch": 8e-3})],
    }


def test_results_stand_between_the_markers(tmp_path, result):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(f"# Before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n", encoding="utf-8")
    (tmp_path / "grid-2-threads.png").write_bytes(b"picture")
    docs.fill(page, tmp_path, [result])
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n{docs.BEGIN}\n")
    assert text.endswith(f"{docs.END}\nafter\n")
    assert "old" not in text
    assert "A processor, 2 cores (32K L1)" in text
    assert "left out: jax" in text
    assert "| RNN T25 N1 I65 H100 | 1.00 ms | 8.00 x | 8.00 x |" in text
    assert "![grid-2-threads](images/benchmark-grid-2-threads.png)" in text
    assert (page.parent / "images" / "benchmark-grid-2-threads.png").read_bytes() == b"picture"
    docs.fill(page, tmp_path, [result])
    assert page.read_text(encoding="utf-8") == text


def test_a_page_without_markers_is_refused(tmp_path, result):
    page = tmp_path / "page.md"
    page.write_text("nothing here", encoding="utf-8")
    with pytest.raises(docs.DocsError, match="expected one line"):
        docs.fill(page, tmp_path, [result])
    assert page.read_text(encoding="utf-8") == "nothing here"


def test_a_folder_without_results_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{docs.BEGIN}\n{docs.END}\n", encoding="utf-8")
    with pytest.raises(docs.DocsError, match="expected results"):
        docs.fill(page, tmp_path, [])
