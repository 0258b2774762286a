"""The folders are the architecture: imports point down, without cycles, and files and functions stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import prefectlite

ROOT = Path(prefectlite.__file__).parent
FLOORS = [
    {
        "errors",
        "error_codes",
        "clock",
        "ids",
        "state",
        "state_documents",
        "states",
        "signals",
        "records",
        "settings",
        "shown",
        "contexts",
        "disk",
        "input_schemas",
        "registry",
        "roles",
        "loggers",
        "masks",
        "kept",
        "lazily",
        "names",
        "pauses",
        "version",
        "workload",
    },
    {
        "language",
        "triggers",
        "cache_validators",
        "rules",
        "live",
        "result",
        "run_configs",
        "serializers",
        "pickles",
        "schedules",
    },
    {"repository", "results", "storage", "notifications"},
    {"orchestrator", "client"},
    {"engine", "executors"},
    {
        "backend",
        "diagnostics",
        "flow",
        "flow_run",
        "flow_call",
        "flow_work",
        "registration",
        "remote_site",
        "session",
        "site",
        "hosting",
        "migrate",
        "plain_calls",
        "secrets",
        "supervision",
        "services",
        "tasks",
        "runners",
        "testing",
    },
    {"api", "ui"},
    {"runtime", "cli", "__main__", "__init__"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 70
FILES = sorted(path for path in ROOT.rglob("*.py") if "node_modules" not in path.parts)
IDS = [str(path.relative_to(ROOT)) for path in FILES]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def room_of(module: str) -> str:
    return module.split(".")[1]


def runs_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def own_imports(tree: ast.AST) -> Iterator[str]:
    """The modules of prefectlite that are imported when the code runs, be it lazily."""
    for node in ast.iter_child_nodes(tree):
        if runs_for_types_only(node):
            assert isinstance(node, ast.If)
            for statement in node.orelse:
                yield from own_imports(statement)
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazily":
            yield ast.literal_eval(node.args[0])
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("prefectlite"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            if (node.module or "").startswith("prefectlite"):
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield name if name in MODULES else str(node.module)
        else:
            yield from own_imports(node)


MODULES = {module_of(path): path for path in FILES}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
IMPORTS = {module: {name for name in own_imports(tree) if name in MODULES} for module, tree in TREES.items()}


def test_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in MODULES if "." in module} <= set(FLOOR_OF)


def test_imports_point_down() -> None:
    wrong = [
        f"{module} (floor {FLOOR_OF[room_of(module)]}) imports {name} (floor {FLOOR_OF[room_of(name)]})"
        for module, names in IMPORTS.items()
        for name in names
        if FLOOR_OF[room_of(name)] > FLOOR_OF[room_of(module)]
    ]
    assert not wrong


def test_imports_have_no_cycle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in sorted(IMPORTS[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_no_own_import_inside_a_function(path: Path) -> None:
    for function in ast.walk(TREES[module_of(path)]):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            assert not list(own_imports(function)), f"{function.name} imports {list(own_imports(function))}"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_files_and_functions_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    for node in ast.walk(TREES[module_of(path)]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MOST_LINES_OF_A_FUNCTION, node.name


def importers(name: str) -> set[str]:
    return {module for module, names in IMPORTS.items() if name in names}


def test_only_the_door_decides_and_writes_states() -> None:
    assert importers("prefectlite.repository.transitions") == {"prefectlite.orchestrator.batch"}
    assert importers("prefectlite.rules.task_runs") <= {
        "prefectlite.orchestrator.batch",
        "prefectlite.repository.transitions",
    }
    assert importers("prefectlite.rules.flow_runs") <= {
        "prefectlite.orchestrator.batch",
        "prefectlite.repository.transitions",
        "prefectlite.rules.task_runs",
    }


def test_the_engine_knows_neither_flows_nor_the_database() -> None:
    for module, names in IMPORTS.items():
        if module.startswith("prefectlite.engine"):
            assert not [n for n in names if n.startswith(("prefectlite.repository", "prefectlite.flow"))], module


def third_party(name: str) -> set[str]:
    found = set()
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(n == name or n.startswith(f"{name}.") for n in names):
                found.add(module)
    return found


def test_graphene_stays_in_the_api() -> None:
    assert all(module.startswith("prefectlite.api.") for module in third_party("graphene") | third_party("graphql"))


def test_only_results_and_storage_unpickle() -> None:
    # `state` tries whether an exception can be pickled, `caching` hashes the bytes; neither unpickles. The serializers are
    # the results' own; they stand lower only because a Parameter says that its values are JSON.
    rooms = ("results.", "storage.", "engine.", "executors.", "serializers", "pickles", "state", "language.caching")
    allowed = tuple(f"prefectlite.{room}" for room in rooms)
    assert all(module.startswith(allowed) for module in third_party("pickle") | third_party("cloudpickle"))


def test_no_file_names_a_machine() -> None:
    repository = ROOT.parent
    listed = [*FILES, *(repository / "tests").rglob("*.py"), *(repository / "examples").rglob("*.py")]
    for path in [*listed, repository / "README.md", repository / "pyproject.toml", repository / "CHANGELOG.md"]:
        text = path.read_text(encoding="utf-8")
        for word in ("/" + "root/", "/" + "work/", "/" + "home/"):
            assert word not in text, f"{path} names {word}"
