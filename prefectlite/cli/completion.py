"""`prefectlite completion`: what a shell has to run so that it completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from prefectlite.cli import group

_EPILOG = """In ~/.bashrc: eval "$(prefectlite completion bash)". In ~/.zshrc: eval "$(prefectlite completion zsh)".
For fish: prefectlite completion fish > ~/.config/fish/completions/prefectlite.fish"""


@click.command("completion", epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script by which SHELL completes the commands and options of `prefectlite`."""
    kind = get_completion_class(shell)
    assert kind is not None
    # Not click's own `source()`, which asks for a bash on this machine first.
    made = kind(group, {}, "prefectlite", "_PREFECTLITE_COMPLETE")
    click.echo(made.source_template % made.source_vars())
