"""examples/hello.py: as a script, from the command line, and awaited."""

from __future__ import annotations

import pytest

from prefectlite.errors import ParameterError
from tests.examples.conftest import EXAMPLES, example, python


def test_the_script_says_hello() -> None:
    ended = python(str(EXAMPLES / "hello.py"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "Hello, world!\n", "")


def test_the_command_line_takes_the_name() -> None:
    ended = python("-m", "prefectlite", "run", str(EXAMPLES / "hello.py"), "-p", "name=Marvin")
    assert ended.returncode == 0, ended.stderr
    assert "Hello, Marvin!\n" in ended.stdout


@pytest.mark.asyncio
async def test_async_code_awaits_the_same_call(capsys: pytest.CaptureFixture[str]) -> None:
    run = await example("hello").flow.run(name="Marvin")
    assert run.is_successful()
    assert capsys.readouterr().out == "Hello, Marvin!\n"


def test_without_a_name_nothing_runs() -> None:
    with pytest.raises(ParameterError, match="name"):
        example("hello").flow.run()
