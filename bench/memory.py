"""Peak memory of one training call, measured in a process of its own (Linux).

``python -m bench.memory '[cell, T, N, I, H]'`` prints the bytes that forward and backward took
beyond what was there before: the library, the weights, the input and the gradient of the output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench import machine
from bench.contest import problem
from bench.contest.shapes import GATES, Case
from bench.peers import pyrnn_peer

STATUS = Path("/proc/self/status")

_KEPT = {"RNN": 1, "LSTM": 6, "GRU": 5}
"""Numbers of size H that a time step must keep for the backward pass.

All keep h, which is also the output. LSTM adds four gates and c; GRU its three gates and W_hn h +
b_hn, which the reset gate is multiplied with. tanh gives its own derivative from h.
"""


def needed(case: Case) -> int:
    """Bytes of what is kept and of the gradients that are returned, and nothing else.

    The gradients before the activations take the gates' place, except for a plain RNN, whose h
    belongs to the caller.
    """
    hidden, inputs = case.hidden_size, case.input_size
    before = hidden if case.cell == "RNN" else 0
    each = _KEPT[case.cell] * hidden + before + inputs
    rows = GATES[case.cell] * hidden
    gradients = rows * (inputs + hidden + 2)
    return 4 * (case.time_steps * case.batch_size * each + gradients)


def peak(case: Case, threads: int) -> int | None:
    """Measure in a fresh process; None where the system does not tell."""
    if not STATUS.exists():
        return None
    sizes = [case.cell, case.time_steps, case.batch_size, case.input_size, case.hidden_size]
    command = [sys.executable, "-m", "bench.memory", json.dumps([threads, *sizes])]
    result = subprocess.run(
        command, env=machine.environment(threads), capture_output=True, text=True, check=True
    )
    return int(result.stdout)


def main() -> None:
    """Measure what the one argument asks for."""
    threads, *sizes = json.loads(sys.argv[1])
    machine.restrict(threads)
    case = Case("growth", True, *sizes)
    # A short call first: threads, code and the allocator's first pages are not the case's.
    short = Case("growth", True, case.cell, 2, *sizes[2:])
    for one in (short, case):
        numbers = problem.make(one)
        (contender,) = pyrnn_peer.contenders(one, numbers, threads)
        before = _status("VmRSS")
        # The result is held while the peak is read, as a training loop holds it.
        result = contender.run()
        highest = _status("VmHWM")
        assert np.isfinite(contender.outputs(result)["y"]).all()
    print(highest - before)


def _status(field: str) -> int:
    """Bytes of resident memory: now (VmRSS), or at most so far (VmHWM)."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"{STATUS}: no line {field}")


if __name__ == "__main__":
    main()
