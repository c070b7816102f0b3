"""A load generator that costs little: ready-made requests over keep-alive connections, one thread, no parsing.

It runs in a process of its own, next to the server on the same machine, so whatever it spends is taken
from the server. Every contender is driven by it in the same way.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_READ = 65536
_PATIENCE_SECONDS = 60.0
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Load:
    """What one run gave. ``statuses`` has one HTTP status per request that was sent, in the order of sending."""

    statuses: tuple[int, ...]
    seconds: float
    milliseconds: tuple[float, ...] = field(repr=False)
    """The time from sending to the end of the answer, of every request."""

    @property
    def per_second(self) -> float:
        """Requests answered with 2xx per second."""
        return sum(200 <= status < 300 for status in self.statuses) / self.seconds

    def quantile(self, share: float) -> float:
        """The latency in milliseconds that this share of the requests did not exceed."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(slots=True)
class _Line:
    """One connection: the number of its request under way, when it was sent, and what came back so far."""

    socket: socket.socket
    number: int = -1
    sent_at: float = 0.0
    answer: bytes = b""


def drive(
    port: int, requests: Sequence[bytes], connections: int, seconds: float = 60.0, *, repeat: bool = False
) -> Load:
    """Send ``requests`` in order over so many connections for at most ``seconds``, each sent once.

    With ``repeat`` the list begins again at its end, for servers that take the same request twice. Requests
    under way at the end are waited for. Raises OSError when the server breaks a connection off.
    """
    selector = selectors.DefaultSelector()
    lines = [_Line(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
    statuses: list[int] = []
    latencies: list[float] = []
    started = time.perf_counter()
    deadline = started + seconds

    def send_next(line: _Line) -> bool:
        number = len(statuses)
        if time.perf_counter() > deadline or (number >= len(requests) and not repeat):
            return False
        statuses.append(0)
        latencies.append(0.0)
        line.number, line.answer, line.sent_at = number, b"", time.perf_counter()
        line.socket.sendall(requests[number % len(requests)])
        return True

    try:
        busy = 0
        for line in lines:
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(line.socket, selectors.EVENT_READ, line)
            busy += send_next(line)
        while busy:
            ready = selector.select(_PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError("the server answered nothing for a minute")
            for key, _ in ready:
                line = key.data
                if _is_answered(line):
                    statuses[line.number] = int(line.answer[9:12])
                    latencies[line.number] = (time.perf_counter() - line.sent_at) * 1000
                    busy -= not send_next(line)
        return Load(tuple(statuses), time.perf_counter() - started, tuple(latencies))
    finally:
        selector.close()
        for line in lines:
            line.socket.close()


def drive_apart(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, *, repeat: bool = False
) -> Load:
    """The same as :func:`drive`, in a process of its own. Raises CalledProcessError when that fails."""
    order = {
        "port": port,
        "requests": [request.decode("latin-1") for request in requests],
        "connections": connections,
        "seconds": seconds,
        "repeat": repeat,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=Path(__file__).parents[1],
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return Load(tuple(found["statuses"]), found["seconds"], tuple(found["milliseconds"]))


def _is_answered(line: _Line) -> bool:
    """Read what came; True when the answer is whole."""
    data = line.socket.recv(_READ)
    if not data:
        raise ConnectionError("the server broke a connection off")
    line.answer += data
    head, found, body = line.answer.partition(_END_OF_HEAD)
    return bool(found) and len(body) >= _body_length(head.lower())


def _body_length(head: bytes) -> int:
    position = head.find(_LENGTH)
    if position < 0:
        return 0
    return int(head[position + len(_LENGTH) :].partition(b"\r\n")[0])


def main() -> None:
    """One run as standard input orders it; standard output gets what it gave. Both are JSON."""
    order = json.load(sys.stdin)
    requests = [request.encode("latin-1") for request in order.pop("requests")]
    json.dump(asdict(drive(requests=requests, **order)), sys.stdout)


if __name__ == "__main__":
    main()
