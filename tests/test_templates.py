"""Templates: what the server fills in is written here, and nothing that users send is taken for one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import prefectlite

ROOT = Path(prefectlite.__file__).parent
#: Where users' requests are answered. What flows give as templates is filled in where they are executed: it is their code.
ROOMS = ("api", "client", "live", "notifications", "orchestrator", "repository", "rules", "services")
#: Calls by which a text that is a template is filled in.
FILLING = frozenset({"format", "format_map", "substitute", "safe_substitute", "render", "from_string"})
#: Of texts in our own sources: the SQL of news, and the migrations.
OURS = {("api/news.py", "format"), ("repository/schema.py", "substitute")}


def filled(tree: ast.AST) -> Iterator[str]:
    """The calls that fill in what is no text written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILLING:
            of = node.func.value
            if not isinstance(of, ast.Constant) and "msgspec" not in ast.dump(of):
                yield node.func.attr


def test_the_server_fills_in_no_templates_of_users() -> None:
    found = set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        found |= {(name, call) for call in filled(ast.parse(path.read_text(encoding="utf-8")))}
    assert found == OURS


def test_it_knows_no_language_of_templates() -> None:
    for path in ROOT.rglob("*.py"):
        if "node_modules" not in path.parts:
            assert not re.search(r"^\s*(from|import) (jinja2|mako)\b", path.read_text(encoding="utf-8"), re.MULTILINE), path
