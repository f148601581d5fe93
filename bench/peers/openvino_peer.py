"""OpenVINO: the ONNX model compiled for latency, with inputs set beforehand."""

from __future__ import annotations

from typing import Any

import openvino

from bench.contest.contender import Contender, Outputs
from bench.contest.problem import Problem
from bench.contest.shapes import Case
from bench.peers import onnx_model, thread_settings, threads_text


def version() -> str:
    """OpenVINO's."""
    return str(openvino.__version__).split("-")[0]


def contenders(case: Case, problem: Problem, threads: int) -> list[Contender]:
    """A compiled model with all threads, and for little work one with a single thread."""
    if case.training:
        return []
    model = onnx_model.build(case, problem)
    return [_compiled(model, case, problem, count) for count in thread_settings(case, threads)]


def _compiled(model: bytes, case: Case, problem: Problem, threads: int) -> Contender:
    core = openvino.Core()
    # Where the processor can, OpenVINO computes in bfloat16 unless it is told otherwise.
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    compiled = core.compile_model(core.read_model(model=model, weights=b""), "CPU", options)
    request = compiled.create_infer_request()
    arrays = [problem.x, *(problem.state if case.is_step else ())]
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))

    def run() -> Any:
        return request.infer(share_outputs=True)

    def outputs(result: Any) -> Outputs:
        y = result[0]
        return {"y": y[:, 0] if y.ndim == 4 else y}

    return Contender("openvino", threads_text(threads), run, outputs)
