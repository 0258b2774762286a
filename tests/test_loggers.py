from __future__ import annotations

import logging
import pickle

import pytest

from prefectlite import get_logger
from prefectlite.loggers import run_logger


def test_loggers_are_below_one() -> None:
    assert get_logger() is get_logger(None) is get_logger("") is logging.getLogger("prefectlite")
    assert get_logger("extract.fast") is logging.getLogger("prefectlite.extract.fast")


def test_the_logger_of_what_runs() -> None:
    assert run_logger(None) is get_logger()
    assert run_logger("extract") is run_logger("extract", "extract") is get_logger("extract")


def test_the_logger_of_a_child_is_not_kept_and_hears_of_levels(caplog: pytest.LogCaptureFixture) -> None:
    child = run_logger("extract", "extract[5]")
    assert "prefectlite.extract[5]" not in logging.Logger.manager.loggerDict
    get_logger("extract").setLevel(logging.WARNING)
    assert not child.isEnabledFor(logging.INFO)
    get_logger("extract").setLevel(logging.INFO)
    child.info("read %s", 7)
    get_logger("extract").setLevel(logging.NOTSET)
    assert caplog.record_tuples == [("prefectlite.extract[5]", logging.INFO, "read 7")]
    copied = pickle.loads(pickle.dumps(child))
    assert (copied.name, copied.parent) == (child.name, child.parent)
