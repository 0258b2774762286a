"""Prefect 1.x style workflows in one asyncio process with an embedded database."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefectlite import signals as signals
    from prefectlite import states as states
    from prefectlite import triggers as triggers
    from prefectlite.client.http import Client as Client
    from prefectlite.contexts import context as context
    from prefectlite.errors import PrefectliteError as PrefectliteError
    from prefectlite.flow import Flow as Flow
    from prefectlite.flow_run import FlowRun as FlowRun
    from prefectlite.language.graph import Edge as Edge
    from prefectlite.language.mapping import mapped as mapped
    from prefectlite.language.mapping import unmapped as unmapped
    from prefectlite.language.parameter import Parameter as Parameter
    from prefectlite.language.task import Task as Task
    from prefectlite.language.task import task as task
    from prefectlite.loggers import get_logger as get_logger
    from prefectlite.runtime import Runtime as Runtime
    from prefectlite.settings import Settings
    from prefectlite.version import __version__ as __version__

    config: Settings

# Public name -> the module that has it. Imported when first used, so that `import prefectlite` costs next to nothing.
_HOMES = {
    "Client": "prefectlite.client.http",
    "Edge": "prefectlite.language.graph",
    "Flow": "prefectlite.flow",
    "FlowRun": "prefectlite.flow_run",
    "Parameter": "prefectlite.language.parameter",
    "PrefectliteError": "prefectlite.errors",
    "Runtime": "prefectlite.runtime",
    "Task": "prefectlite.language.task",
    "__version__": "prefectlite.version",
    "context": "prefectlite.contexts",
    "get_logger": "prefectlite.loggers",
    "mapped": "prefectlite.language.mapping",
    "signals": "prefectlite.signals",
    "states": "prefectlite.states",
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
