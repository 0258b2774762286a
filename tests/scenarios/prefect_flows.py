"""Flows written for Prefect 1.4, which are registered and executed by Prefect itself."""

import os
import time
from datetime import timedelta
from pathlib import Path

import prefect
from prefect import Flow, Parameter, task
from prefect.artifacts import create_markdown_artifact
from prefect.engine.signals import LOOP
from prefect.run_configs import UniversalRun


@task
def numbers(n):
    return list(range(n))


@task(max_retries=2, retry_delay=timedelta(seconds=1))
def flaky(number):
    prefect.context.logger.info("flaky %s", number)
    if number == 1 and prefect.context.task_run_count < 2:
        raise ValueError("again")
    return number * 2


@task
def total(values):
    create_markdown_artifact(f"# {sum(values)}")


@task
def looped():
    count = prefect.context.get("task_loop_result", 0)
    if count < 2:
        raise LOOP(result=count + 1)
    return count


@task
def slow():
    for _ in range(120):
        time.sleep(0.5)


@task
def broken(switch):
    if not Path(switch).exists():
        raise ValueError("broken")


CONFIG = UniversalRun(labels=["test"])
with Flow("mapped", run_config=CONFIG) as mapped:
    total(flaky.map(numbers(Parameter("n", default=0))))
with Flow("looping", run_config=CONFIG) as looping:
    looped()
with Flow("slow", run_config=CONFIG) as slow_flow:
    slow()
with Flow("broken", run_config=CONFIG) as broken_flow:
    broken(os.environ["SWITCH"])
FLOWS = [mapped, looping, slow_flow, broken_flow]
