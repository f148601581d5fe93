"""The predictions of docs/scaling.md are those of the plan."""

from pathlib import Path

import pytest

import pyrnn
from bench import scaling

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


@pytest.mark.skipif(pyrnn.build_info()["isa"] != "avx512", reason="the table is that of AVX-512")
def test_the_page_has_the_plan_s_table():
    table = "\n".join(scaling.lines())
    assert table in PAGE.read_text(encoding="utf-8"), table
