"""Plain data as YAML: a subset that readers of YAML 1.1 and of 1.2 take for the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

#: Text that nobody takes for anything else; all other is quoted, as in JSON.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(?:[ /-][A-Za-z0-9_.]+)*")
_WORDS = frozenset("y n yes no on off true false null nan inf".split())  # in whatever case: these are values, to some
#: Longer keys have to be marked as such.
_LONGEST_KEY = 120


def yaml(value: Any) -> str:
    """`value`, which JSON can say, as a YAML document; it ends with a line break."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if not isinstance(value, dict | list) or not value:
        yield _scalar(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            key = _scalar(name)
            if len(key) > _LONGEST_KEY:
                yield f"? {key}"
                key = ""
            if isinstance(member, dict | list) and member:
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(member))
            else:
                yield f"{key}: {_scalar(member)}"
    else:
        for element in value:
            first, *rest = _lines(element)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, float):
        return _number(value)
    text = msgspec.json.encode(value).decode()
    return _escaped(text) if isinstance(value, str) else text


def _number(value: float) -> str:
    # YAML 1.1 wants a point before the exponent, and a sign in it.
    mantissa, letter, exponent = repr(value).partition("e")
    if not letter:
        return mantissa
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _escaped(quoted: str) -> str:
    """Without the characters that JSON leaves as they are and YAML does not print."""
    if quoted.isprintable():
        return quoted
    return "".join(letter if letter.isprintable() else _code(letter) for letter in quoted)


def _code(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65_536 else f"\\U{number:08x}"
