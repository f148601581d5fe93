"""Calls whose allocations, or starts of threads, fail in turn: see ``failures.cpp``.

Each attempt is made by a child forked before any call, so that nothing is kept of an earlier one.
With an allocation that failed, the call raises MemoryError or does without; without a thread, it
goes on with those that there are. In both cases the next call gives the right bits, from the same
objects.
"""

import argparse
import ctypes
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator

import calls

import pyrnn

SHORT = ["lstm-peephole-projected alone", "gru-reset-before units", "rnn directions", *calls.REST]
SECONDS = 60  # after which an attempt hangs

library = ctypes.CDLL(None)
KINDS = {
    "allocations": (library.arm_allocations, library.disarm_allocations),
    "workers": (library.arm_threads, library.disarm_threads),
}


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--calls", nargs="*", help="parts of their names")
    parser.add_argument("--short", action="store_true", help="two threads, a few calls")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.threads, arguments.calls = [2], SHORT
    attempts, found, begin = 0, [], time.monotonic()
    gc.disable()  # a child that collects would copy all of the parent's memory
    for name, call in chosen(arguments.calls):
        for count in arguments.threads:
            pyrnn.set_num_threads(count)
            for number, outcome in each_in_turn(arguments.kind, call):
                attempts += 1
                if outcome:
                    found.append(f"{name}, {count} threads, failing {number}: {outcome}")
                    print(found[-1], flush=True)
    seconds = time.monotonic() - begin
    print(f"{attempts} failing {arguments.kind} in {seconds:.0f} s: {len(found)} with faults")
    return 1 if found or not attempts else 0


def chosen(parts: list[str] | None) -> Iterator[tuple[str, calls.Call]]:
    """The calls of these names, or all, made as they are needed: a fork copies what is there."""
    for cell, make in calls.CELLS.items():
        for name, call in calls.of_cell(make):
            if parts is None or any(part in f"{cell} {name}" for part in parts):
                yield f"{cell} {name}", call
    for name, call in calls.around():
        if parts is None or any(part in name for part in parts):
            yield name, call


def each_in_turn(kind: str, call: calls.Call) -> Iterator[tuple[str, str]]:
    """What fails (one, or all from one on), and what is wrong then, empty if nothing."""
    arm, disarm = KINDS[kind]

    def counted() -> str:
        arm(0, 0)
        expected = calls.bits(call())
        return f"{disarm()} {hash(tuple(expected))}"

    def attempt(first: int, last: int) -> str:
        arm(first, last)
        wrong = ""
        try:
            if hash(tuple(calls.bits(call()))) != expected:
                wrong = "other bits"
        except MemoryError:
            wrong = "" if kind == "allocations" else "MemoryError"
        except BaseException as error:
            wrong = f"{type(error).__name__}: {error}"
        finally:
            disarm()
        if hash(tuple(calls.bits(call()))) != expected:
            wrong += " other bits in the next call"
        return wrong

    count, expected = (int(number) for number in in_child(counted).split())
    for first in range(1, count + 1):
        yield f"{kind} {first} of {count}", in_child(attempt, first, first)
    for first in range(1, count + 1, 7):
        yield f"{kind} from {first} of {count} on", in_child(attempt, first, 1 << 30)


def in_child(function: Callable[..., str], *arguments: int) -> str:
    """What a function gives in a forked child, or what became of that."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = function(*arguments)
        except BaseException as error:
            text = f"then {type(error).__name__}: {error}"
        os.write(sender, text.encode()[:4000] + b"\n")
        os._exit(0)
    os.close(sender)
    ready, _, _ = select.select([receiver], [], [], SECONDS)
    text = os.read(receiver, 4096).decode() if ready else ""
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.close(receiver)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not ready:
        return f"hangs for {SECONDS} s"
    return text.strip() if text else f"dies: {status}"


if __name__ == "__main__":
    sys.exit(main())
