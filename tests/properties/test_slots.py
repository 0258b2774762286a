"""Slots: whatever is proposed, in whatever order, no more run than there are slots, and nobody waits for nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prefectlite.ids import new_id
from prefectlite.records import StateRecord
from prefectlite.repository.flows import FlowVersion
from prefectlite.rules.proposals import Accept, FlowRunCreation, FlowRunProposal, TaskRunProposal
from prefectlite.rules.slots import Limit, Slots
from prefectlite.session import Session, open_session
from prefectlite.settings import Settings
from tests.orchestrator.test_local import FLOW, TASK

TAGS = {"a-1": ["db"], "b-1": ["db", "gpu"], "c-1": []}
RUNS, CHILDREN = 2, 3
ENDS = ("Success", "Failed", "Cancelled", "Retrying", "Paused", "Pending")
moves = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, RUNS - 1), st.sampled_from(sorted(TAGS)), st.integers(0, CHILDREN - 1)),
    st.tuples(
        st.just("leave"), st.integers(0, RUNS - 1), st.sampled_from(sorted(TAGS)), st.integers(0, CHILDREN - 1),
        st.sampled_from(ENDS),
    ),
    st.tuples(st.just("crash"), st.integers(0, RUNS - 1)),
    st.tuples(st.just("end"), st.integers(0, RUNS - 1)),
    st.tuples(st.just("limit"), st.sampled_from(["db", "gpu"]), st.integers(0, 3)),
    st.tuples(st.just("settle")),
)  # fmt: skip


class Company:
    """Flow runs whose task runs ask for slots."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.limits = {"db": 2, "gpu": 1}
        self.asked: list[tuple[str, asyncio.Future[Any]]] = []

    async def open(self) -> None:
        tasks = [{**TASK, "slug": slug, "name": slug, "tags": tags} for slug, tags in TAGS.items()]
        flow = await self.session.client.save_flow(FlowVersion({**FLOW, "tasks": tasks}, "digest"))
        self.task_ids = flow.task_ids
        facts = FlowRunCreation(flow.id, "run", {}, {}, [], 0)
        self.runs = [(await self.session.client.create_run(facts)).id for _ in range(RUNS)]
        self.ids = {(run, slug, child): new_id() for run in range(RUNS) for slug in TAGS for child in range(CHILDREN)}
        self.owners: list[str | None] = [None] * RUNS
        for run in range(RUNS):
            await self.claim(run)
        for name, slots in self.limits.items():
            await self.session.client.limits.set("tag", name, slots)

    async def claim(self, run: int) -> None:
        former, self.owners[run] = self.owners[run], new_id()
        proposal = FlowRunProposal(
            self.runs[run], StateRecord(new_id(), "Running", 1), claim=self.owners[run], takeover_from=former, restart=True
        )
        await self.session.orchestrator.propose(proposal)

    def propose(self, run: int, slug: str, child: int, state: str) -> None:
        where = (self.ids[run, slug, child], self.runs[run], self.task_ids[slug], child)
        record = StateRecord(new_id(), state, len(self.asked))
        proposal = TaskRunProposal(*where, record, restart=True, waits=True)
        self.asked.append((state, self.session.orchestrator.propose(proposal)))  # type: ignore[arg-type]

    async def settle(self) -> None:
        await asyncio.gather(*(answer for _, answer in self.asked))

    async def running(self) -> dict[str, int]:
        found = await self.session.database.read(
            "SELECT t.slug, count(*) FROM task_run r JOIN task t ON t.id = r.task_id JOIN flow_run f ON f.id = r.flow_run_id"
            " WHERE r.state = 'Running' AND f.state = 'Running' GROUP BY t.slug"
        )
        return {name: sum(count for slug, count in found if name in TAGS[slug]) for name in self.limits}


@given(st.lists(moves, max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_more_run_than_there_are_slots(plan: list[tuple[Any, ...]]) -> None:
    asyncio.run(_play(plan))


async def _play(plan: list[tuple[Any, ...]]) -> None:
    async with open_session(Settings(database_url="sqlite://:memory:")) as session:
        company = Company(session)
        await company.open()
        most = dict(company.limits)  # a limit that is lowered stops nobody
        for kind, *given_ in plan:
            if kind == "begin":
                company.propose(*given_, "Running")
                continue
            if kind == "leave":
                company.propose(*given_)
                continue
            await company.settle()
            if kind == "crash":
                await company.claim(given_[0])
            elif kind == "end":
                state = StateRecord(new_id(), "Failed", 1)
                await session.orchestrator.propose(FlowRunProposal(company.runs[given_[0]], state))
                await company.claim(given_[0])
            elif kind == "limit":
                name, company.limits[given_[0]] = given_[0], given_[1]
                await session.client.limits.set("tag", name, given_[1])
            running = await company.running()
            most = {name: max(company.limits[name], min(most[name], running[name])) for name in most}
            assert all(running[name] <= most[name] for name in most), (running, most)
        await company.settle()
        await _nobody_waits_for_nothing(company)


async def _nobody_waits_for_nothing(company: Company) -> None:
    """Whoever waits longest and finds slots of all its tags gets them."""
    for (run, slug, child), run_id in company.ids.items():
        rows = await company.session.database.read("SELECT state FROM task_run WHERE id = $1", (run_id,))
        if rows != [("Queued",)]:
            continue
        running = await company.running()
        alone = {**company.limits, "db": 99, "gpu": 99}
        for name in TAGS[slug]:
            await company.session.client.limits.set("tag", name, alone[name])
        company.propose(run, slug, child, "Running")
        assert isinstance(await company.asked[-1][1], Accept), running


names = st.frozensets(st.sampled_from("ab"), min_size=1)


@given(
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), min_size=1),
    st.lists(st.tuples(st.sampled_from(["ask", "end"]), st.integers(0, 7))),
    st.lists(names, min_size=8, max_size=8),
)
def test_slots_are_given_in_the_order_of_waiting(
    sizes: dict[str, int], plan: list[tuple[str, int]], of: list[frozenset[str]]
) -> None:
    limits = [Limit(name, name, size) for name, size in sizes.items()]
    slots = Slots("tag", limits, {}, {}, {})
    holding: set[int] = set()
    waiting: list[int] = []

    def has_room(run: int) -> bool:
        return all(
            sum(limit.name in of[other] for other in holding) < limit.slots for limit in limits if limit.name in of[run]
        )

    for kind, run in plan:
        if kind == "end":
            holding.discard(run)
            waiting = [one for one in waiting if one != run]
            slots.enter(str(run), of[run], 0, holds=False, waits=False)
        elif run not in holding:
            shortage = slots.shortage(str(run), of[run])
            if shortage is None:
                assert has_room(run)
                holding.add(run)
                waiting = [one for one in waiting if one != run]
                slots.enter(str(run), of[run], 0, holds=True, waits=False)
            else:
                ahead = waiting[: waiting.index(run)] if run in waiting else waiting
                assert not has_room(run) or any(has_room(one) for one in ahead), "somebody before it could go"
                if run not in waiting:
                    waiting.append(run)
                slots.enter(str(run), of[run], 0, holds=False, waits=True)
        for limit in limits:
            assert sum(limit.name in of[one] for one in holding) <= limit.slots


@given(st.integers(1, 4), st.integers(1, 5), st.lists(st.integers(0, 3), max_size=40))
def test_no_more_begin_within_the_seconds_than_a_rate_allows(slots: int, seconds: int, pauses: list[int]) -> None:
    limit, began, now = Limit("l", "api", slots, seconds), [], 0
    for number, pause in enumerate(pauses):
        now += pause * 1_000_000
        recent = [moment for moment in reversed(began) if moment > limit.since(now)][:slots]
        room = Slots("tag", [limit], {}, {}, {"l": recent})
        shortage = room.shortage(str(number), frozenset({"api"}))
        if shortage is None:
            assert room.enter(str(number), frozenset({"api"}), now, holds=True, waits=False) == [limit]
            began.append(now)
        else:
            assert shortage.until is not None
            later = [moment for moment in reversed(began) if moment > limit.since(shortage.until)][:slots]
            assert Slots("tag", [limit], {}, {}, {"l": later}).shortage("x", frozenset({"api"})) is None
    for moment in began:
        assert sum(moment <= other < moment + seconds * 1_000_000 for other in began) <= slots
