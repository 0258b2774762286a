"""What a batch of proposals has to know of concurrency limits. Where there are none, that is nothing, and asks nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from prefectlite.repository import limits
from prefectlite.repository.database import Transaction
from prefectlite.repository.limits import TagUse
from prefectlite.rules.proposals import FlowRunProposal, Proposal, TaskRunProposal
from prefectlite.rules.slots import HOLDING_FLOW_RUNS, HOLDING_TASK_RUNS, Limit, Shortage, Slots

_BEGINNING = frozenset({"Submitted", "Running"})
#: Tasks whose tags are kept at hand.
_MOST_TASKS = 100_000


class KnownLimits:
    """The limits as the last batch found them. `absent` are executors known to be gone, who keep nobody waiting."""

    def __init__(self) -> None:
        self.changes = 0  # a new record has no limits
        self.tags: Sequence[Limit] = ()
        self.labels: Sequence[Limit] = ()
        self.absent: Collection[str] = ()
        self.tags_of: dict[str, frozenset[str]] = {}  # by the task's id

    async def refresh(self, tx: Transaction, changes: int) -> None:
        """Read them again if they have been changed."""
        if changes != self.changes:
            self.tags, self.labels = await limits.limits_in(tx)
            self.changes = changes

    async def learn_tags(self, tx: Transaction, task_ids: Collection[str]) -> None:
        """Know the tags of these tasks, which never change."""
        if len(self.tags_of) > _MOST_TASKS:
            self.tags_of = {}
        if unknown := [task_id for task_id in set(task_ids) if task_id not in self.tags_of]:
            self.tags_of.update(await limits.tags_of(tx, unknown))


class Allotment:
    """The slots that one batch decides about. `moved` says whether somebody who waits may go on because of it."""

    def __init__(self, known: KnownLimits, now: int) -> None:
        self._known, self._now = known, now
        self._on_tags, self._on_labels = known.tags, known.labels
        self.moved = False
        self._tags: Slots | None = None
        self._labels: Slots | None = None
        self._limited_tags = frozenset(limit.name for limit in self._on_tags)
        self._limited_labels = frozenset(limit.name for limit in self._on_labels)
        self._labels_of: Mapping[str, frozenset[str]] = {}
        self._at_work: dict[str, set[str]] = {}  # by flow run, its task runs that have a slot, or wait for one
        self._began: list[tuple[Limit, int]] = []

    async def read(self, tx: Transaction, proposals: Sequence[Proposal]) -> None:
        """Find out what these proposals may need."""
        if self._on_tags:
            of_tasks = [one for one in proposals if isinstance(one, TaskRunProposal)]
            await self._known.learn_tags(tx, [one.task_id for one in of_tasks])
            if any(_begins(one) and self._tags_of(one) for one in of_tasks):
                await self._read_tags(tx)
        if self._on_labels:
            of_flows = [one for one in proposals if isinstance(one, FlowRunProposal) and one.create is None]
            if any(one.state.name in _BEGINNING for one in of_flows):
                await self._read_labels(tx, [one.run_id for one in of_flows])

    async def write(self, tx: Transaction) -> None:
        """Write down what began that is counted."""
        if self._began:
            await limits.add_starts(tx, self._began)

    def of_task_run(self, proposal: TaskRunProposal) -> Shortage | None:
        """What keeps a task run from beginning."""
        if self._tags is None or not _begins(proposal) or not (tags := self._tags_of(proposal)):
            return None
        return self._tags.shortage(proposal.run_id, tags)

    def of_flow_run(self, proposal: FlowRunProposal, state: str | None) -> Shortage | None:
        """What keeps a flow run from beginning that is in `state`."""
        if self._labels is None or proposal.state.name not in _BEGINNING or state in HOLDING_FLOW_RUNS:
            return None
        labels = self._labels_of.get(proposal.run_id)
        return self._labels.shortage(proposal.run_id, labels) if labels else None

    def task_run_entered(self, proposal: TaskRunProposal, state: str) -> None:
        """A task run is in `state` now."""
        if not (tags := self._tags_of(proposal)):
            return
        holds, waits = state in HOLDING_TASK_RUNS, state == "Queued"
        self.moved = self.moved or not waits
        if self._tags is not None:
            self._at_work.setdefault(proposal.flow_run_id, set()).add(proposal.run_id)
            began = self._tags.enter(proposal.run_id, tags, self._now, holds=holds, waits=waits)
            self._began += [(limit, self._now) for limit in began]

    def flow_run_entered(self, run_id: str, state: str) -> None:
        """A flow run is in `state` now."""
        holds = state in HOLDING_FLOW_RUNS
        self.moved = self.moved or state != "Queued"
        labels = self._labels_of.get(run_id)
        if self._labels is not None and labels:
            began = self._labels.enter(run_id, labels, self._now, holds=holds, waits=False)
            self._began += [(limit, self._now) for limit in began]
        if self._tags is not None and not holds:  # nor do its task runs
            for task_run_id in self._at_work.pop(run_id, ()):
                self._tags.enter(task_run_id, frozenset(), self._now, holds=False, waits=False)

    async def _read_tags(self, tx: Transaction) -> None:
        running = await limits.running_with_tags(tx, self._limited_tags)
        queue = await limits.next_in_queue(tx)
        queue = [one for one in queue if one.owner not in self._known.absent]
        for one in (*running, *queue):
            self._at_work.setdefault(one.flow_run_id, set()).add(one.id)
        starts = await self._starts(tx, self._on_tags)
        self._tags = Slots("tag", self._on_tags, self._by_id(running), self._by_id(queue), starts)

    async def _read_labels(self, tx: Transaction, run_ids: Sequence[str]) -> None:
        self._labels_of = {
            run_id: labels & self._limited_labels for run_id, labels in (await limits.labels_of(tx, run_ids)).items()
        }
        if any(self._labels_of.values()):
            holders = await limits.holding_with_labels(tx, self._limited_labels)
            self._labels = Slots("label", self._on_labels, holders, {}, await self._starts(tx, self._on_labels))

    def _by_id(self, found: Sequence[TagUse]) -> dict[str, frozenset[str]]:
        return {one.id: one.tags & self._limited_tags for one in found}

    def _tags_of(self, proposal: TaskRunProposal) -> frozenset[str]:
        return self._known.tags_of.get(proposal.task_id, frozenset()) & self._limited_tags

    async def _starts(self, tx: Transaction, among: Sequence[Limit]) -> dict[str, list[int]]:
        return {limit.id: await limits.starts(tx, limit, limit.since(self._now)) for limit in among if limit.seconds}


def _begins(proposal: TaskRunProposal) -> bool:
    return proposal.state.name in HOLDING_TASK_RUNS


async def allotted(tx: Transaction, known: KnownLimits, proposals: Sequence[Proposal], now: int) -> Allotment | None:
    """What these proposals may need of the limits, as they are known; None where there are none."""
    if not known.tags and not known.labels:
        return None
    allotment = Allotment(known, now)
    await allotment.read(tx, proposals)
    return allotment
