"""The flows an agent can run: those given to it as objects, and those it loads from where the record says."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from prefectlite.errors import FlowSourceMissing, PrefectliteError
from prefectlite.language.graph import Graph
from prefectlite.language.serialized import digest_of, serialize
from prefectlite.records import FlowRow
from prefectlite.secrets import make_known
from prefectlite.storage.loading import Source
from prefectlite.storage.source import load_flow, source_from_record

make_known()
_logger = logging.getLogger("prefectlite.agent")


class Catalog:
    """Finds the code of registered flows."""

    def __init__(self) -> None:
        self._loaded: dict[str, tuple[str, Graph]] = {}  # by flow id, with the digest of the code it was loaded from
        self._given: dict[str, Graph] = {}

    def give(self, flow_id: str, graph: Graph) -> None:
        """Use this very object for the flow's version `flow_id`."""
        self._given[flow_id] = graph

    async def find(self, row: FlowRow) -> Graph:
        """The flow of `row`. Raises FlowLoadError if its code is gone, cannot be imported or is another flow's."""
        if given := self._given.get(row.id):
            return given
        if row.storage is None:
            raise FlowSourceMissing(f"Flow {row.name!r} was registered without a storage: nothing here knows its code")
        source, code = await asyncio.to_thread(_code, row.storage)
        known = self._loaded.get(row.id)
        if known is not None and known[0] == code:
            return known[1]
        graph = await asyncio.to_thread(load_flow, source)
        if missing := sorted(set(graph.slugs.values()) ^ set(row.task_ids)):
            raise FlowSourceMissing(
                f"{source.place} holds another version of flow {row.name!r} than the one registered (version {row.version});"
                f" they differ in the tasks {', '.join(missing[:5])}: register it again"
            )
        if not source.is_followed and digest_of(serialize(graph), code) != row.digest:
            _logger.warning("%s has changed since flow %r was registered: register it again", source.place, row.name)
        self._loaded[row.id] = (code, graph)
        return graph


def _code(storage: dict[str, Any]) -> tuple[Source, str]:
    """The source that the record names, as it is now, and the digest of its code."""
    source = source_from_record(storage).ready()
    return source, source.digest()


def why_unloadable(error: Exception) -> str:
    """What to say of code that cannot be loaded."""
    return str(error) if isinstance(error, PrefectliteError) else f"{type(error).__name__}: {error}"
