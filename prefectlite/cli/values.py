"""Values on the command line: NAME=VALUE, where the value is JSON, or text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from prefectlite.errors import BadRequest, ParameterError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def values(texts: tuple[str, ...], option: str) -> dict[str, Any]:
    """What options of this name give. Raises ParameterError for what is not written as NAME=VALUE."""
    return dict(_value(text, option) for text in texts)


def values_in(path: Path) -> dict[str, Any]:
    """What a file of JSON gives. Raises ParameterError if it holds no object."""
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise ParameterError(f"--param-file {path}: {error}") from None
    if not isinstance(content, dict):
        raise ParameterError(f"--param-file {path}: it holds no object, with a member for each parameter")
    return content


def moment(text: str, option: str) -> datetime:
    """The moment that is so far away (`30d`), or is this one (`2030-01-31T12:00:00Z`). Raises BadRequest."""
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip().lower())
    try:
        if match is not None and int(match[1]):
            return datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])})
        if match is None:
            given = datetime.fromisoformat(text.strip())
            return given if given.tzinfo else given.astimezone()
    except OverflowError:
        raise BadRequest(f"{option} {text}: this is too long") from None
    except ValueError:
        pass
    raise BadRequest(f"{option} {text}: a number and one of s, m, h, d, w is needed, such as 30d, or a moment")


def _value(text: str, option: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ParameterError(f"{option} {text}: write it as NAME=VALUE")
    try:
        return name, msgspec.json.decode(value)
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8
        return name, value
    except msgspec.DecodeError as error:
        if value[:1] in ("[", "{", '"'):
            raise ParameterError(f"{option} {text}: this begins like JSON and is not: {error}") from None
        return name, value
