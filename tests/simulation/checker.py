"""Reads the history of a simulation from its database, and says what in it must not be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prefectlite.records import ResultRecord
from prefectlite.results import codec
from prefectlite.rules.proposals import Accept, FlowRunProposal, Refuse, Replace
from prefectlite.states import FINISHED
from tests.simulation.world import World


def violations(world: World) -> list[str]:
    """What must not be, in words; empty where all is well."""
    return [
        *world.violations,
        *_histories(world),
        *_acknowledgements(world),
        *_owners(world),
        *_ends(world),
        *_starts(world),
        *_lines(world),
    ]


def _histories(world: World) -> Iterator[str]:
    """Versions without gaps, final states that stay, current rows that are what the history says."""
    for kind in ("flow_run", "task_run"):
        current = {row[0]: row[1:] for row in _read(world, f"SELECT id, version, state, state_id FROM {kind}")}
        last: dict[str, tuple[int, str, str]] = {}
        for run_id, version, state, state_id in _read(
            world, f"SELECT {kind}_id, version, state, id FROM {kind}_state ORDER BY seq"
        ):
            before = last.get(run_id, (0, "", ""))
            if version != before[0] + 1:
                yield f"{kind} {run_id[-4:]} has version {version} after {before[0]}"
            if before[1] in FINISHED and state_id not in world.restarts:
                yield f"{kind} {run_id[-4:]} was {before[1]} and became {state}, without a restart"
            last[run_id] = (version, state, state_id)
        if last != current:
            yield f"{kind}: the history says {set(last.items()) - set(current.items())}, the rows otherwise"


def _acknowledgements(world: World) -> Iterator[str]:
    """What was accepted is in the history, once, at the version that was told; no version has two winners."""
    written = {
        row[0]: row[1:]
        for kind in ("flow_run", "task_run")
        for row in _read(world, f"SELECT id, {kind}_id, version, state FROM {kind}_state")
    }
    winners: dict[tuple[str, int], str] = {}
    for proposal, verdict, name in world.answers:
        if not isinstance(verdict, Accept | Replace):
            continue
        state = verdict.state if isinstance(verdict, Replace) else proposal.state
        expected = (proposal.run_id, verdict.version, state.name)
        if written.get(state.id) != expected:
            yield f"{name} was told that {expected} is written; there is {written.get(state.id)}"
        if winners.setdefault((proposal.run_id, verdict.version), state.id) != state.id:
            yield f"version {verdict.version} of {proposal.run_id[-4:]} was given twice"
    runs = {row[0] for row in _read(world, "SELECT id FROM flow_run")}
    for run_id in world.created:
        if run_id not in runs:
            yield f"run {run_id} was created, and is not there"


def _owners(world: World) -> Iterator[str]:
    """One owner per epoch; what was accepted under a lease was accepted while it was the newest."""
    owners: dict[tuple[str, int], str | None] = {}
    for proposal, verdict, _ in world.answers:
        if isinstance(proposal, FlowRunProposal) and isinstance(verdict, Accept) and verdict.lease is not None:
            owner = owners.setdefault((proposal.run_id, verdict.lease), proposal.claim)
            if owner != proposal.claim:
                yield f"epoch {verdict.lease} of run {proposal.run_id[-4:]} was given to two"
    yield from _fenced(world)


def _fenced(world: World) -> Iterator[str]:
    """No write of an older epoch comes after the claim of a newer one."""
    begun = {
        (proposal.run_id, verdict.lease): proposal.state.id
        for proposal, verdict, _ in world.answers
        if isinstance(proposal, FlowRunProposal) and isinstance(verdict, Accept) and verdict.lease is not None
    }
    places = {
        row[0]: row[1] for kind in ("flow_run", "task_run") for row in _read(world, f"SELECT id, seq FROM {kind}_state")
    }
    for proposal, verdict, name in world.answers:
        if isinstance(verdict, Refuse) or proposal.lease is None:
            continue
        flow_run_id = getattr(proposal, "flow_run_id", proposal.run_id)
        successor = begun.get((flow_run_id, proposal.lease + 1))
        if successor is not None and places.get(proposal.state.id, 0) > places.get(successor, 0):
            yield f"{name} wrote {proposal.state.name} into run {flow_run_id[-4:]} though it had a new owner"


def _ends(world: World) -> Iterator[str]:
    """Every run has ended as its flow ends, with all of its tasks; one that somebody stopped has ended, too."""
    rows = _read(
        world,
        "SELECT t.flow_run_id, k.name, t.map_index, t.state, x.encoding, x.data FROM task_run t JOIN task k"
        " ON k.id = t.task_id LEFT JOIN result x ON x.task_run_id = t.id",
    )
    for run_id, name, state in _read(
        world, "SELECT r.id, f.name, r.state FROM flow_run r JOIN flow f ON f.id = r.flow_id ORDER BY r.id"
    ):
        plan = world.plans[int(name.split()[1])]
        ends = {(int(row[1][1:]), row[2]): row[3] for row in rows if row[0] == run_id}
        if unfinished := {place: end for place, end in ends.items() if end not in FINISHED}:
            yield f"run {run_id[-4:]} is {state}, and its tasks are {unfinished}"
        if run_id in world.cancelled and state == "Cancelled":
            continue
        if state != plan.flow_end or ends != plan.ends:
            yield f"run {run_id[-4:]} of {name} is {state} with {ends}; it should be {plan.flow_end} with {plan.ends}"
        for row in rows:
            place = (int(row[1][1:]), row[2])
            if row[0] == run_id and row[3] == "Success":
                value = None if row[4] is None else codec.decode(ResultRecord(row[4], row[5]))
                if value != plan.values[place]:
                    yield f"t{place} of run {run_id[-4:]} gave {value}, not {plan.values[place]}"


def _starts(world: World) -> Iterator[str]:
    """A task's code began once for each attempt and each pause, and once more for each time that the run changed hands."""
    epochs = dict(_read(world, "SELECT id, lease_epoch FROM flow_run"))
    for (run_id, number, index), count in world.starts.items():
        node = world.plans[world.created[run_id]].nodes[number] if run_id in world.created else None
        if node is None:
            continue
        most = (min(node.failures, node.retries) + 1) * (1 + bool(node.pauses)) + epochs[run_id] - 1
        if count > most:
            yield f"t{number}[{index}] of run {run_id[-4:]} began {count} times; {most} would be enough"


def _lines(world: World) -> Iterator[str]:
    """No log line is there twice."""
    for line, count in _read(world, "SELECT id, count(*) FROM log GROUP BY id HAVING count(*) > 1"):
        yield f"log line {line} is there {count} times"


def _read(world: World, sql: str) -> list[tuple[Any, ...]]:
    return world.connection.execute(sql).fetchall()
