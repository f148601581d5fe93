"""Pictures: which there are, and that every row and peer is drawn."""

from bench.pages import pictures


def test_a_picture_for_each_number_of_threads(make_row, tmp_path):
    seconds = {"pyrnn": 1e-3, "torch": 8e-3, "jax": 4e-3}
    rows = [
        make_row("RNN", "T25 N1 I65 H100", seconds, threads=1),
        make_row("RNN", "T25 N1 I65 H100", seconds),
        make_row("GRU", "T25 N1 I65 H100", seconds),
        make_row("GRU", "T1 N1 I1 H40", seconds, "inference"),
    ]
    found = pictures.pictures({"mode": "grid", "rows": rows})
    assert list(found) == ["grid-1-thread", "grid-2-threads"]
    training, inference = found["grid-2-threads"].axes
    labels = [label.get_text() for label in training.get_yticklabels()]
    assert labels == ["RNN", "T25 N1 I65 H100", "GRU", "T25 N1 I65 H100"]
    dots = [line.get_xdata() for line in inference.lines if line.get_marker() == "o"]
    assert [float(x[0]) for x in dots if len(x)] == [8.0, 4.0]
    pictures.save(found["grid-2-threads"], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_rows_without_peers_give_no_picture(make_row):
    row = make_row("RNN", "T25 N1 I65 H100", {"pyrnn": 1e-3})
    assert pictures.pictures({"mode": "grid", "rows": [row]}) == {}


def test_busy_neighbours_are_drawn_relative_to_the_time_alone():
    measured = {"median": [1.0, 2.0, 3.0], "slowest": [1.5, 3.0, 4.0], "calls": [50, 50, 50]}
    row = {
        "name": "busy LSTM T1 N1 I8 H8",
        "threads": 2,
        "neighbours": [0, 1, 2],
        "columns": {"pyrnn": {name: [2 * v for v in values] for name, values in measured.items()}},
    }
    (axes,) = pictures.pictures({"mode": "busy", "rows": [row]})["busy"].axes
    median, slowest = axes.lines
    assert list(median.get_ydata()) == [1.0, 2.0, 3.0]
    assert list(slowest.get_ydata()) == [1.5, 3.0, 4.0]
