"""Pieces of news as the JSON that is sent: made once for all subscribers that ask for the same fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from prefectlite.api.selections import Asked, Nodes
from prefectlite.clock import from_micros

#: Pieces whose text is kept for the next who asks.
KEPT = 5_000

#: What is asked of an object: (response key, name of the field, what is asked of the objects in it), and its type.
Wanted = tuple[str, tuple[tuple[str, str, "Wanted | None"], ...]]


class Batch(msgspec.Struct, frozen=True):
    """News that comes at once: (sequence number, what it is made of) of each piece, and its values, in the order of names.

    With `lagged`, something before the first piece was dropped.
    """

    pieces: Sequence[tuple[int, Any]]
    values: Callable[[Any], tuple[Any, ...]]
    lagged: bool = False


class Wording:
    """Writes news for all subscriptions whose documents ask for the same in the same words."""

    def __init__(self, key: str, wanted: Wanted, names: Sequence[str]) -> None:
        type_name, fields = wanted
        places = {name: place for place, name in enumerate((*names, "lagged", "__typename"))}
        self._type_name = type_name
        self._plan = [(as_, places[name], _conversion(name, inner)) for as_, name, inner in fields]
        self._before = b'{"data":{"%b":' % key.encode()
        self._said: dict[int, bytes] = {}

    def texts(self, batch: Batch) -> list[bytes]:
        """The bodies of the answers, one for each piece of news."""
        said, texts = self._said, []
        for seq, piece in batch.pieces:
            if (text := said.get(seq)) is None:
                if len(said) >= KEPT:
                    said.clear()
                text = said[seq] = self._made(batch.values(piece), lagged=False)
            texts.append(text)
        if batch.lagged:  # which is said to one subscriber, and not to all
            texts[0] = self._made(batch.values(batch.pieces[0][1]), lagged=True)
        return texts

    def _made(self, values: tuple[Any, ...], *, lagged: bool) -> bytes:
        whole = (*values, lagged, self._type_name)
        chosen = {key: convert(whole[place]) if convert else whole[place] for key, place, convert in self._plan}
        return b"%b%b}}" % (self._before, msgspec.json.encode(chosen))


class Wordings:
    """Those in use."""

    def __init__(self) -> None:
        self._used: WeakValueDictionary[tuple[str, Any, Wanted], Wording] = WeakValueDictionary()

    def get(self, key: str, about: Any, wanted: Wanted, names: Sequence[str]) -> Wording:
        """The wording of the field with this response key; `about` tells apart what has sequence numbers of its own.

        `names` are those of the values that its news consists of.
        """
        found = self._used.get((key, about, wanted))
        if found is None:
            found = self._used[(key, about, wanted)] = Wording(key, wanted, names)
        return found


def wanted(asked: Asked, type_name: str, nodes: Nodes, inner: Mapping[str, str]) -> Wanted:
    """What `nodes` ask of an object; `inner` names the types of its fields that hold objects."""
    fields = []
    for key, found in asked.fields(type_name, nodes).items():
        name = found[0].name.value
        fields.append((key, name, wanted(asked, inner[name], found, inner) if name in inner else None))
    return type_name, tuple(fields)


def _conversion(name: str, inner: Wanted | None) -> Callable[[Any], Any] | None:
    if inner is not None:
        return lambda objects: [_chosen(one, inner) for one in objects]
    return _moment if name == "timestamp" else None


def _chosen(news: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    type_name, fields = wanted
    return {key: type_name if name == "__typename" else news[name] for key, name, _ in fields}


def _moment(micros: int) -> str:
    seconds, fraction = divmod(micros, 1_000_000)
    return f"{_second(seconds)}.{fraction:06}+00:00"


@lru_cache(maxsize=64)  # what is busy says the same second a thousand times
def _second(seconds: int) -> str:
    return from_micros(seconds * 1_000_000).strftime("%Y-%m-%dT%H:%M:%S")
