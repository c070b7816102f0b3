"""Now, from one object that is handed in.

Everything that is promised to a worker (windows, clocks of cases, retention) asks a :class:`Clock`.
Sessions, one-time passwords, leases and reconciliation use :func:`wall_time`, because they guard
against real elapsed time, which the demo must not move.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


def wall_time() -> datetime:
    """The machine's real time, aware, UTC."""
    return datetime.now(UTC)


class Clock(Protocol):
    """Whatever tells the time of the service."""

    def now(self) -> datetime:
        """The service's time, aware, UTC."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """The machine's time, aware, UTC."""
        return wall_time()


class FrozenClock:
    """A clock for tests: it stands until it is moved."""

    def __init__(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError("naive datetimes are an error")
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        """The instant at which the clock stands, UTC."""
        return self._at

    def advance(self, by: timedelta) -> None:
        """Move the clock forward (or back, with a negative ``by``)."""
        self._at += by
