"""The worker process: calls the functions it is sent, one after another, until whoever started it is gone."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, NamedTuple, TextIO

from prefectlite.contexts import active_mask, enter_values, loading_flow, worker_process
from prefectlite.executors.channel import Channel, ChannelClosed, Packed, Unreadable
from prefectlite.executors.failures import failure
from prefectlite.masks import Mask
from prefectlite.signals import StateSignal

# Kinds of messages; to the worker:
PATH, CALL = b"P", b"C"
# … and from it: it has read the call; a line of the log; what the function returned; a Failure; why there is none of these.
BEGUN, LINE, RETURNED, RAISED, UNREADABLE, UNSENDABLE = b"B", b"L", b"R", b"E", b"N", b"U"

#: Seconds that an idle worker has to come to its end by itself.
FAREWELL = 5.0


class Request(NamedTuple):
    """A call as it travels."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    values: dict[str, bytes]  # of prefectlite.context, each pickled
    loggers: tuple[str, ...]  # whose lines are wanted
    level: int
    stdout: bool


def main(line: int) -> None:
    """Serve the socket with this number; standard input is open for as long as the other side lives."""
    busy = threading.Event()
    lifeline = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.set_inheritable(line, False)
    threading.Thread(target=_end_with_the_other_side, args=(lifeline, busy), daemon=True).start()
    # What a terminal or a service manager sends to everybody is for the other side to decide. Not SIG_IGN, which the
    # programs that tasks start would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_it)
    worker_process.set(True)
    connection = socket.socket(fileno=line)
    os.register_at_fork(after_in_child=lambda: _in_a_fork(connection, lifeline))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _serve(Channel(connection), busy)


def _serve(channel: Channel, busy: threading.Event) -> None:
    while True:
        try:
            kind, value = copy_context().run(_receive, channel)
            if kind == PATH:
                sys.path[:] = value
                continue
            channel.send(BEGUN, None)
            busy.set()
            answer = copy_context().run(_answer, channel, value)
            del value  # an idle worker keeps nothing alive
            busy.clear()
            channel.send(*answer)
            del answer
        except Unreadable as error:
            channel.send(UNREADABLE, str(error))
        except ChannelClosed:
            return


def _receive(channel: Channel) -> tuple[bytes, Any]:
    loading_flow.set(True)  # a module that is imported on the way may end in `flow.run()`
    return channel.receive()


def _answer(channel: Channel, request: Request) -> tuple[bytes, Packed]:
    enter_values(_unpickled(request.values))
    with _lines_sent(channel, request):
        try:
            value = request.function(**request.arguments)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
        except BaseException as error:
            return _raised(error)
    try:
        return RETURNED, Packed(value)
    except BaseException as error:
        return UNSENDABLE, Packed(f"its result of type {type(value).__qualname__} cannot be pickled: {error}")


def _raised(error: BaseException) -> tuple[bytes, Packed]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    failed = failure(error, trace)
    if failed.pickled is None and isinstance(error, StateSignal):  # a stand-in would be another end than the one it chose
        return UNSENDABLE, Packed(f"the signal {failed.name} it raised cannot be pickled: {failed.text}")
    return RAISED, Packed(failed)


def _unpickled(values: dict[str, bytes]) -> dict[str, Any]:
    there = {}
    for name, data in values.items():
        try:
            there[name] = pickle.loads(data)
        except Exception:  # of a class that is not known here: it is left out, as one that cannot be pickled
            continue
    return there


# -- lines ----------------------------------------------------------------------------------------------------------------


class _LineHandler(logging.Handler):
    """Sends what is logged, until it is told that the call is over."""

    def __init__(self, channel: Channel, level: int) -> None:
        super().__init__(level)
        self.channel: Channel | None = channel
        self._process = os.getpid()
        self._mask = Mask()
        active_mask.set(self._mask)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            text = f"«unformattable» {record.msg!r:.200} {type(record.args).__name__}"
        self.line(record.levelname, record.name, text)

    def line(self, level: str, name: str, text: str) -> None:
        channel = self.channel
        if channel is not None and os.getpid() == self._process:
            with suppress(ChannelClosed):  # this process is about to end
                channel.send(LINE, (level, name, self._mask.hide(text)))


class _Stdout:
    """Standard output whose lines are sent as well."""

    def __init__(self, original: TextIO, handler: _LineHandler) -> None:
        self._original, self._handler = original, handler
        self._begun: dict[int, str] = {}  # by thread

    def write(self, text: str) -> int:
        if isinstance(text, str):
            *lines, rest = (self._begun.pop(threading.get_ident(), "") + text).split("\n")
            for line in lines:
                self._send(line)
            if rest:
                self._begun[threading.get_ident()] = rest
        return self._original.write(text)

    def end(self) -> None:
        for line in self._begun.values():
            self._send(line)

    def _send(self, line: str) -> None:
        if line.strip():
            self._handler.line("INFO", "prefectlite.stdout", line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@contextmanager
def _lines_sent(channel: Channel, request: Request) -> Iterator[None]:
    """What is logged in here, and printed if that is wanted, is sent as it happens."""
    handler = _LineHandler(channel, request.level)
    loggers = [logging.getLogger(name) for name in request.loggers]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(request.level)
    stdout, printed = sys.stdout, None
    if request.stdout and stdout is not None:
        printed = sys.stdout = _Stdout(stdout, handler)
    try:
        yield
    finally:
        if printed is not None:
            sys.stdout = stdout
            printed.end()
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        handler.channel = None  # a thread that the function left behind may still log


# -- the end --------------------------------------------------------------------------------------------------------------


def _end_with_the_other_side(lifeline: int, busy: threading.Event) -> None:
    with suppress(OSError):  # a task closed it
        while os.read(lifeline, 1):
            pass
    if not busy.is_set():  # it ends by itself, unless something that a task left behind keeps it
        threading.Event().wait(FAREWELL)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with what the task has started
    os._exit(1)


def _leave_it(number: int, frame: Any) -> None:
    """Do nothing about a signal."""


def _in_a_fork(connection: socket.socket, lifeline: int) -> None:
    """A process that a task forks off keeps nothing of the line, and reacts to signals as usual."""
    connection.close()
    os.close(lifeline)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
