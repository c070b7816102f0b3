"""Callers who wait for an agent, and talks between the two.

    waiting ⇄ matched → ringing → talking → returning → ended
       │                   │          └───→ parting ──────↗
       │                   └→ waiting (not taken)  or  → parting (the caller left, a telephone still rings)
       └→ returning (nobody)  or  → ended (message, gone)

- ``matched``: an agent is reserved, nothing was asked of the provider; the job may be repeated.
- ``ringing``: the provider was asked; a second job does nothing, and what is not heard of is not taken.
- ``talking``: she pressed 1. ``answered_at`` is set when the caller's call was led into the conference.
- ``returning``: the agent's part is over, the caller is to be led on in her flow.
- ``parting``: the caller is off the line, the agent's telephone is still to be let go.

A worker whom an agent calls back (:mod:`bot.leads`) has a row too, made when the agent is reserved: it begins
as ``matched``, and in ``talking`` the worker is dialled. Where a caller would wait again, it ends.

The agent's own state changes when *her* telephone does, so nobody is rung while it still rings. Each
statement that moves a row names the states that it may come from, so a late, repeated or reordered
report changes nothing. Instants are the service's time; leases are wall time. Nothing here knows a number
but :func:`begin_ring`, which opens the agent's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from bot import agents, pace
from bot.agents import AgentState
from bot.clock import wall_time
from bot.errors import NotFound
from bot.ids import new_id
from bot.messages import Address
from bot.privacy.seal import Sealer
from bot.storage.database import Database
from bot.storage.tables import Agent, Conversation, Transfer, table
from bot.storage.types import AnyRow, UTCDateTime

_transfer = table(Transfer)
_agent = table(Agent)
_conversation = table(Conversation)

MATCH_LEASE: Final = timedelta(seconds=15)
"""How long a reserved agent may wait for the job that rings her before it is handed out again."""
RING_LEASE: Final = timedelta(seconds=45)
"""A ring of which nothing was heard for so long was not taken."""
BRIDGE_LEASE: Final = timedelta(seconds=20)
"""How long leading a caller's call somewhere may take before it is tried again."""
BRIDGE_LEFT: Final = timedelta(seconds=14)
"""What must be left of that lease for a job to begin: more than asking the provider can take."""
RETURN_LEASE: Final = timedelta(seconds=15)
"""The caller's own call comes back by itself within this; after it she is fetched."""
PART_LEASE: Final = timedelta(seconds=10)
"""The agent's call ends by itself within this when a conference ends; after it she is let go."""
TALK_LEASE: Final = timedelta(minutes=2)
"""How long a talk may go without news before the provider is asked how the calls are: for so long a worker hears
nothing, if the report that her agent has hung up was lost."""
_BATCH: Final = 100


class TransferState(StrEnum):
    """Where a caller stands; see the drawing at the head of this module."""

    WAITING = "waiting"
    MATCHED = "matched"
    RINGING = "ringing"
    TALKING = "talking"
    RETURNING = "returning"
    PARTING = "parting"
    ENDED = "ended"


class TransferOutcome(StrEnum):
    """What became of the wait."""

    TALKED = "talked"
    NOBODY = "nobody"
    """Nobody was there, or took it in the time."""
    MESSAGE = "message"
    """She left the line for something else: a message, mostly."""
    GONE = "gone"
    """She hung up, or her flow ended."""


_S = TransferState
_NOBODY: Final = TransferOutcome.NOBODY
_IS_OPEN: Final[ColumnElement[bool]] = _transfer.c.state != literal_column("'ended'")
"""What the index of open transfers holds, in its own words, so that a search need not read all that ever were."""
IN_LINE: Final = (_S.WAITING, _S.MATCHED, _S.RINGING)
"""The states of a caller whom no agent has taken."""
_IN_LINE_BY: Final = (
    select(_transfer.c.conversation_id)
    .join(_conversation, _conversation.c.id == _transfer.c.conversation_id)
    .where(_conversation.c.call_id == bindparam("caller"), _transfer.c.state != _S.ENDED.value)
    .limit(1)
)
"""Made once, because every call that is over asks it."""


# --- the caller's side ------------------------------------------------------------------------


def open_line(
    connection: Connection, conversation_id: str, language: str, now: datetime, wall: datetime
) -> None:
    """A caller waits from now on for somebody who speaks ``language``; one who waits already keeps her place."""
    if _open_row(connection, conversation_id) is not None:
        return
    connection.execute(
        insert(_transfer).values(
            id=new_id(),
            conversation_id=conversation_id,
            language=language,
            state=_S.WAITING,
            ring=0,
            lease_until=wall,
            waiting_since=now,
        )
    )


def turn_away(
    connection: Connection, conversation_id: str, language: str, now: datetime, wall: datetime
) -> None:
    """A caller asked for a person and nobody was there who speaks ``language``: she waited for nobody, but counts
    among those who asked."""
    connection.execute(
        insert(_transfer).values(
            id=new_id(),
            conversation_id=conversation_id,
            language=language,
            state=_S.ENDED,
            outcome=TransferOutcome.NOBODY,
            ring=0,
            lease_until=wall,
            waiting_since=now,
            ended_at=now,
        )
    )


def leave_line(
    connection: Connection, conversation_id: str, outcome: TransferOutcome, now: datetime, wall: datetime
) -> None:
    """The caller's flow went on, or her call is over. Safe to repeat; nothing happens if she was in no line.

    ``outcome`` says why, where nothing else was decided before. A telephone that rings for her, or an agent
    who is on the line with her, is let go by the clock.
    """
    row = _open_row(connection, conversation_id)
    if row is None:
        return
    if row.state in (_S.WAITING, _S.MATCHED, _S.RETURNING):
        _end(connection, row, row.outcome or outcome, now)
    elif row.state == _S.RINGING:
        # A telephone whose call the provider has not named yet is let go as soon as it has.
        lease = wall if row.agent_call_id else row.lease_until
        _move(connection, row.id, _S.PARTING, (_S.RINGING,), outcome=outcome, lease_until=lease)
    elif row.state == _S.TALKING:
        if row.answered_at is not None and outcome is TransferOutcome.GONE:
            outcome = TransferOutcome.TALKED
        # A conference in which both were ends by itself; an agent who waits alone is let go at once.
        lease = wall if row.answered_at is None else wall + PART_LEASE
        _move(connection, row.id, _S.PARTING, (_S.TALKING,), outcome=outcome, lease_until=lease)


def call_over(connection: Connection, call_id: str, now: datetime, wall: datetime) -> None:
    """The provider says that a caller's call is over: nobody is rung for it any more."""
    conversation_id = connection.execute(_IN_LINE_BY, {"caller": call_id}).scalar_one_or_none()
    if conversation_id is not None:
        leave_line(connection, conversation_id, TransferOutcome.GONE, now, wall)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a caller in the line is told."""

    transfer_id: str
    state: TransferState
    outcome: TransferOutcome | None
    ring: int
    before: int
    """How many wait before her for the same agents."""
    is_callback: bool
    """She is called back, and the agent was there first."""


def wait_of(connection: Connection, conversation_id: str, wall: datetime) -> Wait | None:
    """Where a caller stands in the line; None if she is in none. Reads only."""
    row = _open_row(connection, conversation_id, lock=False)
    if row is None:
        return None
    before = position(connection, row, wall) if row.state in IN_LINE else 0
    outcome = TransferOutcome(row.outcome) if row.outcome else None
    called = row.callback_id is not None
    return Wait(row.id, TransferState(row.state), outcome, row.ring, before, called)


def has_talked(connection: Connection, conversation_id: str) -> bool:
    """Whether a caller was joined with an agent when she last was in the line."""
    newest = (
        select(_transfer.c.answered_at)
        .where(_transfer.c.conversation_id == conversation_id)
        .order_by(_transfer.c.id.desc())
        .limit(1)
    )
    return connection.execute(newest).scalar_one_or_none() is not None


def talk_of(connection: Connection, transfer_id: str, call_id: str) -> str | None:
    """The conversation of a caller who was joined with an agent in this transfer; None for any other call.

    The transfer is locked, before anything of an attempt is: in that order every report of a call takes them.
    """
    return connection.execute(
        select(_conversation.c.id)
        .join(_transfer, _transfer.c.conversation_id == _conversation.c.id)
        .where(
            _transfer.c.id == transfer_id,
            _transfer.c.answered_at.is_not(None),
            _conversation.c.call_id == call_id,
        )
        .with_for_update(of=_transfer)
    ).scalar_one_or_none()


def last_talk(connection: Connection, conversation_id: str) -> Legs | None:
    """The two calls of the last talk of a conversation, whatever became of it; None if nobody was joined with her."""
    newest = (
        select(_transfer.c.id)
        .where(_transfer.c.conversation_id == conversation_id, _transfer.c.answered_at.is_not(None))
        .order_by(_transfer.c.id.desc())
        .limit(1)
    )
    transfer_id = connection.execute(newest).scalar_one_or_none()
    row = _legs(connection, transfer_id) if transfer_id is not None else None
    return _legs_of(row) if row is not None else None


def position(connection: Connection, row: AnyRow, wall: datetime) -> int:
    """How many callers wait before this one among those whom the same agents could take."""
    reach = {row.language}.union(
        *(spoken for spoken in agents.languages_there(connection, wall) if row.language in spoken)
    )
    earlier = (_transfer.c.waiting_since < row.waiting_since) | (
        (_transfer.c.waiting_since == row.waiting_since) & (_transfer.c.id < row.id)
    )
    return int(
        connection.execute(
            select(func.count())
            .select_from(_transfer)
            .where(
                _IS_OPEN,
                _transfer.c.callback_id.is_(None),
                _transfer.c.state.in_(IN_LINE),
                _transfer.c.language.in_(reach),
                earlier,
            )
        ).scalar_one()
    )


def join(connection: Connection, transfer_id: str, now: datetime, wall: datetime, *, fetched: bool) -> bool:
    """The caller's call asks what to do and may be led into the conference now; whether it is.

    ``fetched`` says that she comes because we led her here. While that is under way, her own round of waiting
    is not led in as well: fetching her out of the conference again would end it.
    """
    free = or_(_transfer.c.answered_at.is_not(None), _transfer.c.lease_until <= wall)
    joined = connection.execute(
        update(_transfer)
        .where(_transfer.c.id == transfer_id, _transfer.c.state == _S.TALKING, *(() if fetched else (free,)))
        .values(
            answered_at=func.coalesce(_transfer.c.answered_at, literal(now, UTCDateTime())),
            lease_until=wall + TALK_LEASE,
        )
    )
    return joined.rowcount == 1


# --- the agent's side -------------------------------------------------------------------------


def match(database: Database, now: datetime, wall: datetime, longest: timedelta) -> list[str]:
    """Bring callers and free agents together: whoever waits longest gets the agent who is free for longest.

    Gives the transfers whose agents are to be rung. Callers who waited for ``longest``, or for whose language
    nobody is there any more, are to be led on. Any number of clocks may do this at once.
    """
    with database.read() as connection:
        if not _anything(connection, (_S.WAITING, _S.MATCHED)):
            return []
    with database.write() as connection:
        again = _rematch(connection, now, wall, longest)
        free = agents.free(connection, wall)
        there = frozenset[str]().union(*agents.languages_there(connection, wall))
        rung = []
        for row in _waiting(connection):
            taker = next((who for who, spoken in free.items() if row.language in spoken), None)
            if now - row.waiting_since >= longest or row.language not in there:
                _nobody(connection, row.id, wall)
            elif taker is not None and _reserve(connection, row.id, taker, now, wall):
                rung.append(row.id)
                del free[taker]
        return again + rung


def _waiting(connection: Connection) -> list[AnyRow]:
    return list(
        connection.execute(
            select(_transfer.c.id, _transfer.c.language, _transfer.c.waiting_since)
            .where(_IS_OPEN, _transfer.c.state == _S.WAITING)
            .order_by(_transfer.c.waiting_since, _transfer.c.id)
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
        )
    )


def _rematch(connection: Connection, now: datetime, wall: datetime, longest: timedelta) -> list[str]:
    """Reserved agents whose job was lost, or could not ring: it is handed out again, while her time lasts."""
    due = (
        select(_transfer)
        .where(_IS_OPEN, _transfer.c.state == _S.MATCHED, _transfer.c.lease_until <= wall)
        .with_for_update(skip_locked=True)
    )
    again = []
    for row in connection.execute(due).all():
        if now - row.waiting_since >= longest:
            agents.move(connection, row.agent_id, AgentState.FREE, {AgentState.RINGING}, now)
            _wait_again(connection, row, (_S.MATCHED,), now, wall)
        else:
            _move(connection, row.id, _S.MATCHED, (_S.MATCHED,), lease_until=wall + MATCH_LEASE)
            again.append(row.id)
    return again


def _nobody(connection: Connection, transfer_id: str, wall: datetime) -> None:
    _move(
        connection,
        transfer_id,
        _S.RETURNING,
        (_S.WAITING,),
        outcome=TransferOutcome.NOBODY,
        lease_until=wall + RETURN_LEASE,
    )


def _reserve(connection: Connection, transfer_id: str, agent_id: str, now: datetime, wall: datetime) -> bool:
    if not agents.move(connection, agent_id, AgentState.RINGING, {AgentState.FREE}, now):
        return False
    return _move(
        connection,
        transfer_id,
        _S.MATCHED,
        (_S.WAITING,),
        agent_id=agent_id,
        ring=_transfer.c.ring + 1,
        agent_call_id=None,
        lease_until=wall + MATCH_LEASE,
    )


@dataclass(frozen=True, slots=True)
class RingOrder:
    """What a channel needs to ring an agent."""

    transfer_id: str
    ring: int
    agent_id: str
    to: Address = field(repr=False)


def turn(
    connection: Connection, transfer_id: str, per_second: float, wall: Callable[[], datetime] = wall_time
) -> datetime | None:
    """When the agent of a transfer may be rung (wall time): calls to agents take their turn among all that the
    account starts, at the provider's pace. The buckets STARTS and CALLS of :mod:`bot.pace` must have been made.

    None: the turn comes too late to be waited for. The ring is handed out again then.
    """
    row = _row(connection, transfer_id)
    if row is None or row.state != _S.MATCHED:
        return wall()
    start, booked = pace.book(connection, pace.STARTS, per_second, pace.TURN_WITHIN, wall)
    if booked:
        # No more callbacks may be claimed than can start beside this ring: callers would wait behind them for agents.
        pace.take(connection, pace.CALLS, per_second, wall())
        return start
    _move(connection, transfer_id, _S.MATCHED, (_S.MATCHED,), row.ring, lease_until=start)
    return None


def begin_ring(connection: Connection, sealer: Sealer, transfer_id: str, wall: datetime) -> RingOrder | None:
    """Take a reserved agent to ``ringing`` and give the order, or None if she must not be rung (any more).

    After this has committed a crash leaves a ring that was not taken; it is not placed again.
    """
    row = _row(connection, transfer_id)
    if row is None or row.state != _S.MATCHED or row.agent_id is None:
        return None
    if not _move(connection, transfer_id, _S.RINGING, (_S.MATCHED,), lease_until=wall + RING_LEASE):
        return None
    return RingOrder(transfer_id, row.ring, row.agent_id, agents.phone(connection, sealer, row.agent_id))


def rung(connection: Connection, transfer_id: str, ring: int, agent_call_id: str, wall: datetime) -> None:
    """The provider took the call to the agent. If the caller left meanwhile, it is let go at once."""
    left = case(
        (_transfer.c.state == _S.PARTING, literal(wall, UTCDateTime())), else_=_transfer.c.lease_until
    )
    connection.execute(
        update(_transfer)
        .where(
            _transfer.c.id == transfer_id,
            _transfer.c.ring == ring,
            _transfer.c.state.in_((_S.RINGING, _S.PARTING)),
            _transfer.c.agent_call_id.is_(None),
        )
        .values(agent_call_id=agent_call_id, lease_until=left)
    )


def put_off(connection: Connection, transfer_id: str, ring: int, wall: datetime) -> None:
    """The provider surely did not take it and may a moment later: the same agent is tried again then."""
    _move(connection, transfer_id, _S.MATCHED, (_S.RINGING,), ring, lease_until=wall + timedelta(seconds=3))


@dataclass(frozen=True, slots=True)
class Ring:
    """What an agent's telephone is told."""

    language: str
    """The first language of the agent: the one in which the system talks to her."""
    waits: bool
    """The caller waits, and is hers to take."""
    gone: bool
    """The caller has left the line."""
    is_callback: bool
    """Nobody waits: a worker is to be called back."""
    met: bool
    """Both were joined."""


def ring_of(connection: Connection, transfer_id: str, ring: int) -> Ring:
    """How a ring stands. Reads only. Raises :class:`NotFound` for a transfer that does not exist."""
    query = select(_transfer, _agent.c.languages).outerjoin(_agent, _agent.c.staff_id == _transfer.c.agent_id)
    row = connection.execute(query.where(_transfer.c.id == transfer_id)).one_or_none()
    if row is None:
        raise NotFound(f"no transfer {transfer_id}")
    return Ring(
        language=row.languages.split()[0] if row.languages else "en",
        waits=row.ring == ring and row.state == _S.RINGING,
        gone=row.state in (_S.PARTING, _S.RETURNING, _S.ENDED),
        is_callback=row.callback_id is not None,
        met=row.answered_at is not None,
    )


def accept(
    connection: Connection, transfer_id: str, ring: int, agent_call_id: str, now: datetime, wall: datetime
) -> bool:
    """The agent pressed 1: whether the caller is hers. The same request again gets the same answer.

    The caller is fetched by the clock, or comes by herself with her next round of waiting.
    """
    row = _row(connection, transfer_id)
    if row is None or row.ring != ring:
        return False
    if row.state == _S.TALKING:
        return bool(row.agent_call_id == agent_call_id)
    taken = _move(
        connection,
        transfer_id,
        _S.TALKING,
        (_S.RINGING,),
        ring,
        agent_call_id=agent_call_id,
        lease_until=wall,
    )
    return taken and agents.move(connection, row.agent_id, AgentState.TALKING, {AgentState.RINGING}, now)


def missed(connection: Connection, transfer_id: str, ring: int, now: datetime, wall: datetime) -> None:
    """The agent did not take this ring: she is away, and the caller waits for the next one."""
    row = _row(connection, transfer_id)
    if row is None or row.ring != ring:
        return
    if row.state == _S.RINGING:
        agents.missed(connection, row.agent_id, now)
        _wait_again(connection, row, (_S.RINGING,), now, wall)
    elif row.state == _S.PARTING:
        _part(connection, row, now)


def agent_left(
    connection: Connection, transfer_id: str, ring: int, agent_call_id: str, now: datetime, wall: datetime
) -> None:
    """The agent's call is over, or it left the conference. The caller is led on; if the two never met, she
    waits for another agent, and this one counts as having missed her."""
    row = _row(connection, transfer_id)
    if row is None or row.ring != ring or row.agent_call_id not in (None, agent_call_id):
        return
    if row.state in (_S.RINGING, _S.PARTING):
        missed(connection, transfer_id, ring, now, wall)
    elif row.state == _S.TALKING and row.answered_at is None:
        agents.move(connection, row.agent_id, AgentState.RINGING, {AgentState.TALKING}, now)
        agents.missed(connection, row.agent_id, now)
        _wait_again(connection, row, (_S.TALKING,), now, wall)
    elif row.state == _S.TALKING:
        agents.move(connection, row.agent_id, AgentState.WRAP_UP, {AgentState.TALKING}, now)
        _move(
            connection,
            row.id,
            _S.RETURNING,
            (_S.TALKING,),
            outcome=TransferOutcome.TALKED,
            ended_at=now,
            lease_until=wall + RETURN_LEASE,
        )


def _wait_again(
    connection: Connection, row: AnyRow, out_of: Collection[TransferState], now: datetime, wall: datetime
) -> None:
    if row.callback_id is not None:
        # Nobody waits: the callback is due as it was before, and is given to another agent.
        _move(connection, row.id, _S.ENDED, out_of, row.ring, agent_id=None, outcome=_NOBODY, ended_at=now)
        return
    # She keeps the place that she came with.
    values: dict[str, object] = {"agent_id": None, "agent_call_id": None, "lease_until": wall}
    _move(connection, row.id, _S.WAITING, out_of, row.ring, **values)


# --- what the clock looks after ---------------------------------------------------------------


def to_lead(database: Database, wall: datetime) -> list[str]:
    """Transfers whose caller is to be led into her conference, or on in her flow."""
    with database.read() as connection:
        if not _anything(connection, (_S.TALKING, _S.RETURNING)):
            return []
    # A worker who is called back comes into the talk by her own call, once she has said that it is safe.
    unmet = (_transfer.c.state == _S.TALKING) & _transfer.c.answered_at.is_(None)
    due = (_transfer.c.state == _S.RETURNING) | (unmet & _transfer.c.callback_id.is_(None))
    return _take(database, due, wall, BRIDGE_LEASE)


def to_part(database: Database, wall: datetime) -> list[str]:
    """Transfers whose agent's telephone is to be let go, because the caller is off the line."""
    with database.read() as connection:
        if not _anything(connection, (_S.PARTING,)):
            return []
    return _take(database, _transfer.c.state == _S.PARTING, wall, PART_LEASE)


def to_look_after(database: Database, now: datetime, wall: datetime) -> list[str]:
    """Talks without news for long, of which the provider is to be asked. Rings without news are not taken."""
    with database.read() as connection:
        if not _anything(connection, (_S.RINGING, _S.TALKING)):
            return []
    with database.write() as connection:
        silent = connection.execute(
            select(_transfer.c.id, _transfer.c.ring)
            .where(_IS_OPEN, _transfer.c.state == _S.RINGING, _transfer.c.lease_until <= wall)
            .with_for_update(skip_locked=True)
        ).all()
        for row in silent:
            missed(connection, row.id, row.ring, now, wall)
    talks = (_transfer.c.state == _S.TALKING) & _transfer.c.answered_at.is_not(None)
    return _take(database, talks, wall, BRIDGE_LEASE)


def _take(database: Database, which: ColumnElement[bool], wall: datetime, lease: timedelta) -> list[str]:
    due = (
        select(_transfer.c.id)
        .where(_IS_OPEN, which, _transfer.c.lease_until <= wall)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    with database.write() as connection:
        ids = list(connection.execute(due).scalars())
        if ids:
            leased = update(_transfer).where(_transfer.c.id.in_(ids))
            connection.execute(leased.values(lease_until=wall + lease))
        return ids


@dataclass(frozen=True, slots=True)
class Legs:
    """The two calls of a transfer, for jobs that ask the provider about them or move them."""

    transfer_id: str
    conversation_id: str
    """Empty, like her call, where a worker who was called back never picked up."""
    state: TransferState
    ring: int
    turn: int
    """The turn of the caller's call that comes next."""
    caller_call_id: str
    agent_call_id: str | None


def legs_to_lead(connection: Connection, transfer_id: str, wall: datetime) -> Legs | None:
    """The legs of a transfer whose caller is to be led somewhere by this job, or None if that is done already,
    or too little is left of the lease to be sure that nobody else does it."""
    row = _legs(connection, transfer_id)
    if row is None or row.lease_until < wall + BRIDGE_LEFT:
        return None
    wanted = row.state == _S.RETURNING or (row.state == _S.TALKING and row.answered_at is None)
    return _legs_of(row) if wanted else None


def legs(connection: Connection, transfer_id: str, state: TransferState) -> Legs | None:
    """The legs of a transfer that is still in ``state``, or None."""
    row = _legs(connection, transfer_id)
    return _legs_of(row) if row is not None and row.state == state else None


def dismiss(connection: Connection, transfer_id: str, wall: datetime) -> None:
    """The agent's part is over, because a worker whom she calls back cannot be reached, or she ended the talk
    herself: her telephone is let go at once, and with it the conference ends. Safe to repeat."""
    outcome = case((_transfer.c.answered_at.is_not(None), TransferOutcome.TALKED.value), else_=_NOBODY.value)
    _move(connection, transfer_id, _S.PARTING, (_S.TALKING,), outcome=outcome, lease_until=wall)


def parted(connection: Connection, transfer_id: str, now: datetime) -> None:
    """The agent's telephone was let go after her caller had left."""
    row = _row(connection, transfer_id)
    if row is not None and row.state == _S.PARTING:
        _part(connection, row, now)


def keep_talking(connection: Connection, transfer_id: str, wall: datetime) -> None:
    """Both calls of a talk are alive: look again later."""
    _move(connection, transfer_id, _S.TALKING, (_S.TALKING,), lease_until=wall + TALK_LEASE)


# --- what people see --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """A caller in the line, for supervisors: nothing of who she is."""

    language: str
    state: TransferState
    since: datetime
    is_callback: bool = False
    """She did not call: an agent calls her back."""


def line(connection: Connection) -> tuple[Waiting, ...]:
    """Who waits or talks, whoever came first first. A worker who is called back waits for nobody."""
    waits = _transfer.c.state.in_(IN_LINE) & _transfer.c.callback_id.is_(None)
    rows = connection.execute(
        select(_transfer)
        .where(_IS_OPEN, waits | (_transfer.c.state == _S.TALKING))
        .order_by(_transfer.c.waiting_since, _transfer.c.id)
    )
    return tuple(
        Waiting(row.language, TransferState(row.state), row.waiting_since, row.callback_id is not None)
        for row in rows
    )


# --- inside -----------------------------------------------------------------------------------


def _anything(connection: Connection, states: Collection[TransferState]) -> bool:
    query = select(_transfer.c.id).where(_IS_OPEN, _transfer.c.state.in_(states))
    return connection.execute(query.limit(1)).first() is not None


def _row(connection: Connection, transfer_id: str) -> AnyRow | None:
    # The row is locked where the database can do that, so that what is decided from it is still true when
    # it is written. SQLite has one writer at a time anyway.
    query = select(_transfer).where(_transfer.c.id == transfer_id)
    return connection.execute(query.with_for_update()).one_or_none()


def _open_row(connection: Connection, conversation_id: str, *, lock: bool = True) -> AnyRow | None:
    query = select(_transfer).where(
        _transfer.c.conversation_id == conversation_id, _transfer.c.state != _S.ENDED
    )
    query = query.with_for_update() if lock else query
    return connection.execute(query.order_by(_transfer.c.id.desc()).limit(1)).one_or_none()


def _legs(connection: Connection, transfer_id: str) -> AnyRow | None:
    return connection.execute(
        select(_transfer, _conversation.c.call_id, _conversation.c.turn)
        .outerjoin(_conversation, _conversation.c.id == _transfer.c.conversation_id)
        .where(_transfer.c.id == transfer_id)
    ).one_or_none()


def _legs_of(row: AnyRow) -> Legs:
    return Legs(
        transfer_id=row.id,
        conversation_id=row.conversation_id or "",
        state=TransferState(row.state),
        ring=row.ring,
        turn=(row.turn or 0) + 1,
        caller_call_id=row.call_id or "",
        agent_call_id=row.agent_call_id,
    )


def _part(connection: Connection, row: AnyRow, now: datetime) -> None:
    """The agent's telephone is free again, after her caller was off the line before."""
    talker = row.agent_id if row.answered_at is not None else None
    if talker is not None:
        agents.move(connection, talker, AgentState.WRAP_UP, {AgentState.TALKING}, now)
    else:
        reserved = {AgentState.RINGING, AgentState.TALKING}
        agents.move(connection, row.agent_id, AgentState.FREE, reserved, now)
    _move(connection, row.id, _S.ENDED, (_S.PARTING,), agent_id=talker, ended_at=row.ended_at or now)


def _end(connection: Connection, row: AnyRow, outcome: str, now: datetime) -> None:
    """The caller is off the line, and no telephone of an agent has anything to do with her any more."""
    talker = row.agent_id
    if row.state == _S.MATCHED:
        agents.move(connection, talker, AgentState.FREE, {AgentState.RINGING}, now)
        talker = None
    ended_at = row.ended_at or now
    _move(connection, row.id, _S.ENDED, (row.state,), agent_id=talker, outcome=outcome, ended_at=ended_at)


def _move(
    connection: Connection,
    transfer_id: str,
    to: TransferState,
    out_of: Collection[str],
    nth: int | None = None,
    **values: object,
) -> bool:
    """Move a transfer out of one of the states ``out_of``, and only in its ``nth`` ring if one is named."""
    statement = update(_transfer).where(_transfer.c.id == transfer_id, _transfer.c.state.in_(out_of))
    if nth is not None:
        statement = statement.where(_transfer.c.ring == nth)
    return connection.execute(statement.values(state=to, **values)).rowcount == 1
