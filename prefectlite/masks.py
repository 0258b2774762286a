"""Masks: what a run must not show of the secrets that it has read, in whichever form it would show them."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from prefectlite.contexts import active_mask

HIDDEN = "***"
#: Shorter values are in every other word, so that hiding them would tell more than it hides.
_SHORTEST = 4
#: Of data that nobody reads, such as pickles, only what is surely no coincidence is found.
_SURE = 8


class Mask:
    """The values that one run hides, and those of the run around it, if it has one. From any thread."""

    def __init__(self, around: Mask | None = None) -> None:
        self._hidden: set[str] = set() if around is None else set(around._hidden)
        self._pattern: re.Pattern[str] | None = _pattern(self._hidden)
        self._adding = threading.Lock()

    def add(self, value: Any) -> None:
        """Hide `value`: a text, or those in a list or an object; each line of it, and as URLs, JSON and Base64 have it."""
        with self._adding:
            self._hidden = self._hidden | set(_forms(value))
            self._pattern = _pattern(self._hidden)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to hide."""
        return self._pattern is None

    def hide(self, text: str) -> str:
        """`text` with asterisks for all that is to be hidden."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def is_in(self, data: bytes) -> bool:
        """Whether bytes have in them what is to be hidden."""
        return not self.is_empty and any(
            form.encode("utf-8", "surrogatepass") in data for form in self._hidden if len(form) >= _SURE
        )


def masked(text: str) -> str:
    """`text` without what the run that is current here has to hide."""
    mask: Mask | None = active_mask.get()
    return text if mask is None else mask.hide(text)


def masked_within(value: Any) -> Any:
    """`value` with its texts as `masked` gives them, those in lists and objects included."""
    mask: Mask | None = active_mask.get()
    return value if mask is None or mask.is_empty else _within(value, mask)


def _within(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask.hide(value)
    if isinstance(value, dict):
        return {key: _within(item, mask) for key, item in value.items()}
    return [_within(item, mask) for item in value] if isinstance(value, list | tuple) else value


def note_read(*values: Any) -> None:
    """Let the run that is current here hide these values from now on."""
    mask: Mask | None = active_mask.get()
    if mask is not None:
        for value in values:
            mask.add(value)


def _pattern(hidden: set[str]) -> re.Pattern[str] | None:
    longest_first = sorted(hidden, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, longest_first))) if hidden else None


def _forms(value: Any) -> Iterator[str]:
    for text in _texts(value):
        for part in {text, *text.splitlines(), text.strip()}:
            if len(part.strip()) >= _SHORTEST:
                data = part.encode("utf-8", "surrogatepass")
                yield from (part, repr(part)[1:-1], json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
                yield from (quote(data, safe=""), quote(data), quote_plus(data))
                yield from (base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
