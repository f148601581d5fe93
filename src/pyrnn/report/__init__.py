"""The report of a training run: charts, samples, and which units track what, on one page."""

from pyrnn.report.run import Run, RunFileError, load

__all__ = ["Run", "RunFileError", "load"]
