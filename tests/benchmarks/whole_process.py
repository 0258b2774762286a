"""What whole processes cost: importing, serving, memory, and the way from an HTTP request to a running flow."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.figures import Figure, timed
from tests.scenarios.processes import Server, agent, serving, wait_until

PORT = 18_080
REPEATS = 10
_MEMORY = """
from pathlib import Path
from tests.benchmarks.in_process import _fan, async_no_op
def peak():
    status = Path("/proc/self/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
before = peak()
_fan(async_no_op).run().raise_for_state()
print(before, peak())
"""
_FLOW = """
from prefectlite import Flow, task
@task
async def nothing():
    pass
with Flow("nothing") as flow:
    nothing()
"""


def _seconds_of(*arguments: str) -> float:
    """The median seconds of a Python process, with its compiled files there already."""
    seconds = []
    for _ in range(REPEATS):
        with timed() as watch:
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=_cached())
        seconds.append(watch.seconds)
    return statistics.median(seconds[1:])


def _cached() -> dict[str, str]:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", "/tmp/prefectlite-bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def imports(directory: Path) -> list[Figure]:
    bare = _seconds_of("-c", "pass")
    own = _seconds_of("-c", "from prefectlite import Flow, task")
    everything = _seconds_of("-c", "import prefectlite.cli.serve, prefectlite.cli.run, prefectlite.api.schema")
    help_text = _seconds_of("-m", "prefectlite", "--help")
    return [
        Figure("from prefectlite import Flow, task; more than bare Python", (own - bare) * 1000, "ms", "≤ 150 ms"),
        Figure("--help", help_text * 1000, "ms", "≤ 0.25 ×", f"{help_text / everything:.2f} × importing everything"),
    ]


def memory(directory: Path) -> list[Figure]:
    done = subprocess.run([sys.executable, "-c", _MEMORY], check=True, capture_output=True, text=True)
    before, peak = (int(number) / 1024 for number in done.stdout.split())
    return [Figure("peak memory of a fan-out of 10,000", peak, "MB", "", f"{before:.0f} MB before it")]


def serve(directory: Path) -> list[Figure]:
    file = directory / "nothing.py"
    file.write_text(_FLOW)
    os.environ.update(_cached())
    starts = []
    for _ in range(5):
        begun = time.perf_counter()
        with serving(str(file), port=PORT, cwd=directory) as server:
            starts.append(time.perf_counter() - begun)
            server.stop()
    with serving(str(file), port=PORT, cwd=directory) as server:
        latencies = [_latency(server) for _ in range(40)]
        time.sleep(2)  # what was begun is done
        resident, cpu = _idle(server.process.pid)
        server.stop()
    return [
        Figure("serve to the first healthy answer", statistics.median(starts[1:]), "s", "≤ 1.5 s"),
        Figure("serve, idle, resident", resident, "MB", "≤ 80 MB"),
        Figure("serve, idle, CPU", cpu, "%", "≤ 0.5 %"),
        Figure("create_flow_run over HTTP to Running, median", statistics.median(latencies[5:]) * 1000, "ms", "≤ 20 ms"),
    ]


def agents(directory: Path) -> list[Figure]:
    file = directory / "nothing.py"
    file.write_text(_FLOW)
    found = []
    for isolate, where, bar in (("no", "in its loop", "≤ 60 ms"), ("process", "in a warm process", "≤ 150 ms")):
        with (
            serving("--no-agent", str(file), port=PORT, cwd=directory) as server,
            agent(url=server.url, cwd=directory, PREFECTLITE_ISOLATE=isolate),
        ):
            latencies = [_latency(server, pause=0.5) for _ in range(20)]
            server.stop()
        median = statistics.median(latencies[5:]) * 1000
        found.append(Figure(f"create_flow_run to Running, remote agent, {where}, median", median, "ms", bar))
    return found


def _latency(server: Server, pause: float = 0) -> float:
    """Seconds from sending the request to the moment the run is recorded as Running."""
    time.sleep(pause)  # in which a process gets warm
    flows = server.graphql('{ flow(where: {name: {_eq: "nothing"}}) { id } }')["flow"]
    mutation = "mutation ($id: UUID!) { create_flow_run(input: {flow_id: $id}) { id } }"
    sent = datetime.now(UTC)
    run_id = server.graphql(mutation, id=flows[0]["id"])["create_flow_run"]["id"]
    wait_until(lambda: server.state(run_id) == "Success")
    query = "query ($id: uuid!) { flow_run_by_pk(id: $id) { start_time } }"
    started = server.graphql(query, id=run_id)["flow_run_by_pk"]["start_time"]
    return (datetime.fromisoformat(started) - sent).total_seconds()


def _idle(pid: int) -> tuple[float, float]:
    """Megabytes resident, and per cent of one processor over five seconds."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(5)
    return resident, (ticks() - before) / os.sysconf("SC_CLK_TCK") / 5 * 100


ALL = (imports, memory, serve, agents)
