"""What `cancel` and `delete flow-runs` have in common: which runs are meant, whether that is meant, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from prefectlite.cli.asking import Place
from prefectlite.errors import BadRequest
from prefectlite.shown import printable

F = TypeVar("F", bound=Callable[..., Any])


def filters(function: F) -> F:
    """The options that say which runs are meant; `condition` makes one of them."""
    for option in (
        click.option("-y", "--yes", is_flag=True, help="Do not ask whether this is meant."),
        click.option("--dry-run", is_flag=True, help="Only say how many runs are meant."),
        click.option("-s", "--state", "states", multiple=True, help="Runs in this state; may be repeated."),
        click.option("-f", "--flow", help="Runs of the flow of this name."),
        click.option("--where", metavar="JSON", help='Runs of which this is true: \'{"labels": {"_contains": ["old"]}}\'.'),
    ):
        function = option(function)
    return function


def condition(where: str | None, flow: str | None, states: tuple[str, ...]) -> dict[str, Any] | None:
    """What the options mean together; None where none was given. Raises BadRequest for what is not JSON."""
    parts: list[Any] = [{"flow": {"name": {"_eq": flow}}}] if flow is not None else []
    if states:
        parts.append({"state": {"_in": list(states)}})
    if where is not None:
        try:
            parts.append(msgspec.json.decode(where))
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise BadRequest(f"--where is not JSON: {error}") from None
    return {"_and": parts} if parts else None


def change(mutation: str, done: str, meant: dict[str, Any], place: Place, *, dry_run: bool, yes: bool) -> None:
    """Change the runs that are meant, as many calls as it takes, and say what came of it; at a terminal it asks before.

    `done` is the word for it: cancelled, deleted. Leaves with 1 if runs were refused.
    """
    text = f"""mutation ($where: flow_run_bool_exp!, $dry_run: Boolean) {{
      {mutation}(input: {{where: $where, dry_run: $dry_run}}) {{ matched changed refused more refusals {{ reason }} }} }}"""

    def ask(dry_run: bool) -> dict[str, Any]:
        answer: dict[str, Any] = place.ask(text, where=meant, dry_run=dry_run)[mutation]
        return answer

    if dry_run or (not yes and sys.stdin.isatty()):
        matched = ask(True)["matched"]
        if dry_run or not matched:
            click.echo(f"{_runs(matched)} would be {done}")
            return
        click.confirm(f"{_runs(matched)} will be {done}. Go on?", abort=True, err=True)
    changed = 0
    while True:
        answer = ask(False)
        changed += answer["changed"]
        if not (answer["more"] and answer["changed"]):
            break
    click.echo(f"{_runs(changed)} {done}")
    if answer["refused"]:
        for refusal in answer["refusals"]:
            click.echo(printable(refusal["reason"]), err=True)
        if (unnamed := answer["refused"] - len(answer["refusals"])) > 0:
            click.echo(f"and {unnamed} more", err=True)
        sys.exit(1)


def _runs(count: int) -> str:
    return f"{count} flow run{'' if count == 1 else 's'}"
