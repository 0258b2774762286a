"""What Prefect 1.4 itself does with a server: run by a Python that has it, beside `prefect_flows.py`."""

import json
import sys
import time
from pathlib import Path

import prefect_flows
from prefect import Client
from prefect.backend import FlowRunView, FlowView
from prefect.engine.state import Pending, Scheduled
from prefect.storage import Local

client = Client()
found = {}


def wait(run_id, reached=lambda state: state.is_finished()):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        state = client.get_flow_run_info(run_id).state
        if reached(state):
            return state
        time.sleep(0.2)
    raise TimeoutError(str(state))


def tasks(run_id):
    return sorted(type(run.state).__name__ for run in FlowRunView.from_flow_run_id(run_id).get_all_task_runs())


for flow in prefect_flows.FLOWS:
    flow.storage = Local(path=sys.argv[1], stored_as_script=True, add_default_labels=False)
    first = flow.register("demo", idempotency_key="one")
    found[flow.name] = first == flow.register("demo", idempotency_key="one")
ids = {flow.name: FlowView.from_flow_name(flow.name).flow_id for flow in prefect_flows.FLOWS}

mapped = client.create_flow_run(flow_id=ids["mapped"], parameters={"n": 3})
found["mapped run"] = [type(wait(mapped)).__name__, tasks(mapped)]
found["log"] = sum("flaky 1" in line.message for line in FlowRunView.from_flow_run_id(mapped).get_logs())

looping = client.create_flow_run(flow_id=ids["looping"])
found["looping run"] = [type(wait(looping)).__name__, tasks(looping)]

slow = client.create_flow_run(flow_id=ids["slow"])
wait(slow, lambda state: state.is_running())
found["cancelled"] = [client.cancel_flow_run(slow), type(wait(slow)).__name__, tasks(slow)]

broken = client.create_flow_run(flow_id=ids["broken"])
found["broken"] = type(wait(broken)).__name__
Path(sys.argv[2]).touch()  # from now on it works
for run in client.get_flow_run_info(broken).task_runs:
    if not run.state.is_successful():
        client.set_task_run_state(run.id, Pending("Again."))
client.set_flow_run_state(broken, Scheduled("Again."))
found["restarted"] = [type(wait(broken)).__name__, tasks(broken)]
found["artifacts"] = client.graphql("query { task_run_artifact { kind } }")["data"]["task_run_artifact"]
print(json.dumps(found))
