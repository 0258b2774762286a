"""What people give, held against the JSON schema of what was asked for, by whoever does not have the type itself.

Known is what `msgspec.json.schema` writes, but for patterns of texts; the type itself has the last word.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import msgspec

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_FORMATS: dict[str, type] = {"date-time": datetime, "date": date, "time": time, "duration": timedelta, "uuid": UUID}
_DEEPEST, _DEEPEST_SKETCH = 32, 6


def problem(schema: Mapping[str, Any], value: Any) -> str | None:
    """What is wrong with `value`, naming the field at fault: `input.count: it is missing`. None if nothing is."""
    return _Check(schema.get("$defs") or {}).problem(schema, value, "input", 0)


def sketch(schema: Mapping[str, Any]) -> str:
    """What `schema` asks for, for people: `{"approved": boolean, "note": string (may be left out)}`."""
    return _Sketch(schema.get("$defs") or {}).of(schema, 0)


class _Sketch:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def of(self, schema: Any, depth: int) -> str:
        if not isinstance(schema, Mapping) or depth > _DEEPEST_SKETCH:
            return "…"
        if isinstance(name := schema.get("$ref"), str):
            return self.of(self._definitions.get(name.rpartition("/")[2]), depth + 1)
        if isinstance(ways := schema.get("anyOf") or schema.get("oneOf"), Sequence):
            return " or ".join(dict.fromkeys(self.of(way, depth + 1) for way in ways))
        if isinstance(allowed := schema.get("enum", [schema["const"]] if "const" in schema else None), Sequence):
            return " or ".join(msgspec.json.encode(value).decode() for value in allowed)
        if isinstance(members := schema.get("properties"), Mapping):
            needed = schema.get("required") or ()
            told = (
                f"{msgspec.json.encode(name).decode()}: {self.of(member, depth + 1)}"
                + ("" if name in needed else " (may be left out)")
                for name, member in members.items()
            )
            return "{" + ", ".join(told) + "}"
        if "items" in schema:
            return f"[{self.of(schema['items'], depth + 1)}, …]"
        kind = schema.get("format") or schema.get("type") or "anything"
        return " or ".join(kind) if isinstance(kind, list) else str(kind)


class _Check:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def problem(self, schema: Any, value: Any, path: str, depth: int) -> str | None:
        if not isinstance(schema, Mapping):
            return None
        if depth > _DEEPEST:
            return f"{path}: it is nested too deep"
        if isinstance(name := schema.get("$ref"), str):
            return self.problem(self._definitions.get(name.rpartition("/")[2]), value, path, depth + 1)
        if isinstance(ways := schema.get("anyOf") or schema.get("oneOf"), Sequence):
            found = [self.problem(way, value, path, depth + 1) for way in ways]
            if None in found:
                return None
            inside = [one for one in found if one is not None and not one.startswith(f"{path}: ")]
            return inside[0] if inside else found[0]
        if isinstance(allowed := schema.get("enum", [schema["const"]] if "const" in schema else None), Sequence):
            return None if value in allowed else f"{path}: it must be {' or '.join(map(repr, allowed))}, not {value!r:.100}"
        if (wrong := _of_wrong_type(schema, value, path)) is not None:
            return wrong
        if isinstance(value, dict):
            return self._object(schema, value, path, depth)
        if isinstance(value, list):
            return self._array(schema, value, path, depth)
        return _string(schema, value, path) if isinstance(value, str) else _number(schema, value, path)

    def _object(self, schema: Mapping[str, Any], value: dict[str, Any], path: str, depth: int) -> str | None:
        for name in schema.get("required") or ():
            if name not in value:
                return f"{path}.{name}: it is missing"
        known, others = schema.get("properties") or {}, schema.get("additionalProperties", True)
        for name, member in value.items():
            if name not in known and others is False:
                return f"{path}.{name}: nobody asked for it"
            if (found := self.problem(known.get(name, others), member, f"{path}.{name}", depth + 1)) is not None:
                return found
        return None

    def _array(self, schema: Mapping[str, Any], value: list[Any], path: str, depth: int) -> str | None:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{path}: it has {len(value)} elements"
        first = schema.get("prefixItems") or ()
        for index, element in enumerate(value):
            its = first[index] if index < len(first) else schema.get("items")
            if (found := self.problem(its, element, f"{path}[{index}]", depth + 1)) is not None:
                return found
        return None


def _of_wrong_type(schema: Mapping[str, Any], value: Any, path: str) -> str | None:
    names = schema.get("type")
    wanted = [names] if isinstance(names, str) else names
    if not isinstance(wanted, Sequence):
        return None
    for name in wanted:
        if isinstance(value, _TYPES.get(name, ())) and (name == "boolean" or not isinstance(value, bool)):
            return None
    return f"{path}: {' or '.join(map(str, wanted))} is expected, not {value!r:.100}"


def _string(schema: Mapping[str, Any], value: str, path: str) -> str | None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return f"{path}: it is {len(value)} characters long"
    if (kind := _FORMATS.get(schema.get("format", ""))) is not None:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return f"{path}: {value!r:.100} is not a {schema['format']}"
    return None


def _number(schema: Mapping[str, Any], value: Any, path: str) -> str | None:
    for name, holds in _BOUNDS.items():
        if name in schema and not holds(value, schema[name]):
            return f"{path}: {value} is not within its bounds: {name} {schema[name]}"
    return None


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "exclusiveMinimum": operator.gt,
    "maximum": operator.le,
    "exclusiveMaximum": operator.lt,
}
