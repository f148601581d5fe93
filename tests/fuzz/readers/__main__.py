"""``python -m tests.fuzz.readers --cases 100000``: spoiled files for each reader of model files.

The exit status is 0 if nothing was found and 1 if something was.
``python -m tests.fuzz --replay CASE`` shows one case in full.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.fuzz.readers.common import Reader
from tests.fuzz.readers.listed import READERS
from tests.fuzz.readers.workers import Report, run


def main() -> int:
    """Run the command."""
    options = _parser().parse_args()
    chosen = {name: one for name, one in READERS.items() if name in (options.reader or READERS)}
    found = 0
    print(
        f"{'reader':16} {'answers':>8} {'refusals':>8} {'seconds':>8} {'ms a file':>10}", flush=True
    )
    for name, reader in chosen.items():
        report = _fuzz(reader, options)
        print(_row(name, report), flush=True)
        for line in _findings(report, options.seed):
            print(line, flush=True)
        found += len(report.counts)
    print(f"{found or 'no'} findings")
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.readers", description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="of each reader (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, help="draws other cases (default: 0)")
    parser.add_argument("--start", type=int, default=0, help="the number of the first case")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each reader")
    parser.add_argument(
        "--reader", action="append", choices=list(READERS), help="only this one (may be repeated)"
    )
    return parser


def _fuzz(reader: Reader, options: argparse.Namespace) -> Report:
    until, report = time.time() + options.seconds, Report()
    jobs = max(1, options.jobs)
    for report in run(reader, options.cases, options.seed, options.start, jobs, until):
        if sys.stderr.isatty():
            print(f"\r{reader.name}: {report.cases}", end="\r", file=sys.stderr)
    return report


def _row(name: str, report: Report) -> str:
    each = 1e3 * report.seconds / max(1, report.cases)
    row = f"{name:16} {report.answers:8} {report.refusals:8} {report.seconds:8.1f} {each:10.2f}"
    if report.grown:
        files = sum(one[0] for one in report.grown)
        memory, objects, descriptors, _ = (sum(one[n] for one in report.grown) for n in range(1, 5))
        row += f"   a file keeps {memory / files:.0f} bytes, {objects / files:.3f} objects"
        row += f", {descriptors / files:g} descriptors"
    return row


def _findings(report: Report, seed: int) -> list[str]:
    rows = []
    for finding in sorted(report.counts):
        entry, kind, detail = finding
        rows.append(f"{report.counts[finding]:6} x  {entry}: {kind}: {detail}")
        rows.append(f"          {entry}/{seed}/{report.first[finding]}")
    return rows


if __name__ == "__main__":
    sys.exit(main())
