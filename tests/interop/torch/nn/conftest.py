"""What the tests of the drop-in share: torch's modules, pyrnn's twins, and whether the core ran."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def core_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The kinds of stacks that the core has run so far."""
    from pyrnn.interop.torch.nn import _stack

    calls: list[Any] = []
    forward = _stack.forward

    def counted(kind: Any, *arguments: Any) -> Any:
        calls.append(kind)
        return forward(kind, *arguments)

    monkeypatch.setattr(_stack, "forward", counted)
    return calls


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """``close(got, expected, tolerance)`` of nested tensors, relative to the largest magnitude."""

    def check(got: Any, expected: Any, tolerance: float) -> None:
        if isinstance(expected, (tuple, list)):
            assert len(got) == len(expected)
            for one, other in zip(got, expected, strict=True):
                check(one, other, tolerance)
        elif expected is None:
            assert got is None
        else:
            assert got.shape == expected.shape
            assert got.dtype == expected.dtype
            scale = max(1.0, float(expected.detach().abs().max()))
            worst = float((got - expected).detach().abs().max())
            assert worst <= tolerance * scale, f"{worst} of {scale}"

    return check


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """The same weights every time; one thread, as others would wait long for a busy core."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
