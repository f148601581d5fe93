"""The result of a gradient check: one entry for each array, and the diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from pyrnn._pickling import public


@public("pyrnn.diagnostics")
@dataclass(frozen=True)
class GradcheckEntry:
    """One array's gradient, at the element that differs most from the central difference.

    Attributes
    ----------
    name : str
        What the array is called: a parameter's name, ``x``, or of a state.
    shape : tuple of int
        Of the array.
    tried : int
        How many elements were compared.
    absolute : float
        The difference at that element.
    relative : float
        The same, divided by the largest magnitude of the array's gradient; but at most the
        tolerance if rounding explains the difference.
    index : tuple of int
        That element.
    analytic : float
        What the backward pass says of it.
    numeric : float
        What the central difference says of it.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> report = pyrnn.gradcheck(pyrnn.Linear(3, 2, dtype="float64", seed=0), np.ones((4, 3)))
    >>> entry = report.entries["weight"]
    >>> entry.name, entry.shape, entry.tried
    ('weight', (2, 3), 6)
    """

    name: str
    shape: tuple[int, ...]
    tried: int
    absolute: float
    relative: float
    index: tuple[int, ...]
    analytic: float
    numeric: float


@public("pyrnn")
@dataclass(frozen=True)
class GradcheckReport:
    """The result of a gradient check; true if every gradient is within the tolerance.

    Attributes
    ----------
    entries : dict
        For each gradient, its differences and the element where they are largest.
    tolerance : float
        The largest relative difference allowed.
    diagnosis : tuple of pairs
        ``(region, sentence)``: where the fault is likely to be, and why. It is empty if nothing is
        wrong, if no known fault fits, or if no diagnosis was requested.

    Examples
    --------
    >>> import numpy as np, pyrnn
    >>> report = pyrnn.gradcheck(pyrnn.Linear(3, 2, dtype="float64", seed=0), np.ones((4, 3)))
    >>> report.ok, sorted(report.entries)
    (True, ['bias', 'weight', 'x'])
    """

    entries: dict[str, GradcheckEntry]
    tolerance: float
    diagnosis: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every relative difference is within the tolerance (NaN is not).

        A fault that the diagnosis found at other sizes than the given ones counts too.
        """
        within = all(entry.relative <= self.tolerance for entry in self.entries.values())
        return within and not self.diagnosis

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        head = ("gradient", "shape", "tried", "absolute", "relative", "at", "analytic", "numeric")
        rows = [head, *(self._row(entry) for entry in self.entries.values())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        verdict = "ok" if self.ok else "WRONG"
        causes = [f"{region}: {sentence}" for region, sentence in self.diagnosis]
        return "\n".join([*lines, f"{verdict}: tolerance {self.tolerance:g}, relative", *causes])

    def _row(self, entry: GradcheckEntry) -> tuple[str, ...]:
        mark = "" if entry.relative <= self.tolerance else " <-"
        return (
            entry.name,
            str(entry.shape),
            str(entry.tried),
            f"{entry.absolute:.1e}",
            f"{entry.relative:.1e}{mark}",
            str(entry.index),
            f"{entry.analytic:.9g}",
            f"{entry.numeric:.9g}",
        )
