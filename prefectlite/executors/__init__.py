"""Where the code of tasks runs."""

from __future__ import annotations

from prefectlite.language.executor import Executor as Executor
from prefectlite.language.executor import LocalDaskExecutor as LocalDaskExecutor
from prefectlite.language.executor import LocalExecutor as LocalExecutor
from prefectlite.language.executor import ProcessExecutor as ProcessExecutor

__all__ = ["Executor", "LocalDaskExecutor", "LocalExecutor", "ProcessExecutor"]
