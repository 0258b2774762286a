"""Files of flows that `prefectlite build` wrote: all that is registered of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from prefectlite.errors import FlowSourceMissing
from prefectlite.version import __version__

#: Of how the files are made up.
_VERSION = 1
_MOST_BYTES = 50_000_000
_NOT_OURS = "it is not what `prefectlite build` writes"


class _File(msgspec.Struct, frozen=True):
    version: int
    flows: list[dict[str, Any]]
    made_by: str = ""


def written(flows: Sequence[dict[str, Any]]) -> bytes:
    """The file with these flows."""
    content = {"version": _VERSION, "made_by": f"prefectlite {__version__}", "flows": flows}
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def built_flows(place: str) -> list[dict[str, Any]]:
    """The flows of the file, or of what is at the URL, `place`. Raises FlowSourceMissing."""
    try:
        file = msgspec.json.decode(_content(place), type=_File)
    except msgspec.DecodeError as error:
        raise _bad(place, f"{error}") from None
    if file.version != _VERSION:
        raise _bad(place, f"it is of version {file.version}, and a newer prefectlite may read it")
    for flow in file.flows:
        if "__version__" in flow:
            raise _bad(place, "Prefect 1.x built it, and `prefect register` registers it")
        if not isinstance(flow.get("name"), str) or not isinstance(flow.get("digest"), str):
            raise _bad(place, _NOT_OURS)
        if not isinstance(flow.get("storage"), dict):
            raise _bad(place, f"flow {flow['name']!r} has no storage, so that nobody knows where its code is")
    return file.flows


def _content(place: str) -> bytes:
    if place.startswith(("http://", "https://")):
        return _fetched(place)
    path = Path(place)
    if not path.exists():
        raise FlowSourceMissing(f"Path {place!r} doesn't exist")
    return path.read_bytes()


def _fetched(url: str) -> bytes:
    import httpx  # noqa: PLC0415 - 70 ms that only those pay who name a URL

    content = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=15) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > _MOST_BYTES:
                    raise _bad(url, f"it is larger than {_MOST_BYTES:,} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FlowSourceMissing(f"{url} cannot be read: {error or type(error).__name__}") from None
    return bytes(content)


def _bad(place: str, why: str) -> FlowSourceMissing:
    return FlowSourceMissing(f"{place!r} is not a valid prefectlite flows `json` file: {why}")
