"""The report of a training run on one page: charts, samples, and what single units track."""

from pyrnn.report.run import Run, RunFileError, load

__all__ = ["Run", "RunFileError", "load"]
