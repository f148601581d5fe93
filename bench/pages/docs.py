"""``--docs``: put the tables and pictures of finished runs into the documentation."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.pages import tables

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


class DocsError(ValueError):
    """The page cannot be filled; the message says why."""


def fill(page: Path, folder: Path, results: Iterable[Mapping[str, Any]]) -> None:
    """Replace what stands between the page's markers; pictures are copied to its folder."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise DocsError(f"{page}: expected one line {BEGIN} and after it one line {END}")
    results = list(results)
    if not results:
        raise DocsError(f"{folder}: expected results of a run, found none")
    sections = [_about(results)]
    for result in results:
        pictures = sorted(folder.glob(f"{result['mode']}*.png"))
        target = page.parent / "images"
        target.mkdir(exist_ok=True)
        for picture in pictures:
            shutil.copy(picture, target / f"benchmark-{picture.name}")
            sections.append(f"![{picture.stem}](images/benchmark-{picture.name})\n")
        sections += [sheet.markdown() for sheet in tables.sheets(result)]
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n\n{chr(10).join(sections)}\n{END}{tail}", encoding="utf-8")


def _about(results: list[Mapping[str, Any]]) -> str:
    """Machine, versions and date."""
    newest = max(results, key=lambda result: str(result["date"]))
    machine = newest["machine"]
    versions = {name: v for result in results for name, v in result["versions"].items()}
    missing = dict.fromkeys(name for result in results for name in result["missing"])
    lines = [
        f"- Measured {newest['date']} on {machine['processor']}, {machine['cores']} cores "
        f"({machine['caches']}), {machine['memory']}, {machine['system']}; load average before: "
        f"{machine['load']}.",
        "- "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f", Python {machine['python']}.",
    ]
    if missing:
        lines.append(f"- Not installed, so left out: {', '.join(missing)}.")
    return "\n".join(lines) + "\n"
