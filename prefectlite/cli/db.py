"""`prefectlite db`: looking after the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prefectlite.cli import OPTIONS
from prefectlite.cli.options import DATABASE
from prefectlite.cli.tables import OUTPUT, show_data
from prefectlite.errors import BadRequest, StoreError
from prefectlite.lazily import lazily
from prefectlite.repository.runs import run_called
from prefectlite.repository.urls import is_postgres, open_database, postgres_place, sqlite_path, without_password
from prefectlite.settings import load_settings

if TYPE_CHECKING:
    from prefectlite.repository import retention, transfer, upkeep
    from prefectlite.repository.database import Database
else:
    retention = lazily("prefectlite.repository.retention")
    transfer, upkeep = lazily("prefectlite.repository.transfer"), lazily("prefectlite.repository.upkeep")

T = TypeVar("T")
_FILE = click.Path(path_type=Path)


@click.group("db")
def command() -> None:
    """Look after the database: where it is and how large, migrations, backups, and single runs as files."""


@command.command("path")
@DATABASE
def path(database: str | None) -> None:
    """Show where the database is."""
    url = _url(database)
    click.echo(postgres_place(url) if is_postgres(url) else sqlite_path(url) or "in memory")


@command.command("size")
@DATABASE
@click.option("--json", "as_json", is_flag=True, hidden=True)
@OUTPUT
def size(database: str | None, as_json: bool, output: str) -> None:
    """Show the rows and bytes of each table."""
    url = _url(database)
    tables = _on(url, lambda opened: upkeep.sizes(opened))
    if as_json or output != "table":
        show_data(tables, "json" if as_json else output)
        return
    width = max(len(table.table) for table in tables)
    click.echo(f"{'table':<{width}}  {'rows':>12}  {'bytes':>12}")
    for table in tables:
        click.echo(f"{table.table:<{width}}  {table.rows:>12,}  {_shown(table.bytes):>12}")
    total = sum(table.bytes or 0 for table in tables)
    click.echo(f"{'':<{width}}  {sum(table.rows for table in tables):>12,}  {_shown(total):>12}")


@command.command("migrate")
@DATABASE
def migrate(database: str | None) -> None:
    """Bring the database to the newest schema, as everything does that opens it. A file is copied aside before."""
    url = _url(database)
    ((number,),) = _on(url, lambda opened: opened.read("SELECT max(number) FROM migration"))
    click.echo(f"{_place(url)} is at schema {number}, the newest")


@command.command("vacuum")
@DATABASE
def vacuum(database: str | None) -> None:
    """Give the room of what was deleted back to the disk. Runs of other processes wait meanwhile."""
    url = _url(database)
    if not is_postgres(url):
        before, after = upkeep.vacuum_file(_file(url, "vacuum"))
        click.echo(f"{_place(url)}: {_shown(before)} bytes before, {_shown(after)} after")
        return

    async def work(opened: Any) -> None:
        connection = await opened.connect()
        try:
            for table in await upkeep.sizes(opened):
                await connection.execute(f'VACUUM (ANALYZE) "{table.table}"')
        finally:
            await connection.close()

    _on(url, work)
    click.echo(f"{_place(url)}: done; PostgreSQL uses the room again by itself")


@command.command("retention")
@click.argument("project")
@click.option("--days", type=click.IntRange(0), help="Days after which its finished runs are deleted; 0 is never.")
@click.option("--log-days", type=click.IntRange(0), help="The same of the logs of its runs.")
@click.option("--default", is_flag=True, help="What the settings say, where nothing else is said here.")
@DATABASE
def retention_(project: str, days: int | None, log_days: int | None, default: bool, database: str | None) -> None:
    """Show how long PROJECT keeps finished runs and their logs, or say it."""

    async def work(opened: Database) -> retention.ProjectTerms:
        found = await retention.terms_of(opened, project)
        if default or (days, log_days) != (None, None):
            kept = retention.ProjectTerms(found.project_id) if default else found
            new = [kept.days if days is None else days, kept.log_days if log_days is None else log_days]
            await opened.write(lambda tx: retention.set_retention(tx, found.project_id, *new), durable=True)
            return await retention.terms_of(opened, project)
        return found

    terms = _on(_url(database), work)
    click.echo(f"{project}: finished runs {_kept(terms.days)}, logs {_kept(terms.log_days)}")


def _kept(days: int | None) -> str:
    if days is None:
        return "as the settings say"
    return (f"for {days} days" if days > 1 else "for a day") if days else "for ever"


@command.command("backup")
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@DATABASE
def backup(file: Path, force: bool, database: str | None) -> None:
    """Copy the database to FILE, checked, while others go on using it."""
    source = _file(_url(database), "backup", instead="pg_dump")
    counts = upkeep.back_up(source, file, overwrite=force)
    size = _shown(file.stat().st_size)
    click.echo(f"{file}: {sum(counts.values()):,} rows in {len(counts)} tables, {size} bytes, checked")


@command.command("check")
@DATABASE
def check(database: str | None) -> None:
    """Look through the whole database for damage. Leaves with 74 if there is any."""
    file = _file(_url(database), "check", instead="pg_amcheck")
    problems = upkeep.problems(file)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise StoreError(f"The database {file} is damaged")
    click.echo(f"{file} is whole")


@command.command("restore")
@click.argument("file", type=_FILE)
@DATABASE
def restore(file: Path, database: str | None) -> None:
    """Put the backup FILE in place of the database, which is kept beside it. Nothing may be using it."""
    target = _file(_url(database), "restore", instead="pg_restore")
    aside = upkeep.restore(target, file)
    click.echo(f"{target} is now as in {file}" + (f"; as it was before, it is in {aside}" if aside else ""))


@command.command("export")
@click.argument("run")
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@DATABASE
def export_(run: str, file: Path, force: bool, database: str | None) -> None:
    """Write the finished flow run RUN (an id or a name), with all that belongs to it, to FILE."""
    if file.exists() and not force:
        raise BadRequest(f"{file} is there already: name another file, or say --force")

    async def work(opened: Database) -> transfer.RunFileHeader:
        return await transfer.export_run(opened, (await run_called(opened, run)).id, file)

    header = _on(_url(database), work)
    click.echo(f"{file}: flow run {header.flow_run_id}, {_told(header)}")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@DATABASE
def import_(file: Path, database: str | None) -> None:
    """Read a run that `export` wrote into the database.

    Nothing in it is executed; but only restart or resume runs of people you trust, because that loads their values.
    """
    header = _on(_url(database), lambda opened: transfer.import_run(opened, file))
    click.echo(f"Flow run {header.flow_run_id}: {_told(header)}")


def _told(header: transfer.RunFileHeader) -> str:
    return f"{header.rows['task_run']:,} task runs, {header.rows['result']:,} results, {header.rows['log']:,} lines of log"


def _url(database: str | None) -> str:
    return load_settings(options=OPTIONS, database_url=database).resolved_database_url()


def _place(url: str) -> str:
    return without_password(url) if is_postgres(url) else str(sqlite_path(url) or "in memory")


def _file(url: str, name: str, instead: str = "") -> Path:
    """The SQLite file that a command needs. Raises BadRequest if it is none."""
    if is_postgres(url):
        raise BadRequest(f"`prefectlite db {name}` is for SQLite: on PostgreSQL use {instead}")
    file = sqlite_path(url)
    if file is None:
        raise BadRequest(f"`prefectlite db {name}` needs a database in a file, not one in memory")
    return file


def _on(url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    """What `work` returns, given the database at `url`."""

    async def main() -> T:
        opened = await open_database(url)
        try:
            return await work(opened)
        finally:
            await opened.aclose()

    return asyncio.run(main())


def _shown(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
