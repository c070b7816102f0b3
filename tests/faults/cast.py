"""The service in a few forked processes that are cheap to kill and to start again: clock, worker and web.

They do what ``worker.py clock``, ``worker.py jobs`` and the web server do, with a real Redis, a real database and the
make-believe provider, but take their turns when they are told to, so that the same happens every time. A fork takes
milliseconds where an interpreter takes seconds.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, Protocol

from flask import Flask
from redis import Redis
from rq import Queue
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

import worker
from bot import queue, tick
from bot.service import Service
from channels import twilio_api
from tests.faults.tap import Point, Tap
from tests.journeys.world import Json, forget_doors

CLOCK, WORKER, WEB = "clock", "worker", "web"
ROLES = (CLOCK, WORKER, WEB)
_PR_SET_PDEATHSIG = 1


class SharedClock:
    """The service's time, the same in all processes that were forked after it was made. It moves only when told."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 8)

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.fromtimestamp(struct.unpack("d", self._page[:8])[0], UTC)

    def set(self, instant: datetime) -> None:
        """Go to an instant."""
        self._page[:8] = struct.pack("d", instant.timestamp())

    def advance(self, by: timedelta) -> None:
        """Let time go by."""
        self.set(self.now() + by)


@dataclass(frozen=True)
class Company:
    """What all roles share."""

    service: Service
    app: Flask
    door: socket.socket
    """Listens for the web; it stays open while no web process is there, so that who calls then has to wait."""
    trace: Path


class Part(Protocol):
    """Somebody who takes turns when told to."""

    def order(self) -> int | None:
        """Have it take its turn; gives how much there was to do, or None if it died of it.

        Raises RuntimeError when it failed in another way.
        """

    def end(self) -> None:
        """It is not needed any more."""


@dataclass
class Role:
    """One process of the service. Made by :func:`start`."""

    name: str
    process_id: int
    line: socket.socket

    def order(self) -> int | None:
        """As :class:`Part` says."""
        try:
            self.line.send(b".")
            answer = self.line.recv(4)
        except ConnectionError:
            return None
        if not answer:
            return None
        (count,) = struct.unpack("i", answer)
        if count < 0:
            raise RuntimeError(f"{self.name} failed; its words are above")
        return int(count)

    def end(self) -> None:
        """Kill it and whatever is below it."""
        end(self.process_id)
        self.line.close()


def fork(act: Callable[[], None]) -> int:
    """A child that does one thing and ends, at the latest with its parent; gives its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            # Connections that the parent had open are its own.
            twilio_api.client.cache_clear()
            forget_doors()
            act()
            code = 0
    except BaseException:  # nothing of the child may go on as if it were the parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def end(child: int) -> None:
    """Kill a child that was forked here."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def start(name: str, company: Company, fatal: Point | None) -> Role:
    """Start a role; at the ``fatal`` point it is killed. Whoever starts it has no connection open."""
    ours, theirs = socket.socketpair()
    play = {CLOCK: _clock, WORKER: _worker, WEB: _web}[name]

    def act() -> None:
        ours.close()
        play(company, theirs, fatal)

    child = fork(act)
    theirs.close()
    return Role(name, child, ours)


@dataclass
class Rehearsing:
    """The same in this process, so that what is slow at the first time was done when it is forked."""

    act: Callable[[], int]
    leave: Callable[[], None] = lambda: None

    def order(self) -> int:
        """As :class:`Part` says."""
        return self.act()

    def end(self) -> None:
        """As :class:`Part` says."""
        self.leave()


def rehearse(name: str, company: Company) -> Rehearsing:
    """A role in this process, which nobody watches and nobody kills."""
    if name == WEB:
        server = _server(company.door, company.app.wsgi_app)
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()

        def leave() -> None:
            server.shutdown()
            serving.join()
            server.server_close()

        return Rehearsing(lambda: 0, leave)
    redis = queue.connect(company.service.settings)
    if name == CLOCK:
        return Rehearsing(lambda: _beat(company.service, queue.queue(redis)), redis.close)
    return Rehearsing(lambda: _work(redis), redis.close)


def _tapped(name: str, company: Company, fatal: Point | None) -> Tap:
    tap = Tap(name, company.trace, fatal)
    tap.watch(company.service.database)
    return tap


def _take_turns(line: socket.socket, act: Callable[[], int]) -> None:
    while line.recv(1):
        try:
            count = act()
        except Exception:  # told to whoever gave the order
            traceback.print_exc()
            count = -1
        line.send(struct.pack("i", count))


def _clock(company: Company, line: socket.socket, fatal: Point | None) -> None:
    waiting = queue.queue(queue.connect(company.service.settings))
    tap = _tapped(CLOCK, company, fatal)

    def act() -> int:
        tap.begin("beat")
        return _beat(company.service, waiting)

    _take_turns(line, act)


def _beat(service: Service, waiting: Queue) -> int:
    """What ``worker.clock`` does at each beat, and what it does every ten seconds."""
    before = len(waiting)
    tick.alive(service, tick.CLOCK)
    worker.hand_out(service, waiting)
    tick.tidy(service)
    return len(waiting) - before


def _worker(company: Company, line: socket.socket, fatal: Point | None) -> None:
    redis = queue.connect(company.service.settings)
    tap = _tapped(WORKER, company, fatal)

    def act() -> int:
        tap.rest()
        tap.begin(" ".join(sorted(job.description or "" for job in queue.queue(redis).jobs)) or "no job")
        return _work(redis)

    _take_turns(line, act)


def _work(redis: Redis) -> int:
    """What ``worker.jobs`` does, until no job is left."""
    queue.worker(redis).work(burst=True, logging_level="CRITICAL")
    return 0


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Say nothing."""


def _web(company: Company, line: socket.socket, fatal: Point | None) -> NoReturn:
    """A process that serves, and another as soon as it dies, as the web server does with its own."""
    del line
    while True:
        os.waitpid(fork(lambda: _serve(company, fatal)), 0)  # noqa: B023 - the child has its own copy
        fatal = None


def _serve(company: Company, fatal: Point | None) -> None:
    tap = _tapped(WEB, company, fatal)

    def front(environ: Json, start_response: Any) -> Any:
        query = environ.get("QUERY_STRING", "")
        tap.begin(f"{environ['PATH_INFO']}{'?' + query if query else ''}", alone=False)
        answer = list(company.app.wsgi_app(environ, start_response))
        tap.note("answer")
        return answer

    _server(company.door, front).serve_forever(0.01)


def _server(door: socket.socket, front: Any) -> BaseWSGIServer:
    port = door.getsockname()[1]
    made = make_server("127.0.0.1", port, front, threaded=True, request_handler=_Quiet, fd=door.fileno())
    made.daemon_threads = True  # type: ignore[attr-defined]  # of the threading mix-in
    return made


def open_door() -> socket.socket:
    """Where the web will listen."""
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("127.0.0.1", 0))
    door.listen(128)
    return door


def settle_down() -> None:
    """What was made so far is for good: forks need not copy it."""
    gc.collect()
    gc.freeze()


def wait_for(port: int, seconds: float = 60.0) -> None:
    """Wait until somebody listens at a port of this machine. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError("nobody listens")
        time.sleep(0.01)
