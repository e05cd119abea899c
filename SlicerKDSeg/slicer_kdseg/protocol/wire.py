"""Messages as JSON and back. An unknown key, a missing one or a wrong type is a :class:`BadRequest`.

The dataclasses of :mod:`messages` are the schema; nothing is said twice. A number that is not finite has no
JSON form: inside a table of numbers it is left out (no value), anywhere else it is an error.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from functools import cache
from typing import Any, Literal, TypeVar

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.messages import PAYLOADS, Event, Payload

T = TypeVar("T")


def to_json(message: Any) -> dict[str, Any]:
    """Any message dataclass as JSON-ready dictionaries, lists and numbers."""
    return {field.name: _plain(getattr(message, field.name)) for field in dataclasses.fields(message)}


def from_json(kind: type[T], data: Any, where: str = "") -> T:
    """The message of type ``kind`` that ``data`` stands for. Raises :class:`BadRequest`."""
    place = where or kind.__name__
    if not isinstance(data, dict):
        raise BadRequest(f"{place} must be a JSON object, got {_short(data)}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(fields)}."
            raise BadRequest(f"{place} has no '{str(name)[:40]}'.{hint}")
    required = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in data]
    if missing:
        raise BadRequest(f"{place} lacks {', '.join(missing)}; send it.")
    hints = _hints(typing.cast(Any, kind))
    return kind(**{name: _typed(hints[name], value, f"{place}.{name}") for name, value in data.items()})


def event_to_json(event: Event) -> dict[str, Any]:
    payload = {"type": type(event.payload).__name__, **to_json(event.payload)}
    return {"id": event.id, "job": event.job, "time": event.time, "payload": payload}


def event_from_json(data: Any) -> Event:
    if not isinstance(data, dict) or set(data) != {"id", "job", "time", "payload"}:
        raise BadRequest(f"An event has id, job, time and payload, got {_short(data)}.")
    id_, job, time = (_typed(kind, data[name], name) for name, kind in (("id", int), ("job", str), ("time", float)))
    return Event(id_, job, time, payload_from_json(data["payload"]))


def payload_from_json(data: Any) -> Payload:
    fields = dict(data) if isinstance(data, dict) else {}
    kind = PAYLOADS.get(str(fields.pop("type", "")))
    if kind is None:
        raise BadRequest(f"An event's payload must name its type, one of {', '.join(PAYLOADS)}, got {_short(data)}.")
    return typing.cast(Payload, from_json(kind, fields))


def parse(text: bytes | str, what: str = "The request") -> Any:
    """JSON text to values; ``what`` names it in the sentence of the :class:`BadRequest`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{what} is not JSON ({error}).") from error


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if not _is_not_finite(item)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if _is_not_finite(value):
        raise BadRequest(f"{value} cannot be sent: it is not a finite number.")
    if hasattr(value, "item") and not isinstance(value, str | int | float | bool):
        return _plain(value.item())  # NumPy scalars
    return value


def _typed(hint: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _typed(next(kind for kind in arguments if kind is not type(None)), value, place)
    if origin is Literal:
        if value not in arguments:
            raise BadRequest(f"{place} must be one of {', '.join(map(str, arguments))}, got {_short(value)}.")
        return value
    if origin is tuple:
        return _tuple(arguments, value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise BadRequest(f"{place} must be a JSON object, got {_short(value)}.")
        return {key: _typed(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, place)
    if hint is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not hint or _is_not_finite(value):
        raise BadRequest(f"{place} must be of type {hint.__name__}, got {_short(value)}.")
    return value


def _tuple(arguments: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise BadRequest(f"{place} must be a list, got {_short(value)}.")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_typed(arguments[0], item, f"{place}[{index}]") for index, item in enumerate(value))
    if len(value) != len(arguments):
        raise BadRequest(f"{place} must have {len(arguments)} entries, got {len(value)}.")
    return tuple(
        _typed(hint, item, f"{place}[{index}]") for index, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
