"""Secrets as tasks read them, and where their values are to be found afterwards: nowhere."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from prefectlite import Flow, Parameter, Runtime, Secret, context, signals, task
from prefectlite.errors import FlowError, SecretNotFound, UnsupportedLoop
from prefectlite.executors import ProcessExecutor
from prefectlite.session import open_session
from prefectlite.settings import load_settings
from prefectlite.tasks.secrets import EnvVarSecret, PrefectSecret
from prefectlite.testing import virtual_clock

CANARY = 'w1/th "quötes"\tand+more=canary'
LINES = "first line of it\nsecond line of it"


def keep(**secrets: Any) -> None:
    """Set secrets in the database of the settings."""

    async def set_them() -> None:
        async with open_session(load_settings()) as session:
            for name, value in secrets.items():
                await session.client.secrets.set(name, value)

    asyncio.run(set_them())


def test_where_a_secret_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep(X="of the database", Y={"user": "me", "password": "of the database"})
    assert Secret("X").get() == "of the database"
    assert Secret("Y").get() == {"user": "me", "password": "of the database"}
    monkeypatch.setenv("PREFECTLITE_SECRET_X", '{"of": "the environment"}')
    assert Secret("X").get() == {"of": "the environment"}
    with context(secrets={"X": "of the context"}):
        assert Secret("X").get() == "of the context"
        assert Secret("Y").get() == {"user": "me", "password": "of the database"}
    (tmp_path / "settings.toml").write_text('[context.secrets]\nX = "of the file"\n')
    monkeypatch.setenv("PREFECTLITE_CONFIG", str(tmp_path / "settings.toml"))
    assert Secret("X").get() == "of the file"
    assert Secret("X").exists()


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        ("42", 42),
        ('{"a": 1}', {"a": 1}),
        ("abc", "abc"),
        ("null", None),
        ('"q"', "q"),
        (5, 5),
        (None, None),
        ({"a": 1}, {"a": 1}),
        ("", ""),
        ("[1", "[1"),
    ],
)
def test_text_that_reads_as_json_is_what_it_says(kept: Any, read: Any) -> None:
    with context(secrets={"x": kept}):
        assert Secret("x").get() == read
    if kept not in (None, ""):
        keep(x=kept)
        assert Secret("x").get() == read


def test_what_is_not_there() -> None:
    assert not Secret("x").exists()
    with pytest.raises(ValueError, match=r'^Local Secret "x" was not found\.$') as missing:
        Secret("x").get()
    assert isinstance(missing.value, SecretNotFound)
    assert repr(Secret("x")) == "<Secret: x>"


def test_not_while_a_flow_is_written() -> None:
    message = r"^Secrets should only be retrieved during a Flow run, not while building a Flow\.$"
    with Flow("early"), context(secrets={"x": 1}):
        assert Secret("x").exists()
        with pytest.raises(ValueError, match=message):
            Secret("x").get()


@pytest.mark.asyncio
async def test_on_a_loop_it_names_what_to_await() -> None:
    with context(secrets={"near": "here"}):
        assert Secret("near").get() == "here"
    with pytest.raises(UnsupportedLoop, match=r"await runtime\.session\.client\.secrets\.get\('x'\)"):
        Secret("x").get()
    async with Runtime(agent=False) as runtime:
        await runtime.session.client.secrets.set("x", "of the database")
        assert await runtime.session.client.secrets.get("x") == "of the database"
        assert await asyncio.to_thread(Secret("x").get) == "of the database"


def test_a_secret_as_a_task() -> None:
    keep(number="9")
    with Flow("f") as flow:
        secret = PrefectSecret("number")
        later = task(lambda value: value + 1, name="later")(secret)
        named = PrefectSecret()(name=Parameter("which", default="number"))
    run = flow.run()
    assert (run[later], run[named]) == (10, 9)
    assert (secret.name, secret.secret_name, secret.checkpoint) == ("number", "number", False)
    assert PrefectSecret().name == "PrefectSecret"
    with context(secrets={"x": "9"}):
        assert PrefectSecret("z").run("x") == 9


def test_what_cannot_be_a_secret_task() -> None:
    with pytest.raises(ValueError, match=r"^A secret name must be provided\.$"):
        PrefectSecret().run()
    with pytest.raises(ValueError, match=r"^Result types for Secrets are not configurable\.$"):
        PrefectSecret("x", result=object())
    with pytest.raises(ValueError, match=r"^Result types for Secrets are not configurable\.$"):
        PrefectSecret("x", target="file")


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "12")
    assert EnvVarSecret("SET").run() == "12"
    assert EnvVarSecret("SET", cast=int).run() == 12
    assert EnvVarSecret("NOT_SET").run() is None
    assert EnvVarSecret("SET").run(name="NOT_SET") is None
    with pytest.raises(ValueError, match=r"^Environment variable not set: NOT_SET$"):
        EnvVarSecret("NOT_SET", raise_if_missing=True).run()
    with pytest.raises(ValueError, match=r"^A secret name must be provided\.$"):
        EnvVarSecret().run()


# -- nowhere --------------------------------------------------------------------------------------------------------------

LEAKS: list[Callable[[Any], Any]] = []


def leak(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    LEAKS.append(function)
    return function


@leak
def logs(value: Any) -> None:
    context.logger.warning("read %s", value)
    context.logger.info("in a list: %r", [value])
    context.logger.error(quote(value, safe=""))
    logging.getLogger("prefectlite").warning(base64.b64encode(value.encode()).decode())


@leak
def prints(value: Any) -> None:
    print("read", value)


@leak
def raises(value: Any) -> None:
    raise ValueError(f"cannot log in with {value}")


@leak
def logs_a_traceback(value: Any) -> None:
    try:
        raise ValueError(value)
    except ValueError:
        context.logger.exception("it went wrong")


@leak
def signals_it(value: Any) -> None:
    raise signals.FAIL(f"cannot log in with {value}")


@leak
def returns(value: Any) -> Any:
    return {"password": value}


@leak
def runs_a_flow(value: Any) -> None:
    @task
    def inner() -> None:
        context.logger.warning("inside: %s", value)
        raise RuntimeError(value)

    with Flow("inner") as flow:
        inner()
    flow.run()


def found_in(directory: Path, *forms: str) -> list[str]:
    """The files below `directory` that have one of these texts in them."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.name.endswith(".py")]
    return [path.name for path in files for form in forms if form.encode() in path.read_bytes()]


def forms_of(value: str) -> list[str]:
    parts = {value, *value.splitlines()}
    return [form for part in parts for form in (part, quote(part, safe=""), base64.b64encode(part.encode()).decode())]


@pytest.mark.parametrize("leaking", LEAKS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("value", [CANARY, LINES], ids=["quotes", "lines"])
@pytest.mark.parametrize("way", ["as a task", "by hand"])
def test_the_clear_value_is_nowhere(
    leaking: Callable[[Any], Any], value: str, way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(CANARY=value)

    @task(log_stdout=True, name="leaking", max_retries=1, retry_delay=0)
    def with_upstream(secret: str) -> Any:
        return leaking(secret)

    @task(log_stdout=True, name="leaking", max_retries=1, retry_delay=0)
    def alone() -> Any:
        return leaking(Secret("CANARY").get())

    with Flow("leaky") as flow:
        with_upstream(PrefectSecret("CANARY")) if way == "as a task" else alone()
    flow.run()
    assert found_in(tmp_path, *forms_of(value)) == []
    shown = capsys.readouterr()
    assert not [form for form in forms_of(value) if form in shown.err]


def test_the_secrets_that_a_run_is_given_are_not_kept(tmp_path: Path) -> None:
    @task
    def ask() -> bool:
        return bool(Secret("given").get() == CANARY)

    with Flow("asking") as flow:
        asked = ask()
    assert flow.run(context={"secrets": {"given": CANARY}})[asked]
    assert found_in(tmp_path, CANARY) == []


def test_a_worker_process_hides_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECTLITE_SECRET_CANARY", CANARY)

    @task(executor=ProcessExecutor(workers=1), log_stdout=True)
    def tell() -> int:
        value = Secret("CANARY").get()
        print("printed", value)
        context.logger.warning("logged %s", value)
        return len(value)

    @task(executor=ProcessExecutor(workers=1))
    def ask() -> Any:
        return Secret("of the database").get()

    with Flow("telling") as flow:
        told = tell()
        asked = ask()
    run = flow.run()
    assert run[told] == len(CANARY)
    with pytest.raises(FlowError, match=r"Secret\('of the database'\)\.get\(\) needs the database"):
        run[asked]
    assert found_in(tmp_path, CANARY, "printed w1", "logged w1") == []


def test_another_run_shows_what_it_likes(tmp_path: Path) -> None:
    keep(CANARY="canary-word")

    @task
    def read() -> int:
        return len(Secret("CANARY").get())

    @task
    def say() -> None:
        context.logger.warning("canary-word")

    with Flow("reading") as reading:
        read()
    with Flow("saying") as saying:
        say()
    reading.run()
    assert found_in(tmp_path, "canary-word") == []
    saying.run()
    assert found_in(tmp_path, "canary-word") != []


def test_short_values_are_not_hidden(tmp_path: Path) -> None:
    keep(PIN="abc", LONGER="abcd")

    @task
    def say() -> None:
        context.logger.warning("short:%s long:%s", Secret("PIN").get(), Secret("LONGER").get())

    with Flow("saying") as flow:
        say()
    flow.run()
    assert found_in(tmp_path, "short:abc long:***") != []


def test_a_run_that_is_restarted_reads_its_secrets_again(tmp_path: Path) -> None:
    keep(CANARY="first value")
    seen = []

    @task(name="use")
    def use(secret: str) -> None:
        seen.append(secret)
        if secret == "first value":
            raise RuntimeError("wrong")

    with Flow("using") as flow:
        use(PrefectSecret("CANARY"))

    async def twice() -> None:
        async with Runtime(agent=False) as runtime:
            run = await flow.run()
            assert run.is_failed()
            session = runtime.session
            await session.client.secrets.set("CANARY", "second value")
            row = await session.client.restart_flow_run(run.id, session.owner.id)
            state = await session.execute(flow, await session.flow(row.flow_id), row)
            assert state.is_successful()

    with virtual_clock():
        asyncio.run(twice())
    assert seen == ["first value", "second value"]
