"""The process that one run has for itself: it executes that run, and ends. It opens no database: its calls travel."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Collection
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Literal

import msgspec

from prefectlite.client.http import Client
from prefectlite.client.server_results import ServerResults
from prefectlite.clock import process_clock
from prefectlite.contexts import active_record
from prefectlite.engine.run_logs import runs_unshown
from prefectlite.errors import RunInterrupted, TransitionRefused
from prefectlite.live.bus import Bus
from prefectlite.live.events import StateChange
from prefectlite.orchestrator.line import Line
from prefectlite.orchestrator.protocols import ResultStore
from prefectlite.orchestrator.remote import RemoteOrchestrator, RemoteReader, RemoteRunLog
from prefectlite.plain_calls import RecordElsewhere
from prefectlite.records import FlowRow, FlowRunRow
from prefectlite.results.store import result_store
from prefectlite.run_configs import LocalRun, run_config_from
from prefectlite.services.catalog import Catalog, why_unloadable
from prefectlite.settings import PREFIX, Settings
from prefectlite.site import Site

#: What the two processes tell each other: what to do, news, another token for the run, that it is to be interrupted; and how
#: it came out.
JOB, NEWS, TOKEN, INTERRUPT, OUTCOME = "job", "news", "token", "interrupt", "outcome"
#: The agent's is not passed on: the code of a run has one of its own, if it needs any.
TOKEN_VARIABLE = f"{PREFIX}API_TOKEN"


class Job(msgspec.Struct, frozen=True):
    """A run to be executed for the owner `owner_id`; `path` is where modules are found."""

    flow: FlowRow
    run: FlowRunRow
    owner_id: str
    settings: Settings
    path: list[str]
    results: Literal["none", "own", "server"]  # where large results are kept
    takeover_from: str | None = None
    shows_log: bool = True  # whether standard error has what is in the run's log


class Outcome(msgspec.Struct, frozen=True):
    """How it came out: `unloadable` says why the code cannot be loaded, `refused` why this process may not execute it."""

    unloadable: str | None = None
    refused: str | None = None


class OwnSite(Site):
    """The site of one run in a process of its own."""

    def __init__(self, job: Job, line: Line, bus: Bus) -> None:
        self._job = job
        ports = RemoteOrchestrator(line.ask), RemoteRunLog(line.ask), RemoteReader(line.ask)
        results: ResultStore | None = None
        if job.results == "own":
            results = result_store(job.settings)
        elif job.results == "server":
            results = ServerResults(line.ask, partial(_connected, job.settings.api_url), job.owner_id)
        super().__init__(job.settings, process_clock(), bus, job.owner_id, ports, results)

    async def scheduled_runs(self, labels: Collection[str]) -> list[tuple[str, int]]:
        """None: the agent is in another process."""
        return []

    async def flow_run(self, run_id: str) -> FlowRunRow:
        """The one run there is."""
        return self._job.run

    async def flow(self, flow_id: str) -> FlowRow:
        """The one flow there is."""
        return self._job.flow


def _connected(url: str) -> Client:
    """A client that shows the token that this process was given last."""
    return _client(url, os.environ.get(TOKEN_VARIABLE))


@lru_cache(maxsize=1)
def _client(url: str, token: str | None) -> Client:
    return Client(url, token=token, executes=True)


def main(number: int) -> None:
    """Execute what is asked for over the socket with this number."""
    faulthandler.enable()
    for each in (signal.SIGINT, signal.SIGTERM):  # what everybody is sent is for the other side to decide
        signal.signal(each, lambda *_: None)
    os.set_inheritable(number, False)
    asyncio.run(_serve(socket.socket(fileno=number)))


async def _serve(connection: socket.socket) -> None:
    job: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
    bus, interrupted = Bus(), asyncio.Event()

    def told(kind: str, body: bytes) -> None:
        if kind == JOB:
            job.set_result(msgspec.msgpack.decode(body, type=Job))
        elif kind == NEWS:
            bus.publish([msgspec.msgpack.decode(body, type=StateChange)])
        elif kind == TOKEN:
            os.environ[TOKEN_VARIABLE] = msgspec.msgpack.decode(body, type=str)
        elif kind == INTERRUPT:
            interrupted.set()

    line = Line(None, told)
    listening = asyncio.create_task(line.run(connection))
    # Whoever started this process is gone: others take up the run, which must not go on here.
    listening.add_done_callback(lambda _: os._exit(0))
    what = await job
    with nullcontext() if what.shows_log else runs_unshown():
        line.tell(OUTCOME, await _execute(what, line, bus, interrupted))
    await asyncio.sleep(60)  # the other side hangs up


async def _execute(job: Job, line: Line, bus: Bus, interrupted: asyncio.Event) -> Outcome:
    try:
        _settle(job)
    except OSError as error:
        return Outcome(unloadable=f"its working directory cannot be used: {error}")
    active_record.set(RecordElsewhere(line.ask))
    site = OwnSite(job, line, bus)
    async with site.at_work():
        waiting = asyncio.create_task(interrupted.wait())
        waiting.add_done_callback(lambda task: None if task.cancelled() else site.host.interrupt())
        try:
            graph = await Catalog().find(job.flow)
        except Exception as error:
            return Outcome(unloadable=why_unloadable(error))
        try:
            await site.execute(graph, job.flow, job.run, takeover_from=job.takeover_from)
        except TransitionRefused as error:
            return Outcome(refused=str(error))
        except (RunInterrupted, asyncio.CancelledError):
            return Outcome(refused="it was interrupted")
        finally:
            waiting.cancel()
        return Outcome()


def _settle(job: Job) -> None:
    """Be where the run wants to be."""
    config = run_config_from(job.run.run_config)
    sys.path[:] = job.path
    if job.settings.api_token:
        os.environ[TOKEN_VARIABLE] = job.settings.api_token
    os.environ.update(config.env or {})
    if isinstance(config, LocalRun) and config.working_dir:
        os.chdir(config.working_dir)
