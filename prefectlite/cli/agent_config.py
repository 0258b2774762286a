"""What a server keeps for its agents under an id: the options that an agent has where its command line says nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from prefectlite.client.http import Client
from prefectlite.errors import NotFound, SettingsError
from prefectlite.orchestrator.persistence import read_at_last

_CONFIG = "query ($id: uuid!) { agent_config_by_pk(id: $id) { name settings } }"
_PREFECTS = {"variables": "env_vars", "paths": "import_paths"}  # what it calls these
_Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "debug", "info", "warning", "error", "critical"]
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Variables = dict[Annotated[str, msgspec.Meta(pattern=r"^[^=\0]+$")], Annotated[str, msgspec.Meta(pattern=r"^[^\0]*$")]]


class AgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=_PREFECTS):
    """The options of `agent local start` that such settings may hold; in them they have the names of Prefect's."""

    name: str | UnsetType = UNSET
    labels: list[str] | UnsetType = UNSET
    variables: _Variables | UnsetType = UNSET
    paths: list[str] | UnsetType = UNSET
    show_flow_logs: bool | UnsetType = UNSET
    hostname_label: bool | UnsetType = UNSET
    max_polls: _Count | UnsetType = UNSET
    agent_address: str | UnsetType = UNSET
    log_level: _Level | UnsetType = UNSET

    def said(self) -> dict[str, Any]:
        """The options that are in it, by name."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}


async def config_at(url: str, config_id: str) -> AgentConfig:
    """The settings that the server at `url` keeps under this id; it is waited for.

    Raises NotFound, ApiError if the server refuses, and SettingsError for settings that are none of this command's.
    """
    async with Client(url) as client:
        found = await read_at_last(lambda: client.graphql(_CONFIG, id=config_id), "settings of agents")
    row = found["agent_config_by_pk"]
    if row is None:
        raise NotFound(f"There is no agent config {config_id} at {url}: create_agent_config of its API makes one")
    try:
        return msgspec.convert(row["settings"], AgentConfig)
    except msgspec.ValidationError as error:
        known = ", ".join(AgentConfig.__struct_encode_fields__)
        raise SettingsError(f"Agent config {row['name']!r}: {error}. It may have {known}") from None
