"""Messages between this process and a worker process, over a socket.

Large values are written and read in pieces, by Python code: pickling one at a stroke would keep the interpreter, and with
it the event loop, from every other thread for as long as that takes. Buffers (of arrays) travel beside the pickle, uncopied.
"""

from __future__ import annotations

import mmap
import pickle
import socket
import struct
import threading
from types import FunctionType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as by_value

from prefectlite.contexts import Context, context

#: Pickles up to this size are read at a stroke.
SMALL = 128 * 1024
#: Buffers from this size on are given memory of their own, which nobody has to fill with zeros first.
LARGE = 1024 * 1024
_HEADER = struct.Struct(">cIQ")  # kind, number of buffers, size of the pickle
_BUFFER = struct.Struct(">Q")  # its size
# The modules of flows that were loaded from files: no other process could import them by their name.
_FLOW_FILES = "prefectlite_flow_"


class ChannelClosed(Exception):
    """The other side is gone."""


class Unreadable(Exception):
    """A message came whose value cannot be unpickled here; the text says why."""


class Packed:
    """A value as it travels, its large buffers `beside` the pickle. Raises what its pickling raises."""

    def __init__(self, value: Any, beside: bool = True) -> None:
        self.parts: list[Any] = []
        self.size = 0
        self.buffers: list[memoryview] = []
        _Pickler(self, protocol=5, buffer_callback=self._is_inside if beside else None).dump(value)

    def write(self, part: Any) -> int:
        """Take what the pickler has ready."""
        size = memoryview(part).nbytes
        self.parts.append(part)
        self.size += size
        return size

    def _is_inside(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            self.buffers.append(buffer.raw())
        except BufferError:  # not contiguous
            return True
        return False


def pickled(value: Any) -> bytes:
    """`value` in one piece, for a message that holds it without unpickling it. Raises what its pickling raises."""
    return b"".join(Packed(value, beside=False).parts)


class Channel:
    """One end of the line. `send` from any thread, `receive` from one."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._sending = threading.Lock()

    def send(self, kind: bytes, value: Any) -> None:
        """Send `value`, which may be packed already. Raises ChannelClosed."""
        packed = value if isinstance(value, Packed) else Packed(value)
        head = [_HEADER.pack(kind, len(packed.buffers), packed.size)]
        head += [_BUFFER.pack(buffer.nbytes) for buffer in packed.buffers]
        parts = [*packed.buffers, *packed.parts]
        if packed.size <= SMALL and not packed.buffers:
            parts = [b"".join(head + packed.parts)]
        else:
            parts.insert(0, b"".join(head))
        with self._sending:
            try:
                for part in parts:
                    self._line.sendall(part)
            except OSError as error:
                raise ChannelClosed(str(error)) from None

    def receive(self) -> tuple[bytes, Any]:
        """The next message: its kind and value. Raises ChannelClosed, or Unreadable; the one after that can be received."""
        kind, count, size = _HEADER.unpack(self._exactly(_HEADER.size))
        sizes = [_BUFFER.unpack(self._exactly(_BUFFER.size))[0] for _ in range(count)]
        buffers = [self._buffer(each) for each in sizes]
        rest = _Rest(self, size)
        try:
            if size <= SMALL:
                return kind, pickle.loads(rest.read(size), buffers=buffers)
            return kind, pickle.load(rest, buffers=buffers)
        except ChannelClosed:
            raise
        except BaseException as error:  # reading a value may execute the user's code
            rest.skip()
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Tell the other side that nothing will come any more; from any thread."""
        self._line.close()

    def _exactly(self, size: int) -> bytes:
        # With MSG_WAITALL, the memory is filled by the operating system, while other threads may run.
        data = self._receive(size)
        while len(data) < size:  # a signal came
            data += self._receive(size - len(data))
        return data

    def _receive(self, size: int) -> bytes:
        try:
            data = self._line.recv(size, socket.MSG_WAITALL) if size else b""
        except OSError as error:
            raise ChannelClosed(str(error)) from None
        if size and not data:
            raise ChannelClosed("end of file")
        return data

    def _fill(self, view: memoryview) -> None:
        while view:
            try:
                count = self._line.recv_into(view, len(view), socket.MSG_WAITALL)
            except OSError as error:
                raise ChannelClosed(str(error)) from None
            if not count:
                raise ChannelClosed("end of file")
            view = view[count:]

    def _buffer(self, size: int) -> mmap.mmap | bytearray:
        private = size >= LARGE and hasattr(mmap, "MAP_PRIVATE")
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if private else bytearray(size)
        with memoryview(memory) as view:
            self._fill(view)
        return memory


class _Rest:
    """What is left of a message, as a file for the unpickler; that its methods are Python lets other threads run."""

    def __init__(self, channel: Channel, size: int) -> None:
        self._channel, self._left = channel, size

    def read(self, size: int) -> bytes:
        self._take(size)
        return self._channel._exactly(size)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._take(len(view))
        self._channel._fill(view)
        return len(view)

    def readline(self) -> bytes:
        raise pickle.UnpicklingError("protocol 5 has no lines")

    def skip(self) -> None:
        while self._left:
            self.read(min(self._left, LARGE))

    def _take(self, size: int) -> None:
        if size > self._left:
            raise pickle.UnpicklingError("the message ends in the midst of a value")
        self._left -= size


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, which also takes `prefectlite.context` along, and by value what a flow's file defines."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Context:
            return _the_context, ()
        if isinstance(obj, type | FunctionType) and str(obj.__module__).startswith(_FLOW_FILES):
            return by_value._dynamic_class_reduce(obj) if isinstance(obj, type) else self._dynamic_function_reduce(obj)
        return super().reducer_override(obj)


def _the_context() -> Context:
    return context
