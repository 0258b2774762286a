"""`prefectlite run`: a flow here and now, with its progress in the terminal, or a registered one where the agent is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from prefectlite.cli import OPTIONS
from prefectlite.cli.asking import place
from prefectlite.cli.earlier_runs import interrupted_run_of
from prefectlite.cli.execution import Begun, execute
from prefectlite.cli.options import DATABASE, PLAIN
from prefectlite.cli.places import places_in
from prefectlite.cli.values import values, values_in
from prefectlite.language.graph import Graph
from prefectlite.language.parameter import check_parameters
from prefectlite.lazily import lazily
from prefectlite.session import Session
from prefectlite.settings import Settings, load_settings
from prefectlite.storage.source import load_flow, source_from_argument

on_time: Any = lazily("prefectlite.cli.on_time")
own_runs: Any = lazily("prefectlite.cli.own_runs")
scheduling: Any = lazily("prefectlite.cli.scheduling")
_EPILOG = """Without FLOW, --path or --module a registered flow is meant (--name or --id): the run is written down, in the
database or at the server that --api or the settings name, and the agent there executes it."""
_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False)
_ONLY_REGISTERED = {
    "labels": "--label says which agent may take the run: it goes with --name or --id",
    "idempotency_key": "--idempotency-key goes with --name or --id",
}
_ONLY_HERE = {
    "resume": "--resume goes on with a run of a file or module: name it",
    "schedule": "`--schedule` can only be specified for local flow runs: registered flows run by it where the agent is",
    "log_level": "--log-level goes with a file or module; elsewhere the agent's settings say it",
}


@click.command("run", epilog=_EPILOG)
@click.argument("flow", required=False)
@click.option("-n", "--name", help="The registered flow of this name; or this flow of the file or module.")
@click.option("-i", "--id", "flow_id", help="The registered flow, or flow group, with this id.")
@click.option("--project", help="The project of the registered flow.")
@click.option("--path", metavar="FILE", help="The same as FLOW: a Python file.")
@click.option("-m", "--module", help="The same as FLOW: an importable module, or a flow in one (module.flow).")
@click.option("-p", "--param", "given", multiple=True, metavar="NAME=VALUE", help="A parameter; its value is JSON, or text.")
@click.option(
    "--param-file", type=click.Path(path_type=Path), metavar="FILE", help="Parameters, as JSON; --param counts more."
)
@click.option("--context", multiple=True, metavar="NAME=VALUE", help="A value of prefectlite.context; JSON, or text.")
@click.option("--run-name", help="A name for the run.")
@click.option("--label", "labels", multiple=True, help="A label that the agent is to have.")
@click.option("--idempotency-key", help="No new run is made if there is one with this key.")
@click.option("-w", "--watch", is_flag=True, help="Follow the run's states and log; leave with 1 if it fails.")
@click.option("--execute", "here", is_flag=True, help="Execute the run of the registered flow in this process.")
@click.option("-s", "--schedule", is_flag=True, help="Run at every moment of the flow's schedule, until Ctrl-C.")
@click.option("--resume", is_flag=True, help="Go on with the newest run of this flow that was interrupted, if there is one.")
@click.option("--log-level", type=_LEVELS, help="From which level on lines are logged.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the new run's id.")
@click.option("--no-logs", is_flag=True, help="Do not show the log.")
@click.option("--api", metavar="URL", help="A running server to ask (the one that api_url names).")
@DATABASE
@PLAIN
def command(flow: str | None, path: str | None, module: str | None, given: tuple[str, ...], **more: Any) -> None:
    """Run FLOW: flow.py, flow.py:name, package.module or package.module:name. Leaves with 1 if the run did not succeed.

    A registered flow is run with --name or --id, where the agent is.
    """
    if path is None and flow is None and module is None:
        path, given = _path_among(given)
    chosen = [one for one in (flow, path, module) if one is not None]
    if len(chosen) > 1 or (chosen and more["flow_id"]):
        raise click.UsageError("Name one flow: FLOW, --path, --module, --name or --id")
    parameters = (values_in(more["param_file"]) if more["param_file"] else {}) | values(given, "-p")
    context = values(more["context"], "--context")
    if not chosen:
        _registered(parameters, context, more)
        return
    for name, message in _ONLY_REGISTERED.items():
        if more[name]:
            raise click.UsageError(message)
    settings = load_settings(
        options=OPTIONS, database_url=more["database"], log_level=_level(more)
    )  # before any code is run
    _here(_graph(chosen[0], module, more["name"]), settings, parameters, context, more)


def _path_among(given: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The file among what was given with -p, which in Prefect is --path."""
    files = [text for text in given if text.endswith(".py") and "=" not in text]
    return (files[0] if files else None), tuple(text for text in given if text not in files[:1])


def _graph(text: str, module: str | None, name: str | None) -> Graph:
    source = source_from_argument(text) if module is None else places_in((), (module,))[0].source
    graph = load_flow(source if name is None else msgspec.structs.replace(source, flow=name))
    graph.validate()
    return graph


def _here(
    graph: Graph, settings: Settings, parameters: dict[str, Any], context: dict[str, Any], more: dict[str, Any]
) -> None:
    def run(defaults: dict[str, Any], moment: datetime | None) -> None:
        values = parameters | defaults
        if not more["resume"]:
            check_parameters(graph, values)

        async def begin(session: Session) -> Begun:
            if more["resume"] and (interrupted := await interrupted_run_of(graph, session)):
                return interrupted
            check_parameters(graph, values)
            run, row = await session.create(
                graph, values, name=more["run_name"], context=context, scheduled_start_time=moment
            )
            return Begun(graph, row, run, values)

        execute(begin, settings, plain=more["plain"], quiet=more["quiet"], with_log=not more["no_logs"])

    schedule = getattr(graph, "schedule", None)
    if more["schedule"] and schedule is not None:
        on_time.repeat(schedule, graph.name, run)
    else:
        run({}, None)


def _registered(parameters: dict[str, Any], context: dict[str, Any], more: dict[str, Any]) -> None:
    if not more["name"] and not more["flow_id"]:
        raise click.UsageError("Missing argument 'FLOW': a file or module; or --name or --id of a registered flow")
    for name, message in _ONLY_HERE.items():
        if more[name]:
            raise click.UsageError(message)
    wanted = scheduling.Wanted(
        flow_id=more["flow_id"],
        name=more["name"],
        project=more["project"],
        run_name=more["run_name"],
        parameters=parameters,
        context=context,
        labels=more["labels"],
        idempotency_key=more["idempotency_key"],
        watch=more["watch"],
        quiet=more["quiet"],
        with_log=not more["no_logs"],
    )
    asked = place(more["database"], more["api"])
    if more["here"]:
        own_runs.execute_here(wanted, asked, plain=more["plain"])
    else:
        scheduling.schedule_run(wanted, asked)


def _level(more: dict[str, Any]) -> str | None:
    return more["log_level"] and str(more["log_level"]).upper()
