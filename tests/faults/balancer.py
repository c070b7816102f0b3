"""A load balancer before several web servers, as nginx is one with its own settings.

Each request goes to the next server over a connection of its own. One that refuses the connection is passed over;
a request that was handed on is never repeated, for nobody knows what became of it.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

_PATIENCE = 30.0
_BETWEEN_TWO = {"connection", "keep-alive", "transfer-encoding", "content-length"}
"""Headers that are about one connection."""


@dataclass
class Balancer:
    """Where it listens, and what it could not answer as a server of ours did."""

    port: int = 0
    nobody: int = 0
    """Requests for which every server refused the connection."""
    broken: int = 0
    """Requests that a server took and did not answer."""
    answers: list[int] = field(default_factory=list, repr=False)
    """The statuses that servers gave."""


class _Handler(BaseHTTPRequestHandler):
    def __init__(
        self, *arguments: object, backends: Sequence[int], turns: Iterator[int], seen: Balancer
    ) -> None:
        self.backends, self.turns, self.seen = backends, turns, seen
        super().__init__(*arguments)  # type: ignore[arg-type]  # the base class names what it hands on

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Say nothing."""

    def handle_one(self) -> None:
        """Hand a request on, and its answer back."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        backend = self._reach()
        if backend is None:
            self.seen.nobody += 1
            self.send_error(503)
            return
        try:
            backend.request(self.command, self.path, body, dict(self.headers))
            answer = backend.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.seen.broken += 1
            self.send_error(502)
            return
        finally:
            backend.close()
        self.seen.answers.append(answer.status)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _BETWEEN_TWO:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = handle_one  # noqa: N815 - the base class's names

    def _reach(self) -> http.client.HTTPConnection | None:
        """A connection to the next server that takes one."""
        first = next(self.turns)
        for n in range(len(self.backends)):
            port = self.backends[(first + n) % len(self.backends)]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
            try:
                connection.connect()
            except OSError:
                continue
            return connection
        return None


@contextmanager
def balancing(backends: Sequence[int]) -> Iterator[Balancer]:
    """Balance between servers on these ports of this machine, for the length of the block."""
    seen = Balancer()
    handler = partial(_Handler, backends=backends, turns=count(), seen=seen)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False
        seen.port = int(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()
