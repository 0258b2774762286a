"""Where a file uses names of Prefect: as `prefect.engine.signals.SKIP`, or by a name that an import has bound."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prefectlite.migrate.homes import home, is_module, named
from prefectlite.migrate.imports import Bound
from prefectlite.migrate.names import BY_HAND


class Use(NamedTuple):
    """A name of Prefect that is used at `node`: `target` is what it is in prefectlite, or None; `root` is how it begins."""

    node: ast.expr
    root: ast.Name
    prefect: str
    target: str | None


def uses(tree: ast.AST, bound: Mapping[str, Bound]) -> list[Use]:
    """All of them, each as long as it says what is meant: not the attributes of what Prefect's name stands for."""
    return list(_uses(tree, bound))


def target_of(node: ast.expr, bound: Mapping[str, Bound]) -> str | None:
    """What an expression is in prefectlite, if it is a name of Prefect."""
    use = _use(node, bound) if isinstance(node, ast.Name | ast.Attribute) else None
    return use.target if use is not None and use.node is node else None


def _uses(node: ast.AST, bound: Mapping[str, Bound]) -> Iterator[Use]:
    if isinstance(node, ast.Name | ast.Attribute):
        use = _use(node, bound)
        if use is not None:
            yield use
            return
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, bound)


def _use(node: ast.Name | ast.Attribute, bound: Mapping[str, Bound]) -> Use | None:
    chain: list[ast.expr] = [node]
    while isinstance(chain[-1], ast.Attribute):
        chain.append(chain[-1].value)
    root = chain[-1]
    if not isinstance(root, ast.Name) or root.id not in bound:
        return None
    at, name = chain.pop(), bound[root.id].prefect
    while chain and (is_module(name) or f"{name}.{_attribute(chain[-1])}" in BY_HAND):
        at = chain.pop()
        name = f"{name}.{_attribute(at)}"
    return Use(at, root, name, home(name))


def _attribute(node: ast.expr) -> str:
    assert isinstance(node, ast.Attribute)
    return node.attr


def keywords_of(target: str) -> frozenset[str] | None:
    """The arguments that something of prefectlite takes by name; None if it takes any."""
    import inspect  # noqa: PLC0415 - 10 ms, and not every file calls something of Prefect's

    made = named(target if target != "prefectlite.task" else "prefectlite.Task")
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)
