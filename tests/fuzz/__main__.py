"""``python -m tests.fuzz --cases 200000 --seed 0``: see ``--help``.

The exit status is 0 if nothing was found and 1 if something was.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.case import ENTRIES, Entry, draw_case
from tests.fuzz.workers import Report, Share, entry_of, run_all, work


def main() -> int:
    """Run the command."""
    options = _parser().parse_args()
    importlib.import_module(options.entries)
    known = {name: e for name, e in ENTRIES.items() if not options.entry or options.entry in name}
    if not known:
        print(f"--entry: expected a part of one of {', '.join(ENTRIES)}", file=sys.stderr)
        return 2
    if options.replay:
        return replay(options.replay)
    if options.worker:
        span = range(*map(int, options.worker.split(":")))
        until = float(os.environ.get("PYRNN_FUZZ_UNTIL", "inf"))
        work(known, options.seed, span, until, Path(options.progress))
        return 0
    return fuzz(options, known)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="how many (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, help="draws other cases (default: 0)")
    parser.add_argument("--start", type=int, default=0, help="the number of the first case")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--entry", help="only entry points with this in their name")
    parser.add_argument("--seconds", type=float, help="draw no new case after so long")
    parser.add_argument(
        "--timeout", type=float, default=120.0, help="of one case, in seconds of the processor"
    )
    parser.add_argument("--replay", metavar="CASE", help="one case, as findings name it, in full")
    parser.add_argument("--entries", default="tests.fuzz.entries", help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--progress", help=argparse.SUPPRESS)
    return parser


def fuzz(options: argparse.Namespace, known: dict[str, Entry]) -> int:
    """Run all cases and print what was found."""
    command = [sys.executable, "-m", "tests.fuzz", "--seed", str(options.seed)]
    command += ["--entries", options.entries]
    if options.entry:
        command += ["--entry", options.entry]
    if options.seconds is not None:
        os.environ["PYRNN_FUZZ_UNTIL"] = str(time.time() + options.seconds)

    def name_of(number: int) -> tuple[str, str]:
        name = entry_of(known, options.seed, number).name
        return name, f"{name}/{options.seed}/{number}"

    begun, report = time.monotonic(), Report()
    for report in run_all(
        command, options.cases, options.start, max(1, options.jobs), options.timeout, name_of
    ):
        done = sum(share.cases for share in report.shares.values())
        if sys.stderr.isatty():
            print(f"\r{done} cases, {len(report.counts)} findings", end="", file=sys.stderr)
    print(table(report))
    print(f"{time.monotonic() - begun:.0f} s")
    print(findings(report))
    return 1 if report.counts else 0


def table(report: Report) -> str:
    """How many cases of each entry point ended in an answer, in a refusal, and undecided."""
    rows = [f"{'entry point':32} {'answers':>8} {'refusals':>8} {'undecided':>9} {'ms a case':>10}"]
    total = Share()
    for name, share in sorted(report.shares.items()):
        rows.append(_row(name, share))
        for part in fields(Share):
            setattr(total, part.name, getattr(total, part.name) + getattr(share, part.name))
    return "\n".join([*rows, _row("all", total)])


def _row(name: str, share: Share) -> str:
    each = 1e3 * share.seconds / max(1, share.cases)
    return f"{name:32} {share.right:8} {share.refused:8} {share.undecided:9} {each:10.2f}"


def findings(report: Report) -> str:
    """Each kind of finding once, with how often it was found and its first case."""
    count = len(report.counts)
    rows = [f"{count or 'no'} findings{'; --replay CASE shows one' * bool(count)}"]
    for finding in sorted(report.counts):
        name, kind, detail = finding
        rows.append(f"{report.counts[finding]:6} x  {name}: {kind}: {detail}")
        rows.append(f"          {report.first[finding]}")
    return "\n".join(rows)


def replay(case: str) -> int:
    """Run one case again and show its arguments, how it ended and what is wrong."""
    from tests.fuzz.check import attempt, check

    name, seed, number = case.rsplit("/", 2)
    entry = ENTRIES[name]
    drawn = draw_case(entry, int(seed), int(number))
    print(f"spoiled: {', '.join(drawn.spoiled) or 'nothing'}")
    for key, value in drawn.arguments.items():
        print(f"{key} = {value!r}")
    for backend in ("native", "reference"):
        outcome = attempt(draw_case(entry, int(seed), int(number)), backend)
        print(f"\n--- {backend}")
        if outcome.error is None:
            print(outcome.result)
        else:
            traceback.print_exception(outcome.error)
    verdict = check(entry, int(seed), int(number))
    print("\n--- findings")
    for finding in verdict.findings:
        print(f"{finding.kind}: {finding.detail}")
    return 1 if verdict.findings else 0


if __name__ == "__main__":
    sys.exit(main())
