"""What can be answered without a look into the database."""

from __future__ import annotations

from typing import Any

from prefectlite.states import BY_NAME, Pending, State
from prefectlite.version import __version__


def _kinds_of(parent: type[State]) -> dict[str, Any]:
    children = sorted(parent.__subclasses__(), key=lambda cls: cls.__name__)
    return {cls.__name__: _kinds_of(cls) for cls in children if cls.__module__ == Pending.__module__}


HELLO = "👋"
#: Root field -> member -> its value.
OBJECTS: dict[str, dict[str, Any]] = {
    "api": {
        "backend": "SERVER",
        "mode": "normal",
        "version": __version__,
        "core_version": __version__,
        "release_timestamp": None,
    },
    "reference_data": {
        "state_hierarchy": {State.__name__: _kinds_of(State)},
        "state_info": {
            name: {
                "color": cls.color,
                "is_pending": "Pending" in cls.kinds,
                "is_running": "Running" in cls.kinds,
                "is_finished": "Finished" in cls.kinds,
                "is_successful": "Success" in cls.kinds,
                "is_failed": "Failed" in cls.kinds,
            }
            for name, cls in sorted(BY_NAME.items())
        },
    },
}
