"""Searching in logs against plain Python: the same lines, whatever is written, deleted, indexed and asked for."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.api.caller import Caller
from prefectlite.api.queries import read_json
from prefectlite.errors import BadRequest
from prefectlite.ids import new_id
from prefectlite.records import LogRow
from prefectlite.repository.database import Database, Transaction
from prefectlite.repository.logs import MOST_LINES, append_lines, fill_index, index_some
from prefectlite.repository.retention import OldRun, delete_some, delete_some_lines
from prefectlite.repository.selection import Column, Order, Selection
from prefectlite.repository.transfer import export_run, import_run
from prefectlite.repository.urls import open_database
from prefectlite.repository.words import terms
from tests.repository import sample_rows
from tests.repository.sample_rows import uid

RUNS = [uid(201), uid(204), uid(207)]  # that have ended
ENDED = 5


class Stored:
    """A database with lines of logs in it, and what they are."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.lines: dict[int, tuple[str, str]] = {}
        self.database: Database = self.run(open_database(url))

        async def fill(tx: Transaction) -> None:
            for sql, parameters in sample_rows.inserts():
                if not sql.startswith("INSERT INTO log "):
                    await tx.execute(sql, parameters)
            await tx.execute(f"UPDATE flow_run SET end_time = {ENDED} WHERE state = 'Success'")

        self.run(self.database.write(fill))

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def write(self, run: str, messages: list[str]) -> None:
        lines = [LogRow(new_id(), run, None, 1, "INFO", "test", message) for message in messages]
        first = self.run(self.database.write(lambda tx: append_lines(tx, lines)))
        self.lines |= {first + n: (run, message) for n, message in enumerate(messages)}

    def index(self) -> bool:
        more: bool = self.run(self.database.write(index_some))
        return more

    def clear(self, run: str) -> None:
        while self.run(self.database.write(lambda tx: delete_some_lines(tx, OldRun(run, ENDED)))):
            pass
        self.lines = {seq: line for seq, line in self.lines.items() if line[0] != run}

    def found(self, query: str, run: str | None) -> list[int]:
        where: dict[str, Any] = {"message": {"_search": query}} | ({"flow_run_id": {"_eq": run}} if run else {})
        selection = Selection("log", {"seq": Column("seq")}, where, [Order(("seq",), "desc")], 1000)
        answer = msgspec.json.decode(self.run(read_json(self.database, {"log": selection}, Caller())))
        return [row["seq"] for row in answer["log"]]

    def close(self) -> None:
        self.run(self.database.aclose())
        self.runner.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stored(request: pytest.FixtureRequest) -> Iterator[Stored]:
    url = "sqlite://:memory:"
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        name = server.new_database()
        url = server.url_of(name)
    made = Stored(url)
    yield made
    made.close()
    if request.param == "postgres":
        server.empty(name)


# -- the same in Python -------------------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    out = [""]
    for letter in unicodedata.normalize("NFC", text.replace("\x1b[1;31m", " ")).casefold():
        if "\u4e00" <= letter <= "\u9fff":
            out += [letter, ""]
        elif letter.isalnum():
            out[-1] += letter
        else:
            out.append("")
    return [word[:255] for word in out if word]


def asked(query: str) -> list[tuple[list[str], bool]]:
    """(words side by side, whether the last is only a beginning) of each part of a query."""
    parts: list[tuple[list[str], bool]] = []
    for n, part in enumerate(query.split('"')):
        if n % 2:
            parts.append((words_of(part), False))
        else:
            parts += [(words_of(text), text.endswith("*")) for text in part.split()]
    return [part for part in parts if part[0]]


def holds(text: str, query: str) -> bool:
    have, parts = words_of(text), asked(query)

    def stands(words: list[str], is_beginning: bool) -> bool:
        for start in range(len(have) - len(words) + 1):
            there = have[start : start + len(words)]
            if there == words or (is_beginning and there[:-1] == words[:-1] and there[-1].startswith(words[-1])):
                return True
        return False

    return bool(parts) and all(stands(*part) for part in parts)


PIECES = [
    "a",
    "b",
    "ab",
    "AB",
    "1e5",
    "e5",
    "x",
    "ü",
    "Ü",
    "u\u0308",
    "ß",
    "SS",
    "σς",
    "Σ",
    "错",
    "误",
    "信息",
    "_",
    "-",
    ".",
    "…",
    "\n",
]
PIECES += [" "] * 8 + [
    "\x1b[1;31m",
    "\x1b",
    "\x00",
    "\t",
    "👋",
    "'",
    "\\",
    "²",
    "ﬁ",
    "a" * 300,
    "é" * 300,
    "%",
    ":*",
    "&",
    "(",
    "\u0301",
    "\xa0",
]
MESSAGES = st.lists(st.sampled_from([*PIECES, '"', "*"]), max_size=12).map("".join)
QUERIES = st.lists(st.sampled_from([*PIECES, '"', '"', "*", "* ", " AND ", " NOT ", "NEAR("]), max_size=6).map("".join)
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(RUNS), st.lists(MESSAGES, min_size=1, max_size=4)),
    st.tuples(st.just("search"), st.sampled_from([None, *RUNS]), QUERIES),
    st.tuples(
        st.just("search"), st.sampled_from([None, *RUNS]), st.sampled_from(["a", "ab", "a*", '"a b"', "ü", "错误", "e5"])
    ),
    st.tuples(st.just("clear"), st.sampled_from(RUNS), st.none()),
    st.tuples(st.just("index"), st.none(), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=12))
def test_finds_what_python_finds(stored: Stored, steps: list[tuple[str, Any, Any]]) -> None:
    for kind, run, what in steps:
        if kind == "write":
            stored.write(run, what)
        elif kind == "clear":
            stored.clear(run)
        elif kind == "index":
            stored.index()
        else:
            expected = [seq for seq, (of, text) in stored.lines.items() if run in (None, of) and holds(text, what)]
            assert stored.found(what, run) == expected[::-1]


def test_what_is_deleted_is_not_in_the_index(stored: Stored) -> None:
    stored.write(RUNS[0], ["to be deleted", "Ü…"] * 10)
    stored.run(fill_index(stored.database))
    stored.write(RUNS[0], ["not indexed yet"])
    while stored.run(stored.database.write(lambda tx: delete_some(tx, OldRun(RUNS[0], ENDED)))):
        pass
    assert not stored.run(stored.database.read("SELECT 1 FROM flow_run WHERE id = $1", (RUNS[0],)))
    stored.lines = {seq: line for seq, line in stored.lines.items() if line[0] != RUNS[0]}
    assert stored.found("deleted", None) == stored.found("indexed", None) == []
    [(count,)] = stored.run(stored.database.read("SELECT count(*) FROM log_words"))
    assert count == len(stored.lines)


def test_a_run_with_its_lines_in_one_statement(stored: Stored) -> None:
    stored.write(RUNS[1], ["falls with its run"] * 3)
    stored.run(fill_index(stored.database))

    async def delete(tx: Transaction) -> None:
        await tx.execute("DELETE FROM flow_run WHERE id = $1", (RUNS[1],))

    stored.run(stored.database.write(delete))
    stored.lines = {seq: line for seq, line in stored.lines.items() if line[0] != RUNS[1]}
    assert stored.found("falls", None) == []
    [(count,)] = stored.run(stored.database.read("SELECT count(*) FROM log_words"))
    assert count == len(stored.lines)


def test_the_index_is_filled_in_small_batches_and_a_search_waits_for_all_of_it(stored: Stored) -> None:
    stored.write(RUNS[2], [f"batched {n}" for n in range(2 * MOST_LINES)])
    assert stored.index()
    stored.write(RUNS[2], ["batched " + "long " * 50_000] * 3)
    assert len(stored.found("batched", RUNS[2])) == 1000
    assert not stored.index()
    assert len(stored.found("long", RUNS[2])) == 3
    stored.clear(RUNS[2])


def test_what_is_too_much(stored: Stored) -> None:
    with pytest.raises(BadRequest, match=r"where\.message\._search: a search has at most 1,000 characters"):
        stored.found("x" * 100_000, None)
    with pytest.raises(BadRequest, match=r"a search has at most 100 words"):
        stored.found("x " * 101, None)
    assert stored.found("x " * 100, None) == stored.found("\ud800 \x00", None) == stored.found("👋", None) == []


def test_a_run_that_was_imported(stored: Stored, tmp_path: Path) -> None:
    stored.write(RUNS[2], ["brought along", "Über die Grenze"])
    stored.run(export_run(stored.database, RUNS[2], tmp_path / "run"))
    while stored.run(stored.database.write(lambda tx: delete_some(tx, OldRun(RUNS[2], ENDED)))):
        pass
    assert stored.found("along", None) == []
    stored.run(import_run(stored.database, tmp_path / "run"))
    assert len(stored.found('"brought along"', RUNS[2])) == len(stored.found("über", None)) == 1


def test_terms() -> None:
    assert [(*term.words, term.is_prefix) for term in terms('Ab "c  D" e-f* "g', "q")] == [
        ("ab", False),
        ("c", "d", False),
        ("e", "f", True),
        ("g", False),
    ]
