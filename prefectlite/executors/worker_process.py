"""A worker process as seen from here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

from prefectlite.errors import WorkerDied
from prefectlite.executors.channel import Channel
from prefectlite.executors.worker import PATH

#: Seconds that a process whose line is closed has to end by itself.
GRACE = 2.0
# Not `multiprocessing`, which imports the user's `__main__` again, and not a fork, which would copy locks that threads hold.
# `-P`: what lies in the working directory must not be taken for a module of the standard library.
_BEGIN = "import sys; sys.path[:] = sys.argv[2:]; from prefectlite.executors.worker import main; main(int(sys.argv[1]))"


class WorkerProcess:
    """A process that waits for calls on `channel`. Starting and ending one blocks: not for the event loop.

    It leads a process group and a session of its own, so that it is killed with all it has started, and so that Ctrl-C
    in the terminal does not reach it. It ends itself when this process is gone: it notices that its standard input closes.
    """

    def __init__(self) -> None:
        path = _path()
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable or "python", "-P", "-c", _BEGIN, str(theirs.fileno()), *path],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise WorkerDied(f"a worker process cannot be started: {error}") from error
        finally:
            theirs.close()
        self.channel = Channel(ours)
        self.pid = self._process.pid
        self._sent_path = path
        self._ending = threading.Lock()
        self._ended = False
        self.is_new = True  # nothing has been called in it yet

    def send_path(self) -> None:
        """Let it find modules where this process finds them now."""
        path = _path()
        if path != self._sent_path:
            self.channel.send(PATH, path)
            self._sent_path = path

    def kill(self) -> None:
        """Kill it, and what it has started, at once. From any thread; does not block."""
        with self._ending:
            if not self._ended:
                self._kill_group()

    def hang_up(self) -> None:
        """Let it end when it has nothing to do. From any thread; does not block."""
        self.channel.close()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def end(self, is_asked: bool = True) -> str:
        """See to it that it has ended, and what it has started; how it came to its end, if it was not asked."""
        if is_asked:
            self.hang_up()
        over = self._is_over()
        with self._ending:
            self._kill_group()  # as long as nobody has asked for its end, its number cannot be another's
            code = self._process.wait()
            self._ended = True
        self.hang_up()
        return told_exit(code) if over else "closed its connection"

    def _is_over(self) -> bool:
        """Whether it ends within the time it is given; its number is still taken then."""
        if not hasattr(os, "waitid"):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            return self._process.returncode is not None
        deadline, pause = time.monotonic() + GRACE, 0.0005
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        return True

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses when only a zombie is left
            os.killpg(self.pid, signal.SIGKILL)


def _path() -> list[str]:
    return [place for place in sys.path if isinstance(place, str)]


def told_exit(code: int) -> str:
    """What became of a process with this exit code, for a person."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = ", as the operating system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code} ({name}{hint})"
