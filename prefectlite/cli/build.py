"""`prefectlite build`: all that is registered of flows, in a file, to be registered later or elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from prefectlite.cli.built_flows import built_flows, written
from prefectlite.cli.places import Place, places_in
from prefectlite.cli.register import load, not_found, summary
from prefectlite.disk import replace
from prefectlite.errors import FlowError, PrefectliteError
from prefectlite.language.graph import Graph
from prefectlite.registration import Terms, described


@click.command("build")
@click.option(
    "-p", "--path", "paths", multiple=True, metavar="PATH", help="A Python file, a directory of them, or a pattern."
)
@click.option("-m", "--module", "modules", multiple=True, help="An importable module, or a flow in one (module.flow).")
@click.option("-n", "--name", "names", multiple=True, help="Build the flow of this name only.")
@click.option("-l", "--label", "labels", multiple=True, help="A label for the runs of the flows.")
@click.option("-o", "--output", default="flows.json", show_default=True, help="The file to write.")
@click.option("-u", "--update", is_flag=True, help="Keep the other flows that are in the file.")
def command(
    paths: tuple[str, ...],
    modules: tuple[str, ...],
    names: tuple[str, ...],
    labels: tuple[str, ...],
    output: str,
    update: bool,
) -> None:
    """Write all that is registered of the flows in files and modules into a file, for `register --json`.

    The code stays where it is: what is written says where. Leaves with 1 if a flow could not be built.
    """
    if not paths and not modules:
        raise click.UsageError("Say what to build: a file or directory with -p, or a module with -m")
    click.echo("Collecting flows...")
    loaded, errored = load(places_in(paths, modules))
    chosen = [(place, flow) for place, flow in loaded if not names or flow.name in names]
    errored += not_found(names, {flow.name for _, flow in chosen})
    known = {flow["name"]: flow for flow in (built_flows(output) if update and Path(output).exists() else ())}
    built = _built(chosen, Terms(labels))
    if not built and (errored or chosen):
        sys.exit(1)  # what is in the file is better than nothing
    click.echo(f"Writing output to {output!r}")
    replace(Path(output), written([*(known | built).values()]))
    counts = {"built": len(built), "errored": errored + len(chosen) - len(built)}
    click.echo(summary(counts, "built"))
    if counts["errored"]:
        sys.exit(1)


def _built(chosen: list[tuple[Place, Graph]], terms: Terms) -> dict[str, dict[str, Any]]:
    """The documents of those that could be built, by name; the others are told."""
    built: dict[str, dict[str, Any]] = {}
    current = None
    for place, flow in chosen:
        if place is not current:
            click.echo(f"Processing {place.name!r}:")
            current = place
        click.echo(f"  Building {flow.name!r}...", nl=False)
        try:
            if flow.name in built:
                raise FlowError("there are several flows of this name: rename one")
            built[flow.name] = described(flow, place.source, terms)
        except PrefectliteError as error:
            click.echo(" Error")
            click.echo(f"Error: {place.name}: flow {flow.name!r}: {error}", err=True)
        else:
            click.echo(" Done")
    return built
