"""`prefectlite backend`: the settings file is changed in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefectlite.cli import main
from prefectlite.cli.backend import write_setting
from prefectlite.errors import SettingsError
from prefectlite.settings import load_settings

FILE = """# our settings
port = 9000  # the usual one is taken
api_url = "http://old:1"  # gone
[context]
api_url = "mine"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "new" / "config.toml"
    monkeypatch.setenv("PREFECTLITE_CONFIG", str(path))
    return path


def backend(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as left:
        main(["backend", *arguments])
    shown = capsys.readouterr()
    assert left.value.code == code, shown.err
    return shown.err if code else shown.out


def test_a_file_is_made_and_emptied(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backend(capsys, "local") == "Backend switched to local: commands ask the local database\n"
    assert not path.exists()
    assert "http://127.0.0.1:8080" in backend(capsys, "server")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ('api_url = "http://127.0.0.1:8080"\n', 0o600)
    assert load_settings().api_url == "http://127.0.0.1:8080"
    backend(capsys, "local")
    assert load_settings().api_url == ""


def test_everything_else_stays(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.parent.mkdir()
    path.write_text(FILE)
    path.chmod(0o644)
    backend(capsys, "server", "--url", "http://new:2")
    assert path.read_text() == FILE.replace('api_url = "http://old:1"  # gone', 'api_url = "http://new:2"')
    assert path.stat().st_mode & 0o777 == 0o644
    backend(capsys, "local")
    assert path.read_text() == FILE.replace('api_url = "http://old:1"  # gone\n', "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["cloud"], 2, "There is no cloud of prefectlite"),
        (["local", "--url", "http://x"], 2, "--url goes with `backend server`"),
        (["server", "--url", "localhost:80"], 78, "an address begins with http:// or https://"),
        (["moon"], 2, "'moon' is not one of"),
    ],
)
def test_what_is_refused(
    path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert message in backend(capsys, *arguments, code=code)
    assert not path.exists()


def test_a_variable_that_counts_more_is_said(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECTLITE_API_URL", "http://other:3")
    with pytest.raises(SystemExit):
        main(["backend", "local"])
    assert "PREFECTLITE_API_URL=http://other:3 is set, and counts more" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"api_url = [", b"\xff", b'"api_url" = "x"\n', b'x = """\napi_url = 1\n"""\n'])
def test_a_file_that_cannot_be_changed_is_left(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be changed"):
        write_setting(path, "api_url", "http://x")
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


LINES = st.lists(
    st.sampled_from(["port = 1", "# api_url = 2", 'api_url = "http://o"', "", "[context]", "  x = [1,\n  2]", 'host = "["']),
    max_size=6,
    unique=True,
)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_file_only_the_one_setting_changes(
    tmp_path: Path, lines: list[str], newline: str, value: str | None
) -> None:
    path = tmp_path / "config.toml"
    text = newline.join(lines)
    path.write_bytes(text.encode())
    before = tomllib.loads(text)
    write_setting(path, "api_url", value)
    after = tomllib.loads(path.read_bytes().decode())
    expected = {name: item for name, item in before.items() if name != "api_url"}
    assert after == expected | ({} if value is None else {"api_url": value})
