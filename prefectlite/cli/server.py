"""`prefectlite server`: the names under which Prefect 1.x starts its server."""

from __future__ import annotations

import click

from prefectlite.cli import config, serve

_NOT_HERE = {
    "--detach": "it stays in the foreground: let systemd, or `nohup prefectlite serve &`, keep it in the background",
    "-d": "it stays in the foreground: let systemd, or `nohup prefectlite serve &`, keep it in the background",
    "--expose": "it listens on --host",
    "--postgres-url": "name the database with --database",
    "--external-postgres": "name the database with --database",
    "-ep": "name the database with --database",
    "--server-port": "UI and API share one port: --port",
    "--ui-port": "UI and API share one port: --port",
    "--version": "the version is that of the package",
    "--use-volume": "the database is a file, or --database",
}


@click.group("server")
def command() -> None:
    """The server, as in Prefect 1.x: `server start` is `prefectlite serve`."""


class _Start(click.Command):
    """`serve`, with an answer for the options that Prefect's has."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {option for parameter in self.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for text in args:
            option = text.partition("=")[0]
            if option in _NOT_HERE and option not in known:
                raise click.UsageError(f"{option} of Prefect's server: {_NOT_HERE[option]}", ctx)
        return super().parse_args(ctx, args)


command.add_command(
    _Start(
        "start",
        callback=serve.command.callback,
        params=serve.command.params,
        help=serve.command.help,
        epilog="The same as `prefectlite serve`.",
    )
)


@command.command("stop")
def stop() -> None:
    """Say how a server is stopped."""
    raise click.UsageError("A server stops by Ctrl-C, or SIGTERM (`kill`): what runs has ten seconds to end")


@command.command("create-tenant", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def create_tenant(arguments: tuple[str, ...]) -> None:
    """Nothing to do: there is one tenant, from the start."""
    click.echo("There is one tenant, from the start")


command.add_command(config.command, "config")
