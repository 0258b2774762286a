"""How a flow's runs are executed: `Flow(..., run_config=LocalRun(working_dir="data"))`.

A run config becomes part of the record when its flow is registered. Runs of flows that are started in a script go on where
the script is, whatever their run config says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from prefectlite.errors import FlowError

#: What cannot run here -> what does the same.
_ELSEWHERE = {
    name: f"{name} does not exist in prefectlite, which starts no containers: use LocalRun(env=…, working_dir=…), and start"
    f" `prefectlite agent local start` {where}"
    for name, where in {
        "DockerRun": "inside the container",
        "KubernetesRun": "in a pod of the cluster",
        "ECSRun": "in an ECS task",
        "VertexRun": "in a container of Vertex AI",
    }.items()
}


class RunConfig:
    """What all run configs have: variables for the run's environment, and labels that its agent must have.

    Two of them are equal if they are written down alike. Raises FlowError for what cannot be written down.
    """

    def __init__(self, env: Mapping[str, str] | None = None, labels: Iterable[str] | None = None) -> None:
        self.env = env if env is None or not isinstance(env, Mapping) else dict(env)
        self.labels: set[str] = set(_labels(labels, type(self).__name__))
        _checked_env(self.env, type(self).__name__)

    @property
    def needs_process(self) -> bool:
        """Whether a run has to have a process of its own, because what it asks for holds for a whole process."""
        return bool(self.env)

    def serialize(self) -> dict[str, Any]:
        """The run config as JSON values. Raises FlowError if they were set to something that cannot be written down."""
        kind = type(self).__name__
        return {"type": kind, "env": _checked_env(self.env, kind), "labels": sorted(_labels(self.labels, kind))}

    def __eq__(self, other: object) -> bool:
        return self.serialize() == other.serialize() if isinstance(other, RunConfig) else NotImplemented

    def __hash__(self) -> int:
        return hash(type(self))  # all else can be changed

    def __repr__(self) -> str:
        given = {name: value for name, value in self.serialize().items() if name != "type" and value}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


class UniversalRun(RunConfig):
    """Runs anywhere an agent has the labels. With `isolate="process"` each run has a process of its own."""

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        labels: Iterable[str] | None = None,
        isolate: Literal["process"] | None = None,
    ) -> None:
        super().__init__(env, labels)
        self.isolate = isolate
        _checked_isolation(isolate)

    @property
    def needs_process(self) -> bool:
        return self.isolate is not None or super().needs_process

    def serialize(self) -> dict[str, Any]:
        isolate = _checked_isolation(self.isolate)
        return {**super().serialize(), **({"isolate": isolate} if isolate else {})}


class LocalRun(RunConfig):
    """Runs in a process of its own where that is asked for: with these variables, or in the directory `working_dir`.

    A relative `working_dir` is taken from the current directory.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        working_dir: str | os.PathLike[str] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        super().__init__(env, labels)
        self.working_dir = _directory(working_dir)

    @property
    def needs_process(self) -> bool:
        return self.working_dir is not None or super().needs_process

    def serialize(self) -> dict[str, Any]:
        return {**super().serialize(), "working_dir": _directory(self.working_dir)}


def run_config_from(document: Mapping[str, Any] | None) -> UniversalRun | LocalRun:
    """The run config that the record or a client describes; one that asks for nothing if there is none.

    Raises FlowError, saying what to use instead, for a kind that cannot run here, and for what none has.
    """
    document = document or {}
    kind = document.get("type") or "UniversalRun"
    env, labels = document.get("env"), document.get("labels")
    if kind == "UniversalRun":
        return UniversalRun(env, labels, document.get("isolate"))
    if kind == "LocalRun":
        return LocalRun(env=env, labels=labels, working_dir=document.get("working_dir"))
    if not isinstance(kind, str) or kind not in _ELSEWHERE:
        raise FlowError(f"There is no run config {kind!r}: use UniversalRun or LocalRun")
    raise FlowError(_ELSEWHERE[kind])


def run_config_document(run_config: RunConfig | Mapping[str, Any] | None, owner: str) -> dict[str, Any] | None:
    """A run config as the record keeps it, be it one or written down already. Raises FlowError, naming its `owner`."""
    if run_config is None:
        return None
    if isinstance(run_config, RunConfig):
        try:
            return run_config.serialize()
        except FlowError as error:
            raise FlowError(f"{owner}: {error}") from None
    if isinstance(run_config, Mapping):
        return dict(run_config)
    raise FlowError(f"{owner}: run_config takes a run config, such as LocalRun(working_dir='data'), not {run_config!r}")


def _checked_env(env: Any, kind: str) -> dict[str, str] | None:
    if env is None:
        return None
    if not isinstance(env, Mapping):
        raise FlowError(f"{kind}: env takes a dictionary of variables, not {env!r}")
    for name, value in env.items():
        if not isinstance(name, str) or not name or set(name) & {"=", "\0"}:
            raise FlowError(f"{kind}: env: {name!r} cannot be the name of a variable")
        if not isinstance(value, str) or "\0" in value:
            raise FlowError(f"{kind}: env: the variable {name} takes text, not {value!r}")
    return dict(env)


def _labels(labels: Any, kind: str) -> list[str]:
    if labels is None:
        return []
    if isinstance(labels, str | bytes | Mapping) or not isinstance(labels, Iterable):
        raise FlowError(f"{kind}: labels takes a list of texts, not {labels!r}")
    found = list(labels)
    if wrong := [label for label in found if not isinstance(label, str) or not label]:
        raise FlowError(f"{kind}: labels: a label is a text, not {wrong[0]!r}")
    return found


def _checked_isolation(isolate: Any) -> str | None:
    if isolate not in (None, "process"):
        raise FlowError(f'UniversalRun: isolate takes "process", not {isolate!r}')
    return isolate  # type: ignore[no-any-return]


def _directory(path: Any) -> str | None:
    if path is None:
        return None
    try:
        text = os.fspath(path)
    except TypeError:
        text = b""
    if not isinstance(text, str) or not text or "\0" in text:
        raise FlowError(f"LocalRun: working_dir takes the path of a directory, not {path!r}")
    return str(Path(text).expanduser().absolute())


def __getattr__(name: str) -> NoReturn:
    if name in _ELSEWHERE:
        raise ImportError(_ELSEWHERE[name], name=__name__)
    raise AttributeError(f"module 'prefectlite.run_configs' has no attribute {name!r}")
