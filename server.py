"""Composition: the web application under granian, and an end that comes soon; nothing else.

Told to end (SIGTERM, SIGINT), granian takes no new connection, lets the requests under way finish and goes. Two
things would hold it up for as long as it waits before it kills: a process that still loads the application would
not hear the signal, and a connection over which half a request came would be waited for. Both are ended here.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import granian
from granian.constants import Interfaces
from werkzeug.wsgi import ClosingIterator

KILL_SECONDS = 30
"""What a request may still take when the end was asked for."""
QUIET_SECONDS = 2.0
"""For so long no request may have been under way before a process goes, so that answers are written out."""
_LOOK_SECONDS = 0.1
_ENDS = frozenset({signal.SIGTERM, signal.SIGINT})


def run(application: str, host: str, port: int, *, processes: int, threads: int) -> None:
    """Serve ``module:factory`` at an address until told to end. ``threads`` are those of each process."""
    # Imported once for all processes, which are made from this one.
    importlib.import_module(application.partition(":")[0])
    _let_children_hear()
    granian.Granian(
        application,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=processes,
        blocking_threads=threads,
        log_access=False,
        log_enabled=False,
        websockets=False,
        workers_kill_timeout=KILL_SECONDS,
        respawn_failed_workers=True,
    ).serve(target_loader=load)


def load(application: str) -> Watched:
    """The application of ``module:factory``, watched, so that this process ends when it is told to."""
    module, _, factory = application.partition(":")
    watched = Watched(getattr(importlib.import_module(module), factory)())
    watched.end_when_told()
    return watched


def _let_children_hear() -> None:
    """A child inherits our handlers, which mean nothing in it: until it has its own, a signal ends it.

    Signals wait while the child is made, or one in between would be lost.
    """
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS),
        after_in_child=_hear,
    )


def _hear() -> None:
    for each in _ENDS:
        signal.signal(each, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


class Watched:
    """A WSGI application that counts its requests, and ends its process when it is told to and none is under way."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock = threading.Lock()
        self.under_way = 0
        """Requests that came whole and are not yet answered."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request, as WSGI says."""
        self._count(1)
        environ["wsgi.input"] = _Body(environ["wsgi.input"], self)
        try:
            answer = self._application(environ, start_response)
        except BaseException:
            self._count(-1)
            raise
        return ClosingIterator(answer, lambda: self._count(-1))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For the length of the block a request waits for its sender, and is not under way."""
        self._count(-1)
        try:
            yield
        finally:
            self._count(1)

    def end_when_told(self) -> None:
        """From now on SIGTERM and SIGINT end this process soon. Called in its main thread."""
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        # The handlers are granian's; Python also writes the number of every signal here.
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        threading.Thread(target=self._end, args=(told,), name="end", daemon=True).start()

    def _end(self, told: int) -> None:
        while not _ENDS.intersection(os.read(told, 64)):
            continue
        quiet = 0.0
        while quiet < QUIET_SECONDS:
            time.sleep(_LOOK_SECONDS)
            quiet = 0.0 if self.under_way else quiet + _LOOK_SECONDS
        sys.stderr.flush()
        # Threads that wait for the rest of a request cannot be woken, so nothing gentler would end.
        os._exit(0)

    def _count(self, change: int) -> None:
        with self._lock:
            self.under_way += change


class _Body:
    """What a request brings. It may never come whole."""

    def __init__(self, source: Any, watched: Watched) -> None:
        self._source = source
        self._watched = watched

    def read(self, *size: int) -> bytes:
        with self._watched.waiting():
            return bytes(self._source.read(*size))

    def readline(self, *size: int) -> bytes:
        with self._watched.waiting():
            return bytes(self._source.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        with self._watched.waiting():
            return list(self._source.readlines(*hint))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")
