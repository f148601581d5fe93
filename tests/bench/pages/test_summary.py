"""Ratios, means and worst rows; the tables that show them."""

import math

import pytest

from bench.pages import summary, tables


@pytest.fixture
def rows(make_row):
    return [
        make_row("RNN", "T25 N1 I65 H100", {"pyrnn": 1e-3, "torch": 8e-3, "jax": 4e-3}),
        make_row(
            "GRU",
            "T25 N1 I65 H100",
            {"pyrnn": 2e-3, "torch": 8e-3, "jax": 1e-3},
            settings={"jax": "unrolled"},
        ),
        make_row("RNN", "T1 N1 I1 H40", {"pyrnn": 1e-6, "onnxruntime": 9e-6}, "inference"),
        make_row("RNN", "T1 N1 I1 H512", {"pyrnn": 1e-6, "onnxruntime": 2e-6}, "inference"),
    ]


def test_ratios_are_relative_to_pyrnn(rows):
    assert summary.ratios(rows[0]) == {"torch": 8.0, "jax": 4.0}
    assert summary.best_ratio(rows[1]) == 0.5


def test_sections_are_summed_up(rows):
    training, inference = summary.summaries(rows)
    assert (training.section, training.number) == ("training", 2)
    assert training.geometric_mean == pytest.approx(math.sqrt(4.0 * 0.5))
    assert training.lowest is rows[1]
    assert training.below_one == 1
    assert inference.geometric_mean == pytest.approx(math.sqrt(18.0))
    assert inference.below_one == 0


def test_the_lowest_rows_come_first(rows):
    assert summary.lowest(rows, 2) == [rows[1], rows[3]]
    assert summary.fastest_peer(rows[1]) == "jax"


def test_small_steps_leave_out_large_layers(rows):
    assert summary.small_steps(rows) == {"onnxruntime": 9.0}


def test_a_row_without_peers_is_in_no_summary(make_row):
    row = make_row("RNN", "T25 N1 I65 H100", {"pyrnn": 1e-3})
    assert summary.summaries([row]) == []
    assert math.isnan(summary.best_ratio(row))


def test_share_of_peak(make_row):
    row = make_row("LSTM", "T64 N128 I8 H8", {"pyrnn": 0.1}, "compute", gflop=8.0, peak=100.0)
    assert summary.share_of_peak(row) == pytest.approx(0.8)
    assert math.isnan(summary.share_of_peak(row | {"peak": None}))


def test_excess_is_the_growth_beyond_the_arithmetic():
    row = {"seconds": [1.0, 2.0, 5.0], "operations": [10, 20, 40]}
    assert summary.excess(row) == [1.0, 1.25]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.50 s"), (1.68e-3, "1.68 ms"), (1e-4, "100 µs"), (3.4e-7, "340 ns")],
)
def test_durations_have_three_digits(seconds, text):
    assert tables.duration(seconds) == text


def test_tables_show_every_row_and_peer(rows):
    overview, lowest, training, inference = tables.sheets({"mode": "grid", "rows": rows})
    assert overview.lines[0][:3] == ["training, 2 threads", "1.41 x", "0.50 x"]
    assert lowest.lines[0] == [
        "training GRU T25 N1 I65 H100, 2 threads",
        "2.00 ms",
        "1.00 ms",
        "jax unrolled",
        "0.50 x",
    ]
    assert training.headings == ["shape", "pyrnn", "torch", "jax", "fastest peer"]
    assert training.lines[1] == ["GRU T25 N1 I65 H100", "2.00 ms", "4.00 x", "0.50 x", "0.50 x"]
    assert len(inference.lines) == 2
    assert "| GRU T25 N1 I65 H100 | 2.00 ms | 4.00 x | 0.50 x | 0.50 x |" in training.markdown()
    cells = list(training.rich().columns[-1].cells)
    assert [str(cell.style) for cell in cells] == ["", "red"]
