"""Commands that scripts for Prefect 1.x call and that are not needed here: each says what to do instead."""

from __future__ import annotations

import click

from prefectlite.version import __version__

_LOGIN = "There is no cloud to log in to. "
_TENANTS = "There is one tenant, from the start"
#: Command, or command and subcommand -> what to do instead.
_INSTEAD = {
    "auth": _LOGIN + "A server that asks for tokens is shown the setting api_token (`prefectlite config`)",
    "auth login": _LOGIN + "Set api_token, or PREFECTLITE_API_TOKEN, to what `prefectlite token create` gave",
    "auth logout": "Take api_token out of the settings (`prefectlite config` says where it is)",
    "auth status": "`prefectlite diagnostics` says which server is asked, and whether it answers",
    "auth create-key": "`prefectlite token create NAME --role operator`",
    "auth list-keys": "`prefectlite token list`",
    "auth revoke-key": "`prefectlite token revoke NAME`",
    "auth purge-tokens": "`prefectlite token revoke NAME`",
    "auth list-tenants": _TENANTS,
    "auth switch-tenants": _TENANTS,
    "execute": "Runs are executed by agents; `prefectlite run --name FLOW --execute` executes one here",
    "heartbeat": "Heartbeats are sent by whoever executes a run; nothing has to be called for it",
    "repl": "Start Python: `python -i -c 'import prefectlite'`",
}
_UNKNOWN = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]}


def _command(name: str, instead: str) -> click.Command:
    def answer(arguments: tuple[str, ...]) -> None:
        exact = f"{name} {arguments[0]}" if arguments else ""
        known = exact if exact in _INSTEAD else name
        raise click.UsageError(f"`{known}` of Prefect 1.x: {_INSTEAD[known]}")

    rest = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(name, callback=answer, params=[rest], help=f"{instead}.", context_settings=_UNKNOWN)


COMMANDS = {name: _command(name, instead) for name, instead in _INSTEAD.items() if " " not in name}


@click.command("version")
def version() -> None:
    """Print the version."""
    click.echo(__version__)


COMMANDS["version"] = version
