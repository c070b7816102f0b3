"""How often things happened, by day and client: kept as sums, so that no question reads the history again.

    an attempt is settled, a call of the line is over ──▶ not counted yet (a small index holds these rows)
        ──the clock folds a batch (:mod:`bot.folding`)──▶ the row is marked, the sums rise; one transaction does both

So nothing is counted twice or forgotten, however many clocks fold, and whatever stood in the database before this
module did is counted by and by. A day is one of UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from bot.storage.tables import Tally, table

_tally = table(Tally)

ALL_DAYS: Final = date(1970, 1, 1)
"""The day under which the sum over all days stands."""
NO_CLIENT: Final = "-"
ALL_CLIENTS: Final = "*"
"""The client of sums that were asked for over all of them."""
MORE: Final = "more"
"""The class above the last limit."""
LATENESS: Final = (10, 30, 60, 300, 900, 3600)
"""Seconds up to which a dial counts as so late."""
WAITS: Final = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600)
"""Seconds up to which a caller of the line counts as having waited."""
_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
SPANS: Final = (
    *(_HOUR // 4, _HOUR // 2, _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 12 * _HOUR),
    *(n * _DAY for n in (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 365)),
)
"""Seconds up to which something in the life of a case counts as having taken."""


class What(StrEnum):
    """What is counted; each has codes of its own."""

    ATTEMPT = "attempt"
    """Settled attempts, by disposition."""
    ENDED = "ended"
    """Callbacks that are over, by state; those given up by ``given_up`` and the reason."""
    OUTCOME = "outcome"
    """The same by the class that response rates are made of (:mod:`bot.rates`)."""
    DIALLED = "dialled"
    """Dials that we began: ``inside`` the worker's window or ``outside``."""
    LATE = "late"
    """Dials that we began, by how many seconds after the due time: ``10``, ``30`` … ``more``."""
    LATE_SECONDS = "late_seconds"
    """The seconds themselves, summed: ``sum``."""
    REMINDED = "reminded"
    """Texts before calls: ``text``."""
    MISSED = "missed"
    """Promised windows that went by without a ring: ``window``."""
    HEARD = "heard"
    """Attempts that a person answered: ``answered``; who gave the pass-word and was safe: ``safe``; who agreed to
    take part: ``began``; who came to the end: ``finished``."""
    ERROR = "error"
    """What providers did not take, by channel and code."""
    WORKER = "worker"
    """Workers, each once however often she is called: ``called``; ``completed`` a callback; told of ``retaliation``
    in one that she completed."""
    LINE = "line"
    """Callers who asked for a person, by what became of the wait (:class:`bot.transfers.TransferOutcome`); those who
    hung up within five seconds by ``gone_at_once``. ``wrapped`` are talks that the agent wrapped up."""
    LINE_WAIT = "line_wait"
    """Callers whom an agent took, by how many seconds they had waited: one of :data:`WAITS` or ``more``."""
    LINE_SECONDS = "line_seconds"
    """Seconds, summed: ``wait`` of those who were taken, ``talk``, and ``wrap`` of the ``wrapped``."""
    CASE = "case"
    """Cases: ``opened``; by state, when a case comes to it for the first time; every closing (``closed``) and every
    reopening of a closed case (``reopened_closed``)."""
    CASE_REVIEW = "case_review"
    """Cases that somebody has read, by the seconds from receipt to the first reading (:data:`SPANS`)."""
    CASE_REPLY = "case_reply"
    """Cases in which a person answered the worker, in writing or by telephone, by the seconds to the first answer."""
    CASE_TRIAGE = "case_triage"
    """Cases that were triaged, by the seconds to it."""
    CASE_CLOSE = "case_close"
    """Cases that were closed, by the seconds to the first closing."""
    CASE_CLOCK = "case_clock"
    """Clocks of cases that have stopped: ``review kept``, ``review broken``, and so on for safety, plan and close."""
    GRIEVANCE = "grievance"
    """Things reported, in a ``callback`` or ``otherwise``."""


@dataclass(frozen=True, slots=True)
class Count:
    """One sum."""

    day: date
    client_id: str
    what: str
    code: str
    number: int


Key = tuple[date, str, str, str]
"""Day, client, what and code."""
Counts = Counter[Key]


def class_of(seconds: float, limits: Sequence[int]) -> str:
    """The class of a length of time: the first limit that it does not exceed, or :data:`MORE`."""
    return next((str(limit) for limit in limits if seconds <= limit), MORE)


# --- counting ---------------------------------------------------------------------------------


def missed_window(connection: Connection, client_id: str | None, now: datetime) -> None:
    """A window that was promised went by without a dial."""
    add(connection, Counter({(now.date(), client_id or NO_CLIENT, What.MISSED.value, "window"): 1}))


def reminded(connection: Connection, clients: Iterable[str | None], now: datetime) -> None:
    """Texts before calls went into the outbox, one for each of ``clients``; None for who has none."""
    keys = ((now.date(), client_id or NO_CLIENT, What.REMINDED.value, "text") for client_id in clients)
    add(connection, Counter(keys))


def add(connection: Connection, counts: Counter[Key]) -> None:
    """Let sums rise, of the day and of all days; in one order, so that two clocks cannot wait for each other."""
    sums: Counter[Key] = Counter()
    for (day, client_id, what, code), number in counts.items():
        for each in (day, ALL_DAYS):
            sums[each, client_id, what, code] += number
    if not sums:
        return
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rows = [
        {"day": day, "client_id": client_id, "what": what, "code": code, "number": number}
        for (day, client_id, what, code), number in sorted(sums.items())
    ]
    adding = make(_tally).values({name: bindparam(name) for name in rows[0]})
    connection.execute(
        adding.on_conflict_do_update(
            index_elements=["day", "client_id", "what", "code"],
            set_={"number": _tally.c.number + adding.excluded.number},
        ),
        rows,
    )


# --- reading ----------------------------------------------------------------------------------


def of_days(connection: Connection, first: date, last: date) -> list[Count]:
    """The sums of some days, both ends included, by client."""
    rows = connection.execute(select(_tally).where(_tally.c.day >= first, _tally.c.day <= last))
    return [Count(row.day, row.client_id, row.what, row.code, row.number) for row in rows]


def of_all_days(connection: Connection) -> list[Count]:
    """The sums over all days, by client: as many rows as there are clients and codes, however long the history."""
    return of_days(connection, ALL_DAYS, ALL_DAYS)


def over_clients(
    connection: Connection, first: date, last: date, what: Collection[What] | None = None
) -> list[Count]:
    """The sums of some days, both ends included, over all clients: a few rows a day, however many clients there are.
    Of ``what`` alone, if that is given."""
    number = func.sum(_tally.c.number)
    columns = (_tally.c.day, _tally.c.what, _tally.c.code)
    query = select(*columns, number).where(_tally.c.day >= first, _tally.c.day <= last).group_by(*columns)
    rows = connection.execute(query if what is None else query.where(_tally.c.what.in_(sorted(what))))
    return [Count(day, ALL_CLIENTS, kind, code, int(total)) for day, kind, code, total in rows]
