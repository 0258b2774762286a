"""Flows in real git repositories, and the names and repositories that try to make git run something else."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefectlite.errors import FlowError, FlowImportError, FlowSourceMissing
from prefectlite.settings import replaced_settings
from prefectlite.storage import Git, checkouts, git_command
from prefectlite.storage.checkouts import checkout_path
from prefectlite.storage.git_source import GitSource
from prefectlite.storage.source import load_flow, source_from_record, source_record
from tests.storage.repositories import Repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git command")
FLOW = "from prefectlite import Flow\nwith Flow('daily') as flow: ...\n"
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A data directory of the test's own; files as repositories are allowed; what is imported is forgotten after it."""
    monkeypatch.setenv("PREFECTLITE_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    with replaced_settings(git_protocols=("file",)):
        yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def source(repository: Repository, path: str = "flow.py", **kwargs: Any) -> GitSource:
    return GitSource("daily", path, repository.url, **kwargs)


# -- finding the commit ---------------------------------------------------------------------------------------------------


def test_a_branch_a_tag_and_commits(repository: Repository) -> None:
    first = repository.commit({"flow.py": FLOW}, tag="v1")
    second = repository.commit({"flow.py": FLOW + "# 2\n"})
    side = repository.commit({"flow.py": FLOW + "# side\n"}, branch="feature/#1")
    assert source(repository).ready().commit_sha == second
    assert source(repository, branch_name="main").ready().commit_sha == second
    assert source(repository, branch_name="feature/#1").ready().commit_sha == side
    assert source(repository, tag="v1").ready().commit_sha == first  # the commit, and not the tag's own object
    assert source(repository, commit=first).ready().commit_sha == first
    assert source(repository, commit=first[:8]).ready().commit_sha == first
    pinned = source(repository, tag="v1").ready()
    assert pinned.digest() == first
    assert pinned.place == f"flow.py in {repository.url} at {first[:12]}"


def test_a_pinned_flow_is_what_it_was(repository: Repository) -> None:
    repository.commit({"flow.py": FLOW + "flow.age = 1\n"})
    pinned = source(repository).ready()
    repository.commit({"flow.py": FLOW + "flow.age = 2\n"})
    assert load_flow(pinned).age == 1  # type: ignore[attr-defined]
    assert load_flow(source(repository)).age == 2  # type: ignore[attr-defined]


def test_once_it_is_here_nobody_is_asked(repository: Repository) -> None:
    repository.commit({"flow.py": FLOW})
    pinned = source(repository).ready()
    shutil.rmtree(repository.bare)
    assert load_flow(pinned).name == "daily"


def test_as_the_record_keeps_it(repository: Repository) -> None:
    commit = repository.commit({"flow.py": FLOW})
    record = source_record(source(repository, branch_name="main").ready(), "daily")
    assert record == {
        "type": "Git",
        "flow": "daily",
        "flow_path": "flow.py",
        "repo": repository.url,
        "branch_name": "main",
        "commit_sha": commit,
    }
    assert load_flow(source_from_record(record)).name == "daily"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"branch_name": "gone"}, "there is no branch 'gone' in it: push it"),
        ({"tag": "v9"}, "there is no tag 'v9' in it"),
        ({"commit": "0123456"}, "there is no commit 0123456 in it"),
        ({"commit": "0" * 40}, f"there is no commit {'0' * 40} in it"),
        ({"path": "other.py"}, "other.py in .*: there is no such file in the commit: check flow_path"),
    ],
)
def test_what_is_not_there(repository: Repository, arguments: dict[str, Any], message: str) -> None:
    repository.commit({"flow.py": FLOW})
    with pytest.raises(FlowSourceMissing, match=message):
        source(repository, **arguments).ready()


def test_no_such_repository(tmp_path: Path) -> None:
    with pytest.raises(FlowSourceMissing, match="nowhere: there is no such repository: check its name"):
        GitSource("daily", "flow.py", (tmp_path / "nowhere").as_uri()).ready()


def test_no_git_command(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FlowSourceMissing, match="there is no git command on this machine: install git"):
        source(repository).ready()


def test_a_server_that_says_nothing_is_given_up(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nsleep 60 & wait\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(git_command, "PATIENCE", 0.2)
    begun = time.monotonic()
    with pytest.raises(FlowSourceMissing, match=r"git did not come to an end within 0\.2 seconds"):
        source(repository).ready()
    assert time.monotonic() - begun < 20  # what it started has ended, too, and holds no pipe


# -- what is loaded -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [{}, {"lib/__init__.py": ""}], ids=["namespace", "package"])
def test_imports_are_of_the_same_commit(repository: Repository, package: dict[str, str]) -> None:
    name = f"shared{next(_numbers)}"
    flow = FLOW + f"import {name}\nfrom lib import deep\nflow.told = ({name}.NUMBER, deep.NUMBER)\n"
    old = repository.commit(
        {"flows/flow.py": flow, "lib/deep.py": "NUMBER = 10\n", f"flows/{name}.py": "NUMBER = 1\n", **package}
    )
    repository.commit({f"flows/{name}.py": "NUMBER = 2\n", "lib/deep.py": "NUMBER = 20\n"})
    loaded = [load_flow(source(repository, "flows/flow.py", **which)) for which in ({}, {"commit": old}, {})]
    assert [flow.told for flow in loaded] == [(2, 20), (1, 10), (2, 20)]  # type: ignore[attr-defined]
    assert len([entry for entry in sys.path if "data" in Path(entry).parts and "git" in Path(entry).parts]) == 2


def test_two_repositories_with_a_module_of_one_name(tmp_path: Path) -> None:
    name = f"shared{next(_numbers)}"
    flow = FLOW + f"import {name}\nflow.told = {name}.NUMBER\n"
    one, two = Repository(tmp_path, "one"), Repository(tmp_path, "two")
    one.commit({"flow.py": flow, f"{name}.py": "NUMBER = 1\n"})
    two.commit({"flow.py": flow, f"{name}.py": "NUMBER = 2\n"})
    told = [load_flow(source(which)).told for which in (one, two, one)]  # type: ignore[attr-defined]
    assert told == [1, 2, 1]


def test_an_error_in_the_file_names_its_line(repository: Repository) -> None:
    repository.commit({"flow.py": FLOW + "1 / 0\n"})
    with pytest.raises(
        FlowImportError, match=r"flow\.py in .* at [0-9a-f]{12} cannot be imported: line 3: ZeroDivisionError"
    ):
        load_flow(source(repository))


def test_threads_that_want_the_same_commit_at_once(repository: Repository) -> None:
    repository.commit({"flow.py": FLOW})
    pinned = source(repository).ready()
    shutil.rmtree(checkouts.checkouts())
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(load_flow(pinned).name)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["daily"] * 4
    (folder,) = checkouts.checkouts().iterdir()
    assert [path.name for path in folder.iterdir()] == [pinned.commit_sha]


def test_what_was_not_used_for_a_month_goes(repository: Repository) -> None:
    old = source(repository, commit=repository.commit({"flow.py": FLOW})).ready()
    used = source(repository, commit=repository.commit({"flow.py": FLOW + "#\n"})).ready()
    assert old.commit_sha is not None
    assert used.commit_sha is not None
    for one in (old, used):
        assert one.commit_sha is not None
        os.utime(checkout_path(repository.url, one.commit_sha), (1, 1))
    used.ready()
    new = source(repository, commit=repository.commit({"flow.py": FLOW + "# 3\n"})).ready()
    folder = checkout_path(repository.url, old.commit_sha).parent
    assert {path.name for path in folder.iterdir()} == {used.commit_sha, new.commit_sha}


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_it_is_this_users_alone(repository: Repository) -> None:
    repository.commit({"flow.py": FLOW})
    source(repository).ready()
    [folder] = [one for one in checkouts.checkouts().iterdir() if one.is_dir()]
    made = [one for one in (folder, *folder.iterdir()) if one.is_dir()]
    assert len(made) > 1
    assert [oct(stat.S_IMODE(one.stat().st_mode)) for one in made] == ["0o700"] * len(made)


# -- what must not happen (S22) -------------------------------------------------------------------------------------------

EVIL = [
    "--upload-pack=touch /tmp/owned",
    "-oProxyCommand=touch /tmp/owned",
    "-u touch",
    "--exec=x",
    "ext::sh -c touch% /tmp/owned",
    "ext::sh",
    "main\n--upload-pack=x",
    "main\r",
    "main\0",
    "main ",
    " main",
    "main;touch",
    "$(touch x)\n",
    "a..b",
    "a@{1}",
    "a^{commit}",
    "a~1",
    "a:b",
    "+refs/heads/*:refs/heads/*",
    "",
    "HEAD\n",
    "x.lock",
    "/",
    "-",
    "\\x",
    "ﬀ\u202e\n",
]
HARMLESS = ("a..b", "a~1", "x.lock")  # as names of repositories
REFS = [text for text in EVIL if text != "main;touch"]  # which is a name that a branch can have


@pytest.mark.parametrize("ref", REFS)
@pytest.mark.parametrize("field", ["branch_name", "tag"])
def test_refs_that_are_none(field: str, ref: str) -> None:
    for make in (Git, GitSource):
        with pytest.raises(FlowError, match=f"Git: {field}: .* cannot be the name of a branch or tag"):
            make(flow_path="flow.py", repo="me/flows", **{field: ref})
    with pytest.raises(FlowSourceMissing, match="the flow's storage 'Git' cannot be used: Git: "):
        source_from_record({"type": "Git", "flow_path": "flow.py", "repo": "me/flows", field: ref})


@pytest.mark.parametrize("commit", [*EVIL, "main", "abcdef", "0" * 65, "g" * 40, "A" * 40, f"{'0' * 40}\n"])
@pytest.mark.parametrize("field", ["commit", "commit_sha"])
def test_commits_that_are_none(field: str, commit: str) -> None:
    with pytest.raises(FlowError, match="is no id of a commit"):
        GitSource(flow_path="flow.py", repo="me/flows", **{field: commit})  # type: ignore[arg-type]
    with pytest.raises(FlowSourceMissing, match="is no id of a commit"):
        source_from_record({"type": "Git", "flow_path": "flow.py", "repo": "me/flows", field: commit})


@pytest.mark.parametrize(
    "repo",
    [
        *(text for text in EVIL if text not in ("", *HARMLESS)),
        "me/../../flows",
        "https://host/../x",
        "https://-oProxyCommand=x/y",
        "ssh://-oProxyCommand=x/y",
        "ssh://me@-oProxyCommand=x/y",
        "https://me:password@host/x",
        "https://host/x?y=z",
        "https://host/x#y",
        "https://host/x\n",
        "https://ho st/x",
        "fd::17/foo",
        "fd://17",
        "ftp://host/x",
        "ext://x/y",
        "file://-x",
        "git@host:-x",
    ],
)
def test_repositories_that_are_none(repo: str) -> None:
    with pytest.raises(FlowError) as caught:
        Git("flow.py", repo=repo)
    assert "password" not in str(caught.value)
    with pytest.raises(FlowSourceMissing):
        source_from_record({"type": "Git", "flow_path": "flow.py", "repo": repo})


@pytest.mark.parametrize(
    "host", [*(text for text in EVIL if text != "x.lock"), "a/b", "a@b", "a:b", "github.com\n", "-host", "host-"]
)
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(FlowError, match="repo_host"):
        Git("flow.py", repo="me/flows", repo_host=host)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd.py", "../x.py", "a/../../x.py", "-x.py", "a//b.py", "a\n.py", ".git/config", "a\\b.py", "C:x.py", "."],
)
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(FlowError, match="is no path of a file inside the repository"):
        Git(path, repo="me/flows")


@pytest.mark.parametrize(
    "arguments", [{"clone_depth": 0}, {"clone_depth": "--x"}, {"use_ssh": 3}, {"git_token_username": "a:b"}]
)
def test_other_arguments_that_are_wrong(arguments: dict[str, Any]) -> None:
    with pytest.raises(FlowError, match="Git: "):
        Git("flow.py", repo="me/flows", **arguments)


names = st.text(st.sampled_from("ab./-:@{}^~ \n\0\\*?[=$;'\"") | st.characters(exclude_categories=["Cs"]), max_size=12)


@given(names)
def test_whatever_is_taken_is_no_option_and_one_word(name: str) -> None:
    for field, prefix in (("branch_name", "refs/heads/"), ("tag", "refs/tags/")):
        try:
            ref = GitSource(flow_path="flow.py", repo="me/flows", **{field: name})._ref()  # type: ignore[arg-type]
        except FlowError:
            continue
        assert ref == prefix + name
        assert not set(ref) & set(" \n\0\\:^~*?[")
    try:
        url = GitSource(flow_path="flow.py", repo=name)._address()[0] if name else ""
    except FlowError:
        return
    assert not url.startswith("-")
    assert "::" not in url


def test_only_the_protocols_of_the_setting(repository: Repository) -> None:
    message = "file is not allowed: the setting git_protocols names https, ssh"
    with replaced_settings(git_protocols=("https", "ssh")), pytest.raises(FlowSourceMissing, match=message):
        source(repository).ready()
    with pytest.raises(FlowSourceMissing, match="ssh is not allowed"):
        GitSource("daily", "flow.py", "me/flows", use_ssh=True).ready()
    with pytest.raises(FlowSourceMissing, match="https is not allowed"):
        GitSource("daily", "flow.py", "me/flows").ready()


def test_git_itself_is_told_which_protocols(repository: Repository) -> None:
    repository.commit({"flow.py": FLOW})
    remote = git_command.Remote(repository.url, "it", ("https",))
    with pytest.raises(FlowSourceMissing, match="transport 'file' not allowed"):
        git_command.git(remote, "ls-remote", "--", repository.url)


def test_hooks_and_surroundings_do_nothing(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = tmp_path / "owned"
    hook = f"#!/bin/sh\ntouch '{owned}'\n"
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for folder in (template, hooks):
        for name in ("post-checkout", "reference-transaction", "post-index-change"):
            (folder / name).write_text(hook)
            (folder / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {template.parent}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor=touch {owned}'")
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template.parent))
    files = {"flow.py": FLOW, ".gitattributes": "* filter=evil\n", ".gitmodules": '[submodule "x"]\n\tpath=x\n'}
    with monkeypatch.context() as usual:
        for name in ("GIT_CONFIG_GLOBAL", "GIT_TEMPLATE_DIR"):
            usual.delenv(name)
        repository.commit(files)
    assert load_flow(source(repository)).name == "daily"
    assert not owned.exists()
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "trace").exists()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a right there")
def test_a_link_out_of_the_repository(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text(FLOW)
    (repository.work / "flow.py").symlink_to(tmp_path / "outside.py")
    repository.commit()
    with pytest.raises(FlowSourceMissing, match="leads out of its repository"):
        source(repository).ready()


@pytest.mark.parametrize(
    ("repo", "more", "allowed"),
    [
        ("me/flows", {"repo_host": "git.example.com"}, True),
        ("me/flows", {"repo_host": "GIT.Example.com:8443"}, True),
        ("me/flows", {"repo_host": "a.b.corp.lan", "use_ssh": True}, True),
        ("https://git.example.com/me/flows.git", {}, True),
        ("ssh://me@x.corp.lan:22/me/flows.git", {}, True),
        ("me/flows", {}, False),
        ("me/flows", {"repo_host": "corp.lan"}, False),
        ("me/flows", {"repo_host": "evilcorp.lan", "use_ssh": True}, False),
        ("https://git.example.com.evil.com/me/flows.git", {}, False),
        ("https://git.example.com@evil.com/me/flows.git", {}, False),
        ("https://169.254.169.254/latest/meta-data", {}, False),
        ("ssh://git.example.com@10.0.0.1/me/flows.git", {}, False),
    ],
)
def test_only_the_hosts_of_the_setting(repo: str, more: dict[str, Any], allowed: bool) -> None:
    source = GitSource("daily", "flow.py", repo, **more)
    with replaced_settings(git_protocols=("https", "ssh"), git_hosts=("git.example.com", "*.corp.lan")):
        if allowed:
            assert source._remote().is_confined
        else:
            with pytest.raises(FlowSourceMissing, match=r"the setting git_hosts names git.example.com, \*.corp.lan"):
                source._remote()
    with replaced_settings(git_protocols=("https", "ssh")):
        assert not source._remote().is_confined
