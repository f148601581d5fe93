"""The grid: complete, without doubles, its arithmetic counted as documented."""

from collections import Counter

from bench.contest import shapes
from bench.contest.shapes import Case


def test_the_grid_has_every_cell_at_every_shape():
    sections = Counter((case.section, case.cell) for case in shapes.grid())
    for cell in ("RNN", "LSTM", "GRU"):
        assert sections["training", cell] == 8
        assert sections["inference", cell] == 13
    assert sections["compute", "LSTM"] == 2


def test_names_are_distinct():
    names = [case.name for case in shapes.grid()]
    assert len(set(names)) == len(names)


def test_operations_count_the_products_of_all_gates():
    forward = Case("inference", False, "GRU", 5, 2, 3, 4)
    assert forward.operations == 2 * 5 * 2 * (3 * 4) * (3 + 4)
    assert Case("training", True, "GRU", 5, 2, 3, 4).operations == 3 * forward.operations


def test_only_one_step_of_inference_is_a_step():
    assert Case("inference", False, "RNN", 1, 1, 3, 4).is_step
    assert not Case("training", True, "RNN", 1, 1, 3, 4).is_step
    assert not Case("inference", False, "RNN", 2, 1, 3, 4).is_step
