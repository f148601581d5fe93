"""The ratio of one frame of an ONNX model."""

import numpy as np
import pytest

import pyrnn
from bench import frames
from pyrnn.interop import onnx


def test_a_small_model(tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "gru.onnx"
    onnx.save(pyrnn.GRU(3, 4, seed=0), path)
    before = pyrnn.get_num_threads()
    try:
        assert frames.main([str(path), "--rounds", "2"]) == 0
    finally:
        pyrnn.set_num_threads(before)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["pyrnn", "ONNX Runtime", "pyrnn's share"]


def test_the_report():
    text = frames.report({"pyrnn": [3.0, 2.0, 4.0], "ONNX Runtime": [6.0, 5.0, 8.0]})
    assert text.splitlines()[-1].split()[-4:] == ["0.40", "at", "least,", "0.50"]
    assert np.all([word in text for word in ("2.0 µs", "3.0 in", "5.0 µs", "6.0 in")])
