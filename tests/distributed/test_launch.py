"""How a process learns that it is one of several, and the threads that it takes then."""

import sys
import types

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


def test_the_library_of_another_mpiexec(monkeypatch):
    """Each process would think that it is alone, train for itself, and write the same file."""
    monkeypatch.setenv("PMI_SIZE", "3")
    world = types.SimpleNamespace(Get_size=lambda: 1)
    library = types.SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Open MPI 5\nx")
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=library))
    monkeypatch.setattr(extras, "require", lambda *names: None)
    with pytest.raises(extras.MissingExtraError, match=r"has started 3 .*, got Open MPI 5 \("):
        launch.world()


def test_only_one_of_several_that_has_not_begun_ends_all(monkeypatch):
    monkeypatch.setattr("os.kill", lambda *arguments: ended.append("killed"))
    monkeypatch.setattr("os._exit", lambda status: ended.append("exited"))
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    ended = []
    world = types.SimpleNamespace(Abort=ended.append)
    library = types.SimpleNamespace(COMM_WORLD=world)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=library))
    launch.end_all(2)
    assert not ended  # there is no other
    monkeypatch.setenv("PMI_SIZE", "3")
    launch.end_all(2)
    assert ended == [2, "exited"]
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    launch.end_all(2)
    assert ended[2:] == ["killed"]
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", library)
    launch.end_all(2)
    assert len(ended) == 3  # it has begun: `Ranks` ends all


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
