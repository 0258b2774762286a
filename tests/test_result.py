from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from prefectlite.errors import PrefectliteError, ResultNotImplementedError
from prefectlite.results import ConstantResult, LocalResult, NoResult, PrefectResult, Result
from prefectlite.serializers import DateTimeSerializer, JSONSerializer, PickleSerializer


def test_a_result_is_a_value_a_place_and_a_serializer() -> None:
    result = Result(3)
    assert (result.value, result.location, result.serializer) == (3, None, PickleSerializer())
    assert repr(result) == "<Result: 3>"
    assert repr(Result("x")) == "<Result: 'x'>"
    assert result.logger.name == "prefectlite.Result"
    assert Result(location="a", serializer=JSONSerializer()).serializer == JSONSerializer()


@pytest.mark.parametrize("result", [Result(3), NoResult])
def test_memory_is_no_place_to_read_from(result: Result) -> None:
    attempts: list[Any] = [
        lambda: result.read("x"),
        lambda: result.write(4),
        lambda: result.exists("x"),
    ]
    for attempt in attempts:
        with pytest.raises(ResultNotImplementedError, match=r"^Not implemented on the base Result class"):
            attempt()
    assert issubclass(ResultNotImplementedError, NotImplementedError)
    assert issubclass(ResultNotImplementedError, PrefectliteError)


def test_templates() -> None:
    result = Result(3, location="{parameters[day]}/{date:%Y-%m}/{task.name}-{map_index}")

    class Task:
        name = "extract"

    made = result.format(parameters={"day": "mon"}, date=datetime(2024, 3, 1, tzinfo=UTC), task=Task, map_index=2, more=1)
    assert (made.location, made.value) == ("mon/2024-03/extract-2", 3)
    assert result.location == "{parameters[day]}/{date:%Y-%m}/{task.name}-{map_index}"
    with pytest.raises(KeyError, match="parameters"):
        result.format(date=1)
    assert Result(location="{self}").format(self="x").location == "x"  # as an argument of a task may be called


def test_functions_make_locations() -> None:
    result = Result(location=lambda **values: f"{values['a']}.bin")
    assert result.location is None
    assert result.format(a=5).location == "5.bin"
    assert result.at("{a}.txt").format(a=5).location == "5.txt"
    assert Result(location="x").at(lambda **values: "y").format().location == "y"


def test_a_default_location() -> None:
    day = datetime.now(UTC)
    places = {str(Result().format().location) for _ in range(3)}
    assert len(places) == 3
    for place in places:
        assert re.fullmatch(rf"{day.year}/{day.month}/{day.day}/[0-9a-f-]{{36}}\.prefect_result", place)


def test_copies() -> None:
    result = Result(3, location="a")
    assert result.copy() == result
    assert result.copy() is not result
    new = result.from_value(9)
    assert (new.value, new.location, result.value, result.location) == (9, None, 3, "a")


def test_what_is_equal() -> None:
    assert Result(3) == Result(3)
    assert Result(3) != Result(4)
    assert Result(3) != Result(3, location="a")
    assert Result(3) != Result(3, serializer=JSONSerializer())
    assert Result() == Result(None) != NoResult
    assert Result(3) != LocalResult(value=3)
    assert ConstantResult(value=3) == ConstantResult(value=3)
    assert PrefectResult() != PrefectResult(serializer=DateTimeSerializer())
    with pytest.raises(TypeError, match="unhashable"):
        hash(Result())


def test_no_result_is_one() -> None:
    assert pickle.loads(pickle.dumps(NoResult)) is NoResult
    assert isinstance(NoResult, Result)
    assert repr(NoResult) == "<NoResultType: None>"


def test_prefect_results_are_their_location() -> None:
    result = PrefectResult()
    written = result.write({"a": 1}, anything=2)
    assert (written.value, written.location) == ({"a": 1}, '{"a": 1}')
    assert (result.value, result.location) == (None, None)
    read = result.read('{"a": 1}')
    assert (read.value, read.location) == ({"a": 1}, '{"a": 1}')
    assert PrefectResult(location="x").write(None).location == "null"
    with pytest.raises(TypeError, match="is not JSON serializable"):
        result.write(object())
    with pytest.raises(ValueError, match="Expecting value"):
        result.read("nope")
    for location, there in (('{"a":1}', True), ("3", True), ("nope", False), ("", False), (None, False), (3, False)):
        assert result.exists(location) is there  # type: ignore[arg-type]


def test_prefect_results_of_datetimes() -> None:
    result = PrefectResult(serializer=DateTimeSerializer())
    assert result.write(datetime(2020, 1, 1, tzinfo=UTC)).location == "2020-01-01T00:00:00Z"
    assert result.read("2020-01-01T00:00:00+00:00").value == datetime(2020, 1, 1, tzinfo=UTC)
    assert result.exists("2020-01-01T00:00:00+00:00")
    assert not result.exists("{}")


def test_prefect_results_are_text() -> None:
    with pytest.raises(TypeError, match=r"^PrefectResult only supports JSONSerializer or DateTimeSerializer$"):
        PrefectResult(serializer=PickleSerializer())
    result = PrefectResult()
    with pytest.raises(TypeError, match="only supports"):
        result.serializer = PickleSerializer()


def test_constants() -> None:
    result = ConstantResult(value=3)
    assert repr(result) == "<ConstantResult: 3>"
    assert result.read("x") is result
    assert result.exists("x")
    with pytest.raises(ValueError, match=r"^Cannot write values to `ConstantResult` types\.$"):
        result.write(3)
    with pytest.raises(ValueError, match=r"^Can't pass a serializer to a ConstantResult\.$"):
        ConstantResult(value=3, serializer=JSONSerializer())
    with pytest.raises(TypeError):
        ConstantResult(3)  # type: ignore[call-arg]
