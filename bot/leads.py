"""Callbacks that agents lead: an agent is rung first, and the worker is dialled when the agent is on the line.

A client's policy says so (``mode: agent``). The callback, its attempts, windows, caps, pace and slots are those
of any other callback; what is added is a row of ``transfer`` (:mod:`bot.transfers`), made when a free agent is
reserved for a due callback:

    matched → ringing → talking (agent on the line) → claimed and dialled → joined → …

The worker hears the neutral opening, is asked for her pass-word and whether it is safe, as in every call of
ours; only then are the two joined. Until then the agent waits. An attempt is made only when the agent is on the
line, so that nothing is spent on a worker for whom nobody is there; and an attempt whose agent has gone before
the dial is released. Leases are wall time, other instants the service's.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, exists, insert, literal_column, select, update

from bot import agents, pace, transfers
from bot.agents import AgentState
from bot.callbacks import caps, modes
from bot.callbacks.claim import LAST_START, Limits, claim_led, free_slots
from bot.callbacks.states import AttemptState, CallbackState
from bot.ids import new_id
from bot.messages import Channel
from bot.storage.database import Database
from bot.storage.tables import Attempt, Audit, Callback, Conversation, Transfer, table
from bot.storage.types import AnyRow, AnySelect
from bot.transfers import MATCH_LEASE, TransferState

_attempt = table(Attempt)
_audit = table(Audit)
_callback = table(Callback)
_conversation = table(Conversation)
_transfer = table(Transfer)

TO_PICK_UP: Final = timedelta(seconds=60)
"""What an agent may need until she is on the line: no agent is rung when less is left of a window than this and
what a dial needs."""
TO_DIAL: Final = timedelta(seconds=60)
"""How long an agent on the line waits at most for pace and call slots."""
TO_WRITE_UP: Final = timedelta(minutes=15)
"""How long after a talk its agent may still enter answers, and how it ended, before it counts as cut off."""
_IS_OPEN: Final = _transfer.c.state != literal_column("'ended'")
_LEADS: Final = (_IS_OPEN, _transfer.c.callback_id.is_not(None))


# --- the clock --------------------------------------------------------------------------------


def match(database: Database, now: datetime, wall: datetime, limits: Limits) -> list[str]:
    """Reserve free agents for due callbacks that are kept for agents; gives the transfers whose agents are to be
    rung. Whoever is free for longest gets what is due for longest in a language of hers. Any number of clocks
    may do this at once: the bucket of calls is locked first.
    """
    if Channel.VOICE not in limits.channels:
        return []
    with database.read() as connection:
        if not _anything_due(connection, now, wall):
            return []
    pace.make(database, pace.CALLS, wall)
    with database.write() as connection:
        pace.room(connection, pace.CALLS, limits.calls_per_second, wall)
        free = agents.free(connection, wall)
        allowed = free_slots(connection, limits.slots, now) - _on_their_way(connection)
        rung: list[str] = []
        for agent_id, spoken in free.items():
            due = _due_for(connection, spoken, now) if len(rung) < allowed else None
            if due is not None and agents.move(
                connection, agent_id, AgentState.RINGING, {AgentState.FREE}, now
            ):
                rung.append(_reserve(connection, due, agent_id, now, wall))
        return rung


def waiting(connection: Connection, spoken: Collection[str], now: datetime) -> int:
    """How many callbacks are due at this moment that an agent who speaks one of these languages could take."""
    query = _due(connection, now)
    if query is None or not spoken:
        return 0
    return len(connection.execute(query.where(_callback.c.language.in_(spoken)).limit(_MOST_COUNTED)).all())


_MOST_COUNTED: Final = 100


def dial(database: Database, now: datetime, wall: datetime, limits: Limits) -> list[str]:
    """Claim the callbacks whose agents are on the line; gives the attempts that are to be placed.

    The agents of those that cannot be dialled any more, or were not reached, are let go.
    """
    with database.read() as connection:
        unmet = connection.execute(_unmet().limit(1)).first()
    if unmet is None:
        return []
    with database.write() as connection:
        rows = connection.execute(_unmet().with_for_update(of=_transfer, skip_locked=True)).all()
        _let_go_of_unreached(connection, [row for row in rows if row.attempt_id], wall)
        return _claim(connection, [row for row in rows if not row.attempt_id], now, wall, limits)


def _let_go_of_unreached(connection: Connection, rows: list[AnyRow], wall: datetime) -> None:
    over = connection.execute(
        select(_attempt.c.id).where(
            _attempt.c.id.in_([row.attempt_id for row in rows]), _attempt.c.state == AttemptState.SETTLED
        )
    ).scalars()
    settled = set(over)
    for row in rows:
        if row.attempt_id in settled:
            transfers.dismiss(connection, row.id, wall)


def _claim(
    connection: Connection, rows: list[AnyRow], now: datetime, wall: datetime, limits: Limits
) -> list[str]:
    if not rows:
        return []
    wanted = {row.callback_id: row for row in rows}
    claimed = claim_led(connection, list(wanted), now, wall, limits)
    for callback_id, attempt_id in claimed.items():
        this = update(_transfer).where(_transfer.c.id == wanted[callback_id].id)
        connection.execute(this.values(attempt_id=attempt_id))
    can_wait = set(
        connection.execute(select(_callback.c.id).where(_callback.c.id.in_(wanted), *_is_due(now))).scalars()
    )
    for callback_id, row in wanted.items():
        late = wall - row.lease_until > TO_DIAL
        if callback_id not in claimed and (late or callback_id not in can_wait):
            transfers.dismiss(connection, row.id, wall)
    return list(claimed.values())


def _unmet() -> AnySelect:
    """Agents on the line whose workers are not joined with them yet."""
    return select(_transfer).where(
        *_LEADS, _transfer.c.state == TransferState.TALKING, _transfer.c.answered_at.is_(None)
    )


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        _callback.c.state == CallbackState.SCHEDULED,
        _callback.c.due_at <= now,
        _callback.c.window_end > now + LAST_START,
    )


def _due(connection: Connection, now: datetime) -> AnySelect | None:
    """Callbacks that an agent can take now, due for longest first; None where no client wants agents to call."""
    kept = modes.for_agents(connection)
    if kept is None:
        return None
    other = _callback.alias("other")
    query = select(_callback.c.id, _callback.c.language).where(
        _callback.c.state == CallbackState.SCHEDULED,
        _callback.c.due_at <= now,
        _callback.c.window_end > now + LAST_START + TO_PICK_UP,
        kept,
        ~exists().where(
            other.c.address_id == _callback.c.address_id, other.c.state == CallbackState.DIALLING
        ),
        ~exists().where(_transfer.c.callback_id == _callback.c.id, _IS_OPEN),
    )
    if full := caps.full(connection, now):
        query = query.where(
            ~exists().where(_audit.c.id == _callback.c.audit_id, _audit.c.client_id.in_(full))
        )
    return query.order_by(_callback.c.due_at)


def _anything_due(connection: Connection, now: datetime, wall: datetime) -> bool:
    query = _due(connection, now)
    if query is None:
        return False
    spoken = frozenset[str]().union(*agents.free_languages(connection, wall))
    if not spoken:
        return False
    return connection.execute(query.where(_callback.c.language.in_(spoken)).limit(1)).first() is not None


def _due_for(connection: Connection, spoken: Collection[str], now: datetime) -> AnyRow | None:
    query = _due(connection, now)
    if query is None:
        return None
    query = query.where(_callback.c.language.in_(spoken)).limit(1)
    return connection.execute(query.with_for_update(skip_locked=True, of=_callback)).one_or_none()


def _on_their_way(connection: Connection) -> int:
    """Agents who are being rung, or wait on the line, for callbacks that have no call slot yet."""
    early = select(_transfer.c.id).where(*_LEADS, _transfer.c.attempt_id.is_(None))
    return len(connection.execute(early).all())


def _reserve(connection: Connection, due: AnyRow, agent_id: str, now: datetime, wall: datetime) -> str:
    transfer_id = new_id()
    connection.execute(
        insert(_transfer).values(
            id=transfer_id,
            callback_id=due.id,
            language=due.language,
            state=TransferState.MATCHED,
            agent_id=agent_id,
            ring=1,
            lease_until=wall + MATCH_LEASE,
            waiting_since=now,
        )
    )
    return transfer_id


# --- the worker's call ------------------------------------------------------------------------


def is_led(connection: Connection, attempt_id: str) -> bool:
    """Whether the agent who is to lead an attempt's talk is on the line."""
    ready = select(_transfer.c.id).where(
        _transfer.c.attempt_id == attempt_id, _transfer.c.state == TransferState.TALKING
    )
    return connection.execute(ready).first() is not None


def bind(connection: Connection, attempt_id: str, conversation_id: str) -> None:
    """The worker picked up: what her agent will lead is this conversation."""
    connection.execute(
        update(_transfer)
        .where(_transfer.c.attempt_id == attempt_id, _transfer.c.conversation_id.is_(None))
        .values(conversation_id=conversation_id)
    )


def of_conversation(connection: Connection, conversation_id: str) -> AnyRow | None:
    """The transfer of a conversation that an agent leads, or led; None for any other."""
    return connection.execute(
        select(_transfer).where(
            _transfer.c.conversation_id == conversation_id, _transfer.c.callback_id.is_not(None)
        )
    ).one_or_none()


def is_written_up(connection: Connection, attempt_id: str, now: datetime) -> bool:
    """Whether the talk of an attempt, whose call is over, waits for what its agent still has to enter."""
    row = connection.execute(
        select(_transfer.c.ended_at, _transfer.c.wrapped_up_at)
        .join(_conversation, _conversation.c.id == _transfer.c.conversation_id)
        .where(
            _transfer.c.attempt_id == attempt_id,
            _transfer.c.answered_at.is_not(None),
            _conversation.c.state == "open",
        )
    ).one_or_none()
    if row is None or row.wrapped_up_at is not None:
        return False
    return row.ended_at is None or bool(now - row.ended_at < TO_WRITE_UP)
