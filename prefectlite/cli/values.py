"""Values on the command line: NAME=VALUE, where the value is JSON, or text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from prefectlite.errors import ParameterError


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
