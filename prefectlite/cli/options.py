"""Options that several commands have."""

from __future__ import annotations

import click

DATABASE = click.option("--database", metavar="URL", help="The database (a file in your data directory).")
PLAIN = click.option("--plain", is_flag=True, help="A plain stream of lines, as when the output is not a terminal.")
