"""How often things happened, by day and client: kept as sums, so that no question reads the history again.

    an attempt is settled, a callback is over ──▶ not counted yet (a small index holds these rows)
        ──the clock folds a batch──▶ the row is marked, the sums rise; one transaction does both

So nothing is counted twice or forgotten, however many clocks fold, and whatever stood in the database before this
module did is counted by and by. A day is one of UTC. A callback that ends, is taken up again and ends in another
way counts under both ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bot.callbacks.claim import LAST_START
from bot.callbacks.plan import GiveUp
from bot.callbacks.states import CallbackState, Disposition
from bot.flow.events import ConsentScope
from bot.rates import outcome_of
from bot.storage.database import Database
from bot.storage.tables import Attempt, Audit, Callback, Consent, Conversation, Tally, Trouble, table
from bot.storage.types import AnyRow, AnySelect

_attempt = table(Attempt)
_callback = table(Callback)
_audit = table(Audit)
_consent = table(Consent)
_conversation = table(Conversation)
_tally = table(Tally)
_trouble = table(Trouble)

ALL_DAYS: Final = date(1970, 1, 1)
"""The day under which the sum over all days stands."""
NO_CLIENT: Final = "-"
BATCH: Final = 250
MOST_BATCHES: Final = 4
"""Batches of one fold: what a large database brings along is counted in the gaps of its work."""
LATENESS: Final = (10, 30, 60, 300, 900, 3600)
"""Seconds up to which a dial counts as so late; the last class has no end."""


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
    MISSED = "missed"
    """Promised windows that went by without a ring: ``window``."""
    HEARD = "heard"
    """Attempts that a person answered: ``answered``; who gave the pass-word and was safe: ``safe``; who agreed to
    take part: ``began``; who came to the end: ``finished``."""
    ERROR = "error"
    """What providers did not take, by channel and code."""


@dataclass(frozen=True, slots=True)
class Count:
    """One sum."""

    day: date
    client_id: str
    what: str
    code: str
    number: int


_Key = tuple[date, str, str, str]

# Written out, because a partial index is used only where the statement says the same as the index does.
_ATTEMPTS: Final[ColumnElement[bool]] = and_(
    _attempt.c.state == literal_column("'settled'"), _attempt.c.tallied.is_(None)
)
_CALLBACKS: Final[ColumnElement[bool]] = and_(
    _callback.c.state.not_in([literal_column("'scheduled'"), literal_column("'dialling'")]),
    or_(_callback.c.tallied.is_(None), _callback.c.tallied != _callback.c.state),
)
_TROUBLES: Final[ColumnElement[bool]] = _trouble.c.tallied.is_(None)


# --- counting ---------------------------------------------------------------------------------


def fold(database: Database) -> int:
    """Count what has happened since; gives how many rows were counted. Safe to repeat, and for several clocks."""
    done = 0
    for _ in range(MOST_BATCHES):
        with database.read() as connection:
            if not _anything(connection):
                break
        with database.write() as connection:
            counts: Counter[_Key] = Counter()
            folds = (_fold_attempts, _fold_callbacks, _fold_troubles)
            taken = [each(connection, counts) for each in folds]
            _add(connection, counts)
        done += sum(taken)
        if max(taken) < BATCH:
            break
    return done


def missed_window(connection: Connection, client_id: str | None, now: datetime) -> None:
    """A window that was promised went by without a dial."""
    _add(connection, Counter({(now.date(), client_id or NO_CLIENT, What.MISSED.value, "window"): 1}))


def _anything(connection: Connection) -> bool:
    waiting = (
        select(_attempt.c.id).where(_ATTEMPTS),
        select(_callback.c.id).where(_CALLBACKS),
        select(_trouble.c.id).where(_TROUBLES),
    )
    return any(connection.execute(query.limit(1)).first() for query in waiting)


def _fold_attempts(connection: Connection, counts: Counter[_Key]) -> int:
    due = select(_attempt.c.id).where(_ATTEMPTS).limit(BATCH).with_for_update(skip_locked=True)
    ids = list(connection.execute(due).scalars())
    if not ids:
        return 0
    for row in connection.execute(_attempts_with_talks(ids)):
        for what, code, number in _of_attempt(row):
            counts[row.settled_at.date(), row.client_id or NO_CLIENT, what.value, code] += number
    connection.execute(update(_attempt).where(_attempt.c.id.in_(ids)).values(tallied=True))
    return len(ids)


def _attempts_with_talks(ids: Collection[str]) -> AnySelect:
    mine = _conversation.c.attempt_id == _attempt.c.id
    agreed = exists().where(
        mine,
        _consent.c.conversation_id == _conversation.c.id,
        _consent.c.scope == ConsentScope.TAKE_PART.value,
        _consent.c.given,
    )
    return (
        select(
            _attempt,
            _callback.c.state.label("callback_state"),
            _callback.c.window_end.label("next_window_end"),
            _audit.c.client_id,
            exists().where(mine, _conversation.c.contact_id.is_not(None)).label("verified"),
            agreed.label("agreed"),
        )
        .join(_callback, _callback.c.id == _attempt.c.callback_id)
        .outerjoin(_audit, _audit.c.id == _callback.c.audit_id)
        .where(_attempt.c.id.in_(ids))
    )


def _of_attempt(row: AnyRow) -> list[tuple[What, str, int]]:
    """What one settled attempt adds."""
    disposition = Disposition(row.disposition)
    found = [(What.ATTEMPT, disposition.value, 1)]
    if row.asked_at is not None and disposition not in (Disposition.RELEASED, Disposition.EXPIRED):
        found.append((What.DIALLED, "inside" if _in_window(row) else "outside", 1))
        if row.due_at is not None:
            late = max(0, int((row.claimed_at - row.due_at).total_seconds()))
            found += [(What.LATE, _class_of(late), 1), (What.LATE_SECONDS, "sum", late)]
    if _is_missed(row, disposition):
        found.append((What.MISSED, "window", 1))
    return found + [(What.HEARD, code, 1) for code in _heard(row, disposition)]


def _in_window(row: AnyRow) -> bool:
    """Whether we asked the provider, and somebody answered, between the window's ends."""
    latest = max(row.claimed_at, row.answered_at or row.claimed_at)
    return bool((row.due_at is None or row.due_at <= row.claimed_at) and latest <= row.window_end)


def _class_of(seconds: int) -> str:
    return next((str(limit) for limit in LATENESS if seconds <= limit), "more")


_STILL_WANTED: Final = (CallbackState.SCHEDULED, CallbackState.DIALLING, CallbackState.GIVEN_UP)


def _is_missed(row: AnyRow, disposition: Disposition) -> bool:
    """Whether the window of an attempt went by without a ring. One that is still open, or that the planner finds
    missed, is not counted here."""
    if disposition is Disposition.EXPIRED:
        return True
    is_over = row.settled_at + LAST_START >= row.window_end and row.next_window_end != row.window_end
    return disposition is Disposition.RELEASED and is_over and row.callback_state in _STILL_WANTED


_NOT_SAFE: Final = (Disposition.UNSAFE, Disposition.NOT_SAFE_NOW)
_FINISHED: Final = (Disposition.COMPLETED, Disposition.CRITICAL)


def _heard(row: AnyRow, disposition: Disposition) -> list[str]:
    if row.answered_at is None or disposition is Disposition.MACHINE:
        return []
    codes = ["answered"]
    if row.verified and disposition not in _NOT_SAFE:
        codes.append("safe")
    if row.agreed:
        codes.append("began")
        codes += ["finished"] if disposition in _FINISHED else []
    return codes


def _fold_callbacks(connection: Connection, counts: Counter[_Key]) -> int:
    due = select(_callback.c.id).where(_CALLBACKS).limit(BATCH).with_for_update(skip_locked=True)
    ids = list(connection.execute(due).scalars())
    if not ids:
        return 0
    tried = _dispositions(connection, ids)
    rows = connection.execute(
        select(
            _callback.c.id,
            _callback.c.state,
            _callback.c.give_up_reason,
            _callback.c.updated_at,
            _audit.c.client_id,
        )
        .outerjoin(_audit, _audit.c.id == _callback.c.audit_id)
        .where(_callback.c.id.in_(ids))
    )
    for row in rows:
        key = row.updated_at.date(), row.client_id or NO_CLIENT
        counts[*key, What.ENDED.value, _end_of(row)] += 1
        if row.give_up_reason not in _NEVER_MEANT:
            outcome = outcome_of(CallbackState(row.state), tried[row.id])
            counts[*key, What.OUTCOME.value, outcome.value] += 1
    connection.execute(update(_callback).where(_callback.c.id.in_(ids)).values(tallied=_callback.c.state))
    return len(ids)


_NEVER_MEANT: Final = (GiveUp.NOT_IN_SAMPLE.value, "no_round")
"""Callbacks that nobody wanted to make in the end are no part of any rate."""


def _dispositions(connection: Connection, callback_ids: list[str]) -> Mapping[str, list[Disposition]]:
    found: defaultdict[str, list[Disposition]] = defaultdict(list)
    rows = connection.execute(
        select(_attempt.c.callback_id, _attempt.c.disposition).where(
            _attempt.c.callback_id.in_(callback_ids), _attempt.c.disposition.is_not(None)
        )
    )
    for row in rows:
        found[row.callback_id].append(Disposition(row.disposition))
    return found


def _end_of(row: AnyRow) -> str:
    if row.state == CallbackState.GIVEN_UP:
        return f"{row.state} {row.give_up_reason or 'unknown'}"
    return str(row.state)


def _fold_troubles(connection: Connection, counts: Counter[_Key]) -> int:
    due = select(_trouble).where(_TROUBLES).limit(BATCH).with_for_update(skip_locked=True)
    rows = connection.execute(due).all()
    for row in rows:
        counts[row.at.date(), NO_CLIENT, What.ERROR.value, f"{row.channel} {row.code}"] += 1
    if rows:
        ids = [row.id for row in rows]
        connection.execute(update(_trouble).where(_trouble.c.id.in_(ids)).values(tallied=True))
    return len(rows)


def _add(connection: Connection, counts: Counter[_Key]) -> None:
    """Let sums rise, of the day and of all days; in one order, so that two clocks cannot wait for each other."""
    sums: Counter[_Key] = Counter()
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
