"""How a process learns that it is one of several, and the threads that it takes then."""

import pytest

from pyrnn._imports import extras
from pyrnn.distributed import launch


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in launch.SIZES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("environment", [{}, {"PMI_SIZE": "1"}, {"PMI_SIZE": "many"}])
def test_one_process_needs_no_mpi(environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(extras, "require", None)  # it is not asked
    assert launch.world() is None


@pytest.mark.parametrize("name", launch.SIZES)
def test_several_processes_without_mpi4py(name, monkeypatch):
    """Else each would train for itself, and write the same file."""
    monkeypatch.setenv(name, "4")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(extras.MissingExtraError, match=r"^mpi4py is not .* 'pyrnn\[mpi\]'"):
        launch.world()


def test_several_processes_without_an_mpi_library(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setattr(extras, "require", lambda *names: None)

    def load(*arguments, **options):
        raise RuntimeError("cannot load MPI library libmpi.so: no such file")

    monkeypatch.setattr("builtins.__import__", load)
    with pytest.raises(extras.MissingExtraError, match=r"^mpi4py finds no MPI library .* mpich"):
        launch.world()


@pytest.mark.parametrize(
    ("count", "masks", "expected"),
    [
        (8, [range(8)] * 2, 4),  # all may use all
        (8, [range(8)] * 3, 2),
        (2, [range(2)] * 4, 1),
        (4, [range(4), range(4, 8)], 4),  # mpiexec has shared them out
        (3, [range(16)] * 2, 1),  # a limit below the processors
        (6, [(), ()], 3),
    ],
)
def test_threads_are_shared(count, masks, expected):
    assert launch.share(count, [frozenset(mask) for mask in masks]) == expected
