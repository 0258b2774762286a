"""Prefect 1.x style workflows in one asyncio process with an embedded database."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefectlite import backend as backend
    from prefectlite import cache_validators as cache_validators
    from prefectlite import executors as executors
    from prefectlite import results as results
    from prefectlite import schedules as schedules
    from prefectlite import signals as signals
    from prefectlite import states as states
    from prefectlite import triggers as triggers
    from prefectlite.client.http import Client as Client
    from prefectlite.contexts import context as context
    from prefectlite.contexts import raise_on_exception as raise_on_exception
    from prefectlite.errors import PrefectliteError as PrefectliteError
    from prefectlite.flow import Flow as Flow
    from prefectlite.flow_run import FlowRun as FlowRun
    from prefectlite.language.apply_map import apply_map as apply_map
    from prefectlite.language.attributes import defaults_from_attrs as defaults_from_attrs
    from prefectlite.language.building import as_task as as_task
    from prefectlite.language.callbacks import callback_factory as callback_factory
    from prefectlite.language.control_flow import FilterTask as FilterTask
    from prefectlite.language.control_flow import case as case
    from prefectlite.language.control_flow import ifelse as ifelse
    from prefectlite.language.control_flow import merge as merge
    from prefectlite.language.control_flow import switch as switch
    from prefectlite.language.delays import exponential_backoff as exponential_backoff
    from prefectlite.language.graph import Edge as Edge
    from prefectlite.language.mapping import flatten as flatten
    from prefectlite.language.mapping import mapped as mapped
    from prefectlite.language.mapping import unmapped as unmapped
    from prefectlite.language.parameter import DateTimeParameter as DateTimeParameter
    from prefectlite.language.parameter import Parameter as Parameter
    from prefectlite.language.pausing import pause_task as pause_task
    from prefectlite.language.resource_manager import resource_manager as resource_manager
    from prefectlite.language.tagging import tags as tags
    from prefectlite.language.task import Task as Task
    from prefectlite.language.task import task as task
    from prefectlite.loggers import get_logger as get_logger
    from prefectlite.runners import FlowRunner as FlowRunner
    from prefectlite.runners import TaskRunner as TaskRunner
    from prefectlite.runtime import Runtime as Runtime
    from prefectlite.secrets import Secret as Secret
    from prefectlite.settings import Settings
    from prefectlite.version import __version__ as __version__

    config: Settings

# Public name -> the module that has it. Imported when first used, so that `import prefectlite` costs next to nothing.
_HOMES = {
    "Client": "prefectlite.client.http",
    "DateTimeParameter": "prefectlite.language.parameter",
    "Edge": "prefectlite.language.graph",
    "FilterTask": "prefectlite.language.control_flow",
    "Flow": "prefectlite.flow",
    "FlowRun": "prefectlite.flow_run",
    "FlowRunner": "prefectlite.runners",
    "Parameter": "prefectlite.language.parameter",
    "PrefectliteError": "prefectlite.errors",
    "Runtime": "prefectlite.runtime",
    "Secret": "prefectlite.secrets",
    "Task": "prefectlite.language.task",
    "TaskRunner": "prefectlite.runners",
    "__version__": "prefectlite.version",
    "apply_map": "prefectlite.language.apply_map",
    "as_task": "prefectlite.language.building",
    "backend": "prefectlite.backend",
    "cache_validators": "prefectlite.cache_validators",
    "callback_factory": "prefectlite.language.callbacks",
    "case": "prefectlite.language.control_flow",
    "context": "prefectlite.contexts",
    "defaults_from_attrs": "prefectlite.language.attributes",
    "executors": "prefectlite.executors",
    "exponential_backoff": "prefectlite.language.delays",
    "flatten": "prefectlite.language.mapping",
    "get_logger": "prefectlite.loggers",
    "ifelse": "prefectlite.language.control_flow",
    "mapped": "prefectlite.language.mapping",
    "merge": "prefectlite.language.control_flow",
    "pause_task": "prefectlite.language.pausing",
    "raise_on_exception": "prefectlite.contexts",
    "resource_manager": "prefectlite.language.resource_manager",
    "results": "prefectlite.results",
    "schedules": "prefectlite.schedules",
    "signals": "prefectlite.signals",
    "states": "prefectlite.states",
    "switch": "prefectlite.language.control_flow",
    "tags": "prefectlite.language.tagging",
    "task": "prefectlite.language.task",
    "triggers": "prefectlite.triggers",
    "unmapped": "prefectlite.language.mapping",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "config":  # the settings in force, which may change, and may be faulty: `import *` does not load them
        return importlib.import_module("prefectlite.settings").current_settings()
    if name not in _HOMES:
        raise AttributeError(f"module 'prefectlite' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    value = module if _HOMES[name] == f"prefectlite.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "config"})
