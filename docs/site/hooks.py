"""What the site's pages need beyond their Markdown: links out of docs/, the API's page."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

import pyrnn

OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+(?!images/|learn/|tuning/|[a-z-]+\.md)[^)]*\)")
"""A link to a file of the source tree, which the site does not have."""


FORMULA = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A formula in LaTeX, which a browser shows as MathML, without a script or the network."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Show a link to the source tree as the name of the file, and formulas."""
    markdown = FORMULA.sub(_formula, markdown)
    if page.file.src_uri.count("/") == 0:  # of docs/ itself every ../ leads outside
        return re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"`\1`", markdown)
    return OUTSIDE.sub(r"`\1`", markdown)


def _formula(match: re.Match[str]) -> str:
    # "&&" begins a column of words, which would stand at the right of the column before it.
    latex = match[1].replace("&&", r"& \quad &")
    return f'<div class="formula">{convert(latex, display="block")}</div>'


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the page of all public names, each from its docstring."""
    lines = ["# API", ""]
    for name in pyrnn.__all__:
        home = vars(pyrnn)["_HOMES"].get(name)  # none of a module
        if home:
            lines += [f"::: {home}.{name}", ""]
    for name in (
        "classifier.RNNClassifier",
        "regressor.RNNRegressor",
        "forecasting.forecaster.RNNForecaster",
        "forecasting.backtest.Backtest",
    ):
        lines += [f"::: pyrnn.sklearn.{name}", ""]
    page = File.generated(config, "api.md", content="\n".join(lines))
    files.append(page)
    return files
