"""The door in front of a local database: one snapshot, pure rules, one transaction, then the news."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefectlite.errors import StoreClosed, StoreError, StoreUnavailable
from prefectlite.live.bus import Bus
from prefectlite.live.events import Event
from prefectlite.orchestrator.batch import Batch
from prefectlite.orchestrator.persistence import Outage, written
from prefectlite.repository.database import Database
from prefectlite.rules.proposals import Proposal, TaskRunProposal, Verdict

#: Proposals that nobody waits for are committed after this many seconds at the latest.
NOTE_DELAY = 0.02
#: More proposals than this are split over several commits, so that nobody waits long behind them.
BATCH_SIZE = 500

_Pending = tuple[Proposal, "Answer | None"]


class Answer(asyncio.Future[Verdict]):
    """A verdict to come. Cancelling who waits for it raises CancelledError there once it has come: the proposal is made."""

    def cancel(self, msg: object = None) -> bool:
        """Nothing: what is proposed is decided."""
        return False


class LocalOrchestrator:
    """An Orchestrator over a database of this process. Proposals that arrive together are committed together.

    `run()` must be running as a task of its own; it ends, everything committed, after `aclose()`.
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database, self._bus = database, bus
        self._pending: list[_Pending] = []
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._patient = True
        self._outage = Outage("Runs")

    def propose(self, proposal: Proposal) -> Answer:
        """The verdict, after the commit. Several proposals may be made before the first is awaited."""
        if self._closed:
            raise StoreClosed("The orchestrator has been closed")
        answer = Answer()
        self._pending.append((proposal, answer))
        self._wanted.set()
        return answer

    def note(self, proposal: Proposal) -> None:
        """Propose without waiting: it joins the next commit, at the latest after `NOTE_DELAY` seconds."""
        if self._closed:
            raise StoreClosed("The orchestrator has been closed")
        self._pending.append((proposal, None))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOTE_DELAY, self._wanted.set)

    async def run(self) -> None:
        """Commit what is proposed, batch by batch, until closed. Nobody waits for an answer any more when this has ended."""
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
            _give_up(self._pending)

    def hurry(self) -> None:
        """Let nobody wait longer than some seconds for a database that cannot be used, not even runs."""
        self._patient = False

    def aclose(self) -> None:
        """Take no more proposals; `run` ends when those taken are committed."""
        self._closed = True
        self._patient = False
        self._wanted.set()

    async def _commit(self, pending: Sequence[_Pending], *, trusting: bool = True) -> None:
        while pending:
            batch = Batch([proposal for proposal, _ in pending], self._bus.has_listeners, trusting=trusting)
            try:
                verdicts, events = await self._write(batch, durable=any(map(_is_promise, pending)))
            except asyncio.CancelledError:
                _give_up(pending)
                raise
            except StoreUnavailable as error:
                self._pending = self._waiting_on(self._pending, error)
                pending, trusting = self._waiting_on(pending, error), False
            except Exception as error:
                for one in pending:
                    if isinstance(error, StoreError) or not (trusting or pending[1:]):
                        _fail(one, error)
                    else:  # one that cannot be written, or is there already, must not take the others with it
                        await self._commit([one], trusting=False)
                return
            else:
                self._deliver(pending, verdicts, events)
                return

    async def _write(self, batch: Batch, durable: bool) -> tuple[list[Verdict], list[Event]]:
        """Write a batch, again and again while the database cannot be used: writing it twice is writing it once."""
        return await written(self._database, batch.apply, self._outage, durable=durable)

    def _waiting_on(self, pending: Sequence[_Pending], error: StoreUnavailable) -> list[_Pending]:
        """What of `pending` waits on for the database: what runs do here. Who asked from outside hears that it cannot be."""
        waiting = []
        for one in pending:
            if self._patient and one[0].lease is not None:
                waiting.append(one)
            else:
                _fail(one, error)
        return waiting

    def _deliver(self, pending: Sequence[_Pending], verdicts: Sequence[Verdict], events: Sequence[Event]) -> None:
        self._bus.publish(events)
        for (_, future), verdict in zip(pending, verdicts, strict=True):
            if future is not None and not future.done():
                future.set_result(verdict)


def _is_promise(pending: _Pending) -> bool:
    """Whether somebody outside is told that this is done: the creation and the end of a flow run, an API answer."""
    proposal, _ = pending
    if isinstance(proposal, TaskRunProposal):
        return proposal.lease is None
    return proposal.lease is None or proposal.state.is_finished


def _give_up(pending: Sequence[_Pending]) -> None:
    # An answer cannot be cancelled: without this, who waits for one would keep a loop that ends from ending.
    for one in pending:
        _fail(one, StoreClosed("The orchestrator ended before this was decided"))


def _fail(pending: _Pending, error: Exception) -> None:
    _, future = pending
    if future is not None and not future.done():
        future.set_exception(error)
