"""A method that is not entered where a function of the core takes the call."""

import contextvars
import gc
import inspect
import pickle
import sys
import weakref

import numpy as np
import pytest

import pyrnn
from pyrnn.backend import selection

if selection.native_module() is None:
    pytest.skip("the compiled core is not built", allow_module_level=True)


def declines(x, state):
    return None


class Doubling:
    """An object whose method says how it was reached."""

    def __init__(self, function=None, choice=None):
        if function is not None:
            self._ready = choice, function

    @selection.shortcut
    def twice(self, x: int, state: int | None = None, *, other: int = 0) -> str:
        """Say what came."""
        return f"method {x} {state} {other}"


def says(x, state):
    return f"function {x} {state}"


def test_the_function_has_both_arguments():
    twice = Doubling(says).twice
    assert twice(1) == "function 1 None"
    assert twice(1, 2) == "function 1 2"
    assert twice(1, state=2) == "function 1 2"
    assert twice(1, None) == "function 1 None"
    assert Doubling.twice(Doubling(says), 1) == "function 1 None"


def test_all_else_reaches_the_method():
    twice = Doubling(says).twice
    assert twice(1, other=3) == "method 1 None 3"
    assert twice(1, 2, other=3) == "method 1 2 3"
    assert twice(1, state=2, other=3) == "method 1 2 3"
    assert twice(x=1) == "method 1 None 0"
    assert twice(x=1, state=2) == "method 1 2 0"
    assert Doubling(declines).twice(1, 2) == "method 1 2 0"
    assert Doubling(declines).twice(1, state=2) == "method 1 2 0"


@pytest.mark.parametrize("ready", [None, (), (None,), [None, says], (None, says, 0)], ids=repr)
def test_what_is_not_ready_reaches_the_method(ready):
    thing = Doubling()
    assert thing.twice(1) == "method 1 None 0"
    thing._ready = ready
    assert thing.twice(1) == "method 1 None 0"


def test_another_choice_reaches_the_method():
    native, reference = selection.find("native"), selection.find("reference")
    by_default, by_name = Doubling(says), Doubling(says, native)
    assert by_name.twice(1) == "method 1 None 0"
    with pyrnn.use_backend("native"):
        assert by_default.twice(1) == "method 1 None 0"
        assert by_name.twice(1) == "function 1 None"
        context = contextvars.copy_context()
    with pyrnn.use_backend("reference"):
        assert by_name.twice(1) == "method 1 None 0"
        assert Doubling(says, reference).twice(1) == "function 1 None"
        assert context.run(by_name.twice, 1) == "function 1 None"
    assert by_default.twice(1) == "function 1 None"


def test_an_error_of_the_function_is_raised():
    def fails(x, state):
        raise MemoryError(f"no room for {x}")

    with pytest.raises(MemoryError, match="no room for 1"):
        Doubling(fails).twice(1)
    with pytest.raises(TypeError, match="positional"):
        Doubling(lambda x: x).twice(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Doubling(says).twice(), "missing 1 required positional argument: 'x'"),
        (lambda: Doubling.twice(), "missing 2 required positional arguments"),
        (lambda: Doubling(says).twice(1, 2, 3), "takes from 2 to 3 positional arguments"),
        (lambda: Doubling(says).twice(1, 2, state=3), "multiple values for argument 'state'"),
        (lambda: Doubling(says).twice(1, stat=3), "unexpected keyword argument 'stat'"),
        (lambda: Doubling(says).twice(1, **{"\ud800": 3}), "unexpected keyword argument"),
    ],
)
def test_wrong_arguments_are_refused_by_the_method(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_it_looks_like_the_method():
    method = Doubling.twice
    assert method.__name__ == "twice"
    assert method.__qualname__ == "Doubling.twice"
    assert method.__module__ == __name__
    assert method.__doc__ == "Say what came."
    assert list(inspect.signature(method).parameters) == ["self", "x", "state", "other"]
    assert list(inspect.signature(Doubling().twice).parameters) == ["x", "state", "other"]
    assert inspect.isroutine(method)
    assert inspect.ismethod(Doubling().twice)
    assert "def twice" in inspect.getsource(method)


def test_a_layer_is_described_as_before():
    layer = pyrnn.GRU(3, 4, seed=0).eval()
    expected = ["x", "state", "lengths", "mask", "reset", "zero_output_for_mask"]
    assert list(inspect.signature(layer).parameters) == expected
    assert list(inspect.signature(layer.__call__).parameters) == expected
    assert list(inspect.signature(pyrnn.GRUCell(3, 4)).parameters) == ["x", "state"]
    call = pickle.loads(pickle.dumps(layer.__call__))
    x = np.ones((1, 2, 3), np.float32)
    assert np.array_equal(call(x)[0], layer(x)[0])


def test_subclasses_may_call_it_or_replace_it():
    class More(Doubling):
        def twice(self, x, state=None):
            return "more than " + super().twice(x, state)

    assert More(says).twice(1, 2) == "more than function 1 2"
    assert More().twice(1) == "more than method 1 None 0"


def test_only_a_context_variable_makes_choices():
    shortcut = selection.native_module().Shortcut
    with pytest.raises(TypeError, match="choices: expected a context variable"):
        shortcut(says, "_ready", 3)
    with pytest.raises(TypeError):
        shortcut(says, 3, contextvars.ContextVar("choice"))
    unset = contextvars.ContextVar("unset")
    method = shortcut(says, "_ready", unset)
    assert method(1, 2) == "function 1 2"  # int has no such attribute
    with pytest.raises(TypeError):
        method()


def test_nothing_is_kept():
    class Mine:
        pass

    def function(x, state):
        return None if state is None else state

    thing, x, state = Doubling(function), Mine(), Mine()
    before = [sys.getrefcount(each) for each in (thing, x, state, function, thing._ready)]
    for _ in range(1000):
        thing.twice(x, state)
        thing.twice(x, state=state)
        thing.twice(x)
    after = [sys.getrefcount(each) for each in (thing, x, state, function, thing._ready)]
    assert after == before


def test_a_class_with_one_can_be_collected():
    class Mine(Doubling):
        @selection.shortcut
        def again(self, x, state=None):
            return __class__, x, state  # a cycle: the method refers to its class

    assert Mine().again(1) == (Mine, 1, None)
    gone = weakref.ref(Mine)
    del Mine
    gc.collect()
    assert gone() is None
