"""What jobs do for callers and agents: ring, lead a caller into a talk or on, let an agent's telephone go.

Each looks at its row first and acts only if that still asks for it; what fails is found again by the
clock when its lease is over.
"""

from __future__ import annotations

import time

import structlog

from bot import calls, incidents, transfers
from bot.clock import wall_time
from bot.errors import SendError, SendOutcome
from bot.incidents import IncidentKind
from bot.service import Service
from bot.transfers import Legs, RingOrder, TransferState
from channels.switchboard import Switchboard
from channels.voice import Voice

log = structlog.get_logger()


def ring(heart: Service, board: Switchboard, transfer_id: str) -> None:
    """Ring the agent who is reserved for a caller, once, in the turn that the provider's pace gives it."""
    with heart.database.write() as connection:
        start = transfers.turn(connection, transfer_id, heart.settings.twilio_calls_per_second)
    if start is None:
        return
    time.sleep(max(0.0, (start - wall_time()).total_seconds()))
    with heart.database.write() as connection:
        order = transfers.begin_ring(connection, heart.sealer, transfer_id, wall_time())
    if order is None:
        return
    try:
        receipt = board.ring(order)
    except SendError as error:
        _not_rung(heart, order, error)
        return
    with heart.database.write() as connection:
        transfers.rung(connection, transfer_id, order.ring, receipt.provider_id, wall_time())
    log.info("agent_rung", transfer=transfer_id)


def _not_rung(heart: Service, order: RingOrder, error: SendError) -> None:
    now, wall = heart.clock.now(), wall_time()
    log.warning("agent_not_rung", transfer=order.transfer_id, outcome=error.outcome.value, code=error.code)
    with heart.database.write() as connection:
        if error.outcome is SendOutcome.RETRYABLE:
            transfers.put_off(connection, order.transfer_id, order.ring, wall)
        elif error.outcome is SendOutcome.PERMANENT:
            # Her telephone cannot be rung as it stands: she is away until somebody has looked at it.
            transfers.missed(connection, order.transfer_id, order.ring, now, wall)
            incidents.report(connection, IncidentKind.PROVIDER, f"agent {error.code}", now)
        # An ambiguous one may ring: if nothing is heard of it, its lease says that it was missed.


def lead(heart: Service, board: Switchboard, transfer_id: str) -> None:
    """Lead a caller into the conference where her agent is, or on in her flow when that is over."""
    with heart.database.read() as connection:
        legs = transfers.legs_to_lead(connection, transfer_id, wall_time())
    if legs is not None and not board.lead(legs):
        _caller_is_over(heart, legs)


def let_go(heart: Service, board: Switchboard, transfer_id: str) -> None:
    """Let the telephone of an agent go whose caller has left."""
    with heart.database.read() as connection:
        legs = transfers.legs(connection, transfer_id, TransferState.PARTING)
    if legs is None:
        return
    board.let_go(legs)
    with heart.database.write() as connection:
        transfers.parted(connection, transfer_id, heart.clock.now())


def look_after(heart: Service, voice: Voice, transfer_id: str) -> None:
    """Ask how the two calls of a talk are of which nothing was heard for long."""
    with heart.database.read() as connection:
        legs = transfers.legs(connection, transfer_id, TransferState.TALKING)
    if legs is None or legs.agent_call_id is None:
        return
    if _is_over(voice, legs.caller_call_id):
        _caller_is_over(heart, legs)
        return
    over = _is_over(voice, legs.agent_call_id)
    now, wall = heart.clock.now(), wall_time()
    with heart.database.write() as connection:
        if over:
            transfers.agent_left(connection, transfer_id, legs.ring, legs.agent_call_id, now, wall)
        else:
            transfers.keep_talking(connection, transfer_id, wall)


def ask_who_left(heart: Service, board: Switchboard, voice: Voice, conversation_id: str) -> None:
    """A worker's call came out of a talk with an agent and went on: was it she who left, by the sign of danger? The
    provider may have told us so already; what it told may be lost."""
    with heart.database.read() as connection:
        talk = transfers.last_talk(connection, conversation_id)
    if talk is None:
        # Nothing is kept of it any more: it was long ago.
        calls.know_who_left(heart, conversation_id, is_over=True)
        return
    by_her = board.is_left_by(talk.transfer_id, talk.ring, talk.caller_call_id)
    if by_her is None:
        # Asked again when the lease of the timer is over.
        return
    if by_her:
        calls.danger_in_talk(heart, voice, talk.transfer_id, talk.caller_call_id)
        return
    calls.know_who_left(heart, conversation_id, is_over=_is_over(voice, talk.caller_call_id))


def _is_over(voice: Voice, call_id: str) -> bool:
    report = voice.call_status(call_id)
    return report is None or report.status.terminal


def _caller_is_over(heart: Service, legs: Legs) -> None:
    """The report that her call ended got lost: the line and the flow learn it now."""
    calls.over(heart, legs.caller_call_id)
