"""Choosing a backend: the context manager, the variable, what happens without the core."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest

import pyrnn
from pyrnn.backend import selection

NATIVE = "native" in selection.available()


def run(code, *flags, **variables):
    """Run Python code in a process of its own."""
    path = os.pathsep.join(p for p in sys.path if p)
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_use_backend_nests_and_comes_back():
    before = selection.current().name
    with pyrnn.use_backend("reference"):
        assert selection.current().name == "reference"
        with pyrnn.use_backend("native" if NATIVE else "reference"):
            assert selection.current().name == ("native" if NATIVE else "reference")
        assert selection.current().name == "reference"
    assert selection.current().name == before


def test_use_backend_comes_back_after_an_error():
    before = selection.current().name
    with pytest.raises(ZeroDivisionError), pyrnn.use_backend("reference"):
        raise ZeroDivisionError
    assert selection.current().name == before


def test_another_thread_has_its_own_choice():
    seen = []
    default = selection.current().name
    with pyrnn.use_backend("reference"):
        thread = threading.Thread(target=lambda: seen.append(selection.current().name))
        thread.start()
        thread.join()
    assert seen == [default]


def test_use_backend_as_a_statement_holds_until_the_next_choice():
    default = selection.current().name
    with pyrnn.use_backend("native" if NATIVE else "reference"):  # ends all choices within
        for name in (*selection.available(), "reference"):
            pyrnn.use_backend(name)
            assert selection.current().name == name
            with pyrnn.use_backend("reference"):
                assert selection.current().name == "reference"
            assert selection.current().name == name
            with pytest.raises(ValueError, match="name: expected"):
                pyrnn.use_backend("torch")
            assert selection.current().name == name
    assert selection.current().name == default


def test_a_statement_holds_in_its_own_thread_and_task_alone():
    default, seen = selection.current().name, []
    names = (*selection.available(), "reference")

    async def task(name):
        pyrnn.use_backend(name)
        await asyncio.sleep(0)
        seen.append((name, selection.current().name))

    async def tasks():
        await asyncio.gather(*[task(name) for name in names])
        seen.append((default, selection.current().name))

    def thread():
        asyncio.run(tasks())
        pyrnn.use_backend("reference")
        seen.append(("reference", selection.current().name))

    started = threading.Thread(target=thread)
    started.start()
    started.join()
    assert len(seen) == len(names) + 2
    assert all(wanted == got for wanted, got in seen)
    assert selection.current().name == default


def test_one_object_serves_nested_blocks_threads_and_functions():
    default = selection.current().name
    shared = pyrnn.use_backend("reference")
    assert selection.current().name == "reference"
    with shared:
        with shared:
            assert selection.current().name == "reference"
        assert selection.current().name == "reference"
    assert selection.current().name == default
    inside, done, seen = threading.Event(), threading.Event(), []

    def other():
        with shared:
            inside.set()
            done.wait(10)
        seen.append(selection.current().name)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    with shared:
        done.set()
        thread.join()
        assert selection.current().name == "reference"
    assert (selection.current().name, *seen) == (default, "native" if NATIVE else "reference")


def test_use_backend_decorates_functions_and_coroutines():
    default = selection.current().name

    @pyrnn.use_backend("reference")
    def name_of(first, *, more=""):
        """Say it."""
        return first + selection.current().name + more

    @pyrnn.use_backend("reference")
    async def later():
        await asyncio.sleep(0)
        return selection.current().name

    assert selection.current().name == default
    assert name_of("<", more=">") == "<reference>"
    assert name_of.__doc__ == "Say it."
    assert asyncio.run(later()) == "reference"
    assert selection.current().name == default

    def steps():
        yield 1

    with pytest.raises(TypeError, match="use_backend: expected a function, got a generator"):
        pyrnn.use_backend("reference")(steps)
    assert selection.current().name == default


@pytest.mark.parametrize("name", ["cuda", "", None, 3])
def test_other_names(name):
    with (
        pytest.raises(ValueError, match="name: expected 'native' or 'reference', got"),
        pyrnn.use_backend(name),
    ):
        pass


@pytest.mark.skipif(NATIVE, reason="the compiled core is there")
def test_asking_for_a_missing_core():
    with (
        pytest.raises(RuntimeError, match="the compiled core is missing"),
        pyrnn.use_backend("native"),
    ):
        pass


def test_the_variable_chooses():
    code = "import pyrnn; print(pyrnn.build_info()['backend'])"
    result = run(code, "-Werror", PYRNN_BACKEND="reference")
    assert result.stdout.strip() == "reference", result.stderr


def test_a_wrong_variable_is_refused():
    result = run("import pyrnn; pyrnn.build_info()", PYRNN_BACKEND="fast")
    assert result.returncode == 1
    assert "PYRNN_BACKEND: expected 'native' or 'reference', got 'fast'" in result.stderr


def test_a_missing_core_is_said_once():
    hide = "import sys; sys.modules['pyrnn._core'] = None; import pyrnn; "
    show = "print(pyrnn.build_info()['isa'], pyrnn.get_num_threads(), pyrnn.build_info()['isas'])"
    result = run(hide + show, PYRNN_BACKEND="")
    assert result.stdout.split() == ["None", "1", "[]"], result.stderr
    assert result.stderr.count("the compiled core is missing") == 1


def test_a_broken_core_is_an_error():
    """A core that is there but cannot be loaded must not be mistaken for a missing one."""
    code = """
import importlib.abc, sys
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "pyrnn._core":
            raise ImportError("undefined symbol")
sys.meta_path.insert(0, Broken())
import pyrnn
pyrnn.build_info()
"""
    result = run(code)
    assert result.returncode == 1
    assert "undefined symbol" in result.stderr
