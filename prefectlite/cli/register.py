"""`prefectlite register`: the flows in files and modules, written down so that a server runs them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec

from prefectlite.cli import OPTIONS
from prefectlite.cli.built_flows import built_flows
from prefectlite.cli.options import DATABASE
from prefectlite.cli.places import Place, places_in, without_imported
from prefectlite.cli.watching import changes
from prefectlite.client.http import Client
from prefectlite.errors import PrefectliteError
from prefectlite.language.graph import Graph
from prefectlite.registration import (
    Registered,
    Terms,
    label,
    register_document_in,
    register_document_with,
    register_in,
    register_with,
)
from prefectlite.session import open_session
from prefectlite.settings import Settings, load_settings
from prefectlite.shown import printable_lines
from prefectlite.storage.source import AnySource

_WIDTH = 60  # of the summary, as Prefect's users know it


class _Found(msgspec.Struct, frozen=True):
    """A flow to be registered: one that was loaded, with where it is, or one that was built, as its document."""

    place: str
    name: str
    flow: Graph | None = None
    source: AnySource | None = None
    document: dict[str, Any] | None = None

    def built(self, terms: Terms) -> dict[str, Any]:
        """The document, with the labels that are asked for."""
        document = dict(self.document or {})
        label(document, terms.labels)
        return document


Register = Callable[[_Found], Awaitable[Registered]]


class _Wanted(msgspec.Struct, frozen=True):
    """What the command line asks for."""

    project: str
    paths: tuple[str, ...]
    modules: tuple[str, ...]
    files: tuple[str, ...]
    names: tuple[str, ...]
    terms: Terms
    settings: Settings

    def places(self) -> list[Place]:
        """The files and modules that are there now."""
        return places_in(self.paths, self.modules)


@click.command("register")
@click.option("--project", required=True, help="The project to register the flows in, which is made if need be.")
@click.option(
    "-p",
    "--path",
    "paths",
    multiple=True,
    metavar="PATH",
    help="A Python file, a directory of them, or a pattern (**/*.py).",
)
@click.option("-m", "--module", "modules", multiple=True, help="An importable module, or a flow in one (module.flow).")
@click.option(
    "-j", "--json", "files", multiple=True, metavar="FILE", help="What `prefectlite build` wrote: a file or a URL."
)
@click.option("-n", "--name", "names", multiple=True, help="Register the flow of this name only.")
@click.option("-l", "--label", "labels", multiple=True, help="A label for the runs of the flows.")
@click.option("-f", "--force", is_flag=True, help="Make a new version even if nothing changed.")
@click.option("--watch", is_flag=True, help="Register again whenever a file, or what it imports, changes; until Ctrl-C.")
@click.option("--schedule/--no-schedule", default=None, help="Switch the flows' schedules on or off.")
@click.option("--api", metavar="URL", help="The server to register with (the database itself, if none is set).")
@DATABASE
def command(
    project: str,
    paths: tuple[str, ...],
    modules: tuple[str, ...],
    files: tuple[str, ...],
    names: tuple[str, ...],
    labels: tuple[str, ...],
    force: bool,
    watch: bool,
    schedule: bool | None,
    api: str | None,
    database: str | None,
) -> None:
    """Register the flows in files and modules. Leaves with 1 if one of them could not be.

    Each option that takes a value may be given several times, but for the project, the server and the database.
    """
    if not paths and not modules and not files:
        raise click.UsageError("Say what to register: a file or directory with -p, a module with -m, built flows with -j")
    if watch and files:
        raise click.UsageError("--watch looks after files and modules with flows: leave --json out")
    if api and database:
        raise click.UsageError("Give either --api or --database: a server has a database of its own")
    address = "" if database else api  # a database that is named here counts more than a server in the settings
    settings = load_settings(options={**OPTIONS, "api_url": "--api"}, database_url=database, api_url=address)
    wanted = _Wanted(project, paths, modules, files, names, Terms(labels, force, schedule), settings)
    if watch:
        _watch(wanted)
    elif not _pass(wanted, wanted.places(), names):
        sys.exit(1)


def _watch(wanted: _Wanted) -> None:
    sys.dont_write_bytecode = True  # Python's cache does not tell two edits within a second apart
    looks = changes(wanted.places)
    _pass(wanted, next(looks), wanted.names)
    click.echo("Watching for flow changes... (Ctrl-C ends it)")
    for changed in looks:
        for place in changed:  # all of them, before any is loaded: they may share modules
            place.tree().forget()
        _pass(wanted, changed, ())


def _pass(wanted: _Wanted, places: list[Place], expected: Collection[str]) -> bool:
    """Register the flows in these places, in which those of the `expected` names are; whether there was no error."""
    click.echo("Collecting flows...")
    loaded, errored = load(places)
    found = [_Found(place.name, flow.name, flow=flow, source=place.source) for place, flow in loaded]
    for file in wanted.files:
        try:
            found += [_Found(file, document["name"], document=document) for document in built_flows(file)]
        except PrefectliteError as error:
            click.echo(f"Error: {printable_lines(str(error))}", err=True)
            errored += 1
    chosen = [one for one in found if not wanted.names or one.name in wanted.names]
    if missing := not_found(expected, {one.name for one in chosen}):
        errored += missing
    elif not chosen and not errored:
        click.echo("No flows found.")
        return True
    counts = {"registered": 0, "skipped": 0, "errored": errored}
    if chosen:
        try:
            asyncio.run(_register(wanted, chosen, counts))
        except PrefectliteError as error:  # the database or the server cannot be used
            click.echo(f"Error: {printable_lines(str(error))}", err=True)
            counts["errored"] += 1
    click.echo(summary(counts, "registered"))
    return not counts["errored"]


def load(places: list[Place]) -> tuple[list[tuple[Place, Graph]], int]:
    """The flows in these places, and how many of the places could not be read, which is told."""
    loaded: list[tuple[Place, Graph]] = []
    errored = 0
    for place in places:
        try:
            loaded += [(place, flow) for flow in place.flows()]
        except PrefectliteError as error:
            click.echo(f"Error: {printable_lines(str(error))}", err=True)
            errored += 1
    return without_imported(loaded), errored


def not_found(expected: Collection[str], names: Collection[str]) -> int:
    """How many of the `expected` names are not among `names`, which is told."""
    missing = sorted(set(expected) - set(names))
    if missing:
        click.echo("\n".join(["Failed to find the following flows:", *(f"- {name}" for name in missing)]), err=True)
    return len(missing)


def summary(counts: dict[str, int], always: str) -> str:
    """How many there were of each kind, in a line of its own; none of a kind is told only for `always`."""
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == always)
    bar = "=" * (max(_WIDTH - len(told), 4) // 2)
    return f"{bar} {told} {bar}"


async def _register(wanted: _Wanted, chosen: list[_Found], counts: dict[str, int]) -> None:
    current = None
    names: dict[str, str] = {}
    async with _registering(wanted) as register:
        for one in chosen:
            if one.place != current:
                click.echo(f"Processing {one.place!r}:")
                current = one.place
            click.echo(f"  Registering {one.name!r}...", nl=False)
            if (other := names.setdefault(one.name, one.place)) != one.place:
                click.echo(" Error")
                click.echo(f"Error: {one.place} and {other} both have a flow {one.name!r}: rename one", err=True)
                counts["errored"] += 1
            else:
                counts[await _one(register, one)] += 1


async def _one(register: Register, found: _Found) -> str:
    """Register one flow, and say how that went."""
    try:
        done = await register(found)
    except PrefectliteError as error:
        click.echo(" Error")
        click.echo(f"Error: {found.place}: flow {found.name!r}: {printable_lines(str(error))}", err=True)
        return "errored"
    if not done.is_new:
        click.echo(" Skipped (metadata unchanged)")
        return "skipped"
    click.echo(f" Done\n  └── ID: {done.id}\n  └── Version: {done.version}")
    return "registered"


@asynccontextmanager
async def _registering(wanted: _Wanted) -> AsyncIterator[Register]:
    """What registers a flow, in the database of the settings or with the server that they name."""
    project, terms = wanted.project, wanted.terms
    if wanted.settings.api_url:
        async with Client(wanted.settings.api_url) as client:

            async def with_server(found: _Found) -> Registered:
                if found.flow is None or found.source is None:
                    return await register_document_with(client, found.built(terms), project, terms)
                return await register_with(client, found.flow, project, found.source, terms)

            yield with_server
        return
    async with open_session(wanted.settings) as session:

        async def in_database(found: _Found) -> Registered:
            if found.flow is None or found.source is None:
                row = await register_document_in(session, found.built(terms), project, terms)
            else:
                row = await register_in(session, found.flow, project, found.source, terms)
            return Registered(row.id, row.version, row.is_new)

        yield in_database
