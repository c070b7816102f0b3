"""A talk in writing that is in a person's hands: the flow is silent, staff answer, the worker's words reach them.

A conversation comes here when the worker asks for a person, or when a supervisor answers its case. It
stays for a week after the last word of either side; then it is over, and a new message begins anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, insert, select, update

from bot import contacts, outbox
from bot.cases import opening
from bot.contacts import StopReason
from bot.errors import ConflictError, InputError
from bot.flow import phrases
from bot.messages import Channel, Inbound, Text
from bot.privacy.seal import Sealer
from bot.service import Service
from bot.storage.tables import AddressRow, Conversation, Message, Outbox, Stop, table
from bot.storage.types import AnyRow
from bot.transcript import Thread, heard_row, keep_parts, message_row

_address = table(AddressRow)
_conversation = table(Conversation)
_message = table(Message)
_outbox = table(Outbox)
_stop = table(Stop)

HUMAN = "human"
"""The state of such a conversation."""
RELEASE = "release"
"""The timer at which it is over."""
STAYS = timedelta(days=7)
LONGEST_ANSWER = 1000


def take(
    connection: Connection,
    service: Service,
    row: AnyRow,
    inbound: Inbound,
    now: datetime,
    *,
    erases: bool = False,
) -> None:
    """A message of the worker: kept, and told to staff. Only stop, its taking back and the quick exit are
    obeyed at once. ``erases``: what we sent can be taken off the worker's screen."""
    thread = Thread(row.conversation_id, row.address_id, row.channel)
    message = heard_row(service.sealer, thread, inbound, now)
    was_answered = _last_direction(connection, row.conversation_id) == "out"
    connection.execute(insert(_message).values(**message))
    keep_parts(connection, service.sealer, message["id"], inbound, now)
    state = HUMAN
    letters: list[tuple[dict[str, object], str | None]] = []
    command = _command(service, row, inbound)
    if command == "stop":
        contacts.stop(connection, row.address_id, row.contact_id, StopReason.WORKER, now)
        words = service.catalogs.tongue(row.language).text(phrases.STOPPED)
        letters.append((_row(service.sealer, row, "out", words, now), outbox.STOP_CONFIRMATION))
        state = "ended"
    elif command == "start" and _is_stopped(connection, row.address_id):
        contacts.lift_stop(connection, row.address_id)
        words = service.catalogs.tongue(row.language).text(phrases.STARTED)
        letters.append((_row(service.sealer, row, "out", words, now), None))
    elif command == "hide":
        if erases:
            taking_back = outbox.take_back(connection, row.address_id, row.channel, now)
            connection.execute(insert(_outbox).values(**taking_back))
        words = service.catalogs.tongue(row.language).text(phrases.HIDDEN)
        letters.append((_row(service.sealer, row, "out", words, now), None))
    elif was_answered:
        outbox.notify(connection, "worker_wrote", now)
    opening.remark(connection, row.conversation_id, "worker_wrote", now)
    _move(connection, row.conversation_id, row.version, state, now, heard=True)
    _send(connection, letters, now)


def answer(connection: Connection, sealer: Sealer, conversation_id: str, text: str, now: datetime) -> None:
    """Write to the worker in the thread in which they wrote to us.

    Raises :class:`InputError` when there is nothing to say, when they called by telephone, said stop, or
    are in another talk with us at this moment.
    """
    words = text.strip()
    if not words or len(words) > LONGEST_ANSWER:
        raise InputError(f"an answer has 1 to {LONGEST_ANSWER} characters", code="answer_length")
    row = connection.execute(
        select(
            _conversation.c.id.label("conversation_id"),
            _conversation.c.address_id,
            _conversation.c.channel,
            _conversation.c.version,
            exists().where(_stop.c.index == _address.c.stop_index).label("stopped"),
        )
        .join(_address, _address.c.id == _conversation.c.address_id)
        .where(_conversation.c.id == conversation_id)
    ).one_or_none()
    if row is None or row.channel == Channel.VOICE:
        raise InputError("this worker called by telephone and can only be called back", code="by_telephone")
    if row.stopped:
        raise InputError("this worker said stop: nobody may write to them", code="stopped")
    # A thread of mail is told by its token, so another one with the same person is in nobody's way.
    if row.channel != Channel.EMAIL and is_busy(connection, row.address_id, row.channel, conversation_id):
        raise InputError("this worker is in another talk with us right now; try again later", code="busy")
    _move(connection, conversation_id, row.version, HUMAN, now)
    _send(connection, [(_row(sealer, row, "out", words, now), None)], now)


def is_busy(connection: Connection, address_id: str, channel: str, but: str = "") -> bool:
    """Whether a talk in writing is under way on an address, other than the conversation ``but``."""
    found = select(_conversation.c.id).where(
        _conversation.c.address_id == address_id,
        _conversation.c.channel == channel,
        _conversation.c.state.in_(("open", HUMAN)),
        _conversation.c.call_id.is_(None),
        _conversation.c.id != but,
    )
    return connection.execute(found.limit(1)).first() is not None


def can_answer(channel: str, stopped: bool) -> bool:
    """Whether a case page may offer to write to the worker."""
    return channel != Channel.VOICE and not stopped


def release(connection: Connection, conversation_id: str, now: datetime) -> None:
    """Nobody wrote for a week: the conversation is over."""
    connection.execute(
        update(_conversation)
        .where(_conversation.c.id == conversation_id, _conversation.c.state == HUMAN)
        .values(state="ended", timer_at=None, timer_kind=None, updated_at=now)
    )


def _command(service: Service, row: AnyRow, inbound: Inbound) -> str | None:
    if not isinstance(inbound.input, Text):
        return None
    tongue = service.catalogs.tongue(row.language)
    return service.library.words.command(inbound.input.text, tongue, service.catalogs)


def _is_stopped(connection: Connection, address_id: str) -> bool:
    stopped = select(_stop.c.index).join(_address, _address.c.stop_index == _stop.c.index)
    return connection.execute(stopped.where(_address.c.id == address_id)).first() is not None


def _last_direction(connection: Connection, conversation_id: str) -> str | None:
    newest = (
        select(_message.c.direction)
        .where(_message.c.conversation_id == conversation_id)
        .order_by(_message.c.id.desc())
        .limit(1)
    )
    return connection.execute(newest).scalar_one_or_none()


def _row(sealer: Sealer, row: AnyRow, direction: str, body: str, now: datetime) -> dict[str, object]:
    thread = Thread(row.conversation_id, row.address_id, row.channel)
    return message_row(sealer, thread, direction, body, now)


def _move(
    connection: Connection, conversation_id: str, version: int, state: str, now: datetime, heard: bool = False
) -> None:
    values: dict[str, object] = {
        "state": state,
        "version": version + 1,
        "timer_at": now + STAYS if state == HUMAN else None,
        "timer_kind": RELEASE if state == HUMAN else None,
        "updated_at": now,
    }
    if heard:
        values["heard_at"] = now
    moved = connection.execute(
        update(_conversation)
        .where(_conversation.c.id == conversation_id, _conversation.c.version == version)
        .values(**values)
    )
    if not moved.rowcount:
        raise ConflictError("the conversation was moved on by another writer")


def _send(connection: Connection, letters: list[tuple[dict[str, object], str | None]], now: datetime) -> None:
    for message, template in letters:
        connection.execute(insert(_message).values(**message))
        queued = outbox.queue_row(
            str(message["id"]), str(message["address_id"]), str(message["channel"]), now, template=template
        )
        connection.execute(insert(_outbox).values(**queued))
