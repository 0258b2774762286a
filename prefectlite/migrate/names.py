"""Where Prefect's names are in prefectlite, and what to do instead where they are not."""

from __future__ import annotations

#: Module of Prefect, with all below it -> the module of prefectlite that has its names.
HOMES = {
    "prefect.client": "prefectlite",
    "prefect.core": "prefectlite",
    "prefect.engine": "prefectlite",
    "prefect.engine.cache_validators": "prefectlite.cache_validators",
    "prefect.engine.executors": "prefectlite.executors",
    "prefect.engine.result": "prefectlite.results",
    "prefect.engine.results": "prefectlite.results",
    "prefect.engine.serializers": "prefectlite.serializers",
    "prefect.engine.signals": "prefectlite.signals",
    "prefect.engine.state": "prefectlite.states",
    "prefect.exceptions": "prefectlite.signals",
    "prefect.tasks.control_flow": "prefectlite",
    "prefect.tasks.core.collections": "prefectlite.language.collections",
    "prefect.tasks.core.constants": "prefectlite.language.collections",
    "prefect.tasks.core.operators": "prefectlite.language.operators",
    "prefect.tasks.core.resource_manager": "prefectlite",
    "prefect.utilities.configuration": "prefectlite",
    "prefect.utilities.debug": "prefectlite",
    "prefect.utilities.edges": "prefectlite",
    "prefect.utilities.logging": "prefectlite",
    "prefect.utilities.notifications": "prefectlite",
    "prefect.utilities.tasks": "prefectlite",
}
#: Modules that have their name in prefectlite, too, where they are there.
SAME = (
    "prefect.artifacts",
    "prefect.backend",
    "prefect.executors",
    "prefect.run_configs",
    "prefect.schedules",
    "prefect.storage",
    "prefect.tasks",
    "prefect.triggers",
)
#: Modules of Prefect that are there to hold others.
PACKAGES = ("prefect", "prefect.engine", "prefect.core", "prefect.tasks", "prefect.tasks.core", "prefect.utilities")
#: Names that are called otherwise.
RENAMED = {
    "prefect.exceptions.PrefectException": "prefectlite.PrefectliteError",
    "prefect.exceptions.ClientError": "prefectlite.errors.ApiError",
    "prefect.exceptions.ObjectNotFoundError": "prefectlite.errors.NotFound",
    "prefect.exceptions.FlowStorageError": "prefectlite.errors.FlowStorageError",
}
#: Settings: `prefect.config.…`, and in upper case `PREFECT__…` -> the setting of prefectlite.
SETTINGS = {
    "logging.level": "log_level",
    "logging.format": "log_format",
    "logging.datefmt": "log_datefmt",
    "logging.log_attributes": "log_attributes",
    "logging.extra_loggers": "extra_loggers",
    "flows.checkpointing": "checkpointing",
    "flows.run_on_schedule": "run_on_schedule",
    "flows.eager_edge_validation": "eager_edge_validation",
    "tasks.defaults.max_retries": "task_max_retries",
    "tasks.defaults.retry_delay": "task_retry_delay",
    "tasks.defaults.timeout": "task_timeout",
    "cloud.api": "api_url",
    "server.database.connection_url": "database_url",
    "server.host_port": "port",
    "context": "context",
}
_AGENT = "leave it out: start an agent there (`prefectlite agent local start`), and give runs its label"
_SCRIPT = "leave it out: a registered flow is found again by its file or module, which the serving machine has to have"
_RESULT = "leave it out: results are recorded, and lie where the setting result_store_url says (s3://, gs://, abfs://)"
_LIBRARY = "call the library itself, in a task"
_ASK = "ask the server: `async with prefectlite.Client(url) as client: await client.graphql(…)`"
_HANDLER = "write the message in a state handler of your own (a function of task, old state, new state)"
_ONE_ENGINE = "leave it out: one engine runs every flow"
#: Names, with all below them, that have to be replaced by hand -> by what. They count where prefectlite lacks the name.
MENDS = {
    "prefect": "nothing in prefectlite is called so",
    "prefect.agent": "agents are started on the command line: `prefectlite agent local start`",
    "prefect.artifacts": "GraphQL has create_task_run_artifact",
    "prefect.backend": _ASK,
    "prefect.backend.create_link_artifact": "GraphQL has create_task_run_artifact",
    "prefect.backend.create_markdown_artifact": "GraphQL has create_task_run_artifact",
    "prefect.cli": "call `python -m prefectlite`",
    "prefect.client": _ASK,
    "prefect.configuration": "`prefectlite.config` has the settings",
    "prefect.engine.cloud": _ONE_ENGINE,
    "prefect.engine.get_default_executor_class": "name the executor",
    "prefect.engine.results.AzureResult": _RESULT,
    "prefect.engine.results.GCSResult": _RESULT,
    "prefect.engine.results.S3Result": _RESULT,
    "prefect.engine.results.SecretResult": "leave it out: secrets are not kept",
    "prefect.engine.result_handlers": "results take their place: `prefectlite.results`",
    "prefect.environments": "leave it out, as Prefect 0.14 did: `executor=` says how tasks run",
    "prefect.environments.storage": _SCRIPT,
    "prefect.executors.DaskExecutor": "LocalDaskExecutor, or ProcessExecutor, on one machine",
    "prefect.hello_world": "write one: `with Flow(…) as flow:`",
    "prefect.run_configs": "leave it out",
    "prefect.run_configs.DockerRun": "leave it out: run the server, or an agent, in the container",
    "prefect.run_configs.ECSRun": _AGENT,
    "prefect.run_configs.KubernetesRun": _AGENT,
    "prefect.run_configs.VertexRun": _AGENT,
    "prefect.serialization": "`flow.serialize()` gives the document",
    "prefect.storage": _SCRIPT,
    "prefect.tasks": _LIBRARY,
    "prefect.tasks.core.function": "use the decorator `task`",
    "prefect.tasks.prefect": "in an async task `await flow.run(…)`, or ask the server with prefectlite.Client",
    "prefect.tasks.shell": "`subprocess.run(…, check=True)` in a task, or asyncio.create_subprocess_shell in an async one",
    "prefect.tasks.notifications": "post the message in a task: httpx, smtplib",
    "prefect.utilities": "write it here, or take it from the standard library",
    "prefect.utilities.configuration.set_temporary_config": "`with prefectlite.context(config={…}):`",
    "prefect.utilities.graphql": _ASK,
    "prefect.utilities.notifications": _HANDLER,
    "prefect.utilities.storage": "`prefectlite register` finds the flows in files and modules",
}
#: Names that are there, with another meaning: they are left for somebody to look at.
BY_HAND = {
    "prefect.Client": _ASK,
    "prefect.client.Client": _ASK,
    "prefect.client.client.Client": _ASK,
    "prefect.context.caches": "caches are in the database: `cache_for`, `cache_key`",
    "prefect.core.task": "import what you use of it: `from prefectlite import Task, task`",
    "prefect.core.flow": "import what you use of it: `from prefectlite import Flow`",
    "prefect.engine": "import what you use of it: signals, states, results, executors are modules of prefectlite",
    "prefect.core": "import what you use of it from prefectlite",
}
#: What has to be said of names wherever they are used.
DIFFERENT = {
    "prefectlite.triggers.not_all_skipped": "tasks without upstream tasks run, instead of being skipped",
    "prefectlite.FilterTask": "drops signals, like other exceptions",
    "prefectlite.DateTimeParameter": "text is ISO 8601",
    "prefectlite.schedules.CronSchedule": 'where clocks change, like Debian\'s cron; CronClock(dst="prefect1"): as before',
    "prefectlite.schedules.clocks.CronClock": 'where clocks change, like Debian\'s cron; dst="prefect1": as before',
    "prefectlite.executors.LocalDaskExecutor": "threads, processes or one by one, without Dask",
    "prefectlite.executors.LocalExecutor": "tasks that can run at the same time do; LocalExecutor(workers=1): one by one",
}
#: (what is called, an argument it does not take) -> what to do.
ARGUMENTS = {
    ("Flow", "environment"): MENDS["prefect.environments"],
    ("Flow.register", "build"): "leave it out: nothing is built",
    ("Flow.register", "idempotency_key"): "leave it out: a flow that did not change stays the version it is",
    ("Flow.register", "labels"): "`prefectlite register -l LABEL`",
    ("Flow.register", "set_schedule_active"): "`prefectlite register --no-schedule`",
    ("Flow.register", "no_url"): "leave it out",
    ("Flow.register", "version_group_id"): "leave it out: versions belong together by the flow's name",
    ("Flow.run", "runner_cls"): _ONE_ENGINE,
}
