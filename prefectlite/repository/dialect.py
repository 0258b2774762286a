"""The few words in which the databases differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from prefectlite.repository.table import Kind
from prefectlite.repository.words import Term

_SECOND = 1_000_000
#: What words are separated by, in lower case, as PostgreSQL's regular expressions say it.
_SEPARATORS = r"[^0-9a-z\u0080-\U0010ffff]+"


class Dialect(Protocol):
    """What a database must be able to say; every expression takes and gives SQL text."""

    def json(self, kind: Kind, column: str) -> str:
        """The JSON text of `column`, the text `null` where it is NULL; never NULL itself."""
        ...

    def member(self, column: str, name: str) -> str:
        """The JSON text of the member `name` of the object that `column` holds."""
        ...

    def gather(self, expression: str) -> str:
        """The texts of all rows joined by commas, in the order of the rows; NULL when there are none."""
        ...

    def like(self, column: str, pattern: str, bind: Callable[[Any], str], *, any_case: bool) -> str:
        """Whether `column` matches `pattern` (`%`, `_`, a backslash before either to mean itself).

        `bind` gives placeholders.
        """
        ...

    def contains(self, column: str, document: str, bind: Callable[[Any], str]) -> str:
        """Whether the JSON in `column` has all that the JSON text `document` has."""
        ...

    def contained(self, column: str, texts: Sequence[str], bind: Callable[[Any], str]) -> str:
        """Whether every one of the texts in the list in `column` is one of `texts`."""
        ...

    def has_keys(self, column: str, keys: Sequence[str], bind: Callable[[Any], str], *, all_of_them: bool) -> str:
        """Whether the JSON in `column` is an object with these keys, or a list with these texts: all or any of them."""
        ...

    def has(self, column: str, text: str) -> str:
        """Whether the list of texts in `column` has the text that the expression `text` gives."""
        ...

    def now(self) -> str:
        """This moment in microseconds since 1970, by the machine's clock."""
        ...

    def search(self, alias: str, terms: Sequence[Term], bind: Callable[[Any], str]) -> str:
        """Whether the row `alias` of the table log, which is in the index of words, has all `terms` in its message."""
        ...

    def index_words(self) -> str:
        """The statement that puts the lines of logs after the one numbered `$1`, up to `$2`, into the index of words."""
        ...

    def among(self, column: str, place: str) -> str:
        """Whether `column` is one of the texts in the list (made by `listed`) that the placeholder `place` stands for."""
        ...

    def listed(self, values: Iterable[str]) -> Any:
        """One parameter that holds all `values`."""
        ...


class SqliteDialect:
    """SQLite from 3.37 on. Letter case is ignored for ASCII only, which is what SQLite's LIKE knows."""

    def json(self, kind: Kind, column: str) -> str:
        if kind is Kind.TIME:
            return _sqlite_time(column)
        if kind is Kind.DURATION:
            return _sqlite_duration(column)
        if kind is Kind.BOOL:
            return f"CASE WHEN {column} THEN 'true' WHEN NOT {column} THEN 'false' ELSE 'null' END"
        if kind is Kind.JSON:
            return f"COALESCE({column}, 'null')"
        return f"json_quote({column})"

    def member(self, column: str, name: str) -> str:
        return f"json_extract({column}, '$.{name}')"

    def gather(self, expression: str) -> str:
        return f"group_concat({expression}, ',')"

    def like(self, column: str, pattern: str, bind: Callable[[Any], str], *, any_case: bool) -> str:
        if any_case:
            return rf"{column} LIKE {bind(_closed(pattern))} ESCAPE '\'"
        # SQLite's LIKE ignores case and can only be told otherwise for the whole connection; GLOB does not.
        return f"{column} GLOB {bind(_glob(pattern))}"

    def contains(self, column: str, document: str, bind: Callable[[Any], str]) -> str:
        return f"json_contains({column}, {bind(document)})"

    def contained(self, column: str, texts: Sequence[str], bind: Callable[[Any], str]) -> str:
        known = f"SELECT value FROM json_each({bind(self.listed(texts))})"
        return f"NOT EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE e.value NOT IN ({known}))"

    def has_keys(self, column: str, keys: Sequence[str], bind: Callable[[Any], str], *, all_of_them: bool) -> str:
        return f"json_has_{'all' if all_of_them else 'any'}({column}, {bind(self.listed(keys))})"

    def has(self, column: str, text: str) -> str:
        return f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE e.value = {text})"

    def now(self) -> str:
        return f"CAST((julianday('now') - 2440587.5) * 86400 * {_SECOND} AS INTEGER)"

    def search(self, alias: str, terms: Sequence[Term], bind: Callable[[Any], str]) -> str:
        phrases = [f'"{" ".join(term.words)}"{" *" * term.is_prefix}' for term in terms]
        place = bind(" AND ".join(phrases))
        return f"{alias}.seq IN (SELECT rowid FROM log_words WHERE log_words MATCH {place})"

    def index_words(self) -> str:
        return """
        INSERT INTO log_words (rowid, words)
        SELECT seq, coalesce(indexed, message) FROM log WHERE seq > $1 AND seq <= $2 ORDER BY seq
        """

    def among(self, column: str, place: str) -> str:
        return f"{column} IN (SELECT value FROM json_each({place}))"

    def listed(self, values: Iterable[str]) -> str:
        return msgspec.json.encode(list(values)).decode()


class PostgresDialect:
    """PostgreSQL. Texts have the collation "C" there, so that order, and letter case in ILIKE, are as in SQLite."""

    def json(self, kind: Kind, column: str) -> str:
        if kind is Kind.TIME:
            return _postgres_time(column)
        if kind is Kind.DURATION:
            return _postgres_duration(column)
        if kind is Kind.BOOL:
            return f"CASE WHEN {column} <> 0 THEN 'true' WHEN {column} = 0 THEN 'false' ELSE 'null' END"
        if kind is Kind.JSON:
            return f"COALESCE({column}, 'null')"
        return f"COALESCE(to_json({column})::text, 'null')"

    def member(self, column: str, name: str) -> str:
        return f"({_readable(column)}::json -> '{name}')::text"

    def gather(self, expression: str) -> str:
        return f"string_agg({expression}, ',')"

    def like(self, column: str, pattern: str, bind: Callable[[Any], str], *, any_case: bool) -> str:
        return f"{column} {'ILIKE' if any_case else 'LIKE'} {bind(_closed(pattern))}"

    def contains(self, column: str, document: str, bind: Callable[[Any], str]) -> str:
        return f"{_readable(column)}::jsonb @> {bind(document)}::text::jsonb"

    def contained(self, column: str, texts: Sequence[str], bind: Callable[[Any], str]) -> str:
        return f"{column}::jsonb <@ to_jsonb({bind(list(texts))}::text[])"

    def has_keys(self, column: str, keys: Sequence[str], bind: Callable[[Any], str], *, all_of_them: bool) -> str:
        return f"{_readable(column)}::jsonb {'?&' if all_of_them else '?|'} {bind(list(keys))}::text[]"

    def has(self, column: str, text: str) -> str:
        return f"{_readable(column)}::jsonb ? {text}"

    def now(self) -> str:
        return f"CAST(extract(epoch FROM clock_timestamp()) * {_SECOND} AS bigint)"

    def search(self, alias: str, terms: Sequence[Term], bind: Callable[[Any], str]) -> str:
        # The index knows which words a line has, but not where: only so far into a line could it tell.
        lexemes = [f"'{word}'" for term in terms for word in term.words[:-1]]
        lexemes += [f"'{term.words[-1]}'{':*' * term.is_prefix}" for term in terms]
        place = bind(" & ".join(lexemes))
        # As a list, made first: where the planner may choose, it goes through all lines once it takes a phrase for frequent.
        parts = [f"{alias}.seq = ANY(ARRAY(SELECT seq FROM log_words WHERE words @@ {place}::text::tsquery))"]
        for term in terms:
            if len(term.words) > 1:
                end = "" if term.is_prefix else rf"({_SEPARATORS}|$)"
                pattern = bind(f"(^|{_SEPARATORS}){_SEPARATORS.join(term.words)}{end}")
                parts.append(f"lower(coalesce({alias}.indexed, {alias}.message)) ~ {pattern}")
        return " AND ".join(parts)

    def index_words(self) -> str:
        # Not by to_tsvector: what that takes for a word hangs on the server's locale, and it has ideas about numbers.
        return rf"""
        INSERT INTO log_words (seq, words)
        SELECT seq, array_to_tsvector(
            array_remove(regexp_split_to_array(lower(coalesce(indexed, message)), '{_SEPARATORS}'), '')
        ) FROM log WHERE seq > $1 AND seq <= $2 ORDER BY seq
        """

    def among(self, column: str, place: str) -> str:
        return f"{column} = ANY({place}::text[])"

    def listed(self, values: Iterable[str]) -> list[str]:
        return list(values)


#: The embedded database.
SQLITE: Dialect = SqliteDialect()
#: The one that several machines can share.
POSTGRES: Dialect = PostgresDialect()


def _sqlite_time(column: str) -> str:
    # The remainder is made positive first, so that moments before 1970 come out right too.
    rest = f"(({column} % {_SECOND}) + {_SECOND}) % {_SECOND}"
    seconds = f"({column} - {rest}) / {_SECOND}"
    text = f"strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') || printf('.%06d+00:00', {rest})"
    return f"""COALESCE('"' || {text} || '"', 'null')"""


def _sqlite_duration(column: str) -> str:
    size = f"abs({column})"
    parts = f"{size} / 3600000000, {size} / 60000000 % 60, {size} / {_SECOND} % 60"
    fraction = f"CASE WHEN {size} % {_SECOND} THEN printf('.%06d', {size} % {_SECOND}) ELSE '' END"
    sign = f"CASE WHEN {column} < 0 THEN '-' ELSE '' END"
    text = f"""'"' || {sign} || printf('%02d:%02d:%02d', {parts}) || {fraction} || '"'"""
    return f"CASE WHEN {column} IS NULL THEN 'null' ELSE {text} END"


def _glob(pattern: str) -> str:
    """The GLOB pattern that matches what the LIKE pattern matches, letter case included."""
    out: list[str] = []
    escaped = False
    for letter in pattern:
        if letter == "\\" and not escaped:
            escaped = True
            continue
        if letter in "%_" and not escaped:
            out.append("*" if letter == "%" else "?")
        else:
            out.append(f"[{letter}]" if letter in "*?[" else letter)
        escaped = False
    if escaped:
        out.append("\\")
    return "".join(out)


def _closed(pattern: str) -> str:
    """The LIKE pattern with a backslash at its end, which nothing follows, meaning itself."""
    dangling = (len(pattern) - len(pattern.rstrip("\\"))) % 2 == 1
    return pattern + "\\" * dangling


def _readable(column: str) -> str:
    # JSON knows an escape that PostgreSQL refuses to read: one such document would fail every question about documents.
    spelt = rf"regexp_replace({column}, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')"
    return rf"(CASE WHEN strpos({column}, '\u0000') > 0 THEN {spelt} ELSE {column} END)"


def _postgres_time(column: str) -> str:
    # Seconds and the rest apart: an interval is multiplied as a float, which is exact for either of them.
    moment = (
        f"timestamp 'epoch' + ({column} / {_SECOND}) * interval '1 second'"
        f" + ({column} % {_SECOND}) * interval '1 microsecond'"
    )
    return f"""COALESCE('"' || to_char({moment}, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') || '"', 'null')"""


def _postgres_duration(column: str) -> str:
    size = f"abs({column})"
    hours = f"to_char({size} / 3600000000, 'FM9999999900')"
    rest = f"to_char({size} / 60000000 % 60, 'FM00') || ':' || to_char({size} / {_SECOND} % 60, 'FM00')"
    fraction = f"CASE WHEN {size} % {_SECOND} <> 0 THEN '.' || to_char({size} % {_SECOND}, 'FM000000') ELSE '' END"
    sign = f"CASE WHEN {column} < 0 THEN '-' ELSE '' END"
    return f"""COALESCE('"' || {sign} || {hours} || ':' || {rest} || {fraction} || '"', 'null')"""
