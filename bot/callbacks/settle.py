"""What becomes of a callback: plan it, follow its attempts, settle them, and plan again or give up.

Every function works inside the caller's transaction. A settled attempt never changes again, so
repeated and late reports do nothing; only the sign of danger is heard at any time (:func:`was_unsafe`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, case, exists, func, insert, select, update

from bot import tally, unreadable
from bot.callbacks import caps, consents, reminders, requests, wishes
from bot.callbacks.claim import LAST_START, begun
from bot.callbacks.plan import (
    MOST_PUT_OFF,
    Explanation,
    GivenUp,
    GiveUp,
    Planned,
    Request,
    Verdict,
    explain,
    plan,
)
from bot.callbacks.policy import Policy, from_json
from bot.callbacks.preference import Preference, can_be_read, windows, wish
from bot.callbacks.requests import Considerations
from bot.callbacks.states import FINAL, OF_OUTCOME, AttemptState, CallbackState, CallStatus, Disposition
from bot.flow.events import ConsentScope, Outcome
from bot.ids import new_id
from bot.messages import Channel
from bot.storage.tables import (
    AddressRow,
    Attempt,
    Audit,
    Callback,
    Client,
    Consent,
    Contact,
    Conversation,
    Stop,
    table,
)
from bot.storage.types import AnySelect

_attempt = table(Attempt)
_callback = table(Callback)
_consent = table(Consent)
_contact = table(Contact)
_conversation = table(Conversation)
_address = table(AddressRow)
_stop = table(Stop)
_audit = table(Audit)
_client = table(Client)

GRACE = timedelta(seconds=10)
"""After a call is over, how long a last reordered turn is waited for."""
TALK_LEASE = timedelta(minutes=10)
"""How long an answered call may go without a turn before the provider is asked how it is."""
NOT_IN_USE = frozenset({"404", "484", "604"})
"""SIP codes that say that the number does not exist (RFC 3261); others may pass."""
LONGER_IF_ASKED = timedelta(days=7)
"""How far a worker's own wish for another time may reach beyond the client's last day."""
HELD_FOR = timedelta(minutes=30)
"""How long a callback waits for a worker who is telling us when to call."""
_SOON = timedelta(minutes=30)
_NO_SUCH_TIME = frozenset({GiveUp.NO_WINDOW_IN_PERIOD, GiveUp.PERIOD_OVER})
_CALLS_FAILED = frozenset({GiveUp.ATTEMPTS_USED, GiveUp.PERIOD_OVER, GiveUp.DAILY_CAP, GiveUp.WRONG_NUMBER})
"""Ends after which a client's policy may have one opening written."""

# Made once: making one of these costs more than the database needs to run it.
_PLAN: Final = update(_callback).where(_callback.c.id == bindparam("callback_id"))
_STATE: Final = select(_callback.c.state).where(_callback.c.id == bindparam("callback_id"))
_STANDS: Final = select(_attempt.c.state, _attempt.c.provider_rank).where(
    _attempt.c.id == bindparam("attempt_id")
)
_REPORTED: Final = (
    update(_attempt)
    .where(
        _attempt.c.id == bindparam("attempt_id"),
        _attempt.c.provider_rank < bindparam("rank"),
        _attempt.c.state != AttemptState.SETTLED.value,
    )
    .returning(_attempt.c.answered_by)
)
_IS_PLACED: Final = _REPORTED.values(
    # A late report that it rings must not take back that somebody answered.
    state=case(
        (
            _attempt.c.state.in_([AttemptState.PLACING.value, AttemptState.UNKNOWN.value]),
            AttemptState.PLACED.value,
        ),
        else_=_attempt.c.state,
    )
)
_ENDED: Final = update(_attempt).where(
    _attempt.c.id == bindparam("attempt_id"), _attempt.c.ended_at.is_(None)
)
_ANSWERED: Final = update(_attempt).where(
    _attempt.c.id == bindparam("attempt_id"),
    _attempt.c.state.in_(
        [
            AttemptState.PLACING.value,
            AttemptState.UNKNOWN.value,
            AttemptState.PLACED.value,
            AttemptState.ANSWERED.value,
        ]
    ),
)
_SETTLE: Final = (
    update(_attempt)
    .where(_attempt.c.id == bindparam("attempt_id"), _attempt.c.state != AttemptState.SETTLED.value)
    .returning(_attempt.c.callback_id, _attempt.c.counted_on)
)
_PROVED: Final = select(requests.PROVED).select_from(_attempt).where(_attempt.c.id == bindparam("attempt_id"))
_IS_STOPPED: Final = select(exists().where(_stop.c.index == _address.c.stop_index)).where(
    _address.c.id == bindparam("address_id")
)


# --- planning ---------------------------------------------------------------------------------


def promise(connection: Connection, now: datetime, **values: object) -> None:
    """A new callback, planned at once: of the first round if ``values``, its columns, name no other."""
    callback_id = new_id()
    begun = {
        "round": 1,
        "state": CallbackState.SCHEDULED,
        "attempts": 0,
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(insert(_callback).values(id=callback_id, **(begun | values)))
    schedule(connection, callback_id, now)


def schedule(connection: Connection, callback_id: str, now: datetime) -> Verdict:
    """Plan a callback that is not under way and write when it is due, or why it is given up."""
    known = requests.read(connection, callback_id, now)
    if is_stopped(connection, known.row.address_id):
        _finish(connection, callback_id, CallbackState.STOPPED, now, GiveUp.STOPPED.value)
        return plan(replace(known.request, stop=GiveUp.STOPPED), known.policy, now)
    verdict = plan(known.request, known.policy, now)
    _write(connection, known, verdict, now)
    return verdict


def replan(connection: Connection, callback_id: str, now: datetime) -> None:
    """Plan a callback anew whose window went by, unless somebody dials it at this moment.

    A window that is over was promised and is counted as missed; one of a client whose day is full is still open, and
    one without any length was promised to nobody (see :func:`settle`).
    """
    still = connection.execute(
        update(_callback)
        .where(_callback.c.id == callback_id, _callback.c.state == CallbackState.SCHEDULED)
        .values(updated_at=now)
        .returning(_callback.c.audit_id, _callback.c.due_at, _callback.c.window_end)
    ).one_or_none()
    if still is None:
        return
    promised = still.window_end is not None and still.window_end != still.due_at
    if promised and still.window_end <= now + LAST_START:
        of = select(_audit.c.client_id).where(_audit.c.id == still.audit_id)
        tally.missed_window(connection, connection.execute(of).scalar_one_or_none(), now)
    schedule(connection, callback_id, now)


def explanation(connection: Connection, callback_id: str, now: datetime) -> Explanation:
    """Why a callback is planned as it is: each day of its period and what became of it."""
    known = requests.read(connection, callback_id, now)
    return explain(known.request, known.policy, now)


def policy_of(connection: Connection, audit_id: str) -> Policy:
    """The callback policy of the client for whom an audit was made."""
    return from_json(
        connection.execute(
            select(_client.c.policy)
            .join(_audit, _audit.c.client_id == _client.c.id)
            .where(_audit.c.id == audit_id)
        ).scalar_one_or_none()
    )


def _write(connection: Connection, known: Considerations, verdict: Verdict, now: datetime) -> None:
    if isinstance(verdict, Planned):
        remind_at = reminders.before_call(connection, known, verdict.due_at, now)
        _plan_for(connection, known.row.id, verdict, now, remind_at=remind_at)
    else:
        _give_up(connection, known, verdict.reason, now)


def _plan_for(
    connection: Connection, callback_id: str, planned: Planned, now: datetime, **more: object
) -> None:
    values: dict[str, object] = {
        "state": CallbackState.SCHEDULED,
        "due_at": planned.due_at,
        "window_end": planned.window_end,
        "give_up_reason": None,
        "remind_at": None,
        "updated_at": now,
    }
    connection.execute(_PLAN, values | more | {"callback_id": callback_id})


def _give_up(connection: Connection, known: Considerations, reason: GiveUp, now: datetime) -> None:
    if reason in _CALLS_FAILED and _write_instead(connection, known, reason, now):
        return
    _finish(connection, known.row.id, CallbackState.GIVEN_UP, now, reason.value)


def _write_instead(connection: Connection, known: Considerations, reason: GiveUp, now: datetime) -> bool:
    """Calls have failed: if the policy says so, and the worker allowed it, one neutral opening goes out in writing,
    in a window of hers, for as many days longer as a wish of her own would have.
    """
    row, policy = known.row, known.policy
    tried = known.request.attempts or reason is GiveUp.WRONG_NUMBER
    if not policy.channels_when_failing or row.instead or row.channel != Channel.VOICE or not tried:
        return False
    way = consents.way_in_writing(
        connection,
        row,
        policy.channels_when_failing,
        number_exists=reason is not GiveUp.WRONG_NUMBER,
    )
    last_day = max(row.last_day, now.astimezone(known.request.timezone).date() + LONGER_IF_ASKED)
    longer = replace(known.request, last_day=last_day)
    planned = plan(longer, replace(policy, max_attempts=None), now)
    if way is None or not isinstance(planned, Planned):
        return False
    channel, address_id = way
    _plan_for(
        connection,
        row.id,
        planned,
        now,
        channel=channel,
        address_id=address_id,
        last_day=last_day,
        instead=True,
    )
    return True


def _finish(
    connection: Connection, callback_id: str, state: CallbackState, now: datetime, reason: str | None = None
) -> None:
    values = {"state": state, "due_at": None, "window_end": None, "give_up_reason": reason, "updated_at": now}
    connection.execute(_PLAN, values | {"callback_id": callback_id})


# --- following an attempt ---------------------------------------------------------------------


def progress(
    connection: Connection,
    attempt_id: str,
    status: CallStatus,
    now: datetime,
    wall: datetime,
    *,
    call_id: str,
    code: str | None = None,
    seconds: int | None = None,
    answered_by: str | None = None,
) -> None:
    """Take a provider's report of how far a call came, in any order and any number of times."""
    values: dict[str, object] = {"provider_rank": status.rank, "call_id": call_id}
    if status is CallStatus.COMPLETED:
        values |= {"state": AttemptState.ENDED, "lease_until": wall + GRACE}
    elif status is CallStatus.IN_PROGRESS:
        values |= {"state": AttemptState.ANSWERED, "answered_at": now, "lease_until": wall + TALK_LEASE}
    if answered_by:
        values["answered_by"] = answered_by
    report = _REPORTED if status.terminal or status is CallStatus.IN_PROGRESS else _IS_PLACED
    guard = {"attempt_id": attempt_id, "rank": status.rank}
    moved = connection.execute(report, values | guard).one_or_none()
    if status.terminal:
        ended = {"ended_at": now, "seconds": seconds, "code": code, "attempt_id": attempt_id}
        connection.execute(_ENDED, ended)
        if moved is not None:
            _over(connection, attempt_id, status, now, code, moved.answered_by)


def is_news(connection: Connection, attempt_id: str, status: CallStatus) -> bool:
    """Whether a report must be written down (see :func:`progress`): all but that a call rings whose dialling was
    reported before, or of which more is known. Reads only, so that such a report waits for no other writer.
    """
    if status is not CallStatus.RINGING:
        return True
    row = connection.execute(_STANDS, {"attempt_id": attempt_id}).one_or_none()
    return row is not None and (
        row.provider_rank < CallStatus.DIALLED.rank
        or row.state in (AttemptState.PLACING, AttemptState.UNKNOWN)
    )


def _over(
    connection: Connection,
    attempt_id: str,
    status: CallStatus,
    now: datetime,
    code: str | None,
    answered_by: str | None,
) -> None:
    if status is CallStatus.COMPLETED:
        if is_machine(answered_by):
            settle(connection, attempt_id, Disposition.MACHINE, now)
        return
    settle(
        connection,
        attempt_id,
        {
            CallStatus.BUSY: Disposition.BUSY,
            CallStatus.NO_ANSWER: Disposition.NO_ANSWER,
            CallStatus.CANCELED: Disposition.EXPIRED,
            CallStatus.FAILED: Disposition.WRONG_NUMBER if code in NOT_IN_USE else Disposition.FAILED,
        }[status],
        now,
    )


def is_machine(answered_by: str | None) -> bool:
    """Whether answering-machine detection heard a machine or a fax; ``human`` and ``unknown`` hear the opening."""
    return answered_by is not None and (answered_by.startswith("machine") or answered_by == "fax")


def answered(connection: Connection, attempt_id: str, call_id: str, now: datetime, wall: datetime) -> None:
    """Somebody took the call: the conversation begins or goes on."""
    values = {
        "state": AttemptState.ANSWERED,
        "call_id": call_id,
        "answered_at": now,
        "lease_until": wall + TALK_LEASE,
    }
    connection.execute(_ANSWERED, values | {"attempt_id": attempt_id})


def heard_machine(
    connection: Connection, attempt_id: str, call_id: str, answered_by: str, now: datetime
) -> None:
    """A machine or a fax took the call: we are silent, and the attempt is over."""
    connection.execute(
        update(_attempt)
        .where(_attempt.c.id == attempt_id, _attempt.c.state != AttemptState.SETTLED)
        .values(answered_by=answered_by, call_id=call_id, answered_at=now)
    )
    settle(connection, attempt_id, Disposition.MACHINE, now)


# --- settling ---------------------------------------------------------------------------------


def conversation_ended(
    connection: Connection, attempt_id: str, outcome: Outcome, now: datetime, preference: str | None
) -> None:
    """The flow came to an end (or the call broke off): settle the attempt accordingly."""
    settle(connection, attempt_id, OF_OUTCOME[outcome], now, preference=preference)


def settle(
    connection: Connection,
    attempt_id: str,
    disposition: Disposition,
    now: datetime,
    *,
    preference: str | None = None,
) -> bool:
    """Settle an attempt once and for all, and plan the callback's next step. False if it was settled already.

    A callback that cannot be read waits without a window until it can.
    """
    values = {"state": AttemptState.SETTLED, "disposition": disposition, "settled_at": now}
    settled = connection.execute(_SETTLE, values | {"attempt_id": attempt_id}).one_or_none()
    if settled is None:
        return False
    if disposition is Disposition.RELEASED and settled.counted_on is not None:
        caps.give_back(connection, settled.callback_id, settled.counted_on)
    _after(connection, settled.callback_id, attempt_id, disposition, now, preference)
    return True


def was_unsafe(connection: Connection, attempt_id: str, now: datetime) -> None:
    """It turns out that a worker gave the sign of danger in the talk of an attempt, however that was settled: nobody calls
    her again, and she does not count as reached. Safe to repeat.

    Sums that were made before (:mod:`bot.folding`) keep how the attempt came out then; the callback counts under both
    ends. One that is being dialled at this moment is held back by the stop.
    """
    if settle(connection, attempt_id, Disposition.UNSAFE, now):
        return
    talked = connection.execute(
        update(_attempt)
        .where(_attempt.c.id == attempt_id, _attempt.c.disposition != Disposition.UNSAFE)
        .values(disposition=Disposition.UNSAFE)
        .returning(_attempt.c.callback_id)
    ).scalar_one_or_none()
    if talked is not None:
        connection.execute(
            update(_callback)
            .where(_callback.c.id == talked, _callback.c.state != CallbackState.DIALLING)
            .values(
                state=CallbackState.UNSAFE,
                due_at=None,
                window_end=None,
                give_up_reason=None,
                updated_at=now,
            )
        )


def _after(
    connection: Connection,
    callback_id: str,
    attempt_id: str,
    disposition: Disposition,
    now: datetime,
    preference: str | None,
) -> None:
    state = connection.execute(_STATE, {"callback_id": callback_id}).scalar_one()
    if state != CallbackState.DIALLING:
        return
    if disposition in FINAL:
        _finish(connection, callback_id, FINAL[disposition], now)
    elif reason := _wants_no_more(connection, attempt_id, disposition):
        _finish(connection, callback_id, CallbackState.GIVEN_UP, now, reason)
    else:
        with _set_aside(connection, callback_id, now, preference):
            _go_on(connection, callback_id, attempt_id, disposition, now, preference)


def _go_on(
    connection: Connection,
    callback_id: str,
    attempt_id: str,
    disposition: Disposition,
    now: datetime,
    preference: str | None,
) -> None:
    if disposition is Disposition.WRONG_NUMBER:
        _give_up(connection, requests.read(connection, callback_id, now), GiveUp.WRONG_NUMBER, now)
    elif preference is not None:
        by_her = connection.execute(_PROVED, {"attempt_id": attempt_id}).scalar_one()
        put_off(connection, callback_id, preference, now, proven=by_her)
    else:
        schedule(connection, callback_id, now)


@contextmanager
def _set_aside(
    connection: Connection, callback_id: str, now: datetime, preference: str | None
) -> Iterator[None]:
    """Plan a callback, or let one that cannot be read (:mod:`bot.unreadable`) wait without a window, so that nobody dials
    it: the clock plans it as soon as it can be read, at the time that the worker named last."""

    def wait() -> None:
        _plan_for(connection, callback_id, Planned(now, now), now)
        if preference is not None and can_be_read(preference):
            # With the days that any wish of hers has.
            longer = now.date() + LONGER_IF_ASKED
            last_day = case((_callback.c.last_day < longer, longer), else_=_callback.c.last_day)
            this = update(_callback).where(_callback.c.id == callback_id)
            connection.execute(this.values(preference=preference, last_day=last_day))
        unreadable.tell(connection, callback_id, now)

    with unreadable.apart("settle", callback_id, wait):
        yield


def _wants_no_more(connection: Connection, attempt_id: str, disposition: Disposition) -> str | None:
    """Whether the worker said in this call that nobody should call again after it."""
    scope = {
        Disposition.CUT_OFF: ConsentScope.CALL_IF_CUT_OFF,
        Disposition.ENDED_EARLY: ConsentScope.CONTACT_AGAIN,
    }.get(disposition)
    if scope is None:
        return None
    given = connection.execute(
        select(_consent.c.given)
        .join(_conversation, _conversation.c.id == _consent.c.conversation_id)
        .where(_conversation.c.attempt_id == attempt_id, _consent.c.scope == scope)
        .order_by(_consent.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    return disposition.value if given is False else None


def put_off_next(
    connection: Connection, contact_id: str, preference: str, now: datetime, *, proven: bool
) -> bool:
    """A worker who came to us named another time: what is planned for her next moves there. If it is dialled at this
    moment, it is tried again then unless she is reached. False if nothing is planned for her."""
    found = connection.execute(_next_of(contact_id, now).with_for_update()).scalar_one_or_none()
    if found is not None:
        with _set_aside(connection, found, now, preference):
            put_off(connection, found, preference, now, proven=proven)
        return True
    ringing = _next_of(contact_id, now, CallbackState.DIALLING).with_for_update()
    found = connection.execute(ringing).scalar_one_or_none()
    if found is not None:
        with unreadable.apart("put_off", found):
            _heed(connection, requests.read(connection, found, now), preference, now, proven=proven)
    return found is not None


def hold(connection: Connection, contact_id: str, now: datetime, *, proven: bool) -> None:
    """While a worker tells us in writing when to call, what is planned for her next does not ring. Who proves nothing
    can hold it up a few times only (:data:`bot.callbacks.plan.MOST_PUT_OFF`).

    If she names no time after all, it may take place as many days longer as with a time of hers: its window may
    be over by then, and it may have been the last one.
    """
    found = connection.execute(_next_of(contact_id, now)).scalar_one_or_none()
    if found is not None:
        with unreadable.apart("hold", found):
            _hold(connection, found, now, proven=proven)


def _hold(connection: Connection, callback_id: str, now: datetime, *, proven: bool) -> None:
    known, until = requests.read(connection, callback_id, now), now + HELD_FOR
    if not proven and _put_off_so_far(connection, known) >= MOST_PUT_OFF:
        return
    today = now.astimezone(known.request.timezone).date()
    connection.execute(
        update(_callback)
        .where(
            _callback.c.id == callback_id,
            _callback.c.state == CallbackState.SCHEDULED,
            _callback.c.due_at < until,
        )
        .values(due_at=until, last_day=max(known.row.last_day, today + LONGER_IF_ASKED), updated_at=now)
    )


def _next_of(contact_id: str, now: datetime, state: CallbackState = CallbackState.SCHEDULED) -> AnySelect:
    mine = (_callback.c.contact_id == contact_id, _callback.c.state == state, begun(now))
    return select(_callback.c.id).where(*mine).order_by(_callback.c.due_at).limit(1)


def put_off(
    connection: Connection, callback_id: str, preference: str, now: datetime, *, proven: bool
) -> Verdict:
    """Plan a callback for another time that the worker named (see :func:`asked_for`). At a time at which nobody
    may be called it is planned as she had asked before, with as many days more.

    ``proven`` says that nobody else can have named it. Else it gets no more days after the first few times.
    """
    known = requests.read(connection, callback_id, now)
    verdict = _heed(connection, known, preference, now, proven=proven)
    _write(connection, known, verdict, now)
    return verdict


def _put_off_so_far(connection: Connection, known: Considerations) -> int:
    """How often a callback was put off, or held up, by somebody who proved nothing: in calls, and in writing, where
    only that of a worker without a code is moved without one."""
    row = known.row
    written = select(func.count()).where(
        ~exists().where(_contact.c.id == row.contact_id, _contact.c.pass_word_digest.is_not(None)),
        _conversation.c.address_id == row.address_id,
        _conversation.c.flow == requests.QUESTIONS,
        _conversation.c.attempt_id.is_(None),
        _conversation.c.contact_id.is_(None),
        _conversation.c.channel != Channel.VOICE,
        _conversation.c.started_at >= row.created_at,
    )
    return known.request.put_off + int(connection.execute(written).scalar_one())


def _heed(
    connection: Connection, known: Considerations, preference: str, now: datetime, *, proven: bool
) -> Verdict:
    """Let a callback be wanted at another time, with its days; what that means is given, and not written."""
    wanted = wish(preference, now, known.request.timezone)
    request, policy = asked_for(known, wanted, now)
    if not proven and _put_off_so_far(connection, known) > MOST_PUT_OFF:
        request = replace(request, last_day=known.row.last_day)
    verdict, kept = plan(request, policy, now), str(wanted)
    if isinstance(verdict, GivenUp) and verdict.reason in _NO_SUCH_TIME:
        kept = known.row.preference
        verdict = plan(replace(request, preference=known.request.preference), policy, now)
    connection.execute(
        update(_callback)
        .where(_callback.c.id == known.row.id)
        .values(preference=kept, first_day=request.first_day, last_day=request.last_day)
    )
    return verdict


def asked_for(known: Considerations, wanted: Preference, now: datetime) -> tuple[Request, Policy]:
    """What the planner is asked for a time that the worker named herself. Pure.

    It beats the spacing, the client's first day of the first round and the daily cap. It may lie a week beyond
    the client's last day, or as far ahead as she can name a day.
    """
    zone, row = known.request.timezone, known.row
    today = now.astimezone(zone).date()
    days = (today + timedelta(days=n) for n in range(wishes.MOST_AHEAD.days + 1))
    first = next((day for day in days if windows(wanted, day, zone, row.country)), today)
    request = replace(
        known.request,
        preference=wanted,
        chosen=True,
        first_day=min(row.first_day, today) if row.round == 1 else row.first_day,
        last_day=max(row.last_day, today + LONGER_IF_ASKED, first),
        # Neither the cap nor the end of our own tries stands against what she asked for herself.
        held_until=None,
        stop=None,
    )
    hours = _SOON.total_seconds() / 3600
    return request, replace(known.policy, spacing_hours=hours, attempts_per_day=24)


def is_stopped(connection: Connection, address_id: str) -> bool:
    """Whether an address that has a row is on the stop list."""
    return bool(connection.execute(_IS_STOPPED, {"address_id": address_id}).scalar_one())
