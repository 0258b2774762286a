"""What a new run takes from its flow, from the group of that, and from who asks for it."""

from __future__ import annotations

from typing import Any

import msgspec

from prefectlite.errors import BadRequest, NotFound, ParameterError
from prefectlite.language.parameter import nearest
from prefectlite.repository.database import Transaction

_TO_RUN = """
SELECT f.id, f.name, f.archived, f.project_id, f.parameters, f.run_config, f.environment, g.run_config, g.labels,
    g.default_parameters
FROM flow f JOIN flow_group g ON g.id = f.flow_group_id
"""


class FlowToRun(msgspec.Struct, frozen=True):
    """What a new run takes from its flow, and from the group that the flow belongs to."""

    id: str
    name: str
    parameters: list[dict[str, Any]]
    run_configs: list[dict[str, Any] | None]
    environment: dict[str, Any] | None
    group_labels: list[str] | None
    defaults: dict[str, Any]

    def labels(self, wanted: list[str] | None, run_config: dict[str, Any] | None) -> list[str]:
        """The labels of a run: those `wanted`, else those that the nearest of the others says, be it none."""
        group, own = self.run_configs
        said = [run_config, {"labels": self.group_labels}, group, own, self.environment]
        given = [wanted, *((one or {}).get("labels") for one in said[:2])]
        found = next((labels for labels in given if labels is not None), None)
        if found is None:
            found = next((labels for one in said[2:] if (labels := (one or {}).get("labels"))), ())
        return sorted(set(found))

    def complete(self, given: dict[str, Any]) -> dict[str, Any]:
        """`given` with the group's values and the defaults of the flow's other parameters. Raises ParameterError."""
        given = self.defaults | given
        known = {parameter["name"]: parameter for parameter in self.parameters}
        if unknown := sorted(set(given) - set(known)):
            raise ParameterError(
                f"Flow {self.name!r} has no parameter {', '.join(unknown)}; it takes: {', '.join(sorted(known)) or 'none'}"
                f".{nearest(unknown, known)}"
            )
        if missing := sorted(name for name, parameter in known.items() if parameter["required"] and name not in given):
            raise ParameterError(f"Required parameters were not supplied: {', '.join(missing)} (flow {self.name!r})")
        return {name: parameter["default"] for name, parameter in known.items() if not parameter["required"]} | given


async def flow_for_run(tx: Transaction, flow_id: str | None, version_group_id: str | None) -> FlowToRun:
    """The flow to run: this one, or the newest of a group. Raises NotFound or BadRequest."""
    if flow_id is not None:
        rows = await tx.fetch(f"{_TO_RUN} WHERE f.id = $1", (flow_id,))
        if not rows:
            raise NotFound(f"Flow {flow_id} not found")
        if rows[0][2]:
            raise BadRequest(f"Flow {flow_id} is archived.")
    else:
        which = "WHERE f.version_group_id = $1 AND f.archived = 0 ORDER BY f.version DESC LIMIT 1"
        rows = await tx.fetch(f"{_TO_RUN} {which}", (version_group_id,))
        if not rows:
            raise NotFound(f"Version group {version_group_id} has no unarchived flows.")
    found_id, name, _, project_id, *texts = rows[0]
    if project_id is None:
        raise BadRequest(f"Flow {name!r} was only run from a script, so that no server knows its code: register it")
    parameters, own, environment, group, labels, defaults = map(_document, texts)
    return FlowToRun(found_id, name, parameters, [group, own], environment, labels, defaults)


def _document(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
