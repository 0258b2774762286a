"""Pieces of news as the JSON that is sent: made once for all subscribers that ask for the same fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from prefectlite.api.selections import Asked, Nodes

#: Pieces whose text is kept for the next who asks.
KEPT = 5_000

#: What is asked of an object: (response key, name of the field, what is asked of the objects in it), and its type.
Wanted = tuple[str, tuple[tuple[str, str, "Wanted | None"], ...]]


class Wording:
    """Writes news for all subscriptions whose documents ask for the same in the same words."""

    def __init__(self, key: str, wanted: Wanted) -> None:
        self._key, self._wanted = key, wanted
        self._said: dict[int, bytes] = {}

    def texts(self, batch: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """The bodies of the answers, one for each piece of news."""
        return [self._text(news) for news in batch]

    def _text(self, news: Mapping[str, Any]) -> bytes:
        if news["lagged"]:  # that is said to one subscriber, and not to all
            return self._made(news)
        seq = news["seq"]
        if (text := self._said.get(seq)) is None:
            if len(self._said) >= KEPT:
                self._said.clear()
            text = self._said[seq] = self._made(news)
        return text

    def _made(self, news: Mapping[str, Any]) -> bytes:
        return msgspec.json.encode({"data": {self._key: _chosen(news, self._wanted)}})


class Wordings:
    """Those in use."""

    def __init__(self) -> None:
        self._used: WeakValueDictionary[tuple[str, Any, Wanted], Wording] = WeakValueDictionary()

    def get(self, key: str, about: Any, wanted: Wanted) -> Wording:
        """The wording of the field with this response key; `about` tells apart what has sequence numbers of its own."""
        found = self._used.get((key, about, wanted))
        if found is None:
            found = self._used[(key, about, wanted)] = Wording(key, wanted)
        return found


def wanted(asked: Asked, type_name: str, nodes: Nodes, inner: Mapping[str, str]) -> Wanted:
    """What `nodes` ask of an object; `inner` names the types of its fields that hold objects."""
    fields = []
    for key, found in asked.fields(type_name, nodes).items():
        name = found[0].name.value
        fields.append((key, name, wanted(asked, inner[name], found, inner) if name in inner else None))
    return type_name, tuple(fields)


def _chosen(news: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    type_name, fields = wanted
    chosen: dict[str, Any] = {}
    for key, name, inner in fields:
        if inner is not None:
            chosen[key] = [_chosen(one, inner) for one in news[name]]
        else:
            chosen[key] = type_name if name == "__typename" else news[name]
    return chosen
