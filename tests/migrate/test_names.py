"""The tables of names agree with what prefectlite has."""

from __future__ import annotations

import pytest

from prefectlite.migrate.homes import home, mend, named
from prefectlite.migrate.names import ARGUMENTS, BY_HAND, DIFFERENT, HOMES, MENDS, RENAMED, SAME, SETTINGS
from prefectlite.settings import Settings

#: Module of Prefect -> the names of it that are public there and have their place here.
KNOWN = {
    "prefect": "Flow Parameter Task apply_map backend case config context executors flatten mapped resource_manager"
    " schedules tags task triggers unmapped __version__",
    "prefect.core": "Edge Flow Parameter Task",
    "prefect.core.edge": "Edge",
    "prefect.core.flow": "Flow",
    "prefect.core.parameter": "DateTimeParameter Parameter",
    "prefect.core.task": "Task",
    "prefect.client": "Secret",
    "prefect.client.secrets": "Secret",
    "prefect.backend": "delete_key get_key_value list_keys set_key_value",
    "prefect.backend.kv_store": "delete_key get_key_value list_keys set_key_value",
    "prefect.engine": "FlowRunner TaskRunner cache_validators executors result results serializers signals state",
    "prefect.engine.flow_runner": "FlowRunner",
    "prefect.engine.task_runner": "TaskRunner",
    "prefect.engine.cache_validators": "all_inputs all_parameters duration_only never_use partial_inputs_only"
    " partial_parameters_only",
    "prefect.engine.executors": "Executor LocalDaskExecutor LocalExecutor",
    "prefect.engine.result": "NoResult Result",
    "prefect.engine.result.base": "NoResult Result",
    "prefect.engine.results": "ConstantResult LocalResult PrefectResult",
    "prefect.engine.results.local_result": "LocalResult",
    "prefect.engine.serializers": "CompressedSerializer DateTimeSerializer JSONSerializer PandasSerializer PickleSerializer"
    " Serializer",
    "prefect.engine.signals": "ENDRUN FAIL LOOP PAUSE PrefectSignal PrefectStateSignal RETRY SKIP SUCCESS TRIGGERFAIL"
    " VALIDATIONFAIL signal_from_state",
    "prefect.engine.state": "Cached Cancelled Cancelling ClientFailed Failed Finished Looped Mapped Paused Pending Queued"
    " Resume Retrying Running Scheduled Skipped State Submitted Success TimedOut TriggerFailed ValidationFailed",
    "prefect.exceptions": "ClientError FlowStorageError ObjectNotFoundError PrefectException PrefectSignal"
    " TaskTimeoutSignal",
    "prefect.executors": "Executor LocalDaskExecutor LocalExecutor",
    "prefect.executors.dask": "LocalDaskExecutor",
    "prefect.executors.local": "LocalExecutor",
    "prefect.schedules": "CronSchedule IntervalSchedule RRuleSchedule Schedule adjustments clocks filters",
    "prefect.schedules.adjustments": "add next_weekday",
    "prefect.schedules.clocks": "Clock ClockEvent CronClock DatesClock IntervalClock RRuleClock",
    "prefect.schedules.filters": "at_time between_dates between_datetimes between_times is_day_of_week is_month_end"
    " is_month_start is_weekday is_weekend on_date on_datetime",
    "prefect.schedules.schedules": "CronSchedule IntervalSchedule RRuleSchedule Schedule",
    "prefect.tasks": "secrets",
    "prefect.tasks.control_flow": "FilterTask case ifelse merge switch",
    "prefect.tasks.control_flow.case": "case",
    "prefect.tasks.control_flow.conditional": "ifelse merge switch",
    "prefect.tasks.control_flow.filter": "FilterTask",
    "prefect.tasks.core.collections": "Dict List Set Tuple",
    "prefect.tasks.core.constants": "Constant",
    "prefect.tasks.core.operators": "Add And Div Equal FloorDiv GetAttr GetItem GreaterThan GreaterThanOrEqual LessThan"
    " LessThanOrEqual Mod Mul Not NotEqual Or Pow Sub",
    "prefect.tasks.core.resource_manager": "resource_manager",
    "prefect.tasks.secrets": "EnvVarSecret PrefectSecret SecretBase",
    "prefect.tasks.secrets.base": "PrefectSecret SecretBase",
    "prefect.triggers": "all_failed all_finished all_successful always_run any_failed any_successful manual_only"
    " not_all_skipped some_failed some_successful",
    "prefect.utilities.debug": "raise_on_exception",
    "prefect.utilities.edges": "flatten mapped unmapped",
    "prefect.utilities.logging": "get_logger",
    "prefect.utilities.notifications": "callback_factory",
    "prefect.utilities.tasks": "apply_map as_task defaults_from_attrs pause_task tags task",
}


@pytest.mark.parametrize("module", KNOWN)
def test_names_that_are_here_are_found(module: str) -> None:
    found = {name: home(f"{module}.{name}") for name in KNOWN[module].split()}
    assert None not in found.values(), found
    for target in found.values():
        assert target is not None
        assert named(target) is not None


@pytest.mark.parametrize("target", sorted({*HOMES.values(), *RENAMED.values(), *DIFFERENT}))
def test_every_target_of_the_tables_is_there(target: str) -> None:
    assert named(target) is not None


def test_settings_are_settings() -> None:
    assert set(SETTINGS.values()) <= set(Settings.__struct_fields__)


@pytest.mark.parametrize(("called", "argument"), sorted(ARGUMENTS))
def test_what_takes_arguments_is_there(called: str, argument: str) -> None:
    assert callable(named(f"prefectlite.{called}"))
    assert argument


@pytest.mark.parametrize("name", sorted({*MENDS, *BY_HAND} - {"prefect"}))
def test_every_name_with_a_mend_is_prefects_and_gets_it(name: str) -> None:
    assert name.startswith("prefect.")
    assert mend(name) == {**MENDS, **BY_HAND}[name]


def test_modules_that_keep_their_name_are_prefects() -> None:
    assert all(name.startswith("prefect.") for name in SAME)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prefect.storage.docker.Dokker", "by its file or module"),
        ("prefect.engine.results.s3_result.S3Result", "result_store_url"),
        ("prefect.engine.executors.DaskExecutor", "LocalDaskExecutor"),
        ("prefect.tasks.snowflake.SnowflakeQuery", "in a task"),
        ("prefect.nothing", "nothing in prefectlite is called so"),
    ],
)
def test_the_nearest_mend_is_given(name: str, words: str) -> None:
    assert words in mend(name)


@pytest.mark.parametrize("name", ["prefect.core.task", "prefect.context.caches", "prefect.flow", "prefect.engine.fetch"])
def test_what_prefectlite_keeps_to_itself_is_no_home(name: str) -> None:
    assert home(name) is None
