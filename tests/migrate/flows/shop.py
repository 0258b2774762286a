"""Orders are read, priced one by one, and reported; one of them is no good."""

import datetime
import json

import prefect
from prefect import Flow, Parameter, case, task, unmapped
from prefect.engine import signals
from prefect.engine.state import Failed, Skipped, Success
from prefect.tasks.control_flow import merge
from prefect.triggers import all_finished, any_failed

PRICES = {"apple": 2, "pear": 3}


@task(nout=2)
def orders(limit):
    known = [["apple", 4], ["plum", 1], ["pear", 2]]
    return known[:limit], limit


@task(max_retries=1, retry_delay=datetime.timedelta(seconds=0.1))
def price(order, factor):
    name, count = order
    if name not in PRICES:
        raise signals.SKIP(f"no price for {name}")
    if prefect.context.task_run_count == 1 and name == "pear":
        raise ValueError("the price list was busy")
    return PRICES[name] * count * factor


@task(skip_on_upstream_skip=False)
def total(prices):
    return sum(price for price in prices if isinstance(price, int))


@task
def is_large(amount):
    return amount > 10


@task
def discount(amount):
    return amount - 1


@task
def same(amount):
    return amount


@task
def fails():
    raise prefect.engine.signals.FAIL("as it should", result=7)


@task(trigger=any_failed)
def only_after_failure():
    return "called"


@task(trigger=all_finished)
def report(amount, _):
    return f"{prefect.context.flow_name}: {amount}"


with Flow("shop") as flow:
    limit = Parameter("limit", default=3)
    found, _ = orders(limit)
    prices = price.map(found, factor=unmapped(1))
    amount = total(prices)
    large = is_large(amount)
    with case(large, True):
        reduced = discount(amount)
    with case(large, False):
        kept = same(amount)
    due = merge(reduced, kept)
    broken = fails()
    called = only_after_failure(upstream_tasks=[broken])
    told = report(due, broken)

flow.set_reference_tasks([told])

if __name__ == "__main__":
    state = flow.run()
    children = state.result[prices].map_states
    print(
        json.dumps(
            {
                "state": type(state).__name__ if isinstance(state, Success) else "Success" * state.is_successful(),
                "children": [type(child).__name__ for child in children],
                "skipped": isinstance(children[1], Skipped),
                "told": state.result[told].result,
                "called": state.result[called].result,
                "failed": isinstance(state.result[broken], Failed) and state.result[broken].result,
            }
        )
    )
