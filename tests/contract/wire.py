"""A wire between us and a provider that breaks once, at a chosen word of a chosen request."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from select import select

_CHUNK = 65536
_LOOK_SECONDS = 0.05
_GARBAGE = b"\x16\x03\x01 this is no answer\r\n\r\n"


class Break(StrEnum):
    """How the wire breaks. The provider has taken the message in the last three, and only there."""

    REFUSED = "the connection is refused"
    RESET = "the connection is reset before the provider has read the request"
    LOST = "the provider takes it, and its answer is lost"
    SILENT = "the provider takes it, and nothing comes until we give up"
    GARBAGE = "the provider takes it, and what comes back is no answer"


@dataclass
class Wire:
    """A forwarder on a port of its own. ``marker`` are the bytes of a request at which it breaks."""

    target: tuple[str, int]
    marker: bytes
    port: int = 0
    how: Break | None = None
    broke: int = 0
    """How often it broke."""
    _listener: socket.socket | None = field(default=None, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _closing: threading.Event = field(default_factory=threading.Event, repr=False)

    def breaks(self, how: Break) -> None:
        """Break in this way at the next request that holds the marker; refused: until :meth:`mend`."""
        self.how = how
        if how is Break.REFUSED:
            self._unlisten()

    def mend(self) -> None:
        """Whole again."""
        self.how = None
        if self._listener is None:
            self._listen()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._start(self._accept, listener)

    def _unlisten(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]  # methods of this class
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._start(self._carry, client)

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server:
            seen = b""
            while not self._closing.is_set():
                ready, _, _ = select([client, server], [], [], _LOOK_SECONDS)
                if server in ready and not _pump(server, client):
                    return
                if client in ready:
                    data = _read(client)
                    if not data:
                        return
                    seen = (seen + data)[-2 * _CHUNK :]
                    how = self.how
                    if how is not None and self.marker in seen:
                        self.how, self.broke = None, self.broke + 1
                        self._break(how, client, server, data)
                        return
                    server.sendall(data)

    def _break(self, how: Break, client: socket.socket, server: socket.socket, data: bytes) -> None:
        if how is Break.RESET:
            # A linger of nought makes closing a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        server.sendall(data)
        self._hand_over(client, server)
        if how is Break.GARBAGE:
            client.sendall(_GARBAGE)
        if how is Break.SILENT:
            while not self._closing.is_set() and _read_if_any(client) is None:
                continue

    def _hand_over(self, client: socket.socket, server: socket.socket) -> None:
        """Carry the rest of the request over until the provider has answered."""
        while not self._closing.is_set():
            ready, _, _ = select([client, server], [], [], _LOOK_SECONDS)
            if server in ready:
                _read(server)
                return
            if client in ready and not _pump(client, server):
                return


def _read(end: socket.socket) -> bytes:
    try:
        return end.recv(_CHUNK)
    except OSError:
        return b""


def _pump(source: socket.socket, sink: socket.socket) -> bool:
    data = _read(source)
    if data:
        with suppress(OSError):
            sink.sendall(data)
    return bool(data)


def _read_if_any(end: socket.socket) -> bytes | None:
    """What came, empty when the other side has gone; None while it waits."""
    ready, _, _ = select([end], [], [], _LOOK_SECONDS)
    return _read(end) or b"" if ready else None


@contextmanager
def wire(target: tuple[str, int], marker: bytes) -> Iterator[Wire]:
    """A wire to ``target``, whole at first."""
    made = Wire(target, marker)
    made._listen()
    try:
        yield made
    finally:
        made._closing.set()
        made._unlisten()
        for thread in made._threads:
            thread.join()
