"""What code asks of the record around it, as plain functions: they block in scripts and threads, and refuse on a loop."""

from __future__ import annotations

from prefectlite.backend.kv_store import delete_key as delete_key
from prefectlite.backend.kv_store import get_key_value as get_key_value
from prefectlite.backend.kv_store import list_keys as list_keys
from prefectlite.backend.kv_store import set_key_value as set_key_value

__all__ = ["delete_key", "get_key_value", "list_keys", "set_key_value"]
