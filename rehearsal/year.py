"""The rehearsal itself: audits are brought in on their days, the clock is moved, and everything else happens by itself."""

from __future__ import annotations

import csv
import io
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as hour
from pathlib import Path
from types import FrameType
from typing import Any

from bot.audits.importing import bring_in
from bot.audits.upload import read
from bot.callbacks import policies
from bot.callbacks.policy import Policy
from bot.clock import wall_time
from bot.errors import ConfigurationError, VoicebackError
from bot.service import advance_clock
from rehearsal import findings, timekeeper
from rehearsal.findings import Findings
from rehearsal.population import CLIENT, Size, Visit, population
from rehearsal.stage import Spent, Stage, staged

_LOOK_SECONDS = 0.01
_QUIET_SECONDS = 0.025
"""For so long nothing must wait to be dialled before the clock moves: every process reads it anew within that time."""
_TELL_SECONDS = 0.25
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STUCK_SECONDS = 900.0
"""After so long in which nothing became of what is under way, something is broken: longer than any lease of a call."""
_BROUGHT_IN_AT = hour(12, tzinfo=UTC)
_POLICY = Policy(rounds=())
"""One round of calls, so that a worker is one callback, as in the figures of the year."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: what was brought in, what is done, and the day on the rehearsal's clock."""

    brought_in: int
    done: int
    workers: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rehearsal gives. CPU in seconds, by part; ``seconds`` is wall time without starting and stopping."""

    size: Size
    seed: int
    finished: bool
    seconds: float
    days_passed: float
    stops_of_the_clock: int
    cpu: dict[str, float]
    findings: Findings

    @property
    def broken(self) -> list[str]:
        """The promises that were broken."""
        return self.findings.broken(finished=self.finished)

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("findings",)}
        return own | {"size": asdict(self.size), "broken": self.broken} | self.findings.as_data()


@dataclass(frozen=True, slots=True)
class _Event:
    at: datetime
    do: Callable[[], int]
    """Gives how many workers it brought in."""


def rehearse(
    folder: Path,
    size: Size,
    seed: int,
    *,
    database_url: str | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Outcome:
    """Run a rehearsal in ``folder`` and give what came out; Ctrl-C ends it early with what was done so far.

    Raises :class:`bot.errors.ConfigurationError` if a part cannot be started or ends.
    """
    with _stopping() as stop, staged(folder, database_url) as stage:
        began = stage.service.clock.now()
        visits = population(size, seed, began.date() + timedelta(1))
        run = _Run(stage, size, tell, stop)
        before, started = stage.spent(), time.monotonic()
        finished = run.play(_events(stage, visits))
        seconds = time.monotonic() - started
        spent: Spent = stage.spent().since(before)
        return Outcome(
            size=size,
            seed=seed,
            finished=finished,
            seconds=round(seconds, 1),
            days_passed=round((stage.service.clock.now() - began) / timedelta(days=1), 1),
            stops_of_the_clock=run.stops,
            cpu={part: round(used, 2) for part, used in spent.by_part.items()},
            findings=findings.find(stage.service, stage.world.tally(), run.brought_in),
        )


class _Run:
    """Plays the events, and moves the clock in between."""

    def __init__(
        self, stage: Stage, size: Size, tell: Callable[[Progress], None], stop: threading.Event
    ) -> None:
        self._stage = stage
        self._size = size
        self._tell = tell
        self._stop = stop
        self._ahead = stage.service.clock.now() - wall_time()
        self._quiet_since: float | None = None
        self._told_at = float("-inf")
        self._last = (time.monotonic(), "")
        self.brought_in = 0
        self.stops = 0

    def play(self, events: list[_Event]) -> bool:
        """Whether everything came to its end; False if it was stopped before."""
        left = sorted(events, key=lambda event: event.at, reverse=True)
        while not self._stop.wait(_LOOK_SECONDS):
            # Nobody else moves this clock, so it need not be read in the database at each look.
            now = wall_time() + self._ahead
            while left and left[-1].at <= now:
                self.brought_in += left.pop().do()
                self._quiet_since = None
            view = self._look(now)
            if not left and view.is_over:
                return True
            self._check(view)
            coming = [each for each in (view.next_at, left[-1].at if left else None) if each]
            if self._is_quiet(view) and coming:
                self._move(now, min(coming), view.not_beyond)
        return False

    def _look(self, now: datetime) -> timekeeper.View:
        """What is under way; now and then also how far it is, and whether everything still runs."""
        with self._stage.service.database.read() as connection:
            view = timekeeper.look(connection, now)
        if time.monotonic() - self._told_at >= _TELL_SECONDS:
            self._told_at = time.monotonic()
            self._stage.check()
            done = self.brought_in - view.open_callbacks - view.open_attempts
            self._tell(Progress(self.brought_in, max(0, done), self._size.workers, now))
        return view

    def _check(self, view: timekeeper.View) -> None:
        """Raise :class:`ConfigurationError` if a part has ended, or nothing goes on any more."""
        standing = f"{self.stops} {self.brought_in} {view}"
        if standing != self._last[1]:
            self._last = (time.monotonic(), standing)
        elif time.monotonic() - self._last[0] > _STUCK_SECONDS:
            raise ConfigurationError(f"nothing goes on any more; see the logs in {self._stage.folder}")

    def _is_quiet(self, view: timekeeper.View) -> bool:
        """Whether nothing has been under way for long enough."""
        if view.busy:
            self._quiet_since = None
            return False
        self._quiet_since = self._quiet_since or time.monotonic()
        return time.monotonic() - self._quiet_since >= _QUIET_SECONDS

    def _move(self, now: datetime, to: datetime, not_beyond: datetime | None) -> None:
        by = timekeeper.move(now, to, not_beyond)
        if not by:
            return
        self._ahead = advance_clock(self._stage.service, by) - wall_time()
        self.stops += 1
        self._quiet_since = None


# --- what happens on which day ------------------------------------------------------------------


def _events(stage: Stage, visits: Iterable[Visit]) -> list[_Event]:
    return [event for visit in visits for event in _of_visit(stage, visit)]


def _of_visit(stage: Stage, visit: Visit) -> Iterator[_Event]:
    at = datetime.combine(visit.day, _BROUGHT_IN_AT)
    yield _Event(at, lambda: _bring_in(stage, visit))
    for person in visit.people:
        if person.stops_after is not None:
            yield _Event(at + timedelta(person.stops_after), _stopper(stage, person.number))


def _stopper(stage: Stage, number: str) -> Callable[[], int]:
    def stop() -> int:
        stage.world.text(number, "STOP")
        return 0

    return stop


def _bring_in(stage: Stage, visit: Visit) -> int:
    """The auditor uploads the visit, as a file that never lies on the disk; the handsets exist from now on."""
    stage.world.add(
        [
            {"number": each.number, "name": each.alias, "pass_word": each.pass_word, "script": each.script}
            for each in visit.people
        ]
    )
    report = bring_in(stage.service, read(io.BytesIO(_upload(visit).encode())))
    if report.rejected or report.created != len(visit.people):
        raise VoicebackError("an audit of the rehearsal was not taken in whole")
    with stage.service.database.read() as connection:
        held = policies.of_client(connection, CLIENT)
    if held != _POLICY:
        policies.set_for_client(stage.service, CLIENT, _POLICY)
    return len(visit.people)


def _upload(visit: Visit) -> str:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(
        (
            *("audit_ref", "client", "factory", "country", "audit_date"),
            *("phone", "language", "preferred_time", "timezone", "channel", "pass_word", "alias", "role"),
        )
    )
    for each in visit.people:
        rows.writerow(
            (
                *(visit.ref, CLIENT, visit.factory, visit.place.country, visit.day.isoformat()),
                *(each.number, each.language, each.preferred_time, visit.place.timezone),
                *("voice", each.pass_word, each.alias, "interviewed"),
            )
        )
    return text.getvalue()


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and a terminal that is closed ask the rehearsal to end, while the block lasts; in other threads nothing is asked."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    former = {number: signal.signal(number, on_signal) for number in _ENDINGS}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
