"""Peak memory of training: the needed bytes counted, and kept to."""

import pytest

from bench import memory
from bench.contest.shapes import GATES, Case


def test_needed_counts_activations_and_gradients():
    # i f g o c h and dx for each of 5 x 2 steps; dW_ih, dW_hh and both biases once.
    case = Case("growth", True, "LSTM", 5, 2, 3, 4)
    assert memory.needed(case) == 4 * (10 * (6 * 4 + 3) + 16 * (3 + 4 + 2))


@pytest.mark.skipif(not memory.STATUS.exists(), reason="the system does not tell the peak")
@pytest.mark.parametrize("cell", GATES)
def test_training_keeps_to_what_it_needs(native, cell):
    case = Case("growth", True, cell, 1024, 16, 64, 128)
    assert memory.peak(case, 1) <= 1.1 * memory.needed(case)
