"""What there is to say of calls, attributes and texts in code written for Prefect 1.x."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prefectlite.migrate.findings import Kind
from prefectlite.migrate.homes import home, is_module, mend, named
from prefectlite.migrate.imports import Bound
from prefectlite.migrate.names import ARGUMENTS, DIFFERENT, SETTINGS
from prefectlite.migrate.uses import keywords_of, target_of

_DOTTED = re.compile(r"prefect(\.\w+)*")
_VARIABLE = re.compile(r"PREFECT__([A-Z0-9_]+)")
_SHELL = re.compile(
    r"(?:^|[\s;&|])prefect\s+(run|register|agent|server|backend|create|get|describe|kv|auth|execute|build)\b"
)
_SECRETS = "CONTEXT__SECRETS__"
#: What a flow can be asked for in Prefect and not here.
_OF_FLOWS = {
    "environment": "leave it out, as Prefect 0.14 did: `executor=` says how tasks run",
    "run_agent": "serve the file: `prefectlite serve FILE`",
    "slugs": "slugs are looked up by task",
}
_RUNNERS = ("prefectlite.FlowRunner", "prefectlite.TaskRunner")


class Remark(NamedTuple):
    """Something to say of a node."""

    node: ast.AST
    kind: Kind
    what: str
    mend: str


class Code:
    """The code of a file, with what its names are bound to."""

    def __init__(self, tree: ast.Module, bound: Mapping[str, Bound]) -> None:
        self._tree, self._bound = tree, bound
        self._flows = frozenset(self._flow_names())
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._statements_of_text = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }

    def remarks(self) -> Iterator[Remark]:
        """All there is to say, whatever the order."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.ClassDef):
                yield from self._class(node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from self._function(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self._text(node, node.value)

    def _flow_names(self) -> Iterator[str]:
        def is_flow(value: ast.expr) -> bool:
            return isinstance(value, ast.Call) and target_of(value.func, self._bound) == "prefectlite.Flow"

        for node in ast.walk(self._tree):
            if isinstance(node, ast.withitem) and is_flow(node.context_expr) and isinstance(node.optional_vars, ast.Name):
                yield node.optional_vars.id
            elif isinstance(node, ast.Assign) and is_flow(node.value):
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))

    def _call(self, node: ast.Call) -> Iterator[Remark]:
        target = target_of(node.func, self._bound)
        if target is not None:
            yield from self._arguments(node, target, target.removeprefix("prefectlite."))
            if target in DIFFERENT:
                yield Remark(node, "differs", f"{target.rpartition('.')[2]}(…)", DIFFERENT[target])
        elif isinstance(node.func, ast.Attribute) and self._is_flow(node.func.value):
            yield from self._call_of_flow(node, node.func.attr)

    def _is_flow(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._flows

    def _arguments(self, node: ast.Call, target: str, called: str) -> Iterator[Remark]:
        known = keywords_of(target)
        for keyword in node.keywords:
            name, value = keyword.arg, getattr(keyword.value, "value", None)
            if name is None:
                continue
            if known is not None and name not in known:
                instead = ARGUMENTS.get((called, name), f"{called} of prefectlite takes no such argument")
                yield Remark(keyword, "unsupported", f"{called}({name}=…)", instead)
            elif name == "timeout" and called in ("task", "Task") and (value is True or value == 0) and value is not None:
                instead = "leave it out" if value is not True else "give seconds: timeout=1"
                yield Remark(keyword, "unsupported", f"{called}(timeout={value})", instead)
            elif name == "trigger" and (different := DIFFERENT.get(target_of(keyword.value, self._bound) or "")):
                yield Remark(keyword, "differs", f"trigger={ast.unparse(keyword.value)}", different)

    def _call_of_flow(self, node: ast.Call, method: str) -> Iterator[Remark]:
        if method == "run":
            yield from self._run(node)
        elif method == "register":
            yield from self._arguments(node, "prefectlite.Flow.register", "Flow.register")

    def _run(self, node: ast.Call) -> Iterator[Remark]:
        shown = ast.unparse(node.func)
        for keyword in node.keywords:
            if instead := ARGUMENTS.get(("Flow.run", keyword.arg or "")):
                yield Remark(keyword, "unsupported", f"{shown}({keyword.arg}=…)", instead)
        parent = self._parents[node]
        if self._is_in_coroutine(node) and not isinstance(parent, ast.Await):
            yield Remark(node, "unsupported", f"{shown}(…) in an async function", f"await {shown}(…)")
        elif not isinstance(parent, ast.Expr):
            what = "gives a FlowRun: its .result and .is_successful() are as before, its .state is the State"
            yield Remark(node, "differs", f"the value of {shown}(…)", what)

    def _is_in_coroutine(self, node: ast.AST) -> bool:
        while node in self._parents:
            node = self._parents[node]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                return isinstance(node, ast.AsyncFunctionDef)
        return False

    def _class(self, node: ast.ClassDef) -> Iterator[Remark]:
        for base in node.bases:
            target = target_of(base, self._bound)
            if target in _RUNNERS:
                what = f"class {node.name}({ast.unparse(base)})"
                yield Remark(base, "unsupported", what, "leave it out: one engine runs every flow")
            elif target == "prefectlite.executors.Executor":
                what = f"class {node.name}({ast.unparse(base)})"
                yield Remark(base, "unsupported", what, "choose one of prefectlite.executors")

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Remark]:
        makers = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
        if not any(target_of(maker, self._bound) == "prefectlite.task" for maker in makers):
            return
        inside = list(_own(node))
        if isinstance(node, ast.AsyncFunctionDef):
            if any(isinstance(one, ast.Yield) for one in inside):
                yield Remark(node, "unsupported", f"task {node.name}: an async generator", "return a list")
            else:
                yield Remark(node, "differs", f"async task {node.name}", "is awaited: downstream tasks get what it returns")
        for one in inside:
            if isinstance(one, ast.Call) and ast.unparse(one.func) in ("sys.exit", "exit", "quit"):
                yield Remark(
                    one, "differs", f"{ast.unparse(one.func)}(…) in task {node.name}", "fails the task, and no more"
                )

    def _attribute(self, node: ast.Attribute) -> Iterator[Remark]:
        if self._is_flow(node.value) and node.attr in _OF_FLOWS and not hasattr(named("prefectlite.Flow"), node.attr):
            yield Remark(node, "unsupported", ast.unparse(node), _OF_FLOWS[node.attr])

    def _text(self, node: ast.Constant, text: str) -> Iterator[Remark]:
        if node in self._statements_of_text:
            return  # docstrings and the like
        for variable in _VARIABLE.findall(text):
            yield _variable(node, variable)
        if _DOTTED.fullmatch(text) and (text != "prefect" or self._is_logger(node)):
            target = "prefectlite" if text == "prefect" else home(text)
            if target is not None or is_module(text.rpartition(".")[0]):
                yield Remark(node, "differs", f"the text {text!r}", f"{target!r}" if target else mend(text))
        elif match := _SHELL.search(text):
            yield Remark(node, "differs", f"the command `prefect {match[1]}`", f"python -m prefectlite {match[1]}")

    def _is_logger(self, node: ast.Constant) -> bool:
        parent: Any = self._parents[node]
        return isinstance(parent, ast.Call) and ast.unparse(parent.func).endswith(("getLogger", "get_logger"))


def _variable(node: ast.AST, name: str) -> Remark:
    what = f"the variable PREFECT__{name}"
    if name.startswith(_SECRETS):
        return Remark(node, "unsupported", what, f"PREFECTLITE_SECRET_{name.removeprefix(_SECRETS)}")
    setting = SETTINGS.get(name.lower().replace("__", "."))
    if setting is None:
        return Remark(node, "unsupported", what, "prefectlite has no such setting: `prefectlite config` lists those it has")
    return Remark(node, "unsupported", what, f"PREFECTLITE_{setting.upper()}")


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions in it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from _own(child)
