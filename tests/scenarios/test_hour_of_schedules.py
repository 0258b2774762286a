"""Two servers and four agents on one PostgreSQL through an hour of schedules, on clocks that run much faster than ours.

Schedules are switched off and on and changed meanwhile, at either server, and a server and an agent are killed and started
again. What became of each event is read from the database, and from the marks that the flows leave in a file.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.postgres_server import PostgresServer, name_in
from tests.scenarios.fast_time import BEGAN, FastClock
from tests.scenarios.processes import Server, agent, prefectlite, serving, wait_until

#: An hour takes 45 seconds, and a minute 0.75. There are three runs in it, each of which costs two servers and four agents
#: about 0.1 s of a processor: four times as fast would be more than two cores can do that others use, too.
FACTOR = 80
#: Real seconds after which an agent of which nothing is heard is gone, seven minutes of the clock's. With two seconds,
#: agents that only had to wait for a processor were taken for dead, and their runs went from one to the next.
SILENCE = 5.0
#: Real seconds by which a run may begin later than any that began did. Until then, switching off its schedule forgets it.
LATER = 2.0
MINUTE = 60_000_000
LONG_RUNS = "SELECT r.id FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = 'skipping' AND r.state = 'Running'"

FLOWS = """
import asyncio, os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from prefectlite import Flow, Parameter, context, task
from prefectlite.schedules import CronSchedule, IntervalSchedule, Schedule
from prefectlite.schedules.clocks import CronClock

MARKS = Path(__file__).with_name("marks.txt")

def mark(what, x):
    descriptor = os.open(MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{context.flow_run_id} {os.getpid()} {what} {x}\\n".encode())
    os.close(descriptor)

@task
async def first(x, seconds):
    mark("first begins", x)
    await asyncio.sleep(seconds)
    mark("first ends", x)
    return x

@task
async def second(x):
    mark("second begins", x)
    await asyncio.sleep(0.01)
    mark("second ends", x)

def flow(name, schedule, seconds=0.05):
    with Flow(name, schedule=schedule) as made:
        second(first(Parameter("x", default=0), seconds))
    return made

minutely = flow("minutely", CronSchedule("* * * * *"))
sevens = flow("sevens", IntervalSchedule(datetime(2024, 3, 1, 12, tzinfo=UTC), timedelta(minutes=7)))
given = flow("given", Schedule([CronClock("*/10 * * * *", parameter_defaults={"x": 42})]))
skipping = flow("skipping", Schedule([CronClock("*/2 * * * *")], overlap="skip"), seconds=1.9)
halted = flow("halted", CronSchedule("*/3 * * * *"))
edited = flow("edited", CronSchedule("*/4 * * * *"))
"""


class Rule(NamedTuple):
    """A schedule, as simple arithmetic: every so many minutes, counted from `anchor`, with this `x`."""

    minutes: int
    x: int = 0
    anchor: int = 0

    def events(self, start: int, end: int) -> set[int]:
        """When it is due from `start` up to, but not at, `end`."""
        step = self.minutes * MINUTE
        return set(range(start + (self.anchor - start) % step, end, step))


class Change(NamedTuple):
    """From some moment between `asked` and `answered` on, a flow runs by `rule`, or by none."""

    asked: int
    answered: int
    rule: Rule | None


RULES = {
    "minutely": Rule(1),
    "sevens": Rule(7, anchor=BEGAN),
    "given": Rule(10, x=42),
    "skipping": Rule(2),
    "halted": Rule(3),
    "edited": Rule(4),
}


class World:
    """The servers and agents, and what was asked of them."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        directory: Path,
        ports: list[int],
        database_url: str,
        ask: Callable[[str], list[Any]],
    ) -> None:
        self.ask = ask
        self.clock = FastClock(FACTOR, time.time_ns() // 1000)
        self.environ = {
            "PREFECTLITE_DATABASE_URL": database_url,
            "PREFECTLITE_AGENT": "false",
            "PREFECTLITE_GRACE_PERIOD": "0.2",
            "PREFECTLITE_AGENT_SILENCE": str(SILENCE * FACTOR),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **self.clock.environ,
        }
        self._stack, self._directory, self._ports = stack, directory, ports
        self.changes: dict[str, list[Change]] = defaultdict(list)
        self.killed: set[str] = set()  # processes of agents
        self.cut_off: set[str] = set()  # those whose server was killed
        with ThreadPoolExecutor(4) as pool:
            self.servers = list(pool.map(self._serving, range(2)))
            self.agents = list(pool.map(self._agent, (0, 0, 1, 1)))
        self.ids: dict[str, dict[str, Any]] = {}

    def register(self) -> None:
        """Register the flows at the second server, with their schedules off."""
        (self._directory / "flows.py").write_text(FLOWS)
        arguments = ("register", "--api", self.servers[1].url, "--project", "p", "--path", "flows.py", "--no-schedule")
        done = prefectlite(*arguments, cwd=self._directory, **self.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        found = self.servers[1].graphql("{ flow { id name flow_group_id } }")["flow"]
        self.ids = {flow["name"]: flow for flow in found}

    def switch(self, name: str, at: int, *, on: bool) -> None:
        """Switch the schedule of a flow on or off, asking server `at`."""
        mutation = f"set_schedule_{'active' if on else 'inactive'}"
        query = f"mutation ($id: UUID!) {{ {mutation}(input: {{flow_id: $id}}) {{ success }} }}"
        self._change(name, RULES[name] if on else None, lambda: self.servers[at].graphql(query, id=self.ids[name]["id"]))

    def edit(self, name: str, at: int, minutes: int, x: int) -> None:
        """Have a flow run every so many minutes with this `x`."""
        query = """mutation ($id: UUID!, $clocks: [cron_clock_input!]) {
            set_flow_group_schedule(input: {flow_group_id: $id, cron_clocks: $clocks}) { success } }"""
        clocks = [{"cron": f"*/{minutes} * * * *", "parameter_defaults": {"x": x}}]
        group = self.ids[name]["flow_group_id"]
        self._change(name, Rule(minutes, x), lambda: self.servers[at].graphql(query, id=group, clocks=clocks))

    def kill_server(self, at: int) -> None:
        """Kill a server; its agents go on."""
        self.cut_off |= {str(one.pid) for one in self.agents[2 * at : 2 * at + 2]}
        self.servers[at].process.send_signal(signal.SIGKILL)
        self.servers[at].process.wait()

    def kill_agent(self) -> int:
        """Kill an agent in the midst of a task; its number."""
        found: list[str] = []
        numbers = {str(one.pid): number for number, one in enumerate(self.agents)}
        wait_until(lambda: found.extend(self._at_work() & numbers.keys()) or found)
        number = numbers[found[0]]
        self.agents[number].send_signal(signal.SIGKILL)
        self.agents[number].wait()
        self.killed.add(found[0])
        return number

    def start_server(self, at: int) -> None:
        self.servers[at] = self._serving(at)

    def start_agent(self, number: int) -> None:
        self.agents[number] = self._agent(number // 2)

    def wait(self, minute: float, since: int) -> None:
        """Return so many minutes after `since` on the clock of all."""
        wait_until(lambda: self.clock.micros() >= since + minute * MINUTE, minute * 60 / FACTOR + 1)

    def _at_work(self) -> set[str]:
        """The processes that have begun a long task and not ended it."""
        long = [run_id for run_id, *_ in self.ask(LONG_RUNS)]
        lines = [line.split() for line in (self._directory / "marks.txt").read_text().splitlines()]
        open_ends = {line[1]: line[3] for line in lines if line[0] in long and line[2] == "first"}
        return {process for process, what in open_ends.items() if what == "begins"}

    def _change(self, name: str, rule: Rule | None, change: Callable[[], object]) -> None:
        asked = self.clock.micros()
        change()
        self.changes[name].append(Change(asked, self.clock.micros(), rule))

    def _serving(self, at: int) -> Server:
        place = {"port": self._ports[at], "cwd": self._directory, "module": "tests.scenarios.fast_time"}
        return self._stack.enter_context(serving(**place, **self.environ))  # type: ignore[arg-type]

    def _agent(self, at: int) -> subprocess.Popen[str]:
        url = self.servers[at].url
        working = agent(url=url, cwd=self._directory, module="tests.scenarios.fast_time", **self.environ)
        return self._stack.enter_context(working)


def an_hour(world: World, begin: int) -> None:
    """What people do, and what happens to processes, from `begin` on."""
    world.wait(8.5, begin)
    world.switch("halted", 1, on=False)
    world.wait(12.5, begin)
    world.edit("edited", 0, 5, 7)
    world.wait(18.2, begin)
    world.kill_server(1)
    world.wait(26.5, begin)
    world.switch("halted", 0, on=True)
    world.start_server(1)
    world.edit("edited", 1, 3, 8)
    world.wait(42.3, begin)
    killed = world.kill_agent()
    world.wait(43.5, begin)
    world.switch("halted", 1, on=False)
    world.start_agent(killed)
    world.switch("halted", 0, on=True)
    world.wait(60, begin)


@pytest.fixture
def hours(request: pytest.FixtureRequest) -> int:
    return 8 if request.config.getoption("--long") else 1


@pytest.fixture
def world(tmp_path: Path, ports: list[int], postgres_server: PostgresServer, postgres_url: str) -> Iterator[World]:
    def ask(sql: str) -> list[Any]:
        return [tuple(row) for row in postgres_server.ask(sql, name_in(postgres_url))]

    with contextlib.ExitStack() as stack:
        yield World(stack, tmp_path, ports, postgres_url, ask)


def test_each_event_of_an_hour_is_one_run(tmp_path: Path, world: World, hours: int) -> None:
    ask = world.ask
    world.register()
    for name in RULES:
        world.switch(name, 1, on=True)
    begin = world.clock.micros()
    for hour in range(hours):
        an_hour(world, begin + hour * 60 * MINUTE)
    for name in RULES:
        world.switch(name, 0, on=False)
    unfinished = "SELECT id, state, owner, state_message FROM flow_run WHERE state NOT IN ('Success', 'Cancelled')"
    with contextlib.suppress(AssertionError):
        wait_until(lambda: ask(unfinished) == [])
    assert ask(unfinished) == []

    runs = ask(
        "SELECT f.name, r.scheduled_start_time, r.id, r.state, r.start_time, r.end_time, r.parameters"
        " FROM flow_run r JOIN flow f ON f.id = r.flow_id ORDER BY 1, 2"
    )
    late_at_most = max(run[4] - run[1] for run in runs if run[4]) + round(LATER * FACTOR * 1_000_000)
    for name in RULES:
        check_events(name, [run for run in runs if run[0] == name], world.changes[name], late_at_most)
    check_overlaps([run for run in runs if run[0] == "skipping"])
    check_record(ask, runs)
    check_marks((tmp_path / "marks.txt").read_text(), runs, world)
    late = sorted((run[4] - run[1]) / FACTOR / 1000 for run in runs if run[4])
    print(f"{len(runs)} runs, begun {late[len(late) // 2]:.0f} ms late by the median, {late[-1]:.0f} ms at most")


def check_events(name: str, runs: list[Any], changes: list[Change], late_at_most: int) -> None:
    """Each event of the rules that were in force, and no other, has one run, with what the rule gives it."""
    found = [(moment, msgspec.json.decode(parameters).get("x", 0)) for _, moment, _, _, _, _, parameters in runs]
    assert len(set(found)) == len(found), "an event has two runs"
    certain, possible = set(), set()
    for one, following in itertools.pairwise(changes):
        if one.rule is not None:
            begun = following.asked - late_at_most
            certain |= {(moment, one.rule.x) for moment in one.rule.events(one.answered, begun)}
            possible |= {(moment, one.rule.x) for moment in one.rule.events(one.asked, following.answered)}
    assert certain, "there was nothing to see"
    assert sorted(certain - set(found)) == [], f"{name}: events without a run, of {changes}"
    assert sorted(set(found) - possible) == [], f"{name}: runs that nobody asked for"


def check_overlaps(runs: list[Any]) -> None:
    """No run began while another was under way, and those that were skipped were due, or looked at, while one was."""
    begun = sorted((start, end, run_id) for _, _, run_id, state, start, end, _ in runs if state == "Success")
    for (_, end, one), (start, _, other) in itertools.pairwise(begun):
        assert end <= start, f"{other} began while {one} was under way"
    skipped = [run for run in runs if run[3] == "Cancelled"]
    assert skipped, "all runs were over in time"
    looked_at = round(1.5 * FACTOR * 1_000_000)  # that much later it may be, and the end of a run in the record
    for _, moment, run_id, _, _, skipped_at, _ in skipped:
        others = [(due, start, end) for _, due, _, state, start, end, _ in runs if state == "Success"]
        ahead = any(due < moment <= end + looked_at for due, _, end in others)
        # It may have waited so long for somebody to take it that it found the one after it under way.
        assert ahead or any(start <= skipped_at <= end + looked_at for _, start, end in others), (
            f"{run_id}, due at {moment}, was skipped for none at {skipped_at}: {sorted(others)}"
        )


def check_record(ask: Callable[[str], list[Any]], runs: list[Any]) -> None:
    """Each run ended once, and no task of it was begun anew after its end."""
    ended = "SELECT flow_run_id, count(*) FROM flow_run_state WHERE state IN ('Success', 'Cancelled') GROUP BY 1"
    assert sorted(ask(ended)) == sorted((run[2], 1) for run in runs)
    assert ask("SELECT task_run_id FROM task_run_state WHERE state = 'Success' GROUP BY 1 HAVING count(*) > 1") == []
    assert {run[0] for run in runs if run[3] == "Cancelled"} == {"skipping"}
    assert ask("SELECT id FROM flow_run WHERE owner IS NOT NULL") == []


def check_marks(text: str, runs: list[Any], world: World) -> None:
    """Each run was executed by one agent, or by another where that was killed or cut off, and never by two at once."""
    marks: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for line in text.splitlines():
        run_id, process, name, what, x = line.split()
        marks[run_id].append((process, f"{name} {what}", x))
    lost = world.killed | world.cut_off
    assert marks.keys() == {run[2] for run in runs if run[3] == "Success"}
    once = [f"{name} {what}" for name in ("first", "second") for what in ("begins", "ends")]
    moved = 0
    for run in runs:
        lines = marks.get(run[2], [])
        given = msgspec.json.decode(run[6]).get("x", 0)
        assert {x for _, _, x in lines} <= {str(given)}
        processes = list(dict.fromkeys(process for process, _, _ in lines))
        if len(processes) > 1:
            moved += 1
            assert set(processes[:-1]) <= lost, f"{run[2]} was executed by {processes}, of which {lost} were lost"
            check_not_at_once(run[2], lines, world.killed)
        elif processes:
            assert [what for _, what, _ in lines] == once, f"{run[2]} of {run[0]}: {lines}"
    assert 1 <= moved <= 20 * len(world.killed), f"{moved} runs went from one agent to another"
    print(f"{moved} runs moved; {len({process for lines in marks.values() for process, _, _ in lines})} agents at work")


def check_not_at_once(run_id: str, lines: list[tuple[str, str, str]], killed: set[str]) -> None:
    """No task of a run was begun in one process while another, that was alive, was at it."""
    at_work: set[tuple[str, str]] = set()
    for process, what, _ in lines:
        name, _, step = what.partition(" ")
        if step == "begins":
            others = {other for other, _ in at_work} - killed - {process}
            assert not others, f"{run_id}: {process} began {name} while {others} was at work"
            at_work.add((process, name))
        else:
            at_work.discard((process, name))
