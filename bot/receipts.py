"""What became of what was sent: the provider's answer to a sending, and its reports later.

Statuses only rise, in whatever order the news come.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    bindparam,
    case,
    literal_column,
    select,
    update,
)

from bot import contacts, incidents, leftovers, pace, troubles, ways
from bot.backoff import delay
from bot.errors import SendError, SendOutcome
from bot.incidents import IncidentKind
from bot.messages import Channel, DeliveryStatus, Receipt, Returned, StatusUpdate
from bot.outbox import CLOSED, REMINDER
from bot.privacy.seal import Sealer
from bot.storage.tables import Message, Outbox, table
from bot.storage.types import AnyRow

_outbox = table(Outbox)
_message = table(Message)

DOUBT = timedelta(seconds=10)
"""How long after an ambiguous send the provider is asked what it took."""
MOST_TRIES = 8
MOST_SOFT_TRIES = 3
LATER = timedelta(hours=2)
"""When a text to a phone that was off or out of reach is tried again."""
REPLY = "reply"
"""The scope of the tokens that name our messages to the world (:meth:`Sealer.token`)."""
MOST_TOKENS = 40

# --- the answer to a sending ------------------------------------------------------------------


# The statements of the hot path are made once: making one costs more than the database needs to run it.
_IN_HAND: Final = _outbox.c.state.in_(("sending", "unknown"))
_SENT: Final = (
    update(_outbox)
    .where(_outbox.c.id.in_(bindparam("ids", expanding=True)), _IN_HAND)
    .values(state="sent", lease_until=bindparam("at"))
)
_RISES: Final = _message.c.status_rank < bindparam("new_rank", type_=Integer)
_TAKEN: Final = (
    update(_message)
    .where(
        _message.c.id
        == select(_outbox.c.message_id).where(_outbox.c.id == bindparam("sending")).scalar_subquery()
    )
    .values(
        provider_id=bindparam("name_there"),
        forget_at=bindparam("forget"),
        status=case((_RISES, bindparam("new_status", type_=String)), else_=_message.c.status),
        status_rank=case((_RISES, bindparam("new_rank", type_=Integer)), else_=_message.c.status_rank),
    )
)


def all_sent(connection: Connection, taken: Mapping[str, Receipt | None], wall: datetime) -> None:
    """The provider took what was sent, by the ids of the outbox rows. ``lease_until`` tells from then on when."""
    connection.execute(_SENT, {"ids": list(taken), "at": wall})
    told = [
        {
            "sending": outbox_id,
            "name_there": receipt.provider_id,
            "forget": receipt.forget_at,
            "new_status": receipt.status.value,
            "new_rank": receipt.status.rank,
        }
        for outbox_id, receipt in taken.items()
        if receipt is not None
    ]
    if told:
        connection.execute(_TAKEN, told)


def rest(connection: Connection, outbox_ids: Sequence[str], until: datetime) -> None:
    """Nothing more goes to the addresses of these rows before ``until`` (the service's time)."""
    addresses = select(_outbox.c.address_id).where(_outbox.c.id.in_(outbox_ids))
    connection.execute(
        update(_outbox)
        .where(
            _outbox.c.state == literal_column("'queued'"),
            _outbox.c.address_id.in_(addresses),
            _outbox.c.due_at < until,
        )
        .values(due_at=until)
    )


def not_tried(connection: Connection, outbox_ids: Sequence[str]) -> None:
    """What was to be sent was not, because the provider is to be left alone: it waits for its turn again."""
    connection.execute(
        update(_outbox)
        .where(_outbox.c.id.in_(outbox_ids), _outbox.c.state == "sending")
        .values(state="queued", tries=_outbox.c.tries - 1)
    )


def leave_alone(connection: Connection, outbox_id: str, error: SendError, wall: datetime) -> None:
    """Close the bucket of a row's channel for as long as the error asks for. Notices to staff have none."""
    if not error.wait:
        return
    channel = connection.execute(
        select(_outbox.c.channel).where(_outbox.c.id == outbox_id, _outbox.c.kind != "notice")
    ).scalar_one_or_none()
    if channel is not None:
        pace.close(connection, channel, wall + timedelta(seconds=error.wait))


def erased(connection: Connection, message_ids: Iterable[str]) -> None:
    """What an erasure was to take back is off the worker's screen, or too old for it; the transcript stays."""
    connection.execute(update(_message).where(_message.c.id.in_(list(message_ids))).values(provider_id=None))


def failed(connection: Connection, outbox_id: str, error: SendError, now: datetime, wall: datetime) -> None:
    """The provider did not take it, or nobody knows; if it wants to be left alone, its whole channel waits."""
    leave_alone(connection, outbox_id, error, wall)
    troubles.note_text(connection, outbox_id, error.code, error.action, now)
    if error.outcome is SendOutcome.AMBIGUOUS:
        connection.execute(
            update(_outbox)
            .where(_outbox.c.id == outbox_id, _outbox.c.state.in_(("sending", "unknown")))
            .values(state="unknown", lease_until=wall + DOUBT)
        )
        return
    row = connection.execute(
        select(_outbox.c.tries, _outbox.c.message_id, _outbox.c.channel).where(_outbox.c.id == outbox_id)
    ).one()
    if error.outcome is SendOutcome.RETRYABLE and row.tries < MOST_TRIES:
        again(connection, outbox_id, row.tries, now, timedelta(seconds=error.wait))
        return
    _close(connection, outbox_id, "failed")
    _advance_status(connection, _message.c.id == row.message_id, DeliveryStatus.FAILED, error.code)
    if row.message_id is not None and error.action != "blocked":
        _lost(connection, row.message_id, f"{row.channel} {error.code}", error.action, now)


def _lost(connection: Connection, message_id: str, subject: str, action: str, now: datetime) -> None:
    """A text to a worker will not arrive: her talk goes on by another way of hers, if there is one. The operator is
    told if there is none, and of what is theirs to mend."""
    found = ways.look_for(connection, message_id, now)
    if action == "operator":
        incidents.report(connection, IncidentKind.PROVIDER, subject, now)
    elif not found:
        incidents.report(connection, IncidentKind.DELIVERY, subject, now)


def again(
    connection: Connection, outbox_id: str, tries: int, now: datetime, wait: timedelta = timedelta()
) -> None:
    """Queue it once more, after a delay that doubles and is spread by chance, and never sooner than ``wait``."""
    later = delay(tries) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
    connection.execute(
        update(_outbox)
        .where(_outbox.c.id == outbox_id, _outbox.c.state.in_(("sending", "unknown")))
        .values(state="queued", due_at=now + max(later, wait))
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
        connection,
        _message.c.id == report.message_id,
        report.status,
        report.code,
        report.provider_id,
        report.forget_at,
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
    troubles.note_text(connection, row.id, report.code, report.action, now)
    if report.action == "blocked":
        blocked(connection, row.id, now)
    elif report.action in _DELAYS and row.tries < MOST_SOFT_TRIES:
        _requeue(connection, row, report, due_at=now + _DELAYS[report.action])
    elif report.action == "window" and row.template in (None, REMINDER):
        _requeue(connection, row, report, due_at=now, template=CLOSED)
    else:
        subject = f"{row.channel} {report.code or 'failed'}"
        _lost(connection, report.message_id, subject, report.action, now)


_DELAYS = {"soon": timedelta(minutes=1), "later": LATER, "tomorrow": timedelta(hours=24)}
"""When a text that failed for a while is tried again, by what the failure asks of us."""


def _requeue(connection: Connection, row: AnyRow, report: StatusUpdate, **values: object) -> None:
    """Queue it once more. The provider's id of the failed sending stays until there is a new one, so that
    nobody takes the one for the other; its copy of that sending is noted, to be deleted there."""
    leftovers.note_message(connection, Channel(row.channel), report.provider_id, report.forget_at)
    connection.execute(
        update(_message)
        .where(_message.c.id == report.message_id)
        .values(status=DeliveryStatus.QUEUED, status_rank=-1)
    )
    connection.execute(update(_outbox).where(_outbox.c.id == row.id).values(state="queued", **values))


def _advance_status(
    connection: Connection,
    which: ColumnElement[bool],
    status: DeliveryStatus,
    code: str | None,
    provider_id: str | None = None,
    forget_at: datetime | None = None,
) -> bool:
    values: dict[str, object] = {"status": status.value, "status_rank": status.rank}
    if code:
        values["error_code"] = code
    if provider_id:
        values["provider_id"] = provider_id
    if forget_at:
        values["forget_at"] = forget_at
    moved = connection.execute(
        update(_message).where(which, _message.c.status_rank < status.rank).values(**values)
    )
    return bool(moved.rowcount)
