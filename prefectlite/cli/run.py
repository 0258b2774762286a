"""`prefectlite run`: one flow, here and now, with its progress in the terminal."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from prefectlite.cli import OPTIONS
from prefectlite.cli.earlier_runs import interrupted_run_of
from prefectlite.cli.execution import Begun, execute
from prefectlite.cli.options import DATABASE, PLAIN
from prefectlite.errors import ParameterError
from prefectlite.language.graph import Graph
from prefectlite.language.parameter import check_parameters
from prefectlite.session import Session
from prefectlite.settings import load_settings
from prefectlite.storage.source import load_flow, source_from_argument


@click.command("run")
@click.argument("flow")
@click.option(
    "-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; the value is JSON, or text."
)
@click.option("--run-name", help="A name for the run.")
@click.option("--resume", is_flag=True, help="Go on with the newest run of this flow that was interrupted, if there is one.")
@DATABASE
@PLAIN
def command(
    flow: str, parameters: tuple[str, ...], run_name: str | None, resume: bool, database: str | None, plain: bool
) -> None:
    """Run FLOW: flow.py, flow.py:name, package.module or package.module:name. Leaves with 1 if the run did not succeed."""
    settings = load_settings(options=OPTIONS, database_url=database)
    values = dict(_parameter(text) for text in parameters)
    graph = load_flow(source_from_argument(flow))
    graph.validate()
    if not resume:
        check_parameters(graph, values)

    async def begin(session: Session) -> Begun:
        if resume and (interrupted := await interrupted_run_of(graph, session)):
            return interrupted
        return await _new_run(graph, values, run_name, session)

    execute(begin, settings, plain=plain)


async def _new_run(graph: Graph, values: dict[str, Any], name: str | None, session: Session) -> Begun:
    check_parameters(graph, values)
    run, row = await session.create(graph, values, name=name)
    return Begun(graph, row, run, values)


def _parameter(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ParameterError(f"-p {text}: write it as NAME=VALUE")
    try:
        return name, msgspec.json.decode(value)
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8
        return name, value
    except msgspec.DecodeError as error:
        if value[:1] in ("[", "{", '"'):
            raise ParameterError(f"-p {text}: this begins like JSON and is not: {error}") from None
        return name, value
