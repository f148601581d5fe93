"""The numbers of a case: shapes, dtype, the same every time."""

import numpy as np
import pytest

from bench.contest import problem
from bench.contest.shapes import GATES, Case


@pytest.mark.parametrize("cell", GATES)
def test_shapes_are_those_of_the_case(cell):
    numbers = problem.make(Case("training", True, cell, 5, 2, 3, 4))
    rows = GATES[cell] * 4
    shapes = {name: weight.shape for name, weight in numbers.weights.items()}
    assert shapes == {
        "weight_ih": (rows, 3),
        "weight_hh": (rows, 4),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
    }
    assert numbers.x.shape == (5, 2, 3)
    assert numbers.dy.shape == (5, 2, 4)
    assert [part.shape for part in numbers.state] == [(1, 2, 4)] * (2 if cell == "LSTM" else 1)
    arrays = [*numbers.weights.values(), numbers.x, numbers.dy, *numbers.state]
    assert all(array.dtype == np.float32 for array in arrays)


def test_the_same_case_gives_the_same_numbers():
    case = Case("training", True, "LSTM", 5, 2, 3, 4)
    assert np.array_equal(problem.make(case).x, problem.make(case).x)
