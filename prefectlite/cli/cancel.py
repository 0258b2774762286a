"""`prefectlite cancel`: stop runs."""

from __future__ import annotations

import sys

import click

from prefectlite.cli.asking import Place, asking, place
from prefectlite.cli.many_runs import change, condition, filters
from prefectlite.cli.named_runs import FIND, by_id_or_name, the_one
from prefectlite.shown import printable
from prefectlite.states import FINISHED

_CANCEL = "mutation ($input: cancel_flow_run_input!) { cancel_flow_run(input: $input) { state } }"


@click.command("cancel")
@click.argument("runs", nargs=-1, metavar="RUN…")
@filters
@asking
def command(
    runs: tuple[str, ...],
    where: str | None,
    flow: str | None,
    states: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    database: str | None,
    api: str | None,
) -> None:
    """Stop each RUN, an id or a name, wherever it is executed, or all runs that the options mean.

    Leaves with 1 if one of them had ended before.
    """
    meant = condition(where, flow, states)
    if (meant is None) is not bool(runs):
        raise click.UsageError("Name runs, or say which are meant: --where, --flow, --state")
    if meant is None:
        if dry_run:
            raise click.UsageError("--dry-run is for runs that are not named")
        _cancel(runs, place(database, api))
    else:
        change("cancel_flow_runs", "cancelled", meant, place(database, api), dry_run=dry_run, yes=yes)


def _cancel(runs: tuple[str, ...], where: Place) -> None:
    too_late = False
    for text in runs:
        run = the_one(where.ask(FIND, where=by_id_or_name(text))["flow_run"], text)
        name = printable(run["name"])
        if run["state"] in FINISHED:
            click.echo(f"{name} has ended as {run['state']}", err=True)
            too_late = True
            continue
        state = where.ask(_CANCEL, input={"flow_run_id": run["id"]})["cancel_flow_run"]["state"]
        click.echo(f"{name}: {state}")
    if too_late:
        sys.exit(1)
