"""`prefectlite register`: the flows in files and modules, written down so that a server runs them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

import click
import msgspec

from prefectlite.cli import OPTIONS
from prefectlite.cli.options import DATABASE
from prefectlite.cli.places import Place, places_in, without_imported
from prefectlite.cli.watching import changes
from prefectlite.client.http import Client
from prefectlite.errors import PrefectliteError
from prefectlite.language.graph import Graph
from prefectlite.registration import Registered, Terms, register_in, register_with
from prefectlite.session import open_session
from prefectlite.settings import Settings, load_settings
from prefectlite.storage.source import AnySource

_WIDTH = 60  # of the summary, as Prefect's users know it
Register = Callable[[Graph, AnySource], Awaitable[Registered]]


class _Wanted(msgspec.Struct, frozen=True):
    """What the command line asks for."""

    project: str
    paths: tuple[str, ...]
    modules: tuple[str, ...]
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
    if not paths and not modules:
        raise click.UsageError("Say what to register: a file or directory with -p, or a module with -m")
    if api and database:
        raise click.UsageError("Give either --api or --database: a server has a database of its own")
    address = "" if database else api  # a database that is named here counts more than a server in the settings
    settings = load_settings(options={**OPTIONS, "api_url": "--api"}, database_url=database, api_url=address)
    wanted = _Wanted(project, paths, modules, names, Terms(labels, force, schedule), settings)
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
    loaded, errored = _load(places)
    chosen = [(place, flow) for place, flow in loaded if not wanted.names or flow.name in wanted.names]
    if missing := sorted(set(expected) - {flow.name for _, flow in chosen}):
        errored += len(missing)
        click.echo("\n".join(["Failed to find the following flows:", *(f"- {name}" for name in missing)]), err=True)
    elif not chosen and not errored:
        click.echo("No flows found.")
        return True
    counts = {"registered": 0, "skipped": 0, "errored": errored}
    if chosen:
        try:
            asyncio.run(_register(wanted, chosen, counts))
        except PrefectliteError as error:  # the database or the server cannot be used
            click.echo(f"Error: {error}", err=True)
            counts["errored"] += 1
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "registered")
    bar = "=" * (max(_WIDTH - len(told), 4) // 2)
    click.echo(f"{bar} {told} {bar}")
    return not counts["errored"]


def _load(places: list[Place]) -> tuple[list[tuple[Place, Graph]], int]:
    """The flows in these places, and how many of the places could not be read, which is told."""
    loaded: list[tuple[Place, Graph]] = []
    errored = 0
    for place in places:
        try:
            loaded += [(place, flow) for flow in place.flows()]
        except PrefectliteError as error:
            click.echo(f"Error: {error}", err=True)
            errored += 1
    return without_imported(loaded), errored


async def _register(wanted: _Wanted, chosen: list[tuple[Place, Graph]], counts: dict[str, int]) -> None:
    current = None
    names: dict[str, Place] = {}
    async with _registering(wanted) as register:
        for place, flow in chosen:
            if place is not current:
                click.echo(f"Processing {place.name!r}:")
                current = place
            click.echo(f"  Registering {flow.name!r}...", nl=False)
            if (other := names.setdefault(flow.name, place)) is not place:
                click.echo(" Error")
                click.echo(f"Error: {place.name} and {other.name} both have a flow {flow.name!r}: rename one", err=True)
                counts["errored"] += 1
            else:
                counts[await _one(register, flow, place)] += 1


async def _one(register: Register, flow: Graph, place: Place) -> str:
    """Register one flow, and say how that went."""
    try:
        done = await register(flow, place.source)
    except PrefectliteError as error:
        click.echo(" Error")
        click.echo(f"Error: {place.name}: flow {flow.name!r}: {error}", err=True)
        return "errored"
    if not done.is_new:
        click.echo(" Skipped (metadata unchanged)")
        return "skipped"
    click.echo(f" Done\n  └── ID: {done.id}\n  └── Version: {done.version}")
    return "registered"


@asynccontextmanager
async def _registering(wanted: _Wanted) -> AsyncIterator[Register]:
    """What registers a flow, in the database of the settings or with the server that they name."""
    if wanted.settings.api_url:
        async with Client(wanted.settings.api_url) as client:

            async def with_server(flow: Graph, source: AnySource) -> Registered:
                return await register_with(client, flow, wanted.project, source, wanted.terms)

            yield with_server
        return
    async with open_session(wanted.settings) as session:

        async def in_database(flow: Graph, source: AnySource) -> Registered:
            row = await register_in(session, flow, wanted.project, source, wanted.terms)
            return Registered(row.id, row.version, row.is_new)

        yield in_database
