"""A missed call: a worker lets one of our numbers ring, is refused and so pays nothing, and is called back.

The call becomes a callback that is due at once. If a call to that telephone is planned anyway, it is
brought forward: the worker has just shown when she has the telephone in her hand. Nobody proved who
called, so what is said in it is as neutral as in any other callback.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, exists, func, insert, select, update

from bot import contacts, transcript
from bot.callbacks.claim import begun
from bot.callbacks.states import CallbackState
from bot.contacts import How, Known
from bot.ids import new_id
from bot.messages import Address, Channel, Inbound
from bot.safety import MISSED
from bot.service import Service
from bot.steps import retrying
from bot.storage.tables import Callback, Message, table
from bot.transcript import Thread

_callback = table(Callback)
_message = table(Message)

MOST_A_DAY: Final = 5
"""After so many calls of one telephone within 24 hours no further one is called back."""
PATIENCE: Final = timedelta(seconds=5)
"""A telephone that still plays the busy tone could not be reached."""
WINDOW: Final = timedelta(minutes=30)
"""How long after her call the worker is taken to have the telephone at hand."""


def is_meant(service: Service, inbound: Inbound) -> bool:
    """Whether a call is to be refused and called back. A withheld number cannot be, so its call is answered."""
    return inbound.sender is not None and inbound.line in service.settings.twilio_missed_call


def take(service: Service, inbound: Inbound) -> None:
    """Keep a missed call and plan its callback, in one transaction. The same call again changes nothing.

    A telephone on the stop list is not called, and of its call nothing is kept.
    """
    retrying(lambda: _take(service, inbound))


def _take(service: Service, inbound: Inbound) -> None:
    now, caller = service.clock.now(), inbound.sender
    if caller is None:
        return
    with service.database.write() as connection:
        if transcript.is_duplicate(connection, inbound):
            return
        if contacts.is_stopped(connection, service.sealer, caller):
            return
        known = contacts.remember(connection, service.sealer, caller, now, inbound.country)
        many = _calls_today(connection, known.id, now) >= MOST_A_DAY
        thread = Thread(None, known.id, Channel.VOICE)
        connection.execute(insert(_message), [transcript.heard_row(service.sealer, thread, inbound, now)])
        if (
            not many
            and not _is_under_way(connection, known.id)
            and not _bring_forward(connection, known.id, now)
        ):
            _promise(connection, known, caller, now)


def _calls_today(connection: Connection, address_id: str, now: datetime) -> int:
    """Missed calls are the only messages by telephone that belong to no conversation."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(_message)
            .where(
                _message.c.conversation_id.is_(None),
                _message.c.address_id == address_id,
                _message.c.channel == Channel.VOICE,
                _message.c.created_at > now - timedelta(days=1),
            )
        ).scalar_one()
    )


def _is_under_way(connection: Connection, address_id: str) -> bool:
    dialling = (_callback.c.address_id == address_id, _callback.c.state == CallbackState.DIALLING)
    return bool(connection.execute(select(exists().where(*dialling))).scalar_one())


def _bring_forward(connection: Connection, address_id: str, now: datetime) -> bool:
    """The call that is planned for this telephone next takes place now; whether there is one."""
    planned = (
        select(_callback.c.id)
        .where(
            _callback.c.address_id == address_id,
            _callback.c.state == CallbackState.SCHEDULED,
            _callback.c.channel == Channel.VOICE,
            begun(now),
        )
        .order_by(_callback.c.due_at)
        .limit(1)
        .with_for_update()
    )
    found = connection.execute(planned).scalar_one_or_none()
    if found is None:
        return False
    moved = connection.execute(
        update(_callback)
        .where(_callback.c.id == found, _callback.c.state == CallbackState.SCHEDULED)
        .values(due_at=now + PATIENCE, window_end=now + WINDOW, updated_at=now)
    )
    return moved.rowcount == 1


def _promise(connection: Connection, known: Known, caller: Address, now: datetime) -> None:
    zone = contacts.timezone_of(caller) or "UTC"
    today = now.astimezone(ZoneInfo(zone)).date()
    connection.execute(
        insert(_callback).values(
            id=new_id(),
            contact_id=_contact_of(connection, known, now),
            address_id=known.id,
            kind=MISSED,
            round=1,
            channel=Channel.VOICE,
            language=known.language or "en",
            timezone=zone,
            country=known.country or "",
            # She is called now or, if that fails, as the plan allows within this day; tomorrow she may call again.
            preference="",
            first_day=today,
            last_day=today,
            state=CallbackState.SCHEDULED,
            due_at=now + PATIENCE,
            window_end=now + WINDOW,
            attempts=0,
            created_at=now,
            updated_at=now,
        )
    )


def _contact_of(connection: Connection, known: Known, now: datetime) -> str:
    """Whoever was called back on this telephone before, else a new contact: nobody proved who it is."""
    earlier = (
        select(_callback.c.contact_id)
        .where(_callback.c.address_id == known.id, _callback.c.kind == MISSED)
        .limit(1)
    )
    contact_id = connection.execute(earlier).scalar_one_or_none()
    return contact_id or contacts.new_contact(
        connection, known.id, now, how=How.SELF, language=known.language
    )
