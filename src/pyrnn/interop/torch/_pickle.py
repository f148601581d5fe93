"""A pickle interpreter that runs nothing: what a pickle names or calls becomes an inert record.

`pickle.Unpickler` is not used. It calls what it finds on its stack, and allocates memory for counts
that a file only claims. Here every opcode takes memory in proportion to its own bytes, names are
never looked up, and a call is only recorded, as a `Made`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from pyrnn.interop.torch._errors import FormatError
from pyrnn.interop.torch._machine import MARK, MOST_LINE, Machine, Name, Persistent, key_of

MOST_INTEGER = 256
"""Bytes of a whole number."""
MOST_OPCODES = 2_000_000
"""Bounds the time and memory of a hostile pickle; ten thousand tensors need a quarter of these."""


class Loaded(NamedTuple):
    """A pickle's object, where the pickle ends, and what it says is stored outside of it."""

    value: Any
    end: int
    persistent: list[Persistent]


def load(data: bytes, position: int = 0) -> Loaded:
    """The object of the pickle that begins at ``position``.

    Dicts, lists, tuples, sets, numbers, strings and bytes are themselves; all else is a `Name`, a
    `Persistent` or a `Made`. Objects may contain themselves and be nested to any depth.

    Raises
    ------
    FormatError
        If there is no whole pickle of a protocol up to 5.
    """
    machine = Machine(data, position)
    try:
        return Loaded(_run(machine), machine.position, machine.persistent)
    except FormatError as error:
        raise FormatError(f"{error} (at byte {machine.position} of its pickle)") from None
    except (IndexError, TypeError, ValueError, OverflowError, struct.error, AttributeError):
        raise FormatError(f"it is no pickle (at byte {machine.position})") from None


def _run(machine: Machine) -> Any:
    data, size = machine.data, len(machine.data)
    for _ in range(MOST_OPCODES):
        if machine.position >= size:
            raise FormatError("it ends before its pickle does")
        code = data[machine.position]
        machine.position += 1
        if code == _STOP:
            return machine.pop()
        function = _FUNCTIONS.get(code)
        if function is None:
            raise FormatError(f"it has the opcode {code:#04x}, which no saved model has")
        function(machine)
    raise FormatError(f"its pickle has more than {MOST_OPCODES} opcodes")


# --- opcodes --------------------------------------------------------------------------------

_STOP = ord(".")
_FUNCTIONS: dict[int, Callable[[Machine], None]] = {}


def _opcode(code: bytes) -> Callable[[Callable[[Machine], None]], Callable[[Machine], None]]:
    def enrol(function: Callable[[Machine], None]) -> Callable[[Machine], None]:
        _FUNCTIONS[code[0]] = function
        return function

    return enrol


def _constant(code: bytes, value: Any) -> None:
    _FUNCTIONS[code[0]] = lambda machine: machine.push(value)


def _new(code: bytes, kind: Callable[[], Any]) -> None:
    _FUNCTIONS[code[0]] = lambda machine: machine.push(kind())


def _fixed(code: bytes, form: str) -> None:
    size = struct.calcsize(form)
    _FUNCTIONS[code[0]] = lambda machine: machine.push(machine.number(form, size))


def _sized(code: bytes, form: str, convert: Callable[[bytes], Any]) -> None:
    """Bytes that are preceded by their length."""
    size = struct.calcsize(form)
    _FUNCTIONS[code[0]] = lambda machine: machine.push(
        convert(machine.take(machine.number(form, size)))
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _old_text(data: bytes) -> str:
    """Strings of Python 2, which may hold the bytes of arrays."""
    return data.decode("latin-1")


def _integer(data: bytes) -> int:
    if len(data) > MOST_INTEGER:
        raise FormatError(f"a whole number has {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


_constant(b"N", None)
_constant(b"\x88", True)
_constant(b"\x89", False)
_constant(b")", ())
_constant(b"(", MARK)
_new(b"}", dict)
_new(b"]", list)
_new(b"\x8f", set)
_fixed(b"K", "<B")
_fixed(b"M", "<H")
_fixed(b"J", "<i")
_fixed(b"G", ">d")
_sized(b"\x8a", "<B", _integer)
_sized(b"\x8b", "<i", _integer)
_sized(b"\x8c", "<B", _text)
_sized(b"X", "<I", _text)
_sized(b"\x8d", "<Q", _text)
_sized(b"C", "<B", bytes)
_sized(b"B", "<I", bytes)
_sized(b"\x8e", "<Q", bytes)
_sized(b"\x96", "<Q", bytes)
_sized(b"U", "<B", _old_text)
_sized(b"T", "<i", _old_text)


@_opcode(b"\x80")
def _protocol(machine: Machine) -> None:
    if machine.number("<B", 1) > 5:
        raise FormatError("its protocol is later than 5")


@_opcode(b"\x95")
def _frame(machine: Machine) -> None:
    machine.take(8)


@_opcode(b"I")
def _int_line(machine: Machine) -> None:
    line = machine.line()
    machine.push(line == b"01" if line in (b"00", b"01") else int(line))


@_opcode(b"L")
def _long_line(machine: Machine) -> None:
    machine.push(int(machine.line().removesuffix(b"L")))


@_opcode(b"F")
def _float_line(machine: Machine) -> None:
    machine.push(float(machine.line()))


@_opcode(b"V")
def _text_line(machine: Machine) -> None:
    machine.push(machine.line().decode("raw-unicode-escape"))


@_opcode(b"S")
def _string_line(machine: Machine) -> None:
    line = machine.line()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise FormatError("a string has no quotes")
    machine.push(line[1:-1].decode("unicode-escape"))


@_opcode(b"0")
def _drop(machine: Machine) -> None:
    machine.stack.pop()


@_opcode(b"1")
def _drop_to_mark(machine: Machine) -> None:
    machine.pop_to_mark()


@_opcode(b"2")
def _duplicate(machine: Machine) -> None:
    machine.push(machine.top())


@_opcode(b"t")
def _tuple(machine: Machine) -> None:
    machine.push(tuple(machine.pop_to_mark()))


def _small_tuple(code: bytes, count: int) -> None:
    def function(machine: Machine) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(items)))

    _FUNCTIONS[code[0]] = function


_small_tuple(b"\x85", 1)
_small_tuple(b"\x86", 2)
_small_tuple(b"\x87", 3)


@_opcode(b"l")
def _list(machine: Machine) -> None:
    machine.push(machine.pop_to_mark())


@_opcode(b"d")
def _dict(machine: Machine) -> None:
    machine.push(machine.dictionary(machine.pop_to_mark()))


@_opcode(b"\x91")
def _frozen_set(machine: Machine) -> None:
    machine.push(frozenset(map(key_of, machine.pop_to_mark())))


@_opcode(b"a")
def _append_one(machine: Machine) -> None:
    value = machine.pop()
    machine.append(machine.top(), [value])


@_opcode(b"e")
def _append_all(machine: Machine) -> None:
    values = machine.pop_to_mark()
    machine.append(machine.top(), values)


@_opcode(b"s")
def _assign_one(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.assign(machine.top(), [key, value])


@_opcode(b"u")
def _assign_all(machine: Machine) -> None:
    items = machine.pop_to_mark()
    machine.assign(machine.top(), items)


@_opcode(b"\x90")
def _add_all(machine: Machine) -> None:
    items = machine.pop_to_mark()
    machine.add(machine.top(), items)


# --- the memo


@_opcode(b"p")
def _put_line(machine: Machine) -> None:
    machine.memo[int(machine.line())] = machine.top()


@_opcode(b"q")
def _put(machine: Machine) -> None:
    machine.memo[machine.number("<B", 1)] = machine.top()


@_opcode(b"r")
def _put_long(machine: Machine) -> None:
    machine.memo[machine.number("<I", 4)] = machine.top()


@_opcode(b"\x94")
def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _get(machine: Machine, key: int) -> None:
    if key not in machine.memo:
        raise FormatError("it uses an object that it has not stored")
    machine.push(machine.memo[key])


_FUNCTIONS[ord("g")] = lambda machine: _get(machine, int(machine.line()))
_FUNCTIONS[ord("h")] = lambda machine: _get(machine, machine.number("<B", 1))
_FUNCTIONS[ord("j")] = lambda machine: _get(machine, machine.number("<I", 4))


# --- names and calls


@_opcode(b"c")
def _global(machine: Machine) -> None:
    machine.push(machine.name())


@_opcode(b"\x93")
def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if type(name) is not str or type(module) is not str or len(name) + len(module) > MOST_LINE:
        raise FormatError("a name is no string")
    machine.push(Name(module, name))


@_opcode(b"R")
def _reduce(machine: Machine) -> None:
    arguments, by = machine.pop(), machine.pop()
    machine.make(by, arguments)


@_opcode(b"\x81")
def _new_object(machine: Machine) -> None:
    arguments, by = machine.pop(), machine.pop()
    machine.make(by, arguments)


@_opcode(b"\x92")
def _new_object_ex(machine: Machine) -> None:
    named, arguments, by = machine.pop(), machine.pop(), machine.pop()
    machine.make(by, (arguments, named) if named else arguments)


@_opcode(b"i")
def _instance(machine: Machine) -> None:
    name = machine.name()
    machine.make(name, tuple(machine.pop_to_mark()))


@_opcode(b"o")
def _object(machine: Machine) -> None:
    items = machine.pop_to_mark()
    machine.make(items[0], tuple(items[1:]))


@_opcode(b"b")
def _build(machine: Machine) -> None:
    machine.build()


@_opcode(b"P")
def _persistent_line(machine: Machine) -> None:
    machine.stand_in(machine.line().decode("utf-8"))


@_opcode(b"Q")
def _persistent(machine: Machine) -> None:
    machine.stand_in(machine.pop())
