"""The jobs that RQ workers run. Each takes opaque ids only, and looks at its row again before it acts.

A job that is lost does no harm: the lease of its row runs out and the clock hands it out again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache

import structlog
from sqlalchemy import Connection, select

from bot import calls, incidents, intake, leads, leftovers, media, moving, pace, transfers, troubles, ways
from bot.callbacks import dial, settle
from bot.callbacks.dial import Order
from bot.callbacks.states import AttemptState, CallStatus, Disposition
from bot.clock import wall_time
from bot.errors import SendError, SendOutcome
from bot.incidents import IncidentKind
from bot.intake import HANG_UP
from bot.messages import Channel as Name
from bot.service import Service, open_service
from bot.settings import load
from bot.steps import INVITE, Door
from bot.storage.tables import Conversation, Message, table
from channels import custody, delivery, lost, talks
from channels.base import Carrying, Channel, Forgetting, registry
from channels.switchboard import Switchboard
from channels.voice import CallReport, Voice

log = structlog.get_logger()

_conversation = table(Conversation)
_message = table(Message)


@lru_cache(maxsize=1)
def service() -> Service:
    """The heart of this worker process, opened with its first job."""
    return open_service(load())


@lru_cache(maxsize=1)
def doors() -> dict[Name, Channel]:
    """The channels in writing of this worker process."""
    return registry(service().settings)


@lru_cache(maxsize=1)
def voice() -> Voice:
    """The telephone of this worker process."""
    return Voice(service().settings, service().catalogs)


def _each(ids: tuple[str, ...], act: Callable[[str], None]) -> None:
    """Do the same for every id; one that fails is left to its lease and does not stop the others."""
    for row_id in ids:
        try:
            act(row_id)
        except Exception as error:  # the error's text may hold what no log may; its kind is enough
            log.error("job_failed", job=act.__name__.strip("_"), id=row_id, error=type(error).__name__)


# --- calls ------------------------------------------------------------------------------------


def place(*attempt_ids: str) -> None:
    """Dial, once per attempt."""
    pace.make(service().database, pace.STARTS, wall_time())
    _each(attempt_ids, _place)


def _place(attempt_id: str) -> None:
    heart = service()
    order = _order(attempt_id)
    if order is None:
        return
    if order.channel != Name.VOICE:
        _open_text(order)
        return
    try:
        receipt = voice().call(order)
    except SendError as error:
        _not_placed(order, error)
        return
    with heart.database.write() as connection:
        dial.placed(connection, attempt_id, receipt.provider_id, heart.clock.now(), wall_time())
    log.info("call_placed", attempt=attempt_id)


def _order(attempt_id: str) -> Order | None:
    """The order of an attempt, begun at its turn; None if it must not be dialled (any more, or at this time). A turn
    that has come already costs no transaction of its own.
    """
    heart = service()
    with heart.database.write() as connection:
        start = dial.turn(connection, attempt_id, heart.settings.twilio_calls_per_second)
        if start is None:
            return None
        wait = (start - wall_time()).total_seconds()
        if wait <= 0:
            return dial.begin(connection, heart.sealer, attempt_id, heart.clock.now(), wall_time())
    time.sleep(wait)
    with heart.database.write() as connection:
        return dial.begin(connection, heart.sealer, attempt_id, heart.clock.now(), wall_time())


def _open_text(order: Order) -> None:
    """A callback in writing: nothing is dialled, the opening goes through the outbox."""
    heart = service()
    opened = intake.open_text(heart, doors()[Name(order.channel)], order.attempt_id)
    with heart.database.write() as connection:
        if opened:
            dial.opened(connection, order.attempt_id, heart.clock.now(), wall_time())
        else:
            settle.settle(connection, order.attempt_id, Disposition.BUSY, heart.clock.now())


def _not_placed(order: Order, error: SendError) -> None:
    heart = service()
    now, wall = heart.clock.now(), wall_time()
    log.warning("call_not_placed", attempt=order.attempt_id, outcome=error.outcome.value, code=error.code)
    with heart.database.write() as connection:
        troubles.note(connection, order.channel, order.country, error.code, error.action, now)
        if error.wait:
            pace.close(connection, pace.CALLS, wall + timedelta(seconds=error.wait))
        if error.outcome is SendOutcome.AMBIGUOUS:
            dial.ambiguous(connection, order.attempt_id, wall)
        elif error.outcome is SendOutcome.RETRYABLE:
            dial.put_back(connection, order.attempt_id, now)
        elif error.action == "bad_number":
            settle.settle(connection, order.attempt_id, Disposition.WRONG_NUMBER, now)
        elif error.action == "operator":
            dial.put_back(connection, order.attempt_id, now)
            incidents.report(connection, IncidentKind.PROVIDER, f"voice {error.code}", now)
        else:
            settle.settle(connection, order.attempt_id, Disposition.FAILED, now)


def look_after(*attempt_ids: str) -> None:
    """Find out what became of attempts of which nothing was heard for too long."""
    _each(attempt_ids, _look_after)


def _look_after(attempt_id: str) -> None:
    heart = service()
    with heart.database.read() as connection:
        order = dial.look_up(connection, heart.sealer, attempt_id)
    if order is None:
        return
    if order.state == AttemptState.ENDED:
        _finish(order)
        return
    if order.channel != Name.VOICE:
        _look_for_opening(order)
        return
    report = voice().call_status(order.call_id) if order.call_id else voice().find_call(order)
    now, wall = heart.clock.now(), wall_time()
    with heart.database.write() as connection:
        if report is None:
            dial.not_found(connection, order, wall, now)
            return
        if order.state == AttemptState.UNKNOWN:
            dial.placed(connection, attempt_id, report.call_id, now, wall)
        _progress(connection, attempt_id, report)


def _look_for_opening(order: Order) -> None:
    """Whoever began a callback in writing died of it: its opening is in writing or not, there is nobody to ask."""
    if order.state != AttemptState.UNKNOWN:
        return
    heart = service()
    now, wall = heart.clock.now(), wall_time()
    begun = select(_conversation.c.id).where(_conversation.c.attempt_id == order.attempt_id)
    with heart.database.write() as connection:
        if connection.execute(begun).first():
            dial.opened(connection, order.attempt_id, now, wall)
        else:
            dial.put_back(connection, order.attempt_id, now)


def _progress(connection: Connection, attempt_id: str, report: CallReport) -> None:
    if report.status.terminal:
        transfers.call_over(connection, report.call_id, service().clock.now(), wall_time())
        leftovers.note_call(connection, service().settings, report.call_id)
    settle.progress(
        connection,
        attempt_id,
        report.status,
        service().clock.now(),
        wall_time(),
        call_id=report.call_id,
        seconds=report.seconds,
        answered_by=report.answered_by,
    )


def _finish(order: Order) -> None:
    """A call is over and its last turn had time to come: the flow ends, and with it the attempt."""
    heart = service()
    with heart.database.read() as connection:
        if leads.is_written_up(connection, order.attempt_id, heart.clock.now()):
            # Its agent still enters what was said: looked at again when the lease is over.
            return
        conversation_id = connection.execute(
            select(_conversation.c.id).where(
                _conversation.c.attempt_id == order.attempt_id, _conversation.c.state == "open"
            )
        ).scalar()
    if conversation_id:
        calls.hang_up(heart, voice(), conversation_id)
    with heart.database.write() as connection:
        # Only an attempt whose call never reached the flow is still open here.
        settle.settle(connection, order.attempt_id, Disposition.NO_INPUT, heart.clock.now())


def cancel(*attempt_ids: str) -> None:
    """Take calls out of the provider's queue whose window is over."""
    _each(attempt_ids, _cancel)


def _cancel(attempt_id: str) -> None:
    heart = service()
    with heart.database.read() as connection:
        order = dial.look_up(connection, heart.sealer, attempt_id)
    if order is None or order.call_id is None:
        return
    voice().cancel(order.call_id)
    report = voice().call_status(order.call_id)
    with heart.database.write() as connection:
        if report is None or report.status is CallStatus.CANCELED:
            leftovers.note_call(connection, heart.settings, order.call_id)
            settle.settle(connection, attempt_id, Disposition.EXPIRED, heart.clock.now())
        else:
            _progress(connection, attempt_id, report)


# --- callers and agents -----------------------------------------------------------------------


def switchboard() -> Switchboard:
    """What joins callers and agents, in this worker process."""
    return Switchboard(service().settings, service().catalogs, voice())


def ring_agent(*transfer_ids: str) -> None:
    """Ring the agents who are reserved for callers."""
    for bucket in (pace.STARTS, pace.CALLS):
        pace.make(service().database, bucket, wall_time())
    _each(transfer_ids, _ring_agent)


def _ring_agent(transfer_id: str) -> None:
    talks.ring(service(), switchboard(), transfer_id)


def lead_caller(*transfer_ids: str) -> None:
    """Lead callers into their talk with an agent, or on in their flow."""
    _each(transfer_ids, _lead_caller)


def _lead_caller(transfer_id: str) -> None:
    talks.lead(service(), switchboard(), transfer_id)


def let_agent_go(*transfer_ids: str) -> None:
    """Let the telephones of agents go whose callers have left."""
    _each(transfer_ids, _let_agent_go)


def _let_agent_go(transfer_id: str) -> None:
    talks.let_go(service(), switchboard(), transfer_id)


def look_after_talk(*transfer_ids: str) -> None:
    """Ask how talks are of which nothing was heard for long."""
    _each(transfer_ids, _look_after_talk)


def _look_after_talk(transfer_id: str) -> None:
    talks.look_after(service(), voice(), transfer_id)


# --- texts and notices ------------------------------------------------------------------------


def deliver(*outbox_ids: str) -> None:
    """Send what was leased, each row once."""
    delivery.deliver(service(), _door, outbox_ids)


def inquire(*outbox_ids: str) -> None:
    """Ask the provider about texts that may have been taken; what it does not know is sent again."""
    _each(outbox_ids, _inquire)


def _inquire(outbox_id: str) -> None:
    delivery.inquire(service(), _door, outbox_id)


def _door(channel: Name) -> Channel:
    try:
        return doors()[channel]
    except KeyError:
        raise SendError(SendOutcome.PERMANENT, f"{channel.value}_off", action="operator") from None


# --- what lies with the providers -------------------------------------------------------------


def fetch(*recording_ids: str) -> None:
    """Bring recordings home, seal them, and delete them at the provider."""
    _each(recording_ids, _fetch)


def _fetch(recording_id: str) -> None:
    heart = service()
    with heart.database.read() as connection:
        item = media.recording(connection, recording_id)
    if item is not None:
        custody.bring_home(heart, voice(), item)


def collect(*media_ids: str) -> None:
    """Bring the files of messages home, seal them, and delete them at the provider."""
    _each(media_ids, _collect)


def _collect(media_id: str) -> None:
    heart = service()
    with heart.database.read() as connection:
        item = media.file(connection, heart.sealer, media_id)
    if item is None:
        return
    door = _door(item.channel)
    if isinstance(door, Carrying):
        custody.bring_home(heart, door, item)


def forget(*leftover_ids: str) -> None:
    """Delete at the providers what is done with us."""
    _each(leftover_ids, _forget)


def _forget(leftover_id: str) -> None:
    heart = service()
    with heart.database.read() as connection:
        left = leftovers.load(connection, leftover_id)
    if left is None:
        return
    door = voice() if left.channel is Name.VOICE else _door(left.channel)
    if isinstance(door, Forgetting):
        custody.forget(heart, door, left)


# --- conversations ----------------------------------------------------------------------------


def wake(*conversation_ids: str) -> None:
    """Timers fired: reminders, expiries, calls that are over."""
    _each(conversation_ids, _wake)


def _wake(conversation_id: str) -> None:
    heart = service()
    with heart.database.read() as connection:
        row = connection.execute(
            select(_conversation.c.channel, _conversation.c.timer_kind).where(
                _conversation.c.id == conversation_id
            )
        ).one_or_none()
    if row is None:
        return
    if row.timer_kind == INVITE:
        if Name.SMS in doors():
            intake.invite(heart, doors()[Name.SMS], conversation_id)
        return
    if row.timer_kind == ways.ASTRAY:
        moving.fall_back(heart, doors(), conversation_id)
        return
    if row.timer_kind == calls.WHO_LEFT:
        talks.ask_who_left(heart, switchboard(), voice(), conversation_id)
        return
    if row.timer_kind == HANG_UP:
        calls.hang_up(heart, voice(), conversation_id)
        return
    door: Door = voice() if row.channel == Name.VOICE else _door(Name(row.channel))
    intake.wake(heart, door, conversation_id)


def poll() -> None:
    """Ask the providers for messages whose webhook never reached us."""
    lost.poll(service(), doors())


def retry(*message_ids: str) -> None:
    """Try parked messages again."""
    _each(message_ids, _retry)


def _retry(message_id: str) -> None:
    heart = service()
    with heart.database.read() as connection:
        channel = connection.execute(
            select(_message.c.channel).where(_message.c.id == message_id)
        ).scalar_one_or_none()
    if channel is not None and channel != Name.VOICE:
        intake.retry_parked(heart, _door(Name(channel)), message_id)
