from __future__ import annotations

import os
import pickle
import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prefectlite.errors import ResultLocationError
from prefectlite.results import LocalResult
from prefectlite.serializers import JSONSerializer, Serializer


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def test_a_value_is_written_and_read(place: Path) -> None:
    result = LocalResult(dir=place, location="{flow_name}/{x}.bin")
    written = result.write([1], flow_name="f", x=3)
    assert (written.value, written.location) == ([1], str(place / "f" / "3.bin"))
    assert (result.value, result.location) == (None, "{flow_name}/{x}.bin")
    assert result.read(written.location).value == [1]
    read = result.read("f/3.bin")
    assert (read.value, read.location) == ([1], "f/3.bin")
    assert result.exists("{flow_name}/{x}.bin", flow_name="f", x=3)
    assert not result.exists("{flow_name}/{x}.bin", flow_name="f", x=4)
    assert result.exists(written.location)
    assert written.write(5, x=9).location == written.location
    assert result.read("f/3.bin").value == 5


def test_none_is_a_value(place: Path) -> None:
    assert LocalResult(dir=place).read(str(LocalResult(dir=place).write(None).location)).value is None


def test_a_default_name(place: Path) -> None:
    result = LocalResult(dir=place)
    places = {str(result.write(n).location) for n in range(50)}
    assert len(places) == 50
    for path in places:
        assert re.fullmatch(r"prefect-result-\d{4}-\d\d-\d\dt\d\d-\d\d-\d\d-\d+-00-00-[0-9a-f]{8}", Path(path).name)


def test_what_is_not_there(place: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nope"):
        LocalResult(dir=place).read("nope")
    place.mkdir()
    (place / "empty").touch()
    with pytest.raises(EOFError):
        LocalResult(dir=place).read("empty")
    with pytest.raises(KeyError, match="nope"):
        LocalResult(dir=place, location="{nope}").write(3)
    with pytest.raises(KeyError, match="nope"):
        LocalResult(dir=place).exists("{nope}")


def test_where_results_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    assert LocalResult().dir == str(home / "results")
    assert LocalResult(dir=home / "somewhere").dir == str(home / "results")
    assert LocalResult(dir=str(home)).dir == str(home / "results")
    monkeypatch.chdir(tmp_path)
    assert LocalResult(dir="relative").dir == str(tmp_path / "relative")
    assert LocalResult(dir="relative", validate_dir=False).dir == "relative"
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert LocalResult(dir="~/x").dir == str(tmp_path / "me" / "x")
    assert LocalResult(dir="~/x", validate_dir=False).dir == "~/x"
    written = LocalResult(dir="~/x", validate_dir=False, location="a").write(1)
    assert written.location == str(tmp_path / "me" / "x" / "a")
    assert not home.exists()  # nothing is made before something is written


def test_absolute_locations(tmp_path: Path, place: Path) -> None:
    template = str(tmp_path / "other" / "{x}.bin")
    written = LocalResult(dir=place, location=template).write(3, x="a")
    assert written.location == str(tmp_path / "other" / "a.bin")
    assert LocalResult(dir=place).exists(template, x="a")
    by_function = LocalResult(dir=place, location=lambda **values: str(tmp_path / values["x"])).write(3, x="b")
    assert by_function.location == str(tmp_path / "b")
    assert LocalResult(dir=place, location="../{x}").write(3, x="c").location == str(place / ".." / "c")


@pytest.mark.parametrize("value", ["../escaped", "a/../../escaped", "/etc/escaped", "..", "x/.."])
def test_what_is_filled_in_does_not_lead_elsewhere(tmp_path: Path, place: Path, value: str) -> None:
    for template in ("{x}", "{x}/data.bin"):
        result = LocalResult(dir=place, location=template)
        with pytest.raises(ResultLocationError, match="leads out of its directory"):
            result.write(3, x=value)
        with pytest.raises(ResultLocationError):
            result.exists(template, x=value)
    with pytest.raises(ResultLocationError):
        LocalResult(dir=place, location=f"{tmp_path}/{{x}}/..").write(3, x="..")
    assert issubclass(ResultLocationError, ValueError)
    assert not place.exists()


def test_values_that_only_look_odd(place: Path) -> None:
    for value in ("..a", "a..b", "a b", "é", "$HOME", "~", "a;rm", "c:"):
        assert LocalResult(dir=place, location="{x}").write(1, x=value).location == str(place / value)


def test_arguments_of_tasks_may_be_called_anything(place: Path) -> None:
    values: dict[str, Any] = {"self": 1, "location": 2, "value_": 3, "value": 4, "kwargs": 5}
    result = LocalResult(dir=place, location="{self}{location}{value_}{value}{kwargs}")
    assert result.write("x", **values).location == str(place / "12345")
    assert result.exists("{self}{location}{value_}{value}{kwargs}", **values)


def test_serializers(place: Path) -> None:
    written = LocalResult(dir=place, location="a.json", serializer=JSONSerializer()).write({"a": 1})
    assert Path(str(written.location)).read_bytes() == b'{"a": 1}'
    assert LocalResult(dir=place) != LocalResult(dir=place, serializer=JSONSerializer())
    assert LocalResult(dir=place) == LocalResult(dir=str(place))
    assert pickle.loads(pickle.dumps(written)) == written


def test_a_write_that_fails_leaves_what_was_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = LocalResult(dir=place, location="a")
    result.write("before")
    with pytest.raises(TypeError, match="cannot pickle"):
        result.write(threading.Lock())

    class Unwritable(Serializer):
        def serialize(self, value: Any) -> bytes:
            return "no bytes"  # type: ignore[return-value]

    with pytest.raises(TypeError):
        LocalResult(dir=place, location="a", serializer=Unwritable()).write(1)
    assert result.read("a").value == "before"
    assert [path.name for path in place.iterdir()] == ["a"]


def test_a_file_is_there_as_a_whole_or_not_at_all(place: Path) -> None:
    result = LocalResult(dir=place, location="shared")
    result.write(b"0" * 1_000_000)
    done = threading.Event()

    def read() -> set[int]:
        seen = set()
        while not done.is_set():
            value = result.read("shared").value
            seen.add(len(value))
            assert len(set(value)) == 1
        return seen

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read)
        for n in range(30):
            result.write(bytes([n]) * 1_000_000)
        done.set()
        assert reading.result() == {1_000_000}
    assert [path.name for path in place.iterdir()] == ["shared"]


def test_files_are_as_readable_as_others(place: Path) -> None:
    before = os.umask(0o027)
    try:
        path = Path(str(LocalResult(dir=place).write(1).location))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_names_as_long_as_the_file_system_allows(place: Path) -> None:
    assert LocalResult(dir=place, location="{x}").write(1, x="n" * 255).value == 1


def test_templates_take_formats(place: Path) -> None:
    result = LocalResult(dir=place, location="{date:%Y}-{parameters[p]}")
    written = result.write(1, date=datetime(2020, 1, 1, tzinfo=UTC), parameters={"p": 2})
    assert written.location == str(place / "2020-2")
