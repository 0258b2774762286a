"""Storages: what a flow's author says of where its code is, as `Flow(..., storage=Git("flow.py", repo="me/flows"))`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from prefectlite.errors import FlowError, FlowSourceMissing
from prefectlite.language.graph import Graph
from prefectlite.settings import default_directory
from prefectlite.storage import pickled
from prefectlite.storage.git_source import GitSource
from prefectlite.storage.loading import Source
from prefectlite.storage.source import AnySource, FileSource, ModuleSource, load_flow


class Storage:
    """What all storages have. `labels` are added to those of the run config; `flows` are the places of the flows in it.

    Two of them are equal if they are written down alike.
    """

    #: What is written down of a storage of this kind.
    written: tuple[str, ...] = ()

    def __init__(
        self,
        result: Any = None,
        secrets: Iterable[str] | None = None,
        labels: Iterable[str] | None = None,
        add_default_labels: bool | None = None,
        stored_as_script: bool | None = None,
    ) -> None:
        if result is not None:
            raise FlowError(f"{type(self).__name__}: a storage has no result here: give it to the flow, Flow(..., result=…)")
        self.secrets, self.labels, self.stored_as_script = list(secrets or ()), set(labels or ()), stored_as_script
        self.flows: dict[str, str] = {}
        self._sources: dict[str, Source] = {}

    @property
    def secret_names(self) -> list[str]:
        """The secrets that it takes to get at the code."""
        return []

    def source(self, flow: Graph, made_in: AnySource) -> Source:
        """Where the code of `flow`, which was made in this file or module, is loaded from; written there if need be.

        Blocks. Raises FlowSourceMissing or FlowSerializationError, saying what to do.
        """
        raise NotImplementedError(f"{type(self).__name__} says nothing of where a flow is")

    def add_flow(self, flow: Any) -> str:
        """The place of a flow that is in this storage from now on. Raises FlowError if there is one of its name."""
        if flow.name in self.flows:
            raise FlowError(f'Name conflict: Flow with the name "{flow.name}" is already present in this storage.')
        source = self.source(flow, FileSource(flow.name, flow.made_in))
        self._sources[flow.name], self.flows[flow.name] = source, source.place
        return source.place

    def get_flow(self, flow_name: str) -> Graph:
        """The flow of this name, loaded. Blocks. Raises FlowError if it is not in here, FlowLoadError if it is gone."""
        if flow_name not in self.flows:
            raise FlowError("Flow is not contained in this Storage")
        return load_flow(self._sources[flow_name])

    def build(self) -> Storage:
        """The storage: there is nothing to be built."""
        return self

    def serialize(self) -> dict[str, Any]:
        """The storage as JSON values."""
        own = {name: getattr(self, name) for name in self.written}
        return {"type": type(self).__name__, **own, "flows": dict(self.flows), "secrets": list(self.secrets)}

    def __contains__(self, name: object) -> bool:
        return name in self.flows

    def __eq__(self, other: object) -> bool:
        return self.serialize() == other.serialize() if isinstance(other, Storage) else NotImplemented

    def __hash__(self) -> int:
        return hash(type(self))  # all else can be changed

    def __repr__(self) -> str:
        return f"<Storage: {type(self).__name__}>"


class Local(Storage):
    """On this machine: in the Python file `path`, by default the one that the flow was made in.

    With `stored_as_script=False` the flow is written down as a pickle in a file below `directory`, by default in the user's
    data directory. That is for flows which no file makes again, and has to be allowed by the setting `allow_pickled_flows`.
    """

    written = ("directory", "path", "stored_as_script")

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        validate: bool = True,
        path: str | os.PathLike[str] | None = None,
        stored_as_script: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(stored_as_script=stored_as_script, **kwargs)
        chosen = Path(default_directory() / "flows" if directory is None else directory)
        self.directory = str(chosen.expanduser().absolute() if validate else chosen)
        self.path = None if path is None else str(Path(path).expanduser().absolute())

    def source(self, flow: Graph, made_in: AnySource) -> Source:
        if self.stored_as_script is False and self.path is None:
            return pickled.store(flow, Path(self.directory))
        if self.path is None and not (isinstance(made_in, FileSource) and not Path(made_in.path).is_file()):
            return msgspec.structs.replace(made_in, flow=flow.name)
        if self.path is None:
            raise FlowSourceMissing(
                f"Flow {flow.name!r} was made in {made_in.place}, which cannot be loaded again: write it in a Python file,"
                " or store it as a pickle, Local(stored_as_script=False)"
            )
        if not Path(self.path).is_file():
            raise FlowSourceMissing(f"{self.path}: there is no such file, which is to hold flow {flow.name!r}: check path")
        return FileSource(flow.name, self.path)


class Module(Storage):
    """In an importable module, `Module("package.module")`; `"package.module:name"` is the flow, or a function giving it."""

    written = ("module",)

    def __init__(self, module: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name, _, attribute = module.partition(":")
        if not all(part.isidentifier() for part in (*name.split("."), *(attribute.split(".") if ":" in module else ()))):
            raise FlowError(f"Module: {module!r} is no name of a module, such as package.module or package.module:flow")
        self.module = module

    def source(self, flow: Graph, made_in: AnySource) -> Source:
        name, _, attribute = self.module.partition(":")
        return ModuleSource(flow.name, name, attribute)


class Git(Storage):
    """In the file `flow_path` of a git repository, fetched by the git command: `Git("flows/daily.py", repo="me/flows")`.

    `repo` is `owner/name` at `repo_host`, or a whole URL. What runs is the commit that `branch_name`, `tag` or `commit` (by
    default the main branch) names when the flow is registered, and with `follow=True` what it names when a run begins.
    `git_token_secret_name` is the secret with a token, `git_clone_url_secret_name` one with the URL; `use_ssh=True` uses the
    user's keys. `flow_name` is the flow's name in the file, if it is another.
    """

    written = tuple(name for name in GitSource.__struct_fields__ if name not in ("flow", "commit_sha"))

    def __init__(
        self,
        flow_path: str,
        repo: str | None = None,
        repo_host: str = "github.com",
        flow_name: str | None = None,
        git_token_secret_name: str | None = None,
        git_token_username: str | None = None,
        git_clone_url_secret_name: str | None = None,
        branch_name: str | None = None,
        tag: str | None = None,
        commit: str | None = None,
        clone_depth: int = 1,
        use_ssh: bool = False,
        format_access_token: bool = True,
        follow: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"stored_as_script": True, **kwargs})
        self.flow_path, self.repo, self.repo_host, self.flow_name = flow_path, repo or "", repo_host, flow_name
        self.git_token_secret_name, self.git_token_username = git_token_secret_name, git_token_username
        self.git_clone_url_secret_name = git_clone_url_secret_name
        self.branch_name, self.tag, self.commit = branch_name, tag, commit
        self.clone_depth, self.use_ssh, self.follow = clone_depth, use_ssh, follow
        self._source()

    @property
    def secret_names(self) -> list[str]:
        return self._source().secret_names

    def source(self, flow: Graph, made_in: AnySource) -> Source:
        return msgspec.structs.replace(self._source(), flow=self.flow_name or flow.name)

    def _source(self) -> GitSource:
        """Raises FlowError for what git could not use, or could take for something else."""
        given = {name: getattr(self, name) for name in self.written}
        try:
            return msgspec.convert({"type": "Git", **given}, GitSource)
        except msgspec.ValidationError as error:
            raise FlowError(str(error) if "Git: " in str(error) else f"Git: {error}") from None
