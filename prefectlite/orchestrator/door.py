"""A door: proposals that arrive together go together to whoever decides them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from prefectlite.clock import Clock, process_clock
from prefectlite.errors import StoreClosed, StoreUnavailable
from prefectlite.orchestrator.queue import Queue
from prefectlite.rules.proposals import FlowRunProposal, Proposal, TaskRunProposal, Verdict

#: Proposals that nobody waits for go with the next ones, after this many seconds at the latest.
NOTE_DELAY = 0.02
#: More proposals than this are split, so that nobody waits long behind them.
BATCH_SIZE = 500
#: So much is told at once, 40 flow runs or 100 task runs; the rest after everybody else had a turn. A flow run that begins
#: takes half a millisecond, and so may what follows from the end of a task.
TOLD_AT_ONCE, OF_FLOW_RUN, OF_TASK_RUN = 200, 5, 2


class Answer(asyncio.Future[Verdict]):
    """A verdict to come. Cancelling who waits for it raises CancelledError there once it has come: the proposal is made."""

    def cancel(self, msg: object = None) -> bool:
        """Nothing: what is proposed is decided."""
        return False


class Pending(NamedTuple):
    """A proposal, who waits for the verdict, and whether it may have been decided before, its answer being lost."""

    proposal: Proposal
    answer: Answer | None
    again: bool = False

    def tell(self, verdict: Verdict) -> None:
        """Answer who waits."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(verdict)

    def fail(self, error: Exception) -> None:
        """Raise `error` where somebody waits."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)


class Door(ABC):
    """An Orchestrator. `run()` must be running as a task of its own; it ends, everything decided, after `aclose()`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or process_clock()
        #: Those in this process that wait for a slot of a concurrency limit.
        self.queue = Queue(self._clock)
        self._pending: list[Pending] = []
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._patient = True

    @abstractmethod
    async def _commit(self, pending: Sequence[Pending]) -> None:
        """Have these decided, and tell who waits for it."""

    @property
    def waiting(self) -> int:
        """How many proposals are not being decided yet."""
        return len(self._pending)

    def propose(self, proposal: Proposal, *, again: bool = False) -> Answer:
        """The verdict, after the commit. Several proposals may be made before the first is awaited."""
        if self._closed:
            raise StoreClosed("The orchestrator has been closed")
        answer = Answer()
        self._pending.append(Pending(proposal, answer, again))
        self._wanted.set()
        return answer

    def note(self, proposal: Proposal) -> None:
        """Propose without waiting: it joins the next commit, at the latest after `NOTE_DELAY` seconds."""
        if self._closed:
            raise StoreClosed("The orchestrator has been closed")
        self._pending.append(Pending(proposal, None))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOTE_DELAY, self._wanted.set)

    async def run(self) -> None:
        """Have decided what is proposed, batch by batch, until closed. Nobody waits any more when this has ended."""
        try:
            while not self._closed or self._pending:
                await self._wanted.wait()
                self._wanted.clear()
                while self._pending:
                    if self._timer is not None:
                        self._timer.cancel()
                        self._timer = None
                    batch, self._pending = self._pending[:BATCH_SIZE], self._pending[BATCH_SIZE:]
                    await self._commit(batch)
        finally:
            self._closed = True
            self.queue.close()
            give_up(self._pending)

    def hurry(self) -> None:
        """Let nobody wait longer than some seconds for a record that cannot be used, not even runs."""
        self._patient = False

    def aclose(self) -> None:
        """Take no more proposals; `run` ends when those taken are decided."""
        self._closed = True
        self._patient = False
        self._wanted.set()

    async def _deliver(self, pending: Sequence[Pending], verdicts: Sequence[Verdict]) -> None:
        """Tell who waits."""
        told = 0
        decided = zip(pending, verdicts, strict=True)
        try:
            for one, verdict in decided:
                one.tell(verdict)
                told += OF_FLOW_RUN if isinstance(one.proposal, FlowRunProposal) else OF_TASK_RUN
                if told >= TOLD_AT_ONCE:
                    told = 0
                    await asyncio.sleep(0)
        finally:
            for one, verdict in decided:  # all of them, if this is cancelled
                one.tell(verdict)

    def _waiting_on(self, pending: Sequence[Pending], error: StoreUnavailable) -> list[Pending]:
        """What of `pending` waits on: what runs do here. Who asked from outside hears that it cannot be."""
        waiting = []
        for one in pending:
            if self._patient and one.proposal.lease is not None:
                waiting.append(one)
            else:
                one.fail(error)
        return waiting

    def _all_waiting_on(self, pending: Sequence[Pending], error: StoreUnavailable) -> list[Pending]:
        """As `_waiting_on`; those behind them are looked through as well."""
        self._pending = self._waiting_on(self._pending, error)
        return self._waiting_on(pending, error)


def is_promise(pending: Pending) -> bool:
    """Whether somebody outside is told that this is done: the creation and the end of a flow run, an API answer."""
    proposal = pending.proposal
    if isinstance(proposal, TaskRunProposal):
        return proposal.lease is None
    return proposal.lease is None or proposal.state.is_finished


def give_up(pending: Sequence[Pending]) -> None:
    """Let nobody wait for these."""
    # An answer cannot be cancelled: without this, who waits for one would keep a loop that ends from ending.
    for one in pending:
        one.fail(StoreClosed("The orchestrator ended before this was decided"))
