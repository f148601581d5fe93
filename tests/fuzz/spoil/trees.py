"""Spoils what is parsed: trees of JSON, and messages of protobuf."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from tests.fuzz.draw import Draw
from tests.fuzz.spoil.files import STRANGE

WHOLE = (0, 1, 2, 3, -1, -2, 7, 16, 2**16, 2**31 - 1, -(2**31))
BROAD = (2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, 1e30, -1e30, 1e-40, float("nan"), float("inf"))
MOST_PLACES = 4000


def spoil_json(draw: Draw, value: Any) -> Any:
    """A copy of a tree of dicts and lists with one place in it changed."""
    places = list(itertools.islice(_places(value), MOST_PLACES))  # a bomb has millions
    if not places:
        return draw.choice(STRANGE)
    holder, key = draw.choice(places)
    others = [copy.deepcopy(other[name]) for other, name in draw.random.sample(places, 1)]
    others += [other[name] for other, name in places if not isinstance(other[name], (dict, list))]
    form = draw.integer(0, 5)
    if form == 0:
        holder[key] = draw.choice(STRANGE)
    elif form == 1:
        del holder[key]
    elif form == 2:
        holder[key] = draw.choice(others)
    elif form == 3 and isinstance(holder, list):
        holder.insert(draw.integer(0, len(holder)), draw.choice(others))
    elif form == 3:
        holder[draw.choice(("x", "", str(key) + "_1", "layers", "config"))] = draw.choice(others)
    elif type(holder[key]) is int:
        holder[key] = draw.choice((holder[key] + 1, holder[key] - 1, *WHOLE, *BROAD))
    elif isinstance(holder[key], str):
        texts = [other for other in others if isinstance(other, str)]
        holder[key] = draw.choice((holder[key][:-1], holder[key] + "x", *texts[:50]))
    else:
        holder[key] = [holder[key]]
    return value


def _places(value: Any, depth: int = 0) -> Any:
    """Every place in a tree, as what holds it and the key there."""
    if isinstance(value, (dict, list)) and depth < 60:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key], depth + 1)


def spoil_message(draw: Draw, message: Any) -> None:
    """Change one place in a message, however deep, to something that its type has."""
    messages = [message]
    for one in messages:
        for field, value in one.ListFields():
            if field.message_type is not None and len(messages) < MOST_PLACES:
                messages += list(value) if _many(field) else [value]
    one = draw.choice(messages)
    fields = one.ListFields()
    if not fields or draw.chance(0.15):  # also what is not there
        field = draw.choice(list(one.DESCRIPTOR.fields))
        if field.message_type is not None:
            like = [m for m in messages if m.DESCRIPTOR is field.message_type]
            _put_message(draw, one, field, like)
        elif _many(field):
            getattr(one, field.name).append(_drawn(draw, field, None, messages))
        else:
            setattr(one, field.name, _drawn(draw, field, None, messages))
        return
    field, value = draw.choice(fields)
    if field.message_type is not None:
        like = [m for m in messages if m.DESCRIPTOR is field.message_type]
        _put_message(draw, one, field, like)
    elif _many(field):
        _spoil_list(draw, field, value, messages)
    else:
        setattr(one, field.name, _drawn(draw, field, value, messages))


def _many(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)  # of protobuf before 6: a label
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)


def _put_message(draw: Draw, one: Any, field: Any, like: list[Any]) -> None:
    """Leave out, copy, exchange or empty a message, or several."""
    copies = [type(other).FromString(other.SerializePartialToString()) for other in like]
    value = getattr(one, field.name)
    if not _many(field):
        one.ClearField(field.name)
        if copies and draw.chance(0.7):
            getattr(one, field.name).CopyFrom(draw.choice(copies))
        return
    form = draw.integer(0, 3)
    if form == 0 and len(value):
        del value[draw.integer(0, len(value) - 1)]
    elif form == 1 and copies:
        value.add().CopyFrom(draw.choice(copies))
    elif form == 2 and copies and len(value):
        value[draw.integer(0, len(value) - 1)].CopyFrom(draw.choice(copies))
    elif len(value) > 1:
        kept = [type(part).FromString(part.SerializePartialToString()) for part in value]
        draw.random.shuffle(kept)
        del value[:]
        value.extend(kept)
    else:
        value.add()


def _spoil_list(draw: Draw, field: Any, value: Any, messages: list[Any]) -> None:
    form = draw.integer(0, 3)
    at = draw.integer(0, len(value) - 1)
    if form == 0:
        del value[at]
    elif form == 1:
        value.append(_drawn(draw, field, value[at], messages))
    elif form == 2 and len(value) > 1:
        kept = list(value)
        draw.random.shuffle(kept)
        del value[:]
        value.extend(kept)
    else:
        value[at] = _drawn(draw, field, value[at], messages)


def _drawn(draw: Draw, field: Any, value: Any, messages: list[Any]) -> Any:
    """Another value of a field's type."""
    if field.type == field.TYPE_STRING:
        known = [
            text
            for one in messages
            for own, found in one.ListFields()
            if own.type == field.TYPE_STRING
            for text in (found if _many(own) else [found])
        ]
        return draw.choice((*known, "", "x", "Tanh", "LSTM", "Conv", "reverse"))
    if field.type == field.TYPE_BYTES:
        data = bytes(value or b"")
        at = draw.integer(0, len(data))
        forms = (b"", data[:at], data + data[:4], data[:at] + b"\xff" + data[at + 1 :], b"reverse")
        return draw.choice((*forms, b"bidirectional"))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return draw.choice(FLOATS)
    if field.type == field.TYPE_ENUM:
        return draw.choice([one.number for one in field.enum_type.values])
    if field.type == field.TYPE_BOOL:
        return draw.chance(0.5)
    near = (value + 1, value - 1) if isinstance(value, int) and abs(value) < 2**30 else ()
    if field.type in (field.TYPE_INT64, field.TYPE_SINT64):
        return draw.choice((*near, *WHOLE, *BROAD))
    if field.type in (field.TYPE_UINT64, field.TYPE_UINT32):
        return draw.choice([number for number in (*near, *WHOLE) if number >= 0])
    return draw.choice((*near, *WHOLE))
