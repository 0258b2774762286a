"""Errors that are mistakes of prefectlite's own."""

from __future__ import annotations

import secrets
import sys
import traceback

from prefectlite.settings import default_directory
from prefectlite.version import __version__


def report() -> str:
    """What to say of the error that is being handled: its traceback is in a file, to be sent along."""
    trace, name = traceback.format_exc(), secrets.token_hex(6)
    path = default_directory() / "reports" / f"{name}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(f"prefectlite {__version__}, Python {sys.version}\n\n{trace}", errors="backslashreplace")
    except OSError:
        return f"{trace}\nError: this is a mistake in prefectlite. Please report it, with the lines above (report {name})"
    return (
        f"Error: {trace.strip().splitlines()[-1]}\nThis is a mistake in prefectlite. Please report it, with the file {path}"
    )
