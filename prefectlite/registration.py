"""Registration: the handle of writing a flow down under a project, so that servers can run it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Collection, Coroutine, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from prefectlite import hosting
from prefectlite.client.http import Client
from prefectlite.contexts import context
from prefectlite.errors import FlowError, RunNotStartedError
from prefectlite.language.graph import Graph
from prefectlite.language.serialized import complete, digest_of, serialize, serialized_run_config, serialized_schedule
from prefectlite.lazily import lazily
from prefectlite.records import FlowRow
from prefectlite.repository.flows import FlowVersion
from prefectlite.run_configs import UniversalRun
from prefectlite.secrets import known_secrets, make_known
from prefectlite.session import Session
from prefectlite.settings import Settings
from prefectlite.storage.loading import Source
from prefectlite.storage.source import AnySource, FileSource, ModuleSource, source_record

if TYPE_CHECKING:
    from prefectlite.storage import storages
else:
    storages = lazily("prefectlite.storage.storages")

make_known()


class Registration(Coroutine[Any, Any, "Registration"]):
    """The registration of one flow: await it in async code; in a script it is done already. `id` is the flow's id."""

    def __init__(self, flow: Graph, project_name: str, source: AnySource, settings: Settings) -> None:
        self._flow, self._project_name, self._source, self._settings = flow, project_name, source, settings
        self._id: str | None = None
        self._waiting: Coroutine[Any, Any, Registration] | None = None

    @property
    def id(self) -> str:
        """The id of the flow's version in the record. Raises RunNotStartedError before it is there."""
        if self._id is None:
            raise RunNotStartedError(f"The registration of flow {self._flow.name!r} has not been awaited")
        return self._id

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<Registration of {self._flow.name!r}: {self._id or 'not started: await it'}>"

    def run_blocking(self) -> Registration:
        """Register, in a thread that has no event loop."""
        if self._settings.api_url or not hosting.joinable(self._settings):
            return asyncio.run(self._register())
        host = hosting.join(self._settings)
        try:
            self._id = host.submit(self._register_in).result()
        finally:
            host.leave()
        return self

    def __await__(self) -> Generator[Any, None, Registration]:
        return self._register().__await__()

    def send(self, value: Any) -> Any:
        """One step, as of any coroutine."""
        return self._wait().send(value)

    def throw(self, *args: Any) -> Any:
        """An exception at the point of waiting, as of any coroutine."""
        return self._wait().throw(*args)

    def close(self) -> None:
        """Give up, as any coroutine does."""
        if self._waiting is not None:
            self._waiting.close()

    def _wait(self) -> Coroutine[Any, Any, Registration]:
        if self._waiting is None:
            self._waiting = self._register()
        return self._waiting

    async def _register(self) -> Registration:
        if self._id is not None:
            return self
        if self._settings.api_url:
            await self._register_with_server()
            return self
        host = hosting.join(self._settings)
        try:
            outcome: concurrent.futures.Future[str] = host.submit(self._register_in)
            self._id = await asyncio.wrap_future(outcome)
        finally:
            if host.leave():
                await asyncio.shield(asyncio.wrap_future(host.closed))
        return self

    async def _register_in(self, session: Session) -> str:
        return (await register_in(session, self._flow, self._project_name, self._source)).id

    async def _register_with_server(self) -> None:
        async with Client(self._settings.api_url) as client:
            self._id = (await register_with(client, self._flow, self._project_name, self._source)).id


class Terms(msgspec.Struct, frozen=True):
    """How a flow is to be registered: which labels its runs get, whether it is a new version even if nothing changed, and
    whether its schedule is to be on (None: on, unless somebody switched off that of the version before)."""

    labels: tuple[str, ...] = ()
    force: bool = False
    schedule: bool | None = None


class Registered(msgspec.Struct, frozen=True):
    """The version of a flow that is at a server now, and whether it is a new one."""

    id: str
    version: int
    is_new: bool


async def register_in(
    session: Session, flow: Graph, project_name: str, source: AnySource, terms: Terms | None = None
) -> FlowRow:
    """The version of `flow` that is in the session's database now: a new one if it or its code changed."""
    terms = terms or Terms()
    storage = _storage(flow)
    # The database of this session may be another one than that of the settings, where secrets are looked for in threads.
    with context(secrets=await known_secrets(session, storage.secret_names if storage is not None else ())):
        document = await asyncio.to_thread(described, flow, source, terms)
    return await register_document_in(session, document, project_name, terms)


async def register_document_in(
    session: Session, document: dict[str, Any], project_name: str, terms: Terms | None = None
) -> FlowRow:
    """As `register_in`, for what `described` gave. Raises BadRequest if that does not describe a flow."""
    terms = terms or Terms()
    content = dict(document)
    storage, digest = content.pop("storage"), content.pop("digest")
    complete(content)
    project_id = await session.client.project_named(project_name)
    version = FlowVersion(content, digest, project_id, storage, force=terms.force, schedule_active=terms.schedule)
    return await session.client.save_flow(version)


async def register_with(
    client: Client, flow: Graph, project_name: str, source: AnySource, terms: Terms | None = None
) -> Registered:
    """As `register_in`, at a server. Raises ApiError."""
    terms = terms or Terms()
    return await register_document_with(client, await asyncio.to_thread(described, flow, source, terms), project_name, terms)


async def register_document_with(
    client: Client, document: dict[str, Any], project_name: str, terms: Terms | None = None
) -> Registered:
    """As `register_with`, for what `described` gave."""
    terms, name = terms or Terms(), document["name"]
    project_id = await client.project_named(project_name)
    before = await client.current_version(name, project_id)
    sent = {**document, "force": True} if terms.force else document
    flow_id = await client.register_flow(sent, project_id, schedule_active=terms.schedule)
    known = before if before is not None and before[0] == flow_id else await client.current_version(name, project_id)
    return Registered(flow_id, known[1] if known is not None else 1, is_new=known is not before)


def source_of(flow: Graph, file: str) -> AnySource:
    """Where the code of `flow` is, given the file that made it. Raises FlowError if it is no file (a REPL, a notebook)."""
    path = Path(file)
    if not path.is_file() and getattr(flow, "storage", None) is not None:
        return FileSource(flow.name, file)  # its storage may not need it
    if not path.is_file():
        raise FlowError(
            f"Flow {flow.name!r} was made in {file}, which no server can load again:"
            " write it in a Python file and register that"
        )
    module = next((name for name in _importable_names(path)), None)
    return ModuleSource(flow.name, module) if module else FileSource(flow.name, str(path.absolute()))


def _importable_names(path: Path) -> list[str]:
    name = inspect.getmodulename(str(path))
    if name is None or not (path.parent / "__init__.py").is_file():
        return []
    parts = [name] if name != "__init__" else []
    directory = path.parent
    while (directory / "__init__.py").is_file():
        parts.insert(0, directory.name)
        directory = directory.parent
    return [".".join(parts)]


def described(flow: Graph, source: AnySource, terms: Terms) -> dict[str, Any]:
    """All that is registered of `flow`, as JSON values. Raises FlowError, and FlowSourceMissing of its storage."""
    flow.validate()
    serialized = serialize(flow)
    kept = _stored(flow, source)
    digest = digest_of(serialized, kept.digest())
    if (schedule := serialized_schedule(flow)) is not None:
        serialized["schedule"] = schedule
    run_config = serialized_run_config(flow)
    storage = _storage(flow)
    if run_config is not None:
        serialized["run_config"] = run_config
    label(serialized, {*terms.labels, *(storage.labels if storage is not None else ())})
    return {**serialized, "storage": source_record(kept, kept.flow or flow.name), "digest": digest}


def label(document: dict[str, Any], labels: Collection[str]) -> None:
    """Have the runs of a described flow carry these labels, too."""
    if labels:
        run_config = {**(document.get("run_config") or UniversalRun().serialize())}
        run_config["labels"] = sorted({*(run_config.get("labels") or ()), *labels})
        document["run_config"] = run_config


def _storage(flow: Graph) -> storages.Storage | None:
    storage = getattr(flow, "storage", None)
    if storage is None or isinstance(storage, storages.Storage):
        return storage
    raise FlowError(f"Flow {flow.name!r}: storage takes a storage, such as Git('flow.py', repo='me/flows'), not {storage!r}")


def _stored(flow: Graph, source: AnySource) -> Source:
    """Where the code of `flow` will be loaded from: its storage, at what that holds now, or `source`, where it was found."""
    storage = _storage(flow)
    if storage is None:
        return msgspec.structs.replace(source, flow=flow.name)
    kept = storage.source(flow, source)
    return kept if kept.is_followed else kept.ready()
