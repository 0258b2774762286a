"""Values of users as the record can hold them: as text, and as JSON. Nothing that a value does when it is asked gets out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

_FIRST_HUGE_INT = 2**63
#: Lists in lists: further in, a value is told rather than taken apart. Readers of JSON have limits of their own.
_DEEPEST = 50
#: Characters of a repr.
MOST_TOLD = 64 * 1024


def text(value: str) -> str:
    """`value` with lone surrogates, which neither databases nor JSON take, spelt out."""
    if type(value) is str and value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def told(value: Any, how: Callable[[Any], str] = repr, most: int = MOST_TOLD) -> str:
    """What `how` says of `value`, cut in the middle where it is longer than `most`; its type where that raises."""
    try:
        return shortened(text(how(value)), most)
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit):
        return f"{type(value).__name__} (its {how.__name__} raises)"


def printable(words: str) -> str:
    """`words` on one line, and with control characters, and those that change the direction of writing, spelt out."""
    if words.isprintable():
        return words
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)


def printable_lines(words: str, indent: str = "") -> str:
    """As `printable`, but with the line breaks that `words` has; what follows one begins with `indent`."""
    if words.isprintable():
        return words
    return f"\n{indent}".join(printable(line.expandtabs()) for line in words.splitlines())


def shortened(words: str, most: int) -> str:
    """Beginning and end of `words` where they are longer than `most` characters, and how many were left out."""
    if len(words) <= most:
        return words
    half = most // 2
    return f"{words[:half]}«{len(words) - 2 * half:,} characters left out»{words[-half:]}"


def as_json(values: Mapping[Any, Any]) -> dict[str, Any]:
    """`values` as a JSON object: what JSON has no word for is shown by its repr."""
    return _object(values, 0)


def _object(values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {told(key, str): _plain(value, depth + 1) for key, value in values.items()}


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) >= _FIRST_HUGE_INT:
            return hex(value)  # decimal digits have a limit, and readers of JSON round such numbers
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else told(float(value))
    if isinstance(value, str):
        return text(value)
    if depth < _DEEPEST:
        if isinstance(value, list | tuple):
            return [_plain(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return _object(value, depth)
    return told(value)
