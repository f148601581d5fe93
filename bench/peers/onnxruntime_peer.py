"""ONNX Runtime: a plain ``session.run``, and a run with buffers bound beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from bench.contest.contender import Contender, Outputs
from bench.contest.problem import Array, Problem
from bench.contest.shapes import Case
from bench.peers import onnx_model, thread_settings, threads_text

PLAIN, BOUND = "onnxruntime", "onnxruntime bound"


def version() -> str:
    """ONNX Runtime's."""
    return str(onnxruntime.__version__)


def contenders(case: Case, problem: Problem, threads: int) -> list[Contender]:
    """Both ways to run, with threads that spin between calls, that sleep, or one thread alone."""
    if case.training:
        return []
    model = onnx_model.build(case, problem)
    found = []
    for count in thread_settings(case, threads):
        for spinning in (True, False) if count > 1 else (False,):
            setting = threads_text(count) + (", spinning" if spinning else "")
            session = _session(model, count, spinning)
            found += [_plain(session, problem, setting), _bound(session, problem, setting)]
    return found


def _session(model: bytes, threads: int, spinning: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _feeds(session: Any, problem: Problem) -> dict[str, Array]:
    arrays = {"X": problem.x}
    states = zip(("initial_h", "initial_c"), problem.state, strict=False)
    arrays |= dict(states)
    return {entry.name: arrays[entry.name] for entry in session.get_inputs()}


def _outputs(y: Array) -> Outputs:
    """Y has an axis of directions; the state that stands for it in a single step begins with it."""
    return {"y": y[:, 0] if y.ndim == 4 else y}


def _plain(session: Any, problem: Problem, setting: str) -> Contender:
    feeds = _feeds(session, problem)
    return Contender(
        PLAIN, setting, lambda: session.run(None, feeds), lambda result: _outputs(result[0])
    )


def _bound(session: Any, problem: Problem, setting: str) -> Contender:
    binding = session.io_binding()
    for name, array in _feeds(session, problem).items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        binding.bind_ortvalue_input(name, value)
    buffers = []
    for entry in session.get_outputs():
        buffer = np.empty(entry.shape, np.float32)
        binding.bind_output(entry.name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
        buffers.append(buffer)
    # The binding does not keep the buffers alive; the closure of `outputs` does.
    return Contender(
        BOUND,
        setting,
        lambda: session.run_with_iobinding(binding),
        lambda result: _outputs(buffers[0]),
    )
