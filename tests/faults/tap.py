"""Sees every moment at which a process touches the world outside it, and can kill the process at one of them.

A moment is a statement (before it), a commit (before and after it), a request to a provider (before and after it), a
command for Redis, or an answer to a webhook (before it). Moments are counted within a *unit*: one beat of the clock, one
round of the worker, one request to the web. The code that is watched knows nothing of it.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from redis.connection import AbstractConnection
from requests.adapters import HTTPAdapter
from sqlalchemy import event

from bot.storage.database import Database

_ID = re.compile(r"[0-9a-f]{32}|[A-Z]{2}[0-9a-f]{32}|\+?\d{8,}")
_TABLE = re.compile(r"(?:INTO|UPDATE|FROM)\s+([a-z_]+)")
LASTING = ("commit", "committed", "ask", "asked", "enqueue", "answer")
"""What moments are called that stand beside something that outlives the process. Whoever dies between two of them
leaves the same behind, but for an open transaction."""


@dataclass(frozen=True)
class Point:
    """A moment: what its unit is about, without ids; which of these units it is, and which moment of it, from 0."""

    about: str
    unit: int
    moment: int


@dataclass(frozen=True)
class Moment:
    """What was seen at a point."""

    role: str
    point: Point
    what: str

    @property
    def lasts(self) -> bool:
        """Whether it stands beside something that outlives the process."""
        return self.what.split()[0] in LASTING

    @property
    def changes(self) -> bool:
        """Whether it is a statement that changes something, or may."""
        return self.what.startswith(("INSERT", "UPDATE", "DELETE"))


Deed = tuple[str, str, tuple[str, ...], str]


@dataclass
class _Unit:
    number: int
    about: str
    moments: Any = field(default_factory=itertools.count)


class Tap:
    """What one process of a ``role`` does, written to the file ``trace`` a line at a time; at ``fatal`` it is killed."""

    def __init__(self, role: str, trace: Path, fatal: Point | None) -> None:
        self._role = role
        self._trace = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._fatal = fatal
        self._units: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._shared: _Unit | None = None
        self._own = threading.local()

    def begin(self, about: str, *, alone: bool = True) -> None:
        """A unit begins: of the whole process, or of this thread only."""
        about = without_ids(about)
        with self._lock:
            unit = _Unit(self._units[about], about)
            self._units[about] += 1
        if alone:
            self._shared = unit
        else:
            self._own.unit = unit

    def rest(self) -> None:
        """The unit is over; what comes before the next one is not counted."""
        self._shared = None

    def note(self, what: str) -> None:
        """A moment has come; at the fatal one this does not return."""
        unit: _Unit | None = getattr(self._own, "unit", self._shared)
        if unit is None:
            return
        point = Point(unit.about, unit.number, next(unit.moments))
        line = "\t".join((self._role, unit.about, str(point.unit), str(point.moment), what))
        os.write(self._trace, f"{line}\n".encode())
        if point == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    # --- what is watched -----------------------------------------------------------------------

    def watch(self, database: Database) -> None:
        """Watch this process from now on: its database, what it asks of providers, and its queue."""
        event.listen(database.engine, "before_cursor_execute", self._on_statement)
        self._surround(database.engine.dialect, "do_commit", lambda *_: "commit", "committed")
        self._surround(HTTPAdapter, "send", self._asked, "asked")
        self._surround(smtplib.SMTP, "sendmail", lambda *_: "ask SMTP", "asked")
        self._surround_telegram()
        self._surround(AbstractConnection, "send_packed_command", self._told_redis, "")

    def _on_statement(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.note(label(statement))

    def _surround(self, owner: Any, name: str, before: Callable[..., str], after: str) -> None:
        meant = getattr(owner, name)

        def act(*arguments: Any, **named: Any) -> Any:
            if what := before(*arguments):
                self.note(what)
            result = meant(*arguments, **named)
            if after:
                self.note(after)
            return result

        setattr(owner, name, act)

    def _surround_telegram(self) -> None:
        """Its library has requests of its own kind."""
        meant = httpx.AsyncHTTPTransport.handle_async_request

        async def act(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            # Not the whole path, in which the bot's token stands.
            self.note(f"ask {request.method} {request.url.path.rpartition('/')[2]}")
            response = await meant(transport, request)
            self.note("asked")
            return response

        setattr(httpx.AsyncHTTPTransport, "handle_async_request", act)  # noqa: B010 - a method is not assigned to

    def _asked(self, _adapter: object, request: Any, *_: object) -> str:
        return f"ask {request.method} {without_ids(urlsplit(request.url).path)}"

    def _told_redis(self, _connection: object, command: Any, *_: object) -> str:
        # RQ has threads of its own, whose commands come at no certain moment.
        if threading.current_thread() is not threading.main_thread():
            return ""
        words = b"".join(command) if isinstance(command, list) else bytes(command)
        names = [each.decode("ascii", "replace") for each in words.split(b"\r\n")[2:3]]
        kept = "enqueue" if b"rq:queue:" in words and b"PUSH" in words.upper() else "redis"
        return " ".join((kept, *names))


def label(statement: str) -> str:
    """A statement in two words: what it does, and to which table."""
    found = _TABLE.search(statement)
    return " ".join((statement.split(maxsplit=1)[0], *([found[1]] if found else [])))


def without_ids(text: str) -> str:
    """A path or the like with a star in place of each id and number."""
    return _ID.sub("*", text)


def read(trace: Path) -> list[Moment]:
    """All moments in the file, as they came."""
    found = []
    for line in trace.read_text("utf-8").splitlines() if trace.exists() else ():
        role, about, unit, moment, what = line.split("\t")
        found.append(Moment(role, Point(about, int(unit), int(moment)), what))
    return found


def moments(seen: Sequence[Moment], role: str, known: set[Deed], *, lasting_only: bool) -> list[Moment]:
    """The moments of a role to be killed at, in the order of their units: each deed once.

    A deed is what was done since something last outlived the process, where, and what comes now. ``known`` are deeds of
    earlier plots; those of this one are added. ``lasting_only`` leaves out the moments between which nothing outlives the
    process, and takes deeds for the same that differ only in what they read.
    """
    chosen = []
    for unit in _units(seen, role):
        done: tuple[str, ...] = ()
        wrote = False
        for each in unit:
            wrote = wrote or each.changes
            lasts = each.lasts and (wrote or not each.what.startswith("commit"))
            deed = (role, each.point.about.partition("?")[0], done, each.what)
            if (lasts or not lasting_only) and deed not in known:
                known.add(deed)
                chosen.append(each)
            if lasts and each.what != "commit":
                done, wrote = (), False
            elif each.changes or not lasting_only:
                done += (each.what,)
    return chosen


def _units(seen: Sequence[Moment], role: str) -> list[list[Moment]]:
    units: dict[tuple[str, int], list[Moment]] = {}
    for each in seen:
        if each.role == role:
            units.setdefault((each.point.about, each.point.unit), []).append(each)
    return list(units.values())
