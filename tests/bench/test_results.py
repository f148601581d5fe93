"""Results in a folder: a later run keeps what it did not measure anew."""

import json

import pytest

from bench import results


def result(*threads, load="0.1", **other):
    return {
        "mode": "grid",
        "date": "2000-01-01",
        "machine": {"processor": "one", "load": load},
        "quick": False,
        "versions": {"pyrnn": "1"},
        "rows": [{"name": f"row {n}", "threads": n} for n in threads],
        **other,
    }


def names(rows):
    return [row["name"] for row in rows]


def test_rows_with_other_numbers_of_threads_stay():
    earlier = result(2, 4, load="0.2")
    assert names(results.join(result(1), earlier)) == ["row 1", "row 2", "row 4"]


def test_rows_that_were_measured_anew_take_the_place_of_the_old():
    earlier = result(1, 2, 2)
    earlier["rows"][2]["name"] = "not measured anew"
    new = result(2)
    joined = results.join(new, earlier)
    assert names(joined) == ["row 1", "row 2", "not measured anew"]
    assert joined[1] is new["rows"][0]


@pytest.mark.parametrize(
    "earlier",
    [
        None,
        result(2, quick=True),
        result(2, versions={"pyrnn": "0"}),
        result(2, date="1999-12-31"),
        result(2, machine={"processor": "another", "load": "0.1"}),
    ],
)
def test_rows_of_another_kind_of_run_go(earlier):
    assert names(results.join(result(1), earlier)) == ["row 1"]


def test_saved_and_loaded(tmp_path):
    results.save(tmp_path, result(1, mode="busy"), None)
    results.save(tmp_path, result(1), None)
    results.save(tmp_path, result(2), results.read(tmp_path, "grid"))
    loaded = results.load(tmp_path)
    assert [one["mode"] for one in loaded] == ["grid", "busy"]
    assert names(loaded[0]["rows"]) == ["row 1", "row 2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["busy.json", "grid.json"]


def test_a_run_that_cannot_be_written_leaves_the_earlier_one(tmp_path):
    results.save(tmp_path, result(1), None)
    with pytest.raises(TypeError):
        results.save(tmp_path, result(2) | {"missing": object()}, None)
    assert names(json.loads((tmp_path / "grid.json").read_text())["rows"]) == ["row 1"]
