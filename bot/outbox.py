"""What is to be sent: rows that are claimed with a lease, sent once, and asked about when in doubt.

    queued → leased → sending → sent
                         ├────→ queued   (surely not taken: again later, with backoff and jitter)
                         ├────→ unknown  (may have been taken: the provider is asked first)
                         ├────→ waiting  (for the worker's next message; then queued: ``bot.waiting``)
                         └────→ failed | cancelled

Per address one row is under way at a time, oldest first, so that texts arrive in the order in which
they were said. Leases and retries run on wall time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, exists, insert, or_, select, update

from bot import contacts, incidents
from bot.clock import wall_time
from bot.errors import SendError, SendOutcome
from bot.ids import new_id
from bot.incidents import IncidentKind
from bot.messages import Address, DeliveryStatus, Option, Outbound, Receipt, Returned, StatusUpdate
from bot.messages import Channel as ChannelName
from bot.privacy.keys import Purpose
from bot.privacy.seal import Sealer
from bot.storage.tables import AddressRow, Conversation, Message, Outbox, Staff, Stop, table
from bot.storage.types import AnyRow

_outbox = table(Outbox)
_message = table(Message)
_address = table(AddressRow)
_conversation = table(Conversation)
_stop = table(Stop)
_staff = table(Staff)

LEASE = timedelta(seconds=60)
DOUBT = timedelta(seconds=10)
"""How long after an ambiguous send the provider is asked what it took."""
MOST_TRIES = 8
MOST_SOFT_TRIES = 3
LATER = timedelta(hours=2)
"""When a text to a phone that was off or out of reach is tried again."""
_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(hours=1)
_ACTIVE = ("queued", "leased", "sending", "unknown")
ERASURE = "erasure"
"""The kind of an outbox row that takes back what was sent."""
ERASED_WITHIN = timedelta(hours=48)
"""No provider that we know takes back what is older (Telegram: 48 hours)."""
MOST_ERASED = 200
REPLY = "reply"
"""The scope of the tokens that name our messages to the world (:meth:`Sealer.token`)."""
MOST_TOKENS = 40
STOP_CONFIRMATION = "stop_confirmation"
"""The one message that an address on the stop list still gets."""
REMINDER = "reminder"
"""A question asked again because nothing was heard."""
NOTICE = "notice"
"""The channel's approved neutral notice, which asks the worker to write."""
CLOSED = "closed"
"""A text that the provider refused because the worker had been silent for too long."""
HELD = "held"
"""A text that has waited for the worker's next message once."""


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


# --- putting in -------------------------------------------------------------------------------


def queue_row(
    message_id: str, address_id: str, channel: str, now: datetime, *, template: str | None = None
) -> dict[str, object]:
    """The outbox row of a message to a worker."""
    return {
        "id": new_id(),
        "kind": "message",
        "message_id": message_id,
        "address_id": address_id,
        "staff_id": None,
        "template": template,
        "channel": channel,
        "state": "queued",
        "due_at": now,
        "tries": 0,
        "created_at": now,
    }


def take_back(connection: Connection, address_id: str, channel: str, now: datetime) -> dict[str, object]:
    """The quick exit: what is not sent yet stays unsent. Gives the row that erases what was sent.

    It goes in before the last word of the conversation, which is sent after it and stays.
    """
    connection.execute(
        update(_outbox)
        .where(_outbox.c.address_id == address_id, _outbox.c.channel == channel, _outbox.c.state == "queued")
        .values(state="cancelled")
    )
    return queue_row("", address_id, channel, now) | {"kind": ERASURE, "message_id": None}


def notify(connection: Connection, template: str, now: datetime) -> None:
    """Tell every active supervisor who has an e-mail address that there is something to read."""
    rows = connection.execute(
        select(_staff.c.id).where(
            _staff.c.active, _staff.c.roles.contains("supervisor"), _staff.c.email_sealed.is_not(None)
        )
    )
    notices = [
        {
            "id": new_id(),
            "kind": "notice",
            "message_id": None,
            "address_id": None,
            "staff_id": row.id,
            "template": template,
            "channel": "email",
            "state": "queued",
            "due_at": now,
            "tries": 0,
            "created_at": now,
        }
        for row in rows
    ]
    if notices:
        connection.execute(insert(_outbox), notices)


# --- claiming ---------------------------------------------------------------------------------


def claim(connection: Connection, now: datetime, wall: datetime, limit: int) -> list[str]:
    """Lease what is due, per address only the oldest; gives the rows' ids."""
    earlier = _outbox.alias("earlier")
    due = (
        select(_outbox.c.id)
        .where(
            _outbox.c.state == "queued",
            _outbox.c.due_at <= now,
            or_(
                _outbox.c.address_id.is_(None),
                ~exists().where(
                    and_(
                        earlier.c.address_id == _outbox.c.address_id,
                        earlier.c.state.in_(_ACTIVE),
                        earlier.c.id < _outbox.c.id,
                    )
                ),
            ),
        )
        .order_by(_outbox.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=_outbox)
    )
    ids = list(connection.execute(due).scalars())
    if ids:
        connection.execute(
            update(_outbox)
            .where(_outbox.c.id.in_(ids), _outbox.c.state == "queued")
            .values(state="leased", lease_until=wall + LEASE)
        )
    return ids


def release_stale(connection: Connection, now: datetime, wall: datetime, limit: int) -> list[str]:
    """Look after rows whose lease ran out; gives the ids of those about which the provider must be asked.

    A row that was only leased was not sent and is queued again. A row that was being sent becomes unknown.
    """
    stale = (
        select(_outbox.c.id, _outbox.c.state)
        .where(_outbox.c.state.in_(("leased", "sending", "unknown")), _outbox.c.lease_until < wall)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(stale).all()
    leased = [row.id for row in rows if row.state == "leased"]
    doubtful = [row.id for row in rows if row.state != "leased"]
    if leased:
        connection.execute(update(_outbox).where(_outbox.c.id.in_(leased)).values(state="queued", due_at=now))
    if doubtful:
        connection.execute(
            update(_outbox)
            .where(_outbox.c.id.in_(doubtful))
            .values(state="unknown", lease_until=wall + LEASE)
        )
    return doubtful


# --- sending ----------------------------------------------------------------------------------


def begin(
    connection: Connection, sealer: Sealer, outbox_id: str, now: datetime, wall: datetime
) -> Item | None:
    """Move a leased row to ``sending`` and give what to send; None if it must not be sent (any more)."""
    taken = connection.execute(
        update(_outbox)
        .where(_outbox.c.id == outbox_id, _outbox.c.state == "leased")
        .values(state="sending", tries=_outbox.c.tries + 1, lease_until=wall + LEASE)
    )
    if not taken.rowcount:
        return None
    return _load(connection, sealer, outbox_id, now)


def in_doubt(connection: Connection, sealer: Sealer, outbox_id: str, now: datetime) -> Item | None:
    """What an unknown row was to send, in order to ask the provider about it."""
    state = connection.execute(select(_outbox.c.state).where(_outbox.c.id == outbox_id)).scalar_one_or_none()
    return _load(connection, sealer, outbox_id, now) if state == "unknown" else None


def _load(connection: Connection, sealer: Sealer, outbox_id: str, now: datetime) -> Item | None:
    row = connection.execute(
        select(
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
        .where(_outbox.c.id == outbox_id)
    ).one()
    if row.kind == "notice":
        if row.email_sealed is None:
            _close(connection, outbox_id, "cancelled")
            return None
        email = sealer.open_text(f"staff.email_sealed:{row.staff_id}", row.email_sealed, Purpose.STAFF)
        return Notice(outbox_id, row.template, email)
    if row.kind == ERASURE:
        return _erasure(connection, sealer, outbox_id, row)
    if row.stopped is not None and row.template != STOP_CONFIRMATION:
        _close(connection, outbox_id, "cancelled")
        return None
    to: Address = sealer.open_address(row.address_id, row.address_kind, row.sealed)
    text = sealer.open_text(f"message.body_sealed:{row.message_id}", row.body_sealed)
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


def sent(connection: Connection, outbox_id: str, receipt: Receipt | None, wall: datetime) -> None:
    """The provider took it."""
    connection.execute(
        update(_outbox)
        .where(_outbox.c.id == outbox_id, _outbox.c.state.in_(("sending", "unknown")))
        .values(state="sent", lease_until=wall)
    )
    if receipt is not None:
        message = select(_outbox.c.message_id).where(_outbox.c.id == outbox_id).scalar_subquery()
        connection.execute(
            update(_message).where(_message.c.id == message).values(provider_id=receipt.provider_id)
        )
        _advance_status(connection, _message.c.id == message, receipt.status, None)


def erased(connection: Connection, erasure: Erasure, wall: datetime) -> None:
    """What an erasure was to take back is off the worker's screen, or too old for it; the transcript stays."""
    sent(connection, erasure.outbox_id, None, wall)
    connection.execute(
        update(_message).where(_message.c.id.in_(erasure.message_ids)).values(provider_id=None)
    )


def failed(connection: Connection, outbox_id: str, error: SendError, now: datetime, wall: datetime) -> None:
    """The provider did not take it, or nobody knows."""
    if error.outcome is SendOutcome.AMBIGUOUS:
        connection.execute(
            update(_outbox)
            .where(_outbox.c.id == outbox_id, _outbox.c.state.in_(("sending", "unknown")))
            .values(state="unknown", lease_until=wall + DOUBT)
        )
        return
    tries = connection.execute(select(_outbox.c.tries).where(_outbox.c.id == outbox_id)).scalar_one()
    if error.outcome is SendOutcome.RETRYABLE and tries < MOST_TRIES:
        again(connection, outbox_id, tries, now, timedelta(seconds=error.wait))
        return
    _close(connection, outbox_id, "failed")
    message = select(_outbox.c.message_id).where(_outbox.c.id == outbox_id).scalar_subquery()
    _advance_status(connection, _message.c.id == message, DeliveryStatus.FAILED, error.code)


def again(
    connection: Connection, outbox_id: str, tries: int, now: datetime, wait: timedelta = timedelta()
) -> None:
    """Queue it once more, after a delay that doubles and is spread by chance, and never sooner than ``wait``."""
    delay = min(_FIRST_DELAY * 2 ** max(0, tries - 1), _LONGEST_DELAY)
    delay *= random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
    connection.execute(
        update(_outbox)
        .where(_outbox.c.id == outbox_id, _outbox.c.state.in_(("sending", "unknown")))
        .values(state="queued", due_at=now + max(delay, wait))
    )


def _close(connection: Connection, outbox_id: str, state: str) -> None:
    connection.execute(update(_outbox).where(_outbox.c.id == outbox_id).values(state=state))


# --- reports ----------------------------------------------------------------------------------


def delivered(connection: Connection, report: StatusUpdate, now: datetime) -> None:
    """Take a delivery report; statuses only rise, in whatever order reports come.

    A report about a text whose sending was in doubt settles that it was sent. What a failure asks of us
    (``report.action``) is done: a blocked number is not written to again, a phone that was off is tried
    again up to three times over hours, a text that came too late for free text waits for the worker's next
    message, a refused configuration is the operator's to mend. A failure that was acted on already, of an
    earlier sending of the same text, changes nothing.
    """
    if report.status in _FAILURES and _is_old(connection, report):
        return
    connection.execute(
        update(_outbox)
        .where(_outbox.c.message_id == report.message_id, _outbox.c.state.in_(("sending", "unknown")))
        .values(state="sent")
    )
    moved = _advance_status(
        connection, _message.c.id == report.message_id, report.status, report.code, report.provider_id
    )
    if moved and report.status in _FAILURES:
        _react(connection, report, now)


def named(sealer: Sealer, tokens: tuple[str, ...]) -> str | None:
    """The id of our message that the first true token names; None if none of them is of our making."""
    rows = (sealer.row_of(token, REPLY) for token in tokens[:MOST_TOKENS])
    return next((row_id for row_id in rows if row_id), None)


def returned(connection: Connection, sealer: Sealer, back: Returned, now: datetime) -> bool:
    """Take the news about a message that is named by its token; False if no token is of our making."""
    message_id = named(sealer, back.tokens)
    if message_id is None:
        return False
    name = sealer.token(message_id, REPLY)
    delivered(connection, StatusUpdate(message_id, name, back.status, back.code, back.action), now)
    return True


_FAILURES = (DeliveryStatus.FAILED, DeliveryStatus.UNDELIVERED)


def _is_old(connection: Connection, report: StatusUpdate) -> bool:
    """Whether a failure is of an earlier sending of a text that is to be sent, or was sent, again."""
    row = connection.execute(
        select(_outbox.c.state, _message.c.provider_id)
        .join(_message, _message.c.id == _outbox.c.message_id)
        .where(_outbox.c.message_id == report.message_id)
    ).one_or_none()
    if row is None or row.state not in ("queued", "leased", "waiting", "sending", "unknown", "sent"):
        return False
    if row.state in ("sending", "unknown"):
        return bool(row.provider_id == report.provider_id)
    return row.state != "sent" or row.provider_id not in (None, report.provider_id)


def blocked(connection: Connection, outbox_id: str, now: datetime) -> None:
    """The worker told the provider to let nothing of ours through: that is a stop like any other."""
    address_id = connection.execute(
        select(_outbox.c.address_id).where(_outbox.c.id == outbox_id)
    ).scalar_one_or_none()
    if address_id:
        contacts.stop(connection, address_id, None, contacts.StopReason.PROVIDER, now)


def unclaimed(connection: Connection, receipts: Iterable[Receipt]) -> Receipt | None:
    """The first of the provider's messages that none of ours has claimed yet."""
    for receipt in receipts:
        known = select(_message.c.id).where(_message.c.provider_id == receipt.provider_id)
        if connection.execute(known).first() is None:
            return receipt
    return None


def _react(connection: Connection, report: StatusUpdate, now: datetime) -> None:
    row = connection.execute(
        select(
            _outbox.c.id, _outbox.c.tries, _outbox.c.template, _outbox.c.address_id, _outbox.c.channel
        ).where(_outbox.c.message_id == report.message_id)
    ).one_or_none()
    if row is None:
        return
    if report.action == "blocked":
        blocked(connection, row.id, now)
    elif report.action in _DELAYS and row.tries < MOST_SOFT_TRIES:
        _requeue(connection, row.id, report.message_id, due_at=now + _DELAYS[report.action])
    elif report.action == "window" and row.template in (None, REMINDER):
        _requeue(connection, row.id, report.message_id, due_at=now, template=CLOSED)
    else:
        kind = IncidentKind.PROVIDER if report.action == "operator" else IncidentKind.DELIVERY
        incidents.report(connection, kind, f"{row.channel} {report.code or 'failed'}", now)


_DELAYS = {"soon": timedelta(minutes=1), "later": LATER, "tomorrow": timedelta(hours=24)}
"""When a text that failed for a while is tried again, by what the failure asks of us."""


def _requeue(connection: Connection, outbox_id: str, message_id: str, **values: object) -> None:
    """Queue it once more. The provider's id of the failed sending stays until there is a new one, so that
    nobody takes the one for the other."""
    connection.execute(
        update(_message)
        .where(_message.c.id == message_id)
        .values(status=DeliveryStatus.QUEUED, status_rank=-1)
    )
    connection.execute(update(_outbox).where(_outbox.c.id == outbox_id).values(state="queued", **values))


def _advance_status(connection, which, status, code, provider_id=None) -> bool:  # type: ignore[no-untyped-def]  # column expressions
    values = {"status": status.value, "status_rank": status.rank}
    if code:
        values["error_code"] = code
    if provider_id:
        values["provider_id"] = provider_id
    moved = connection.execute(
        update(_message).where(which, _message.c.status_rank < status.rank).values(**values)
    )
    return bool(moved.rowcount)
