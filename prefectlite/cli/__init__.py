"""The command line. Each command's module is imported when the command is used."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from prefectlite.cli.output import open_the_standard_descriptors
from prefectlite.errors import PrefectliteError
from prefectlite.lazily import lazily
from prefectlite.shown import printable_lines
from prefectlite.version import __version__

if TYPE_CHECKING:
    from click import shell_completion

    from prefectlite.cli import mistakes
else:
    mistakes, shell_completion = lazily("prefectlite.cli.mistakes"), lazily("click.shell_completion")

# Command -> its module and its line in the help, here so that `--help` need not import the module.
_COMMANDS = {
    "run": ("prefectlite.cli.run", "Run a flow: of a Python file or module here and now, or a registered one."),
    "pause": ("prefectlite.cli.pause", "Have runs begin no more tasks until they are resumed."),
    "resume": ("prefectlite.cli.resume", "Go on with a run, or a task, that is paused, or whose process is gone."),
    "cancel": ("prefectlite.cli.cancel", "Stop runs, wherever they are executed."),
    "restart": ("prefectlite.cli.restart", "Run the tasks of a run that did not succeed once more."),
    "logs": ("prefectlite.cli.logs", "Show the log of a run, or search in those of all runs."),
    "register": ("prefectlite.cli.register", "Register flows, so that a server runs them when asked or by schedule."),
    "build": ("prefectlite.cli.build", "Write what is registered of flows into a file, for `register --json`."),
    "get": ("prefectlite.cli.get", "List flows, flow runs, projects, tasks or logs."),
    "describe": ("prefectlite.cli.describe", "Show all that is known of a flow, its tasks, or a flow run."),
    "create": ("prefectlite.cli.create", "Make a project."),
    "delete": ("prefectlite.cli.delete", "Delete a project, its flows and their runs."),
    "kv": ("prefectlite.cli.kv", "The key-value store: list, get, set, delete."),
    "limits": ("prefectlite.cli.limits", "Concurrency limits on tags and labels: list, set, delete."),
    "secrets": ("prefectlite.cli.secrets", "Secrets: list, set, delete, rotate the key."),
    "agent": ("prefectlite.cli.agent", "Execute a server's runs in a process of its own: agent local start."),
    "migrate": ("prefectlite.cli.migrate", "Say what changes in code written for Prefect 1.x, and change its imports."),
    "token": ("prefectlite.cli.token", "Tokens for the API: create, list, revoke."),
    "config": ("prefectlite.cli.config", "Show the settings in force, and where each comes from."),
    "backend": ("prefectlite.cli.backend", "Say whom commands ask from now on: a server or the local database."),
    "diagnostics": ("prefectlite.cli.diagnostics", "Show what to paste into a bug report."),
    "completion": ("prefectlite.cli.completion", "Print a script by which your shell completes commands."),
    "db": ("prefectlite.cli.db", "Look after the database: size, migrations, backups, runs as files."),
    "serve": ("prefectlite.cli.serve", "Serve database, API, agent and UI in one process."),
}
# Commands of Prefect 1.x that are listed nowhere: an alias, and those that only say what to do instead.
_UNLISTED = {
    "server": "prefectlite.cli.server",
    **dict.fromkeys(("auth", "execute", "heartbeat", "repl", "version"), "prefectlite.cli.former"),
}
#: Setting -> the option that overrides it, for messages.
OPTIONS = {"database_url": "--database", "api_url": "--api", "host": "--host", "port": "--port"}
_IO_ERROR = 74


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _COMMANDS[cmd_name][0] if cmd_name in _COMMANDS else _UNLISTED.get(cmd_name)
        if name is None:
            return None
        with _nothing_is_garbage():
            module = importlib.import_module(name)
        several: dict[str, click.Command] = getattr(module, "COMMANDS", {})
        return several[cmd_name] if several else module.command

    # click's own looks into every command, whose modules it would import.
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[shell_completion.CompletionItem]:
        found = [
            shell_completion.CompletionItem(name, help=line)
            for name, (_, line) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@contextlib.contextmanager
def _nothing_is_garbage() -> Iterator[None]:
    """For importing: what it makes stays, and looking through it again and again is a fifth of the time to start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="prefectlite")
def group() -> None:
    """Workflows in one process: write flows in Python, run them, watch them."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code; prefectlite's own errors are one message, without a traceback."""
    open_the_standard_descriptors()
    try:
        code = group.main(arguments, prog_name="prefectlite", standalone_mode=False)
    except PrefectliteError as error:
        click.echo(f"Error: {printable_lines(str(error))}", err=True)  # in which may be what a server has answered
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads: there is nothing to say either
        code = 0
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        code = _IO_ERROR
    except Exception:
        click.echo(printable_lines(mistakes.report()), err=True)
        code = PrefectliteError.exit_code
    sys.exit(code if isinstance(code, int) else 0)
