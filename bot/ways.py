"""By which other addresses a worker may be written to when one of hers does not take our letters.

Only by those that she gave us by her own act: she wrote from them, handed them over, or proved by a code or her
pass-word that they are hers. Never by one that only the auditor knew, never by one on the stop list, and never
by a telephone that other people share with her.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from bot.contacts import How
from bot.messages import AddressKind, Channel, DeliveryStatus
from bot.storage.tables import AddressRow, ContactAddress, Conversation, Message, Stop, table
from bot.storage.types import AnyRow, AnySelect

_address = table(AddressRow)
_link = table(ContactAddress)
_stop = table(Stop)
_message = table(Message)
_conversation = table(Conversation)

WRITTEN = {
    AddressKind.PHONE: Channel.SMS,
    AddressKind.WHATSAPP: Channel.WHATSAPP,
    AddressKind.TELEGRAM: Channel.TELEGRAM,
    AddressKind.EMAIL: Channel.EMAIL,
}
"""The channel in which an address is written to."""
ASTRAY = "astray"
"""The timer of a talk whose letter was lost for good: it goes on by another way, if there is one."""
_HER_OWN = (How.SELF, How.SHARED, How.CODE, How.PASS_WORD)
_PROVED_THERE = (How.CODE, How.PASS_WORD)


@dataclass(frozen=True, slots=True)
class Way:
    """An address and the channel in which it is written to."""

    contact_id: str
    address_id: str
    channel: Channel


def others(
    connection: Connection, conversation_id: str, channels: Collection[Channel] = tuple(Channel)
) -> list[Way]:
    """The other ways to a worker with whom a talk in writing is open: of the same kind first, then the latest.

    None where it is not known who she is: before her pass-word, or when several people use the address and none
    proved in this talk to be one of them. An address at which this talk failed already is not among them.
    """
    talk = connection.execute(
        select(_conversation.c.address_id, _conversation.c.contact_id, _address.c.kind)
        .join(_address, _address.c.id == _conversation.c.address_id)
        .where(_conversation.c.id == conversation_id)
    ).one_or_none()
    people = [] if talk is None else _people(connection, talk)
    if talk is None or not people:
        return []
    found = connection.execute(
        _her_own(people)
        .where(_address.c.id != talk.address_id, ~_failed_at(conversation_id))
        .order_by(_address.c.kind != talk.kind, _link.c.created_at.desc())
    ).all()
    ways = [Way(row.contact_id, row.id, WRITTEN[AddressKind(row.kind)]) for row in found]
    return [way for way in dict.fromkeys(ways) if way.channel in channels]


def of_contact(connection: Connection, contact_id: str) -> list[Way]:
    """The ways to write to a worker with whom no talk is open, the latest first."""
    found = connection.execute(_her_own([contact_id]).order_by(_link.c.created_at.desc())).all()
    return [Way(row.contact_id, row.id, WRITTEN[AddressKind(row.kind)]) for row in found]


def look_for(connection: Connection, message_id: str, now: datetime) -> bool:
    """A letter was lost for good: if the talk may go on by another way, that is tried next. False if there is none,
    or the letter was not the talk's present one."""
    talk = connection.execute(
        select(_conversation.c.id)
        .join(_message, _message.c.conversation_id == _conversation.c.id)
        .where(
            _message.c.id == message_id,
            _conversation.c.state == "open",
            _conversation.c.address_id == _message.c.address_id,
            _conversation.c.channel == _message.c.channel,
        )
    ).scalar_one_or_none()
    if talk is None or not others(connection, talk):
        return False
    moved = update(_conversation).where(_conversation.c.id == talk, _conversation.c.state == "open")
    return bool(connection.execute(moved.values(timer_at=now, timer_kind=ASTRAY)).rowcount)


def _people(connection: Connection, talk: AnyRow) -> list[str]:
    """The contacts that whoever writes on the talk's address surely is. An account of an app, or a mailbox, is one
    person's, whatever contacts were made on it; a telephone is one person's if it has one contact."""
    if talk.contact_id:
        return [talk.contact_id]
    rows = connection.execute(
        select(_link.c.contact_id, _link.c.how).where(_link.c.address_id == talk.address_id)
    ).all()
    if len(rows) > 1 and talk.kind == AddressKind.PHONE:
        return []
    return [row.contact_id for row in rows if row.how in _HER_OWN]


def _her_own(people: Collection[str]) -> AnySelect:
    """The addresses that some of these people gave us by their own act and that may be written to."""
    return (
        select(_link.c.contact_id, _address.c.id, _address.c.kind, _link.c.created_at)
        .join(_link, _link.c.address_id == _address.c.id)
        .where(
            _link.c.contact_id.in_(people),
            _link.c.how.in_(_HER_OWN),
            ~exists().where(_stop.c.index == _address.c.stop_index),
            _is_hers_alone(),
        )
    )


def _is_hers_alone() -> ColumnElement[bool]:
    """Whether nobody else is known to use an address, or she proved on it who she is."""
    each = _link.alias("each")
    users = select(func.count()).select_from(each).where(each.c.address_id == _address.c.id)
    return or_(
        _address.c.kind != AddressKind.PHONE,
        _link.c.how.in_(_PROVED_THERE),
        users.scalar_subquery() == 1,
    )


def _failed_at(conversation_id: str) -> ColumnElement[bool]:
    """Whether a letter of the talk to an address was lost for good."""
    return exists().where(
        _message.c.conversation_id == conversation_id,
        _message.c.address_id == _address.c.id,
        _message.c.direction == "out",
        _message.c.status.in_((DeliveryStatus.FAILED, DeliveryStatus.UNDELIVERED)),
    )
