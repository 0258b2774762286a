"""One file: its findings, and what it becomes."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from prefectlite.migrate.code import Code
from prefectlite.migrate.findings import Edit, Finding, Kind
from prefectlite.migrate.homes import mend
from prefectlite.migrate.imports import Bound, bindings, changed, is_prefect, lacking, module_at, reachable
from prefectlite.migrate.uses import Use, uses

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|$)")
_ROOT = "prefect"


class SourceFile:
    """A Python file as bytes. Raises SyntaxError, or UnicodeDecodeError, if it is none."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.content = name, content
        self._encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        # Positions are in bytes of UTF-8, in which the file need not be written.
        self._text = content.decode(self._encoding).encode()
        self._tree = ast.parse(self._text.decode(), filename=name)
        self._starts = list(itertools.accumulate((len(line) for line in _LINE.findall(self._text)), initial=0))
        self._imports = [node for node in ast.walk(self._tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        self._bound: dict[str, Bound] = {}
        for statement in self._imports:
            self._bound.update(bindings(statement))
        self._findings: list[Finding] = []
        self._edits: list[Edit] = []
        self._needed: dict[str, None] = {}
        if self._bound or any(is_prefect(getattr(node, "module", None)) for node in self._imports):
            self._examine()

    def findings(self) -> list[Finding]:
        """What there is to say, in the order of the file."""
        return sorted(set(self._findings))

    def rewritten(self) -> bytes:
        """The file with all that can be changed changed, and everything else as it was."""
        text = self._text
        for edit in sorted(self._edits, reverse=True):
            text = text[: edit.start] + edit.text.encode() + text[edit.end :]
        decoded = text.decode()
        ast.parse(decoded)
        return decoded.encode(self._encoding)

    def _examine(self) -> None:
        others = _bound_otherwise(self._tree) & set(self._bound)
        stays = False
        for use in uses(self._tree, self._bound):
            done = use.root.id not in others and self._use(use)
            stays |= not done and self._bound[use.root.id].prefect == _ROOT
        for remark in Code(self._tree, self._bound).remarks():
            self._add(remark.node, remark.kind, remark.what, remark.mend)
        first = True
        for statement in sorted(self._imports, key=lambda node: (node.lineno, node.col_offset)):
            is_root = isinstance(statement, ast.Import) and _ROOT in bindings(statement)
            if is_root and _ROOT in others:
                self._add(statement, "unsupported", ast.unparse(statement), "the file uses the name for something else, too")
                continue
            self._import(statement, self._needed if is_root and first else (), stays=stays and is_root and first)
            first = first and not is_root

    def _use(self, use: Use) -> bool:
        """Take note of a use; whether it needs nothing of Prefect any more."""
        root = self._bound[use.root.id]
        is_import = use.node is use.root and root.prefect != _ROOT
        if use.target is None:
            if not is_import:  # of what was imported the import says it
                self._add(use.node, "unsupported", use.prefect, mend(use.prefect))
            return False
        if isinstance(getattr(use.node, "ctx", None), ast.Store | ast.Del) and use.prefect.startswith("prefect.config."):
            self._add(use.node, "unsupported", f"{use.prefect} = …", "settings are read only: set the variable before")
            return True
        if is_import or root.lite is None:
            return True
        new = self._new_name(use, root.lite)
        old = ast.unparse(use.node)
        if new == old:
            return True
        start, end = self._span(use.node)
        if new is None or self._text[start:end].decode().replace(" ", "") != old:
            self._add(use.node, "unsupported", old, f"write {use.target}")
            return False
        self._edits.append(Edit(start, end, new))
        self._add(use.node, "change", old, new)
        return True

    def _new_name(self, use: Use, lite: str) -> str | None:
        """How a use reads: from the same beginning, if what was imported has it."""
        target = str(use.target)
        if self._bound[use.root.id].prefect == _ROOT:
            module = target.rpartition(".")[0] or target
            module = "prefectlite" if module.startswith("prefectlite.config") else module
            if not reachable(module):
                self._needed[module] = None
        if target != lite and not target.startswith(f"{lite}."):
            return None
        root = "prefectlite" if use.root.id == _ROOT and lite == "prefectlite" else use.root.id
        return root + target.removeprefix(lite)

    def _import(self, statement: ast.Import | ast.ImportFrom, needed: Iterable[str], *, stays: bool) -> None:
        for name, instead in lacking(statement):
            self._add(statement, "unsupported", name, instead)
        if not any(map(is_prefect, [getattr(statement, "module", None), *(alias.name for alias in statement.names)])):
            return
        if isinstance(statement, ast.ImportFrom) and statement.level:
            return
        made = changed(statement, needed, stays=stays)
        if made is None:
            return
        start, end = self._span(statement)
        text = self._text[start:end]
        old = ast.unparse(statement)
        if made.module is not None and (match := module_at(text)):
            self._edits.append(Edit(start + match.start(2), start + match.end(2), made.module))
        else:
            self._edits.append(Edit(start, end, self._lines(statement, made.lines)))
        self._add(statement, "change", old, "\n".join(made.lines))

    def _lines(self, statement: ast.stmt, lines: list[str]) -> str:
        """The lines in place of a statement, with the comments that stood within it above them."""
        start, end = self._span(statement)
        row = self._starts[statement.lineno - 1]
        before, after = self._text[row:start], self._text[end : self._text.find(b"\n", end) % (len(self._text) + 1)]
        if before.strip() or after.lstrip().startswith(b";"):
            return "; ".join(lines)
        newline = "\r\n" if b"\r\n" in self._text else "\n"
        tokens = tokenize.generate_tokens(io.StringIO(self._text[start:end].decode()).readline)
        comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
        return (newline + before.decode()).join([*comments, *lines])

    def _span(self, node: ast.AST) -> tuple[int, int]:
        first, last = self._starts[node.lineno - 1], self._starts[node.end_lineno - 1]  # type: ignore[attr-defined]
        return first + node.col_offset, last + node.end_col_offset  # type: ignore[attr-defined]

    def _add(self, node: ast.AST, kind: Kind, what: str, instead: str) -> None:
        line, column = node.lineno, node.col_offset + 1  # type: ignore[attr-defined]
        self._findings.append(Finding(self.name, line, column, kind, what, instead))


def examined(path: Path) -> SourceFile | Finding:
    """A file that was read, or why it could not be. Raises OSError."""
    name, content = str(path), path.read_bytes()
    try:
        return SourceFile(name, content)
    except SyntaxError as error:
        return Finding(name, error.lineno or 1, error.offset or 1, "unsupported", "cannot be read", str(error.msg))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        return Finding(name, 1, 1, "unsupported", "cannot be read", str(error))


def _bound_otherwise(tree: ast.AST) -> set[str]:
    """Names that a file binds by something else than imports."""
    return set(_others(tree))


def _others(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = ((alias.asname or alias.name.partition(".")[0], alias.name) for alias in node.names)
            module = getattr(node, "module", None)
            yield from (bound for bound, name in names if not is_prefect(module or name))
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
