"""Commands that scripts for Prefect 1.x call and that are not needed here: each says what to do instead."""

from __future__ import annotations

import click

from prefectlite.version import __version__

_INSTEAD = {
    "auth": "There is no cloud to log in to",
    "execute": "Runs are executed by agents; `prefectlite run --name FLOW --execute` executes one here",
    "heartbeat": "Heartbeats are sent by whoever executes a run; nothing has to be called for it",
    "repl": "Start Python: `python -i -c 'import prefectlite'`",
}
_UNKNOWN = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]}


def _command(name: str, instead: str) -> click.Command:
    def answer(arguments: tuple[str, ...]) -> None:
        raise click.UsageError(f"`{name}` of Prefect 1.x: {instead}")

    rest = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(name, callback=answer, params=[rest], help=f"{instead}.", context_settings=_UNKNOWN)


COMMANDS = {name: _command(name, instead) for name, instead in _INSTEAD.items()}


@click.command("version")
def version() -> None:
    """Print the version."""
    click.echo(__version__)


COMMANDS["version"] = version
