"""Flows in a git repository, at a commit. What names it may come from anybody who can register a flow: it is checked."""

from __future__ import annotations

import importlib
import posixpath
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from prefectlite.errors import FlowError, FlowSourceMissing, PrefectliteError
from prefectlite.language.graph import Graph
from prefectlite.registry import secret_reader
from prefectlite.settings import current_settings
from prefectlite.storage.checkouts import check_out, checkouts, commit_of
from prefectlite.storage.git_command import Remote
from prefectlite.storage.loading import Source, flows_of_file, module_name

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_PATH = r"[A-Za-z0-9_.~%+@-]+(?:/[A-Za-z0-9_.~%+@-]+)*"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_REPOSITORY = re.compile(rf"(?!-){_PATH}")
_HOST_AND_PORT = re.compile(rf"{_HOST}(?::[0-9]{{1,5}})?")
_URL = re.compile(rf"(?P<scheme>https|http|ssh|git)://(?:{_USER}@)?{_HOST}(?::[0-9]{{1,5}})?/{_PATH}/?")
_FILE_URL = re.compile(r"(?P<scheme>file)://(?:/[^\x00-\x1f\x7f]+)")
_SSH_PLACE = re.compile(rf"{_USER}@{_HOST}:(?![-/]){_PATH}/?")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_loading = threading.Lock()


class GitSource(Source, frozen=True, tag="Git", omit_defaults=True):
    """A Python file in a repository at `commit_sha`; with `follow`, at what its branch or tag is when it runs."""

    flow_path: str = ""
    repo: str = ""
    repo_host: str = "github.com"
    branch_name: str | None = None
    tag: str | None = None
    commit: str | None = None
    commit_sha: str | None = None
    git_token_secret_name: str | None = None
    git_token_username: str | None = None
    git_clone_url_secret_name: str | None = None
    clone_depth: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    use_ssh: bool = False
    follow: bool = False

    def __post_init__(self) -> None:
        """Raises FlowError, a ValueError, for what git could take for something else than it is."""
        _check_path(self.flow_path)
        if self.repo:
            _check_repository(self.repo, self.repo_host)
        elif not self.git_clone_url_secret_name:
            raise FlowError("Either `repo` or `git_clone_url_secret_name` must be provided")
        if sum(one is not None for one in (self.branch_name, self.tag, self.commit)) > 1:
            raise FlowError("Please provide only one of the following parameters: `branch_name`, `tag`, `commit`")
        for what, name in (("branch_name", self.branch_name), ("tag", self.tag)):
            if name is not None and (not name or name.startswith("-") or name[-1] in "/." or _NO_REF.search(name)):
                raise FlowError(f"Git: {what}: {name!r} cannot be the name of a branch or tag")
        for what, name in (("commit", self.commit), ("commit_sha", self.commit_sha)):
            if name is not None and not _COMMIT.fullmatch(name):
                raise FlowError(f"Git: {what}: {name!r} is no id of a commit: give 7 to 64 digits of 0-9 and a-f")
        if self.git_token_username is not None and not re.fullmatch(r"[^\x00-\x1f\x7f:]+", self.git_token_username):
            raise FlowError(f"Git: git_token_username: {self.git_token_username!r} cannot be a user's name")

    @property
    def place(self) -> str:
        at = f" at {self.commit_sha[:12]}" if self.commit_sha else ""
        return f"{self.flow_path} in {self.repository}{at}"

    @property
    def repository(self) -> str:
        """The repository's name in messages."""
        if not self.repo:
            return f"the repository of the secret {self.git_clone_url_secret_name!r}"
        return self.repo if "://" in self.repo else f"{self.repo_host}/{self.repo}"

    @property
    def is_followed(self) -> bool:
        return self.follow

    @property
    def secret_names(self) -> list[str]:
        return [name for name in (self.git_token_secret_name, self.git_clone_url_secret_name) if name]

    def ready(self) -> GitSource:
        return self._checked_out()[0]

    def load(self) -> list[Graph]:
        pinned, directory = self._checked_out()
        path = _file(directory, self.flow_path)
        with _loading:
            _make_current(directory, path.parent)
            name = module_name(path, f"{self.repository} {self.flow_path}".encode())
            return flows_of_file(path, name, pinned.place)

    def _checked_out(self) -> tuple[GitSource, Path]:
        """The source at the commit it names now, and the directory with the files of that."""
        commit = self.commit_sha or commit_of(self._remote(), self._ref())
        pinned = msgspec.structs.replace(self, commit_sha=commit)
        directory = check_out(self.repository, commit, self._remote, self.clone_depth)
        if not _file(directory, self.flow_path).is_file():
            raise FlowSourceMissing(
                f"{pinned.place}: there is no such file in the commit: check flow_path, and push the file"
            )
        return pinned, directory

    def digest(self) -> str:
        return self.commit_sha or ""

    def _ref(self) -> str:
        if self.commit:
            return self.commit
        if self.tag:
            return f"refs/tags/{self.tag}"
        return f"refs/heads/{self.branch_name}" if self.branch_name else "HEAD"

    def _remote(self) -> Remote:
        url, username, token = self._address()
        settings = current_settings()
        protocols, hosts = settings.git_protocols, settings.git_hosts
        scheme = url.partition("://")[0] if "://" in url else "ssh"
        if scheme not in protocols:
            raise FlowSourceMissing(
                f"{self.repository}: {scheme} is not allowed: the setting git_protocols names"
                f" {', '.join(protocols) or 'none'}"
            )
        if hosts and scheme != "file" and not _is_among(_host_of(url), hosts):
            raise FlowSourceMissing(
                f"{self.repository}: its host is not allowed: the setting git_hosts names {', '.join(hosts)}"
            )
        if token and scheme not in ("https", "http"):
            username = token = ""  # ssh has keys
        origin = "/".join(url.split("/")[:3]) + "/" if token else ""
        return Remote(url, self.repository, protocols, origin, username, token, is_confined=bool(hosts))

    def _address(self) -> tuple[str, str, str]:
        """The repository's URL without what lets one in, and with which user and token git is let in."""
        username, token = self._username(), ""
        if self.git_token_secret_name:
            token = _secret(self.git_token_secret_name, self.repository)
        if self.git_clone_url_secret_name:
            written = _secret(self.git_clone_url_secret_name, self.repository)
            url, user, password = _without_password(written)
            _check_url(url, f"The secret {self.git_clone_url_secret_name!r}", shown=False)
            return url, user or username, token or password
        if "://" in self.repo:
            return self.repo, username, token
        if not self.use_ssh:
            return f"https://{self.repo_host}/{self.repo}.git", username, token
        has_port = ":" in self.repo_host
        return f"ssh://git@{self.repo_host}/{self.repo}.git" if has_port else f"git@{self.repo_host}:{self.repo}.git", "", ""

    def _username(self) -> str:
        if self.git_token_username:
            return self.git_token_username
        for host, name in (("bitbucket", "x-token-auth"), ("gitlab", "oauth2")):
            if host in self.repo_host:
                return name
        return "x-access-token"


def _host_of(url: str) -> str:
    """The name of the host that git would ask."""
    place = url.partition("://")[2].partition("/")[0] if "://" in url else url.partition(":")[0]
    return place.rpartition("@")[2].partition(":")[0].lower()


def _is_among(host: str, allowed: Iterable[str]) -> bool:
    names = [name.lower() for name in allowed]
    return host in names or any(name.startswith("*.") and host.endswith(name[1:]) for name in names)


def _check_path(path: str) -> None:
    parts = path.split("/")
    if (
        not path
        or path.startswith(("-", "/"))
        or {"", ".", "..", ".git"} & set(parts)
        or re.search(r"[\x00-\x1f\x7f\\:]", path)
    ):
        raise FlowError(f"Git: flow_path: {path!r} is no path of a file inside the repository, such as flows/daily.py")


def _check_repository(repo: str, host: str) -> None:
    if "://" in repo:
        _check_url(repo, "Git: repo")
    elif not _REPOSITORY.fullmatch(repo) or ".." in repo.split("/"):
        raise FlowError(f"Git: repo: {repo!r} is no repository: write owner/name, or a whole URL")
    if not _HOST_AND_PORT.fullmatch(host):
        raise FlowError(f"Git: repo_host: {host!r} cannot be the name of a host")


def _check_url(url: str, owner: str, *, shown: bool = True) -> None:
    known = any(form.fullmatch(url) for form in (_URL, _FILE_URL, _SSH_PLACE))
    if not known or ".." in url.split("/"):
        what = f" {url!r}" if shown and "@" not in url else ""
        raise FlowError(
            f"{owner}:{what} is no URL of a repository: write https://host/owner/name.git, and give a token in a secret"
            " (git_token_secret_name)"
        )


def _without_password(url: str) -> tuple[str, str, str]:
    """An URL without the user and password in it, and these."""
    match = re.fullmatch(r"(https?://)([^@/\s]*)@(.+)", url)
    if match is None:
        return url, "", ""
    user, separator, password = match[2].partition(":")
    user, password = (user, password) if separator else ("x-access-token", user)
    return match[1] + match[3], urllib.parse.unquote(user), _checked_token(urllib.parse.unquote(password), "the URL")


def _secret(name: str, repository: str) -> str:
    try:
        value = secret_reader[0](name)
    except PrefectliteError as error:
        raise FlowSourceMissing(
            f"{repository} needs the secret {name!r}: {error} Set it with `prefectlite secrets set {name}`, or as the"
            f" variable PREFECTLITE_SECRET_{name}"
        ) from None
    return _checked_token(value, f"the secret {name!r}")


def _checked_token(value: object, what: str) -> str:
    text = str(value).strip() if isinstance(value, str | int) else ""  # digits alone read as a number
    if not text or re.search(r"[\x00-\x20\x7f]", text):
        raise FlowSourceMissing(f"{what} has to be a text without spaces or line breaks")
    return text


def _file(directory: Path, flow_path: str) -> Path:
    path = directory.joinpath(*posixpath.normpath(flow_path).split("/"))
    if not path.resolve().is_relative_to(directory.resolve()):
        raise FlowSourceMissing(f"{flow_path} leads out of its repository")
    return path


def _make_current(directory: Path, beside: Path) -> None:
    """Let imports find the files of this commit, those `beside` the flow first, and none of others or other repositories."""
    home = checkouts()

    def is_other(name: str) -> bool:
        return (path := Path(name)).is_relative_to(home) and not path.is_relative_to(directory)

    for name, module in list(sys.modules.items()):
        if not name.startswith("prefectlite_flow_") and any(map(is_other, _files(module))):
            del sys.modules[name]
    mine = [str(directory), str(beside)]
    sys.path[:] = [str(beside), *(entry for entry in sys.path if entry not in mine and not is_other(entry)), str(directory)]
    importlib.invalidate_caches()


def _files(module: Any) -> list[str]:
    """Where a module is from; packages without a file of their own may have several directories."""
    file = getattr(module, "__file__", None)
    return (
        [file] if isinstance(file, str) else [place for place in getattr(module, "__path__", ()) if isinstance(place, str)]
    )
