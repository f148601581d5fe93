"""The layers' parameters are those that the reference computes with."""

import pytest

from pyrnn.parameters import shapes
from pyrnn.reference.cells import CELLS


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_names(cell, bias):
    names = set(shapes.of_cell(cell, 3, 4, bias))
    assert names <= set(CELLS[cell].parameters)
    assert any(name.startswith("bias") for name in names) == bias
    assert "weight_hr" not in names


def test_torch_s_order():
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
    assert list(shapes.of_cell("lstm", 3, 4, True, 2)) == names
    assert list(shapes.of_cell("lstm_peephole", 3, 4, True, 2)) == [*names, "weight_peephole"]


@pytest.mark.parametrize(
    ("cell", "proj_size", "expected"),
    [
        ("lstm", 2, {"weight_ih": (16, 3), "weight_hh": (16, 2), "weight_hr": (2, 4)}),
        ("lstm_peephole", 0, {"weight_hh": (16, 4), "weight_peephole": (12,)}),
        ("lstm_coupled", 0, {"weight_ih": (12, 3), "weight_hh": (12, 4), "bias_hh": (12,)}),
        ("lstm_coupled_peephole", 0, {"weight_ih": (12, 3), "weight_peephole": (8,)}),
        ("lstm_layer_norm", 0, {"gain_ih": (16,), "gain_hh": (16,), "gain_c": (4,)}),
        ("lstm_layer_norm", 0, {"bias_ih": (16,), "bias_c": (4,)}),
        ("gru_layer_norm", 0, {"weight_ih": (12, 3), "gain_ih": (12,), "gain_hh": (12,)}),
        ("min_gru", 0, {"weight_ih": (8, 3), "bias_ih": (8,)}),
    ],
)
def test_shapes(cell, proj_size, expected):
    assert shapes.of_cell(cell, 3, 4, True, proj_size).items() >= expected.items()
