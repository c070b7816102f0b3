"""What a claimed outbox row holds, opened for the one job that sends it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, literal_column, select, update

from bot import links, pace
from bot.callbacks import reminders
from bot.clock import wall_time
from bot.messages import Address, Option, Outbound
from bot.messages import Channel as ChannelName
from bot.outbox import BEFORE_CALL, CLOSED, ERASURE, LEASE, LINK, NOTICE, STOP_CONFIRMATION
from bot.privacy.keys import Purpose
from bot.privacy.seal import Sealer
from bot.receipts import REPLY
from bot.storage.tables import AddressRow, Conversation, Message, Outbox, Staff, Stop, table
from bot.storage.types import AnyRow, AnySelect

_outbox = table(Outbox)
_message = table(Message)
_address = table(AddressRow)
_conversation = table(Conversation)
_stop = table(Stop)
_staff = table(Staff)

ERASED_WITHIN = timedelta(hours=48)
"""No provider that we know takes back what is older (Telegram: 48 hours)."""
MOST_ERASED = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """One thing to be sent by a channel: a message to a worker."""

    outbox_id: str
    channel: ChannelName
    outbound: Outbound
    country: str | None
    tries: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """What we sent to an address lately, to be taken off the worker's screen: our ids, and the provider's."""

    outbox_id: str
    channel: ChannelName
    to: Address
    message_ids: tuple[str, ...]
    provider_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification to a member of staff. ``template`` names its words, which tell nothing."""

    outbox_id: str
    template: str
    email: str = field(repr=False)


Item = Letter | Erasure | Notice


def emails_of(connection: Connection, sealer: Sealer, role: str) -> list[str]:
    """The addresses of everybody active in a role: for a notice that cannot wait in the outbox."""
    rows = connection.execute(
        select(_staff.c.id, _staff.c.email_sealed).where(
            _staff.c.active, _staff.c.roles.contains(role), _staff.c.email_sealed.is_not(None)
        )
    )
    return [sealer.open_text(f"staff.email_sealed:{row.id}", row.email_sealed, Purpose.STAFF) for row in rows]


_LOAD: Final[AnySelect] = (
    select(
        _outbox.c.id,
        _outbox.c.kind,
        _outbox.c.template,
        _outbox.c.channel,
        _outbox.c.tries,
        _outbox.c.due_at,
        _outbox.c.message_id,
        _message.c.conversation_id,
        _message.c.body_sealed,
        _message.c.options_sealed,
        _conversation.c.language,
        _conversation.c.heard_at,
        _conversation.c.line,
        _address.c.id.label("address_id"),
        _address.c.kind.label("address_kind"),
        _address.c.sealed,
        _address.c.country,
        _staff.c.id.label("staff_id"),
        _staff.c.email_sealed,
        _stop.c.index.label("stopped"),
    )
    .outerjoin(_message, _message.c.id == _outbox.c.message_id)
    .outerjoin(_conversation, _conversation.c.id == _message.c.conversation_id)
    .outerjoin(_address, _address.c.id == _outbox.c.address_id)
    .outerjoin(_staff, _staff.c.id == _outbox.c.staff_id)
    .outerjoin(_stop, _stop.c.index == _address.c.stop_index)
    .where(_outbox.c.id.in_(bindparam("ids", expanding=True)))
)
_LEASED: Final = (
    _outbox.c.id.in_(bindparam("ids", expanding=True)),
    _outbox.c.state == literal_column("'leased'"),
)
_TAKE: Final = (
    update(_outbox)
    .where(*_LEASED)
    .values(state="sending", tries=_outbox.c.tries + 1, lease_until=bindparam("until"))
    .returning(_outbox.c.id)
)


def begin(
    connection: Connection, sealer: Sealer, outbox_ids: Sequence[str], now: datetime, wall: datetime
) -> list[Item]:
    """Move leased rows to ``sending`` and give what to send, in the order of the rows' ids.

    What must not be sent (any more) is left out; what goes to a provider that is being left alone is queued again.
    """
    ids = {"ids": list(outbox_ids)}
    left_alone = (_outbox.c.channel.in_(pace.closed(wall)), _outbox.c.kind != literal_column("'notice'"))
    connection.execute(update(_outbox).where(*_LEASED, *left_alone).values(state="queued"), ids)
    taken = connection.execute(_TAKE, ids | {"until": wall + LEASE}).scalars().all()
    if not taken:
        return []
    rows = sorted(connection.execute(_LOAD, {"ids": list(taken)}), key=lambda row: str(row.id))
    items = (_open(connection, sealer, row, now) for row in rows)
    return [item for item in items if item is not None]


def in_doubt(
    connection: Connection, sealer: Sealer, outbox_id: str, now: datetime, wall: datetime
) -> Item | None:
    """What an unknown row was to send, in order to ask the provider about it; None if it is being left alone."""
    doubtful = select(_outbox.c.id).where(
        _outbox.c.id == outbox_id, _outbox.c.state == "unknown", _outbox.c.channel.not_in(pace.closed(wall))
    )
    if connection.execute(doubtful).first() is None:
        return None
    return _open(connection, sealer, connection.execute(_LOAD, {"ids": [outbox_id]}).one(), now)


def _open(connection: Connection, sealer: Sealer, row: AnyRow, now: datetime) -> Item | None:
    outbox_id = str(row.id)
    if row.kind == "notice":
        if row.email_sealed is None:
            _cancel(connection, outbox_id)
            return None
        email = sealer.open_text(f"staff.email_sealed:{row.staff_id}", row.email_sealed, Purpose.STAFF)
        return Notice(outbox_id, row.template, email)
    if row.kind == ERASURE:
        return _erasure(connection, sealer, outbox_id, row)
    if row.stopped is not None and row.template != STOP_CONFIRMATION:
        _cancel(connection, outbox_id)
        return None
    if row.template == BEFORE_CALL and not reminders.still_holds(connection, row.message_id, now):
        _cancel(connection, outbox_id)
        return None
    to: Address = sealer.open_address(row.address_id, row.address_kind, row.sealed)
    text = sealer.open_text(f"message.body_sealed:{row.message_id}", row.body_sealed)
    if row.template == LINK:
        text = links.with_code(sealer, row.message_id, text)
    sprint, options = _options(sealer, row)
    outbound = Outbound(
        row.message_id,
        ChannelName(row.channel),
        to,
        text,
        row.language or "en",
        options,
        sprint,
        silent_for=now - row.heard_at if row.heard_at and row.template != CLOSED else None,
        notice=row.template == NOTICE,
        line=row.line or None,
        token=sealer.token(row.message_id, REPLY),
        in_reply_to=_answered(connection, sealer, row) if row.channel == ChannelName.EMAIL else None,
    )
    return Letter(outbox_id, ChannelName(row.channel), outbound, row.country, row.tries)


def _erasure(connection: Connection, sealer: Sealer, outbox_id: str, row: AnyRow) -> Erasure:
    """What was sent to the address and is not too old; ``lease_until`` of a sent row is when it was sent."""
    sent_rows = connection.execute(
        select(_message.c.id, _message.c.provider_id)
        .join(_outbox, _outbox.c.message_id == _message.c.id)
        .where(
            _outbox.c.address_id == row.address_id,
            _outbox.c.channel == row.channel,
            _outbox.c.state == "sent",
            _outbox.c.lease_until > wall_time() - ERASED_WITHIN,
            _message.c.provider_id.is_not(None),
        )
        .order_by(_outbox.c.id.desc())
        .limit(MOST_ERASED)
    ).all()
    to: Address = sealer.open_address(row.address_id, row.address_kind, row.sealed)
    return Erasure(
        outbox_id,
        ChannelName(row.channel),
        to,
        tuple(each.id for each in sent_rows),
        tuple(each.provider_id for each in sent_rows),
    )


def _answered(connection: Connection, sealer: Sealer, row: AnyRow) -> str | None:
    """The worker's own name of her latest mail in a conversation: what we send refers to it."""
    heard = connection.execute(
        select(_message.c.id, _message.c.origin_sealed)
        .where(
            _message.c.conversation_id == row.conversation_id,
            _message.c.direction == "in",
            _message.c.origin_sealed.is_not(None),
        )
        .order_by(_message.c.id.desc())
        .limit(1)
    ).one_or_none()
    return sealer.open_text(f"message.origin_sealed:{heard.id}", heard.origin_sealed) if heard else None


def _options(sealer: Sealer, row: AnyRow) -> tuple[str | None, tuple[Option, ...]]:
    if row.options_sealed is None:
        return None, ()
    data = json.loads(sealer.open_text(f"message.options_sealed:{row.message_id}", row.options_sealed))
    return data["sprint"], tuple(Option(*option) for option in data["options"])


def _cancel(connection: Connection, outbox_id: str) -> None:
    connection.execute(update(_outbox).where(_outbox.c.id == outbox_id).values(state="cancelled"))
