"""Processes for runs that have one of their own: started ahead, watched, and killed with all that they have started."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from typing import Any, Literal

import msgspec

from prefectlite.client.server_results import ServerResults
from prefectlite.client.tokens import RUN_LIFE
from prefectlite.engine.run_logs import shows_runs
from prefectlite.errors import WorkerDied
from prefectlite.executors.worker_process import told_exit
from prefectlite.ids import new_id
from prefectlite.kept import kept
from prefectlite.live.events import StateChange
from prefectlite.orchestrator.line import Line
from prefectlite.records import FlowRow, FlowRunRow, LogRow, RunLease, record_state
from prefectlite.rules.proposals import FlowRunProposal
from prefectlite.services.run_answers import RunAnswers
from prefectlite.services.run_process import INTERRUPT, JOB, NEWS, OUTCOME, TOKEN, TOKEN_VARIABLE, Job, Outcome
from prefectlite.site import Site
from prefectlite.states import Failed

#: How often a run is begun again whose process died.
MOST_TIMES = 3
#: Lines of what a process wrote to standard error at last, which go into the run's log if it died.
LAST_LINES = 200
#: Seconds that a process gets to end after its run was cancelled, besides the patience that it has with its tasks.
GRACE = 5.0
_BEGIN = "import sys; sys.path[:] = sys.argv[2:]; from prefectlite.services.run_process import main; main(int(sys.argv[1]))"
_logger = logging.getLogger("prefectlite.agent")


class RunProcesses:
    """Executes runs of one site, each in a process of its own; one that has imported everything waits for the next."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._idle = asyncio.Event()
        self._idle.set()
        self._spare: asyncio.Task[_Process] | None = None
        self._busy: dict[_Process, str] = {}  # each with its run
        self._closed = False

    def warm(self) -> None:
        """Start a process for the next run, unless there is one."""
        if self._spare is None and not self._closed:
            self._spare = kept(asyncio.create_task(_started()))

    async def execute(self, flow: FlowRow, run: FlowRunRow, takeover_from: str | None) -> Outcome:
        """How the execution of a run came out, whose final state is in the record then, unless the outcome says why not."""
        for time in range(MOST_TIMES + 1):
            settings = msgspec.structs.replace(self._site.settings, api_token=await self._token(run) or "")
            whose = flow, run, self._site.owner_id, settings
            job = Job(*whose, _path(), _results(self._site), takeover_from, shows_runs())
            process = await self._process()
            outcome = await self._executed(process, job)
            if outcome is not None or self._closed:
                return outcome or Outcome(refused="it was interrupted")
            run = await self._site.flow_run(run.id)
            if run.is_finished or run.owner not in (None, self._site.owner_id):
                return Outcome()
            takeover_from = run.owner
            if run.state == "Cancelling":
                await self._site.end_cancelled(run)
                return Outcome()
            self._tell(run, process, again=time < MOST_TIMES)
        await self._fail(run, process)
        return Outcome()

    async def _token(self, run: FlowRunRow) -> str | None:
        """What the run's code may show once this executor has claimed it, as the process will do."""
        return await self._site.run_token(RunLease(run.id, self._site.owner_id, run.lease_epoch + 1))

    async def _renew(self, process: _Process, run: FlowRunRow) -> None:
        """Give the process another token long before the one it has expires."""
        while True:
            await self._site.clock.sleep(RUN_LIFE.total_seconds() / 2)
            if (token := await self._token(run)) is not None:
                process.line.tell(TOKEN, token)

    @property
    def running(self) -> int:
        """How many runs are executed in such processes now."""
        return len(self._busy)

    def has(self, run_id: str) -> bool:
        """Whether this run is executed in one of them."""
        return run_id in self._busy.values()

    async def wait_idle(self) -> None:
        """Return when none is."""
        await self._idle.wait()

    def interrupt(self) -> None:
        """Stop all runs, so that others can take them up, and begin no more."""
        self._closed = True
        for process in self._busy:
            process.line.tell(INTERRUPT, None)

    async def aclose(self) -> None:
        """Let go of the process that waits."""
        self._closed = True
        if self._spare is not None:
            with suppress(WorkerDied):
                await (await self._spare).end()
            self._spare = None

    async def _process(self) -> _Process:
        self.warm()
        assert self._spare is not None
        spare, self._spare = self._spare, None
        process = await spare
        self.warm()
        return process

    async def _executed(self, process: _Process, job: Job) -> Outcome | None:
        """The outcome; None if the process died."""
        self._busy[process] = job.run.id
        self._idle.clear()
        companions = [kept(asyncio.create_task(self._forward(process, job.run.id)))]
        if job.settings.api_token:
            companions.append(kept(asyncio.create_task(self._renew(process, job.run))))
        try:
            return await process.execute(job, self._site)
        finally:
            for companion in companions:
                companion.cancel()
            del self._busy[process]
            await process.end()
            if not self._busy:
                self._idle.set()

    async def _forward(self, process: _Process, run_id: str) -> None:
        """Let the process hear of its run, and kill it if it does not end as it should."""
        with self._site.bus.subscribe(("flow_run", run_id)) as news:
            async with self._site.following(run_id):
                async for event in news:
                    if not isinstance(event, StateChange):
                        continue
                    process.line.tell(NEWS, event)
                    if event.kind == "flow_run" and (event.state.name == "Cancelling" or event.state.is_finished):
                        await asyncio.sleep(self._site.settings.cancel_patience + GRACE)
                        process.kill()

    def _tell(self, run: FlowRunRow, process: _Process, *, again: bool) -> None:
        words = f"The process of this run {process.end_told}"
        _logger.warning("flow run %s: its process %s", run.id, process.end_told)
        for line in (f"{words}; {'it is begun again where it stopped' if again else 'it is given up'}", *process.last_lines):
            now = self._site.clock.micros()
            self._site.run_log.write(LogRow(new_id(), run.id, None, now, "WARNING", "prefectlite.agent", line))

    async def _fail(self, run: FlowRunRow, process: _Process) -> None:
        message = f"The process of this run {process.end_told}, {MOST_TIMES + 1} times in all"
        record = record_state(Failed(message), new_id(), self._site.clock.micros())
        await self._site.orchestrator.propose(FlowRunProposal(run.id, record))


class _Process:
    """One process, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self._process, self._connection = process, connection
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.end_told = ""
        self.line = Line(None, self._hear)
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._reading = kept(asyncio.create_task(self._read()))

    async def execute(self, job: Job, site: Site) -> Outcome | None:
        """How the execution of a run came out; None if the process ended before."""
        self.line = Line(RunAnswers(site.answers, job.run.id, job.owner_id), self._hear)
        serving = kept(asyncio.create_task(self.line.run(self._connection)))
        try:
            await self.line.opened.wait()
            self.line.tell(JOB, job)
            ends: list[asyncio.Future[Any]] = [serving, self._outcome]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return self._outcome.result() if self._outcome.done() else None
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    def kill(self) -> None:
        """Kill it, and all that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """See to it that it has ended, and what it has started."""
        self._connection.close()
        try:
            async with asyncio.timeout(GRACE):
                code = await asyncio.shield(self._process.wait())
        except TimeoutError:
            code = None
        self.kill()
        self.end_told = told_exit(code) if code is not None else "closed its connection"
        await self._process.wait()
        await self._reading

    def _hear(self, kind: str, body: bytes) -> None:
        if kind == OUTCOME and not self._outcome.done():
            self._outcome.set_result(msgspec.msgpack.decode(body, type=Outcome))

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            text = line.decode(errors="backslashreplace")
            self.last_lines.append(text.rstrip("\n"))
            sys.stderr.write(text)


async def _started() -> _Process:
    ours, theirs = socket.socketpair()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable or "python", "-P", "-c", _BEGIN, str(theirs.fileno()), *_path()),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise WorkerDied(f"a process for a run cannot be started: {error}") from error
    finally:
        theirs.close()
    return _Process(process, ours)


def _results(site: Site) -> Literal["none", "own", "server"]:
    """Where a process keeps large results of its run: where its parent does."""
    if site.results is None:
        return "none"
    return "server" if isinstance(site.results, ServerResults) else "own"


def _path() -> list[str]:
    return [place for place in sys.path if isinstance(place, str)]
