"""A caller in the line for an agent: what she hears, how she comes into the talk, and how her flow goes on.

A round of waiting writes nothing, because there may be many of them. What a channel says became of the wait
is believed only where the transfer's own row says so too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from bot import agents, leads, steps, transcript, transfers
from bot.clock import wall_time
from bot.errors import NotFound
from bot.flow import phrases
from bot.flow.context import Context, Sprint
from bot.flow.events import Answered
from bot.flow.model import Kind
from bot.flow.session import Session
from bot.messages import Channel, Expects, Input, Prompt, Transferred
from bot.service import Service
from bot.steps import Door
from bot.storage.types import AnyRow
from bot.transfers import TransferOutcome, TransferState, Wait


@dataclass(frozen=True, slots=True)
class Hold:
    """Go on waiting: what is said in this round. A key answers turn ``turn``."""

    prompt: Prompt
    turn: int


@dataclass(frozen=True, slots=True)
class Room:
    """An agent took the call: into the conference of this transfer and ring. Coming out of it answers turn
    ``turn``."""

    transfer_id: str
    ring: int
    turn: int


@dataclass(frozen=True, slots=True)
class Onward:
    """The wait is over: turn ``turn`` tells the flow so."""

    told: Transferred
    turn: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """She is not in the line any more: the document that her call got last."""

    document: str


Look = Hold | Room | Onward | Elsewhere


def room_name(transfer_id: str, ring: int) -> str:
    """The name of a conference: each ring has its own, so an agent of an earlier one is in nobody's way."""
    return f"{transfer_id}-{ring}"


def look(service: Service, call_id: str, conversation_id: str, *, fetched: bool) -> Look:
    """What a caller's call does next. ``fetched`` says that we led it here. Raises :class:`NotFound` for a
    conversation of another call."""
    now, wall = service.clock.now(), wall_time()
    with service.database.read() as connection:
        row = steps.load(connection, conversation_id)
        if row is None or row.call_id != call_id:
            raise NotFound("a wait of a call that is not known")
        wait = transfers.wait_of(connection, conversation_id, wall) if row.state == "open" else None
        if wait is None:
            return _elsewhere(connection, service, row)
    if wait.state is TransferState.RETURNING:
        talked = wait.outcome is TransferOutcome.TALKED
        return Onward(Transferred.TALKED if talked else Transferred.NOBODY, row.turn + 1)
    if wait.state is TransferState.TALKING:
        with service.database.write() as connection:
            # A worker who is called back comes by her own call, and nobody fetches her meanwhile.
            fetched = fetched or wait.is_callback
            if transfers.join(connection, wait.transfer_id, now, wall, fetched=fetched):
                return Room(wait.transfer_id, wait.ring, row.turn + 1)
    return Hold(_said(service, row.language, wait), row.turn + 1)


def _said(service: Service, language: str, wait: Wait) -> Prompt:
    if wait.state not in transfers.IN_LINE:
        # An agent is on the line and she is fetched at this moment: no more talking.
        return Prompt((), language, Expects.PERSON)
    tongue = service.catalogs.tongue(language)
    texts = (phrases.position(wait.before + 1), phrases.LEAVE_MESSAGE)
    return Prompt(tuple(tongue.text(text) for text in texts), language, Expects.PERSON)


def _elsewhere(connection: Connection, service: Service, row: AnyRow) -> Look:
    if row.state == "open" and is_in_line(service, steps.open_session(service, row, None)[1]):
        # The flow waits for a person and nobody is looked for: she must not wait for ever.
        return Onward(Transferred.NOBODY, row.turn + 1)
    if leads.of_conversation(connection, row.conversation_id) is not None:
        # The agent who led the call has gone, or ended it: the next turn says so.
        talked = transfers.has_talked(connection, row.conversation_id)
        return Onward(Transferred.TALKED if talked else Transferred.NOBODY, row.turn + 1)
    document = transcript.document(connection, service.sealer, Channel.VOICE, f"{row.call_id}:{row.turn}")
    return Elsewhere(document or "")


def is_in_line(service: Service, session: Session) -> bool:
    """Whether a session waits for a person."""
    if session.ended or session.mode or not session.step:
        return False
    ask = service.library.get(session.flow, session.revision).steps[session.step].ask
    return ask is not None and ask.kind is Kind.PERSON


def context(
    connection: Connection,
    service: Service,
    door: Door,
    now: datetime,
    check: Callable[[str], bool] | None = None,
) -> Context:
    """The world around a turn of a call: on the telephone a person may be there."""
    return replace(
        steps.context(service, door, now, check),
        person_there=lambda language: agents.is_there(connection, language, wall_time()),
    )


def confirmed(connection: Connection, conversation_id: str, given: Input) -> Input:
    """What a channel says became of the wait, as far as it is so: who never met an agent has met nobody."""
    if given is Transferred.TALKED and not transfers.has_talked(connection, conversation_id):
        return Transferred.NOBODY
    return given


def follow(
    connection: Connection,
    service: Service,
    before: Session | None,
    sprint: Sprint,
    given: Input | None,
    conversation_id: str,
) -> None:
    """What a turn means for the line, in the turn's own transaction: she comes into it, stays, or leaves it.

    ``before`` is the session that the turn found, None for the first one.
    """
    now, wall = service.clock.now(), wall_time()
    if not sprint.ended and sprint.prompt.expects is Expects.PERSON:
        transfers.open_line(connection, conversation_id, sprint.session.language, now, wall)
    elif before is not None and is_in_line(service, before):
        transfers.leave_line(connection, conversation_id, _outcome(given, sprint), now, wall)
    elif _asked_in_vain(sprint):
        transfers.turn_away(connection, conversation_id, sprint.session.language, now, wall)


def _asked_in_vain(sprint: Sprint) -> bool:
    """Whether a turn came to a step that asks for a person, and nobody was there."""
    answers = [event for event in sprint.events if isinstance(event, Answered)]
    return any(answer.kind == Kind.PERSON and answer.code == Transferred.NOBODY for answer in answers)


def _outcome(given: Input | None, sprint: Sprint) -> TransferOutcome:
    if isinstance(given, Transferred):
        return TransferOutcome(given.value)
    return TransferOutcome.GONE if sprint.ended else TransferOutcome.MESSAGE
