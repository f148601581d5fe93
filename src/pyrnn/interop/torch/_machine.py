"""The stack of the pickle machine, and the inert records that it makes of names and calls."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from pyrnn.interop.torch._errors import FormatError

MOST_LINE = 1000
"""Bytes of a name or a number that is written in letters."""


class Name(NamedTuple):
    """What a pickle would have imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Persistent(NamedTuple):
    """A reference to an object that is stored outside of the pickle."""

    identity: Any


class Made:
    """An object that a pickle makes by a call, with the state, entries and members it adds."""

    __slots__ = ("arguments", "by", "entries", "members", "states")

    def __init__(self, by: Any, arguments: Any) -> None:
        self.by = by
        self.arguments = arguments
        # Lists are made only when needed, since hostile pickles make many objects.
        self.states: list[Any] | tuple[()] = ()
        self.entries: list[tuple[Any, Any]] | tuple[()] = ()
        self.members: list[Any] | tuple[()] = ()

    def add_state(self, state: Any) -> None:
        """The state from BUILD."""
        self.states = self.states or []
        self.states.append(state)

    def add_entries(self, pairs: list[tuple[Any, Any]]) -> None:
        """The entries of a dict."""
        self.entries = self.entries or []
        self.entries += pairs

    def add_members(self, items: list[Any]) -> None:
        """The members of a list or a set."""
        self.members = self.members or []
        self.members += items


class _Mark:
    """The place where a collection begins on the stack."""


MARK = _Mark()


class Machine:
    """The bytes of a pickle from a position on, the stack, the memo."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.persistent: list[Persistent] = []

    # --- bytes ------------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise FormatError(f"{count} bytes should follow, more than there are")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, form: str, size: int) -> Any:
        return struct.unpack(form, self.take(size))[0]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position, self.position + MOST_LINE)
        if end < 0:
            raise FormatError(f"a line has no end within {MOST_LINE} bytes")
        line = self.data[self.position : end]
        self.position = end + 1
        return line

    def name(self) -> Name:
        module = self.line().decode("utf-8")
        return Name(module, self.line().decode("utf-8"))

    # --- the stack --------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise FormatError("a mark stands where an object should")
        return value

    def top(self) -> Any:
        value = self.stack[-1]
        if value is MARK:
            raise FormatError("a mark stands where an object should")
        return value

    def pop_to_mark(self) -> list[Any]:
        stack = self.stack
        at = len(stack) - 1
        while stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise FormatError("a mark is missing")
        items = stack[at + 1 :]
        del stack[at:]
        return items

    # --- collections ------------------------------------------------------------------------

    def append(self, target: Any, items: list[Any]) -> None:
        if type(target) is list:
            target += items
        elif type(target) is Made:
            target.add_members(items)
        else:
            raise FormatError("it appends to something that is not a list")

    def assign(self, target: Any, items: list[Any]) -> None:
        if len(items) % 2:
            raise FormatError("a key has no value")
        pairs = list(zip(items[::2], items[1::2], strict=True))
        if type(target) is dict:
            for key, value in pairs:
                target[key_of(key)] = value
        elif type(target) is Made:
            target.add_entries(pairs)
        else:
            raise FormatError("it assigns to something that is not a dict")

    def add(self, target: Any, items: list[Any]) -> None:
        if type(target) is set:
            target.update(map(key_of, items))
        elif type(target) is Made:
            target.add_members(items)
        else:
            raise FormatError("it adds to something that is not a set")

    def dictionary(self, items: list[Any]) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        self.assign(made, items)
        return made

    # --- objects ----------------------------------------------------------------------------

    def make(self, by: Any, arguments: Any) -> None:
        if type(by) not in (Name, Made, Persistent):
            raise FormatError("it calls something that is not a name")
        self.push(Made(by, arguments))

    def stand_in(self, identity: Any) -> None:
        self.persistent.append(Persistent(identity))
        self.push(self.persistent[-1])

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if type(target) is Made:
            target.add_state(state)
        elif type(target) not in (Name, Persistent):
            raise FormatError("it sets a state on something that has none")


def key_of(key: Any) -> Any:
    """A key of a dict or a member of a set, of a kind whose hashes cannot be made to collide."""
    kind = type(key)
    if kind is Made:  # a parameter, by which an optimiser finds its state: each is equal to itself
        return key
    if kind is int and not -(2**62) < key < 2**62:
        raise FormatError("a key is a number of more than 62 bits")
    if kind is tuple and len(key) <= 8 and all(type(part) in _PLAIN for part in key):
        return key
    if kind not in _PLAIN:
        raise FormatError("a key is neither a string, nor a number, nor an object")
    return key


_PLAIN = (str, int, float, bool, bytes, type(None), Name)
