"""What a worker allowed in the talks of her callbacks, and where else she may be reached."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, select, update

from bot import ways
from bot.callbacks.states import AUDIT, CallbackState
from bot.flow.events import ConsentScope
from bot.messages import Channel
from bot.storage.tables import Attempt, Callback, Consent, Conversation, table
from bot.storage.types import AnyRow

_attempt = table(Attempt)
_callback = table(Callback)
_consent = table(Consent)
_conversation = table(Conversation)

NO_MORE_CONTACT = "no_contact"
"""Why a callback is given up after the worker said that nobody should contact her again."""


def newest(connection: Connection, contact_id: str, scope: ConsentScope) -> bool | None:
    """What a worker said last when she was asked in a callback; None if she was not."""
    return newest_of(connection, [contact_id], scope).get(contact_id)


def newest_of(connection: Connection, contact_ids: Collection[str], scope: ConsentScope) -> dict[str, bool]:
    """The same of several workers; who was not asked is left out."""
    rows = connection.execute(
        select(_callback.c.contact_id, _consent.c.given)
        .join(_attempt, _attempt.c.callback_id == _callback.c.id)
        .join(_conversation, _conversation.c.attempt_id == _attempt.c.id)
        .join(_consent, _consent.c.conversation_id == _conversation.c.id)
        .where(_callback.c.contact_id.in_(contact_ids), _consent.c.scope == scope)
        .order_by(_consent.c.id)
    )
    return {row.contact_id: row.given for row in rows}


def no_more_contact(connection: Connection, contact_id: str, now: datetime) -> None:
    """The worker said that nobody should contact her again: what an upload promised is not called any more."""
    connection.execute(
        update(_callback)
        .where(
            _callback.c.contact_id == contact_id,
            _callback.c.kind == AUDIT,
            _callback.c.state == CallbackState.SCHEDULED,
        )
        .values(
            state=CallbackState.GIVEN_UP,
            give_up_reason=NO_MORE_CONTACT,
            due_at=None,
            window_end=None,
            updated_at=now,
        )
    )


def way_in_writing(
    connection: Connection, row: AnyRow, channels: tuple[Channel, ...], *, number_exists: bool
) -> tuple[Channel, str] | None:
    """Where one opening in writing may go to a worker whom calls do not reach: channel and address id.

    By text to the number that was called only if she allowed that in a call; elsewhere only to an address that
    she gave us by her own act (:mod:`bot.ways`). The first of ``channels`` that will do.
    """
    may_write = newest(connection, row.contact_id, ConsentScope.TEXT)
    there = {way.channel: way.address_id for way in reversed(ways.of_contact(connection, row.contact_id))}
    if number_exists and may_write:
        there[Channel.SMS] = row.address_id
    elif may_write is False or there.get(Channel.SMS) == row.address_id:
        there.pop(Channel.SMS, None)
    return next(((each, there[each]) for each in channels if each in there), None)
