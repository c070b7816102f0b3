"""What has happened becomes sums (:mod:`bot.tally`): each row that is over is counted once, and marked.

A callback that ends, is taken up again and ends in another way counts under both ends. A talk with an agent is counted
when she has wrapped it up, or when she could no longer do so; what happens to cases when it cannot be taken back any
more (:mod:`bot.cases.counted`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, literal_column, or_, select, update

from bot import tally
from bot.callbacks.claim import LAST_START
from bot.callbacks.plan import GiveUp
from bot.callbacks.states import CallbackState, Disposition
from bot.cases import counted
from bot.flow.events import ConsentScope
from bot.rates import Outcome, class_of, outcome_of
from bot.service import Service
from bot.staff import LONGEST_SESSION
from bot.storage.tables import (
    Attempt,
    Audit,
    Callback,
    CaseEvent,
    Consent,
    Conversation,
    Grievance,
    Transfer,
    Trouble,
    table,
)
from bot.storage.types import AnyRow, AnySelect
from bot.tally import LATENESS, NO_CLIENT, WAITS, Counts, What
from bot.transfers import TransferOutcome

_attempt = table(Attempt)
_callback = table(Callback)
_audit = table(Audit)
_consent = table(Consent)
_conversation = table(Conversation)
_event = table(CaseEvent)
_grievance = table(Grievance)
_transfer = table(Transfer)
_trouble = table(Trouble)

BATCH: Final = 250
MOST_BATCHES: Final = 4
"""Batches of one fold: what a large database brings along is counted in the gaps of its work."""
AT_ONCE: Final = timedelta(seconds=5)
"""Who hangs up within it has not waited for anybody."""
# Written out, because a partial index is used only where the statement says the same as the index does.
_ATTEMPTS: Final[ColumnElement[bool]] = and_(
    _attempt.c.state == literal_column("'settled'"), _attempt.c.tallied.is_(None)
)
_CALLBACKS: Final[ColumnElement[bool]] = and_(
    _callback.c.state.not_in([literal_column("'scheduled'"), literal_column("'dialling'")]),
    or_(_callback.c.tallied.is_(None), _callback.c.tallied != _callback.c.state),
)
_TROUBLES: Final[ColumnElement[bool]] = _trouble.c.tallied.is_(None)
_TRANSFERS: Final[ColumnElement[bool]] = and_(
    _transfer.c.state == literal_column("'ended'"), _transfer.c.tallied.is_(None)
)


def fold(service: Service) -> int:
    """Count what has happened since; gives how many rows were counted. Safe to repeat, and for several clocks."""
    done, now = 0, service.clock.now()
    kinds = service.library.taxonomy.categories.values()
    retaliation = sorted(kind.code for kind in kinds if kind.branch == "retaliation")
    for _ in range(MOST_BATCHES):
        with service.database.read() as connection:
            if not _anything(connection, now):
                break
        with service.database.write() as connection:
            counts: Counts = Counter()
            taken = [
                _fold_attempts(connection, counts, retaliation),
                _fold_callbacks(connection, counts),
                _fold_transfers(connection, counts, now),
                _fold_troubles(connection, counts),
                counted.fold_events(connection, counts, now, BATCH),
                counted.fold_grievances(connection, counts, BATCH),
            ]
            tally.add(connection, counts)
        done += sum(taken)
        if max(taken) < BATCH:
            break
    return done


def _anything(connection: Connection, now: datetime) -> bool:
    # PostgreSQL thinks that many callbacks end otherwise than they were counted, and reads the table; in the order of
    # the index it does not.
    waiting = (
        select(_attempt.c.id).where(_ATTEMPTS),
        select(_callback.c.id).where(_CALLBACKS).order_by(_callback.c.id),
        select(_trouble.c.id).where(_TROUBLES),
        select(_transfer.c.id).where(_wrapped(now)),
        select(_event.c.id).where(counted.ripe(now)),
        select(_grievance.c.id).where(counted.GRIEVANCES),
    )
    return any(connection.execute(query.limit(1)).first() for query in waiting)


# --- callbacks --------------------------------------------------------------------------------


def _fold_attempts(connection: Connection, counts: Counts, retaliation: Collection[str]) -> int:
    due = select(_attempt.c.id).where(_ATTEMPTS).limit(BATCH).with_for_update(skip_locked=True)
    ids = list(connection.execute(due).scalars())
    if not ids:
        return 0
    for row in connection.execute(_attempts_with_talks(ids)):
        for what, code, number in _of_attempt(row):
            counts[row.settled_at.date(), row.client_id or NO_CLIENT, what.value, code] += number
    _count_workers(connection, counts, ids, retaliation)
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
            found += [(What.LATE, tally.class_of(late, LATENESS), 1), (What.LATE_SECONDS, "sum", late)]
    if _is_missed(row, disposition):
        found.append((What.MISSED, "window", 1))
    return found + [(What.HEARD, code, 1) for code in _heard(row, disposition)]


def _in_window(row: AnyRow) -> bool:
    """Whether we asked the provider, and somebody answered, between the window's ends."""
    latest = max(row.claimed_at, row.answered_at or row.claimed_at)
    return bool((row.due_at is None or row.due_at <= row.claimed_at) and latest <= row.window_end)


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


def _count_workers(
    connection: Connection, counts: Counts, ids: Collection[str], retaliation: Collection[str]
) -> None:
    """Workers who are met for the first time in these attempts, which are not marked yet."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    fresh = []
    for row in connection.execute(_attempts_of_workers(ids, retaliation)):
        if row.tallied:
            known[row.contact_id].update(_met(row))
        elif row.mine:
            fresh.append(row)
    for row in fresh:
        for code in _met(row):
            if code not in known[row.contact_id]:
                known[row.contact_id].add(code)
                counts[row.settled_at.date(), row.client_id or NO_CLIENT, What.WORKER.value, code] += 1


def _attempts_of_workers(ids: Collection[str], retaliation: Collection[str]) -> AnySelect:
    """All attempts of the workers whom some attempts called, found by their own few callbacks."""
    called = (
        select(_callback.c.contact_id)
        .join(_attempt, _attempt.c.callback_id == _callback.c.id)
        .where(_attempt.c.id.in_(ids))
    )
    told = exists().where(
        _conversation.c.attempt_id == _attempt.c.id,
        _grievance.c.conversation_id == _conversation.c.id,
        _grievance.c.category.in_(retaliation),
    )
    return (
        select(
            _callback.c.contact_id,
            _attempt.c.disposition,
            _attempt.c.settled_at,
            _attempt.c.tallied,
            _attempt.c.id.in_(ids).label("mine"),
            _audit.c.client_id,
            told.label("told"),
        )
        .select_from(_callback)
        .join(_attempt, _attempt.c.callback_id == _callback.c.id)
        .outerjoin(_audit, _audit.c.id == _callback.c.audit_id)
        .where(_callback.c.contact_id.in_(called), _attempt.c.state == literal_column("'settled'"))
    )


def _met(row: AnyRow) -> list[str]:
    """What an attempt makes of its worker."""
    disposition = Disposition(row.disposition)
    if disposition in (Disposition.RELEASED, Disposition.EXPIRED):
        return []
    if class_of(disposition) is not Outcome.COMPLETE:
        return ["called"]
    return ["called", "completed", *(["retaliation"] if row.told else [])]


def _fold_callbacks(connection: Connection, counts: Counts) -> int:
    due = select(_callback.c.id).where(_CALLBACKS).order_by(_callback.c.id)
    ids = list(connection.execute(due.limit(BATCH).with_for_update(skip_locked=True)).scalars())
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


# --- the line ---------------------------------------------------------------------------------


def _wrapped(now: datetime) -> ColumnElement[bool]:
    """Callers who are off the line, and about whom nothing more will be known."""
    return and_(
        _TRANSFERS,
        or_(
            _transfer.c.answered_at.is_(None),
            _transfer.c.wrapped_up_at.is_not(None),
            _transfer.c.ended_at < now - LONGEST_SESSION,
        ),
    )


def _fold_transfers(connection: Connection, counts: Counts, now: datetime) -> int:
    due = select(_transfer.c.id).where(_wrapped(now)).limit(BATCH).with_for_update(skip_locked=True)
    ids = list(connection.execute(due).scalars())
    if not ids:
        return 0
    rows = connection.execute(
        select(_transfer, _audit.c.client_id)
        .join(_conversation, _conversation.c.id == _transfer.c.conversation_id)
        .outerjoin(_audit, _audit.c.id == _conversation.c.audit_id)
        # A worker whom an agent calls back has not waited in the line.
        .where(_transfer.c.id.in_(ids), _transfer.c.callback_id.is_(None))
    )
    for row in rows:
        for what, code, number in _of_transfer(row):
            counts[row.ended_at.date(), row.client_id or NO_CLIENT, what.value, code] += number
    counted.count_talks(connection, counts, ids)
    connection.execute(update(_transfer).where(_transfer.c.id.in_(ids)).values(tallied=True))
    return len(ids)


def _of_transfer(row: AnyRow) -> list[tuple[What, str, int]]:
    """What one caller of the line adds. Who was joined with an agent was taken, whatever came after it."""
    if row.answered_at is None:
        at_once = row.outcome == TransferOutcome.GONE and row.ended_at - row.waiting_since <= AT_ONCE
        return [(What.LINE, "gone_at_once" if at_once else row.outcome, 1)]
    waited = _seconds(row.answered_at - row.waiting_since)
    found = [
        (What.LINE, TransferOutcome.TALKED.value, 1),
        (What.LINE_WAIT, tally.class_of(waited, WAITS), 1),
        (What.LINE_SECONDS, "wait", waited),
        (What.LINE_SECONDS, "talk", _seconds(row.ended_at - row.answered_at)),
    ]
    if row.wrapped_up_at is not None:
        wrapped = _seconds(row.wrapped_up_at - row.ended_at)
        found += [(What.LINE, "wrapped", 1), (What.LINE_SECONDS, "wrap", wrapped)]
    return found


def _seconds(span: timedelta) -> int:
    return max(0, int(span.total_seconds()))


# --- providers --------------------------------------------------------------------------------


def _fold_troubles(connection: Connection, counts: Counts) -> int:
    due = select(_trouble).where(_TROUBLES).limit(BATCH).with_for_update(skip_locked=True)
    rows = connection.execute(due).all()
    for row in rows:
        counts[row.at.date(), NO_CLIENT, What.ERROR.value, f"{row.channel} {row.code}"] += 1
    if rows:
        ids = [row.id for row in rows]
        connection.execute(update(_trouble).where(_trouble.c.id.in_(ids)).values(tallied=True))
    return len(rows)
