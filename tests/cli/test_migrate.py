"""`prefectlite migrate`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefectlite.cli import main

CODE = """import prefect
from prefect.run_configs import KubernetesRun

@prefect.task
def t(): pass
"""


def migrate(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as left:
        main(["migrate", *arguments])
    shown = capsys.readouterr()
    assert left.value.code == code, shown.err
    return shown.err if code > 1 else shown.out


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text("import os\n")
    (tmp_path / ".venv" / "lib").mkdir(parents=True)
    (tmp_path / ".venv" / "lib" / "c.py").write_text(CODE)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.py").write_text("from prefect import Flow\n")
    return tmp_path


def test_a_report_of_a_directory(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = migrate(capsys, ".").splitlines()
    assert lines == [
        "a.py",
        "    1  change       import prefect",
        "                    → import prefectlite",
        "    2  unsupported  prefect.run_configs.KubernetesRun",
        lines[4],
        "    4  change       prefect.task",
        "                    → prefectlite.task",
        "",
        "sub/d.py",
        "    1  change  from prefect import Flow",
        "               → from prefectlite import Flow",
        "",
        "3 files read: 3 can be changed, 1 not supported",
        "--write makes the changes",
    ]
    assert "start an agent there" in lines[4]
    assert (place / "a.py").read_text() == CODE


def test_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.py").chmod(0o640)
    (place / "link.py").symlink_to("a.py")
    before = (place / "b.py").stat()
    assert migrate(capsys, "link.py", "b.py", "--write").splitlines()[-1] == "1 file written"
    expected = CODE.replace("import prefect\n", "import prefectlite\n").replace("@prefect.", "@prefectlite.")
    assert (place / "a.py").read_text() == expected
    assert (place / "a.py").stat().st_mode & 0o777 == 0o640
    assert (place / "link.py").is_symlink()
    after = (place / "b.py").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino), "a file without changes is let alone"
    assert sorted(path.name for path in place.iterdir()) == [".venv", "a.py", "b.py", "link.py", "sub"]


def test_check_leaves_with_one_if_something_is_not_supported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(capsys, "a.py", "--check", code=1)
    migrate(capsys, "sub", "b.py", "--check")


def test_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "bad.py").write_text("import prefect\nprint 'x'\n")
    found = json.loads(migrate(capsys, "sub", "bad.py", "-o", "json", "--check", code=1))
    assert found[0] == {
        "file": "sub/d.py",
        "line": 1,
        "column": 1,
        "kind": "change",
        "what": "from prefect import Flow",
        "mend": "from prefectlite import Flow",
    }
    assert (found[1]["file"], found[1]["line"], found[1]["what"]) == ("bad.py", 2, "cannot be read")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"# coding: nope\n", b"x = '\x00'", b"(" * 5000])
def test_a_file_that_is_no_python_is_said(place: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (place / "bad.py").write_bytes(content)
    assert "unsupported  cannot be read" in migrate(capsys, "bad.py", "--write", "--check", code=1)
    assert (place / "bad.py").read_bytes() == content


def test_a_file_that_is_not_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.py: there is no such file" in migrate(capsys, "nowhere.py", code=66)
