"""Where the code of registered flows is, and how it is found again: `from prefectlite.storage import Git`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefectlite.storage.storages import Git as Git
    from prefectlite.storage.storages import Local as Local
    from prefectlite.storage.storages import Module as Module
    from prefectlite.storage.storages import Storage as Storage

__all__ = ["Git", "Local", "Module", "Storage"]

#: What does not exist here -> what does the same.
_INSTEAD = {
    "GitHub": "Git('flow.py', repo='owner/name')",
    "GitLab": "Git('flow.py', repo='group/name', repo_host='gitlab.com')",
    "Bitbucket": "Git('flow.py', repo='workspace/name', repo_host='bitbucket.org')",
    "CodeCommit": "Git('flow.py', repo='https://git-codecommit.REGION.amazonaws.com/v1/repos/NAME')",
    **dict.fromkeys(
        ("Docker", "S3", "GCS", "Azure", "Webhook"),
        "Git('flow.py', repo='owner/name'), or Module('package.module') for a package that is installed where the flow runs",
    ),
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        value = getattr(importlib.import_module("prefectlite.storage.storages"), name)
        globals()[name] = value
        return value
    if name in _INSTEAD:
        raise ImportError(f"{name} storage does not exist in prefectlite: use {_INSTEAD[name]}", name=__name__)
    raise AttributeError(f"module 'prefectlite.storage' has no attribute {name!r}")
