"""One short text before a call, to a worker who agreed to it: when we will call, and how to choose another time.

    a callback is planned ──▶ ``remind_at`` ──the clock──▶ a row of ``reminder``, with a text in the outbox
        ──just before it is sent──▶ sent, if all of this still holds at that moment; else it is dropped

It goes to the telephone that will ring, and only there. She agreed in a talk with us, or at the interview and never
took it back; it is not sent to a telephone that several people are known to use, nor to one to which she said
that nobody may write. It names nobody and nothing but the time. It goes out in no quiet hours and in no shift of the
factory, whatever window she chose for the call itself.

Never twice: the row of a planned instant is unique, and written with its text in one transaction. A call that is
moved is told anew, at the time of the new plan.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, func, insert, literal_column, select, update

from bot import tally, unreadable
from bot.callbacks import consents, requests, wishes
from bot.callbacks.plan import Request, outside_quiet_hours
from bot.callbacks.policy import Policy
from bot.callbacks.preference import Window, without
from bot.callbacks.requests import Considerations
from bot.callbacks.shifts import at_work
from bot.callbacks.states import CallbackState
from bot.flow import phrases
from bot.flow.catalog import Catalogs
from bot.flow.events import ConsentScope
from bot.ids import new_id
from bot.messages import Channel, DeliveryStatus
from bot.outbox import BEFORE_CALL, queue_row
from bot.privacy.seal import Sealer
from bot.service import Service
from bot.storage.tables import (
    Callback,
    Contact,
    ContactAddress,
    Conversation,
    Message,
    Outbox,
    Reminder,
    table,
)
from bot.storage.types import AnyRow
from bot.transcript import Thread, message_row
from bot.unreadable import apart

_callback = table(Callback)
_contact = table(Contact)
_conversation = table(Conversation)
_link = table(ContactAddress)
_message = table(Message)
_outbox = table(Outbox)
_reminder = table(Reminder)

LEAST_AHEAD: Final = timedelta(minutes=15)
"""A text that would come later than this before the call is not sent."""
MOST_EARLIER: Final = timedelta(hours=24)
"""How much earlier than the policy says a text may go out, where night or a shift lies between."""

# Written out, because a partial index is used only where the statement says the same as the index does.
_WAITS: Final[ColumnElement[bool]] = and_(
    _callback.c.state == literal_column("'scheduled'"), _callback.c.remind_at.is_not(None)
)


@dataclass(frozen=True, slots=True)
class Told:
    """A text that went into the outbox. ``state`` is that of the outbox: ``sent``, ``queued``, ``cancelled`` …"""

    call_at: datetime
    at: datetime
    state: str


# --- when: pure -------------------------------------------------------------------------------


def planned(request: Request, policy: Policy, call_at: datetime, now: datetime) -> datetime | None:
    """When to write before a call that was just planned for ``call_at``, in UTC; None if nothing is written.

    Nothing is written before a call that is planned at such short notice: she has heard of it just now.
    """
    if policy.reminder_hours is None or call_at - timedelta(hours=policy.reminder_hours) <= now:
        return None
    return instant(request, policy, call_at, now)


def instant(request: Request, policy: Policy, call_at: datetime, now: datetime) -> datetime | None:
    """When to write before a call at ``call_at``: never before ``now``, in UTC; None if there is no such time left.

    The first minute that does from the policy's hours before the call on; if there is none, the last one before.
    """
    if policy.reminder_hours is None:
        return None
    wanted = call_at.astimezone(UTC) - timedelta(hours=policy.reminder_hours)
    spans = _spans(request, policy, max(now.astimezone(UTC), wanted - MOST_EARLIER), call_at - LEAST_AHEAD)
    later = [max(span.start, wanted) for span in spans if span.end >= wanted]
    if later:
        return later[0]
    return max(spans[-1].start, spans[-1].end - LEAST_AHEAD) if spans else None


def _spans(request: Request, policy: Policy, first: datetime, last: datetime) -> list[Window]:
    """Where a text may go out from ``first`` to ``last``: outside quiet hours, and outside the factory's shifts."""
    zone = request.timezone
    day, until = first.astimezone(zone).date() - timedelta(1), last.astimezone(zone).date()
    found: list[Window] = []
    while day <= until:
        loud = outside_quiet_hours(policy, day, zone)
        for span in without(loud, at_work(request.shifts, day, zone)):
            start, end = max(span.start, first), min(span.end, last)
            if start <= end:
                found.append(Window(start, end))
        day += timedelta(1)
    return sorted(found, key=lambda span: span.start)


# --- who --------------------------------------------------------------------------------------


def before_call(
    connection: Connection, known: Considerations, call_at: datetime, now: datetime
) -> datetime | None:
    """When a worker is written to before the call that is planned for ``call_at``; None if she is not."""
    at = planned(known.request, known.policy, call_at, now)
    if at is None and known.row.remind_at is not None and known.row.due_at == call_at:
        # The same call is planned anew while its text waits for the morning: she has not heard of it yet.
        at = instant(known.request, known.policy, call_at, now)
    return at if at is not None and is_wanted(connection, known.row) else None


def is_wanted(connection: Connection, row: AnyRow) -> bool:
    """Whether the worker of a callback (see :func:`bot.callbacks.requests.columns`) agreed, and it can do no harm."""
    return row.id in wanted(connection, [row])


def wanted(connection: Connection, rows: Collection[AnyRow]) -> set[str]:
    """The same for several callbacks: the ids of those before which a text is wanted."""
    agreed = [row for row in rows if row.channel == Channel.VOICE and _agreed(row)]
    if not agreed:
        return set()
    used_by_several = set(
        connection.execute(
            select(_link.c.address_id)
            .where(_link.c.address_id.in_({row.address_id for row in agreed}))
            .group_by(_link.c.address_id)
            .having(func.count() > 1)
        ).scalars()
    )
    may_write = consents.newest_of(connection, {row.contact_id for row in agreed}, ConsentScope.TEXT)
    return {
        row.id
        for row in agreed
        if row.address_id not in used_by_several and may_write.get(row.contact_id) is not False
    }


def _agreed(row: AnyRow) -> bool:
    """Her own word, or else what she said at the interview."""
    return bool(row.agreed_at_interview if row.wants_reminders is None else row.wants_reminders)


def said(
    connection: Connection, contact_id: str | None, address_id: str | None, given: bool, now: datetime
) -> None:
    """A worker allowed texts before calls, or wants none. What is planned for her follows at once.

    Whoever writes that she wants none is believed, for everybody on that address; to allow them takes a known contact.
    """
    if contact_id is not None:
        people = [contact_id]
    elif address_id is not None and not given:
        of_address = select(_link.c.contact_id).where(_link.c.address_id == address_id)
        people = list(connection.execute(of_address).scalars())
    else:
        return
    connection.execute(update(_contact).where(_contact.c.id.in_(people)).values(reminders=given))
    for each in people:
        refresh(connection, each, now)


def refresh(connection: Connection, contact_id: str, now: datetime) -> None:
    """Look again when a worker is written to before the calls that are planned for her."""
    scheduled = (_callback.c.contact_id == contact_id, _callback.c.state == CallbackState.SCHEDULED)
    for callback_id in connection.execute(select(_callback.c.id).where(*scheduled)).scalars().all():
        known = requests.read(connection, callback_id, now)
        at = before_call(connection, known, known.row.due_at, now) if known.row.due_at else None
        if at is not None and _is_told(connection, callback_id, known.row.due_at):
            at = None
        connection.execute(update(_callback).where(_callback.c.id == callback_id).values(remind_at=at))


# --- the clock ----------------------------------------------------------------------------------


def put_in(service: Service, now: datetime, limit: int) -> int:
    """Write the texts whose time has come into the outbox, for at most ``limit`` callbacks; gives how many. Any
    number of clocks may do it at once.
    """
    if Channel.SMS not in service.settings.channels_on():
        return 0
    due = select(_callback.c.id).where(_WAITS, _callback.c.remind_at <= now)
    with service.database.write() as connection:
        # What somebody else has locked is left to the next beat: nobody waits here, so nobody waits in a circle.
        mine = due.order_by(_callback.c.remind_at).limit(limit).with_for_update(skip_locked=True)
        told = [
            client_id
            for callback_id in connection.execute(mine).scalars().all()
            for client_id in _put_in_or_later(connection, service, callback_id, now)
        ]
        tally.reminded(connection, told, now)
        return len(told)


def _put_in_or_later(
    connection: Connection, service: Service, callback_id: str, now: datetime
) -> list[str | None]:
    """The same as :func:`_put_in`. A callback that cannot be read is looked at again later."""

    def put_off() -> None:
        this = update(_callback).where(_callback.c.id == callback_id)
        connection.execute(this.values(remind_at=now + unreadable.LOOK_AGAIN))
        unreadable.tell(connection, callback_id, now)

    with apart("remind", callback_id, put_off):
        return _put_in(connection, service.sealer, service.catalogs, callback_id, now)
    return []


def _put_in(
    connection: Connection, sealer: Sealer, catalogs: Catalogs, callback_id: str, now: datetime
) -> list[str | None]:
    """Write the text before one call, if it is still to be; gives the client for whom that was done."""
    this = update(_callback).where(_callback.c.id == callback_id)
    connection.execute(this.values(remind_at=None))
    known = requests.read(connection, callback_id, now)
    at = instant(known.request, known.policy, known.row.due_at, now)
    if at is None or not is_wanted(connection, known.row):
        return []
    if at > now:
        # The plan was changed by somebody who did not know of reminders, or night has fallen meanwhile.
        connection.execute(this.values(remind_at=at))
        return []
    if _is_told(connection, callback_id, known.row.due_at) or _is_talking(connection, known.row.address_id):
        return []
    if _takes_no_text(connection, callback_id):
        return []
    _write(connection, sealer, catalogs, known.row, now)
    return [known.row.client_id]


def _write(connection: Connection, sealer: Sealer, catalogs: Catalogs, row: AnyRow, now: datetime) -> None:
    thread = Thread(None, row.address_id, Channel.SMS)
    message = message_row(sealer, thread, "out", _words(catalogs, row), now)
    letter = queue_row(str(message["id"]), row.address_id, Channel.SMS, now, template=BEFORE_CALL)
    told = {
        "id": new_id(),
        "callback_id": row.id,
        "message_id": message["id"],
        "call_at": row.due_at,
        "created_at": now,
    }
    connection.execute(insert(_message).values(**message))
    connection.execute(insert(_reminder).values(**told))
    connection.execute(insert(_outbox).values(**letter))


def _words(catalogs: Catalogs, row: AnyRow) -> str:
    """The text, in her language and by her clock. It must tell nobody what the call is about."""
    tongue = catalogs.tongue(row.language)
    when = wishes.moment(row.due_at, ZoneInfo(row.timezone), tongue.language)
    return "\n".join((tongue.text(phrases.WILL_CALL), when, tongue.text(phrases.OTHER_TIME_OR_NONE)))


def _is_told(connection: Connection, callback_id: str, call_at: datetime) -> bool:
    told = select(_reminder.c.id).where(
        _reminder.c.callback_id == callback_id, _reminder.c.call_at == call_at
    )
    return connection.execute(told).first() is not None


def _takes_no_text(connection: Connection, callback_id: str) -> bool:
    """Whether an earlier text of this callback was lost for good, as on a telephone that takes calls only."""
    lost = (
        select(_reminder.c.id)
        .join(_message, _message.c.id == _reminder.c.message_id)
        .where(
            _reminder.c.callback_id == callback_id,
            _message.c.status.in_((DeliveryStatus.FAILED, DeliveryStatus.UNDELIVERED)),
        )
    )
    return connection.execute(lost.limit(1)).first() is not None


def _is_talking(connection: Connection, address_id: str) -> bool:
    """Whether a talk by text is open there: its next question and a text beside it would be taken for one another."""
    talk = select(_conversation.c.id).where(
        _conversation.c.address_id == address_id,
        _conversation.c.channel == Channel.SMS,
        _conversation.c.state != literal_column("'ended'"),
        _conversation.c.call_id.is_(None),
    )
    return connection.execute(talk.limit(1)).first() is not None


# --- afterwards ---------------------------------------------------------------------------------


def still_holds(connection: Connection, message_id: str, now: datetime) -> bool:
    """Whether a text before a call is true and does no harm at the moment of its sending, which a provider may have
    held up: the call is planned for that instant, the hour is one at which a text may go out, and nothing that was
    learned meanwhile, from her or of her telephone, speaks against it."""
    told = connection.execute(
        select(_reminder.c.callback_id, _reminder.c.call_at).where(_reminder.c.message_id == message_id)
    ).one_or_none()
    if told is None:
        return False
    # Letters to others are opened beside this one.
    with apart("open_reminder", told.callback_id):
        return _still_holds(connection, told, now)
    return False


def _still_holds(connection: Connection, told: AnyRow, now: datetime) -> bool:
    known = requests.read(connection, told.callback_id, now)
    if known.row.state != CallbackState.SCHEDULED or known.row.due_at != told.call_at:
        return False
    at = instant(known.request, known.policy, told.call_at, now)
    return at is not None and at <= now and is_wanted(connection, known.row)


def of(connection: Connection, callback_ids: Collection[str]) -> dict[str, list[Told]]:
    """The texts before calls of some callbacks, oldest first; a callback without any is left out."""
    rows = connection.execute(
        select(_reminder.c.callback_id, _reminder.c.call_at, _reminder.c.created_at, _outbox.c.state)
        .join(_outbox, _outbox.c.message_id == _reminder.c.message_id)
        .where(_reminder.c.callback_id.in_(list(callback_ids)))
        .order_by(_reminder.c.id)
    )
    found: dict[str, list[Told]] = {}
    for row in rows:
        found.setdefault(row.callback_id, []).append(Told(row.call_at, row.created_at, row.state))
    return found
