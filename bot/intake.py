"""One inbound, one transaction: find the conversation, take one step of the flow, write what follows.

The channels hand in a verified :class:`~bot.messages.Inbound` and a way to render prompts; everything
that a message leads to (answers, cases, replies, callbacks) is written in the same transaction as the
message itself. The unique key (channel, event id) decides about duplicates, the version of the
conversation about two writers; the loser reads again. If the flow engine fails, the inbound alone is
kept, parked, and tried again by the clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import structlog
from babel.languages import get_official_languages
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from bot import contacts, effects, incidents, language
from bot.callbacks import settle
from bot.callbacks.claim import adopt_returned
from bot.clock import wall_time
from bot.contacts import Known
from bot.effects import Standing
from bot.errors import ConflictError, EngineError, NotFound
from bot.flow import engine, phrases
from bot.flow.context import Context, Sprint
from bot.flow.events import Outcome, Verified
from bot.flow.session import Session
from bot.ids import new_id
from bot.incidents import IncidentKind
from bot.messages import (
    Address,
    Button,
    Capabilities,
    Channel,
    HangUp,
    Inbound,
    Input,
    Keys,
    Media,
    MediaRef,
    Prompt,
    Recording,
    Rendered,
    Silence,
    Text,
    Timeout,
)
from bot.outbox import STOP_CONFIRMATION, queue_row
from bot.service import Service
from bot.storage.tables import (
    AddressRow,
    Attempt,
    Callback,
    CohortMember,
    Contact,
    Conversation,
    Message,
    Outbox,
    Stop,
    table,
)
from bot.storage.types import AnyRow, AnySelect

log = structlog.get_logger()
Result = TypeVar("Result")

_address = table(AddressRow)
_stop = table(Stop)
_conversation = table(Conversation)
_message = table(Message)
_outbox = table(Outbox)
_attempt = table(Attempt)
_callback = table(Callback)
_contact = table(Contact)
_member = table(CohortMember)

MOST_CONFLICTS = 8
PARK_FOR = timedelta(minutes=1)
MASK = "••••"
"""What is kept of an entry that was a pass-word."""
HOTLINE = "hotline"
CALLBACK = "callback"
WRITE = "write"
HANG_UP = "hangup"
"""The timer of a call that is over, after the time in which a last turn may still come."""
INVITE = "invite"
"""The timer of an ended call whose worker asked to be written to."""


# The statements of the hot path are made once: making one costs more than the database needs to run it.
_CONVERSATION_COLUMNS: Final[list[ColumnElement[Any]]] = [
    _conversation.c.id.label("conversation_id"),
    *(
        _conversation.c[name]
        for name in (
            "contact_id",
            "attempt_id",
            "audit_id",
            "channel",
            "call_id",
            "line",
            "flow",
            "language",
            "state",
            "version",
            "turn",
            "answers",
            "session_sealed",
            "timer_at",
            "timer_kind",
            "sprint",
        )
    ),
]
_IS_KNOWN: Final = exists().where(
    _message.c.channel == bindparam("channel"), _message.c.event_id == bindparam("event_id")
)
_THREAD: Final[AnySelect] = (
    select(
        _address.c.id.label("address_id"),
        _address.c.language.label("known_language"),
        _address.c.country,
        _stop.c.index.label("stop"),
        _IS_KNOWN.label("duplicate"),
        *_CONVERSATION_COLUMNS,
    )
    .outerjoin(_stop, _stop.c.index == _address.c.stop_index)
    .outerjoin(
        _conversation,
        and_(
            _conversation.c.address_id == _address.c.id,
            _conversation.c.channel == bindparam("channel"),
            _conversation.c.state == literal_column("'open'"),
            _conversation.c.call_id.is_(None),
        ),
    )
    .where(_address.c.kind == bindparam("kind"), _address.c.index == bindparam("index"))
)
_LOAD: Final[AnySelect] = select(_conversation.c.address_id, *_CONVERSATION_COLUMNS).where(
    _conversation.c.id == bindparam("conversation_id")
)
_MOVE: Final = update(_conversation).where(
    _conversation.c.id == bindparam("conversation_id"), _conversation.c.version == bindparam("version_read")
)
_ADD_MESSAGE: Final = insert(_message)
_ADD_LETTER: Final = insert(_outbox)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt stands: the conversation, the number of the turn that answers it, and whether it is the last."""

    conversation_id: str
    turn: int
    ended: bool


class Door(Protocol):
    """What intake needs of a channel."""

    @property
    def capabilities(self) -> Capabilities:
        """What the channel can show and take."""
        ...

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:
        """A prompt in the channel's own form: messages to send, or one document for a call."""
        ...


# --- in writing -------------------------------------------------------------------------------


def receive(service: Service, door: Door, inbound: Inbound) -> bool:
    """Take one message; True if it was new. When this returns, the message is stored for good."""
    try:
        return _retrying(lambda: _receive(service, door, inbound))
    except EngineError:
        return _park(service, inbound)


def wake(service: Service, door: Door, conversation_id: str) -> None:
    """A timer of a conversation fired: remind, expire, or take a silent call as over."""
    _retrying(lambda: _wake(service, door, conversation_id))


def _receive(service: Service, door: Door, inbound: Inbound) -> bool:
    now = service.clock.now()
    if inbound.sender is None:
        raise EngineError("a message without a sender")
    with service.database.write() as connection:
        row = _thread(connection, service, inbound.sender, inbound)
        if row.duplicate if row is not None else _is_duplicate(connection, inbound):
            return False
        if row is not None and row.conversation_id is not None:
            standing, session = _open_session(service, row, inbound.sender)
            sprint = _step(lambda: engine.resume(session, inbound.input, _context(service, door, now)))
            _write(connection, service, door, standing, sprint, now, _Turn(inbound, row.version))
            return True
        known = (
            Known(row.address_id, row.known_language, row.country, row.stop is not None)
            if row is not None
            else contacts.remember(connection, service.sealer, inbound.sender, now, inbound.country)
        )
        _begin_thread(connection, service, door, inbound, known, now)
    return True


def _thread(connection: Connection, service: Service, sender: Address, inbound: Inbound) -> AnyRow | None:
    """The address with its open conversation, if any, and whether the message is a duplicate: one statement."""
    return connection.execute(
        _THREAD,
        {
            "kind": sender.kind,
            "index": service.sealer.address_index(sender),
            "channel": inbound.channel,
            "event_id": inbound.event_id,
        },
    ).one_or_none()


def _begin_thread(
    connection: Connection, service: Service, door: Door, inbound: Inbound, known: Known, now: datetime
) -> None:
    spoken = known.language or _guess(service, inbound.input, known.country)
    facts = {
        "trigger": "message",
        "language": spoken or "en",
        "language_known": "yes" if spoken else "no",
    }
    context = _context(service, door, now)
    sprint = _step(lambda: engine.start(service.library.get(HOTLINE), context, facts, first=inbound.input))
    standing = Standing(
        conversation_id=new_id(),
        channel=inbound.channel,
        address_id=known.id,
        contact_id=None,
        attempt_id=None,
        audit_id=None,
        language=sprint.session.language,
        answers=0,
        address=inbound.sender,
    )
    if known.stopped and not _lifts_stop(sprint):
        # Said stop, and writes again: it is kept and read by a person, but nothing is answered.
        sprint = replace(sprint, prompt=replace(sprint.prompt, texts=(), options=()))
    _write(connection, service, door, standing, sprint, now, _Turn(inbound, None))


def _guess(service: Service, given: Input, country: str | None) -> str | None:
    """The language of a first text if we can speak it, and its letters and words leave no doubt.

    What the words alone leave open (Indonesian or Malay?), the country of the number may decide.
    """
    if not isinstance(given, Text):
        return None
    guess = language.guess(given.text)
    official = get_official_languages(country) if country else ()
    sure = guess.decided or guess.best in official
    return guess.best if sure and guess.best in service.catalogs.languages else None


def _lifts_stop(sprint: Sprint) -> bool:
    return any(type(event).__name__ == "StartRequested" for event in sprint.events)


def _wake(service: Service, door: Door, conversation_id: str) -> None:
    now = service.clock.now()
    with service.database.write() as connection:
        row = _load(connection, conversation_id)
        if row is None or row.state != "open" or row.timer_at is None or row.timer_at > now:
            return
        standing, session = _open_session(service, row, None)
        given: Input = HangUp() if row.timer_kind == HANG_UP else Timeout(row.sprint, row.timer_kind)
        sprint = _step(lambda: engine.resume(session, given, _context(service, door, now)))
        _write(connection, service, door, standing, sprint, now, _Turn(None, row.version))


def invite(service: Service, door: Door, conversation_id: str) -> None:
    """A call is over in which the worker asked to be written to: a neutral text opens a talk in writing."""
    now = service.clock.now()
    with service.database.write() as connection:
        row = _load(connection, conversation_id)
        if row is None or row.timer_kind != INVITE:
            return
        connection.execute(
            update(_conversation)
            .where(_conversation.c.id == conversation_id)
            .values(timer_at=None, timer_kind=None)
        )
        if row.address_id is None or _is_busy(connection, row.address_id, door.capabilities.channel):
            return
        facts = {"trigger": "message", "language": row.language, "language_known": "yes"}
        context = _context(service, door, now)
        sprint = _step(lambda: engine.start(service.library.get(WRITE), context, facts))
        standing = Standing(
            conversation_id=new_id(),
            channel=door.capabilities.channel,
            address_id=row.address_id,
            contact_id=row.contact_id,
            attempt_id=None,
            audit_id=row.audit_id,
            language=row.language,
            answers=0,
        )
        _write(connection, service, door, standing, sprint, now, _Turn(None, None))


def open_text(service: Service, door: Door, attempt_id: str) -> bool:
    """Begin a callback in writing: its neutral opening goes out. False if the address is in a talk already."""
    now = service.clock.now()
    with service.database.write() as connection:
        row = connection.execute(_attempt_row(attempt_id)).one()
        if _is_busy(connection, row.address_id, Channel(row.channel)):
            return False
        check = _PassWords(service, [(row.contact_id, row.pass_word_digest)])
        context = _context(service, door, now, check)
        sprint = _step(lambda: engine.start(service.library.get(CALLBACK), context, _facts(row, "callback")))
        standing = Standing(
            conversation_id=new_id(),
            channel=Channel(row.channel),
            address_id=row.address_id,
            contact_id=None,
            attempt_id=attempt_id,
            audit_id=row.audit_id,
            language=sprint.session.language,
            answers=0,
        )
        _write(connection, service, door, standing, sprint, now, _Turn(None, None, check=check))
    return True


def _is_busy(connection: Connection, address_id: str, channel: Channel) -> bool:
    """Whether a talk in writing is open on an address."""
    found = connection.execute(
        select(_conversation.c.id).where(
            _conversation.c.address_id == address_id,
            _conversation.c.channel == channel,
            _conversation.c.state == "open",
            _conversation.c.call_id.is_(None),
        )
    )
    return found.first() is not None


# --- by telephone -----------------------------------------------------------------------------


def begin_call(service: Service, door: Door, inbound: Inbound, attempt_id: str | None) -> str:
    """Somebody is on the telephone: the first document. The same request again gets the same document.

    ``attempt_id`` names the attempt of a call that we placed. A call to the number that calls workers
    hears the neutral greeting if we ever had a reason to call this telephone; any other call is the hotline's.
    """
    return _retrying(lambda: _begin_call(service, door, inbound, attempt_id))


def take_turn(service: Service, door: Door, inbound: Inbound, conversation_id: str, turn: int) -> str:
    """What was keyed, said or left out in one turn of a call: the next document.

    A repeated turn gives the document that it got before; a turn out of order gives the latest one.
    """
    return _retrying(lambda: _take_turn(service, door, inbound, conversation_id, turn))


def latest_document(service: Service, call_id: str) -> str | None:
    """The last document of a call, to be said again after the provider could not reach us; None if unknown."""
    with service.database.read() as connection:
        row = connection.execute(
            select(_conversation.c.id, _conversation.c.turn).where(_conversation.c.call_id == call_id)
        ).one_or_none()
        if row is None:
            return None
        return _document(connection, service, Channel.VOICE, f"{call_id}:{row.turn}")


def hang_up(service: Service, door: Door, conversation_id: str) -> None:
    """A call is over for good: the flow learns it, and the attempt is settled."""
    _retrying(lambda: _hang_up(service, door, conversation_id))


def call_over(service: Service, call_id: str) -> str | None:
    """The provider says that a call to us ended; gives the attempt that it belongs to, if any.

    Without one, the flow learns it a little later, because a last turn may still be on its way.
    """
    now = service.clock.now()
    with service.database.write() as connection:
        row = connection.execute(
            select(_conversation.c.id, _conversation.c.attempt_id).where(
                _conversation.c.call_id == call_id, _conversation.c.state == "open"
            )
        ).one_or_none()
        if row is not None and row.attempt_id is None:
            connection.execute(
                update(_conversation)
                .where(_conversation.c.id == row.id)
                .values(timer_at=now + settle.GRACE, timer_kind=HANG_UP)
            )
        return row.attempt_id if row is not None else None


def keep_recording(service: Service, conversation_id: str, recording: Recording) -> None:
    """Speech that was cut short by a key that means something else: it is fetched and kept all the same."""
    with service.database.write() as connection:
        if _load(connection, conversation_id) is not None:
            effects.keep_recording(connection, conversation_id, recording.ref, service.clock.now())


def break_off(service: Service, inbound: Inbound, conversation_id: str | None) -> Prompt:
    """The flow engine failed in a call: what was recorded is kept, the operator is told, the caller hears a
    neutral goodbye in the language of the call."""
    now = service.clock.now()
    language = "en"
    with service.database.write() as connection:
        row = _load(connection, conversation_id) if conversation_id else None
        if row is not None:
            language = row.language
            if isinstance(inbound.input, Recording):
                effects.keep_recording(connection, row.conversation_id, inbound.input.ref, now)
        incidents.report(connection, IncidentKind.PARKED, conversation_id or "call", now)
    return Prompt((service.catalogs.tongue(language).text(phrases.WRONG_TIME),), language)


def _begin_call(service: Service, door: Door, inbound: Inbound, attempt_id: str | None) -> str:
    now = service.clock.now()
    with service.database.write() as connection:
        document = _document(connection, service, inbound.channel, inbound.event_id)
        if document is not None:
            return document
        call = _call_of(connection, service, inbound, attempt_id, now)
        context = _context(service, door, now, call.check)
        sprint = _step(lambda: engine.start(service.library.get(call.flow), context, call.facts))
        standing = replace(call.standing, language=sprint.session.language)
        if attempt_id:
            settle.answered(connection, attempt_id, _call_id(inbound), now, wall_time())
        return _write(
            connection,
            service,
            door,
            standing,
            sprint,
            now,
            _Turn(inbound, None, number=0, call_id=_call_id(inbound), check=call.check),
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call that begins is about."""

    flow: str
    facts: dict[str, str] = field(repr=False)
    standing: Standing = field(repr=False)
    check: _PassWords | None = field(repr=False)


def _call_of(
    connection: Connection, service: Service, inbound: Inbound, attempt_id: str | None, now: datetime
) -> _Call:
    standing = Standing(
        conversation_id=new_id(),
        channel=Channel.VOICE,
        address_id=None,
        contact_id=None,
        attempt_id=attempt_id,
        audit_id=None,
        language="en",
        answers=0,
        address=inbound.sender,
    )
    if attempt_id is not None:
        row = connection.execute(_attempt_row(attempt_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no attempt {attempt_id}")
        check = _PassWords(service, [(row.contact_id, row.pass_word_digest)])
        standing = replace(standing, address_id=row.address_id, audit_id=row.audit_id)
        return _Call(CALLBACK, _facts(row, "callback"), standing, check)
    if inbound.sender is None:
        return _Call(HOTLINE, _hotline_facts(None), standing, None)
    known = contacts.remember(connection, service.sealer, inbound.sender, now, inbound.country)
    standing = replace(standing, address_id=known.id)
    if inbound.line in service.settings.twilio_voice_from and (expected := _expected(connection, known.id)):
        check = _PassWords(service, [(row.contact_id, row.pass_word_digest) for row in expected])
        return _Call(CALLBACK, _facts(expected[0], "returned"), standing, check)
    return _Call(HOTLINE, _hotline_facts(known.language), standing, None)


def _expected(connection: Connection, address_id: str) -> list[AnyRow]:
    """Those whom we have called, or will call, on this telephone; the newest first."""
    return list(
        connection.execute(
            _callback_columns()
            .where(_callback.c.address_id == address_id)
            .order_by(_callback.c.id.desc())
            .limit(10)
        )
    )


def _hotline_facts(spoken: str | None) -> dict[str, str]:
    return {
        "trigger": "call",
        "language": spoken or "en",
        "language_known": "yes" if spoken else "no",
    }


def _take_turn(service: Service, door: Door, inbound: Inbound, conversation_id: str, turn: int) -> str:
    now = service.clock.now()
    with service.database.write() as connection:
        document = _document(connection, service, inbound.channel, inbound.event_id)
        if document is not None:
            return document
        row = _load(connection, conversation_id)
        call_id = _call_id(inbound)
        if row is None or row.call_id != call_id:
            raise NotFound("a turn of a call that is not known")
        if row.state != "open" or turn != row.turn + 1:
            if isinstance(inbound.input, Recording):
                effects.keep_recording(connection, conversation_id, inbound.input.ref, now)
            return _document(connection, service, inbound.channel, f"{call_id}:{row.turn}") or ""
        standing, session = _open_session(service, row, inbound.sender)
        check = _expected_pass_words(connection, service, row)
        context = _context(service, door, now, check)
        sprint = _step(lambda: engine.resume(session, inbound.input, context))
        return _write(
            connection,
            service,
            door,
            standing,
            sprint,
            now,
            _Turn(inbound, row.version, number=turn, call_id=call_id, check=check),
        )


def _hang_up(service: Service, door: Door, conversation_id: str) -> None:
    now = service.clock.now()
    with service.database.write() as connection:
        row = _load(connection, conversation_id)
        if row is None or row.state != "open":
            return
        standing, session = _open_session(service, row, None)
        sprint = _step(lambda: engine.resume(session, HangUp(), _context(service, door, now)))
        _write(connection, service, door, standing, sprint, now, _Turn(None, row.version))


def _call_id(inbound: Inbound) -> str:
    return inbound.event_id.rpartition(":")[0]


# --- pass-words -------------------------------------------------------------------------------


class _PassWords:
    """Checks digits against the workers who may be on the line, and remembers who it was."""

    def __init__(self, service: Service, expected: list[tuple[str, str | None]]) -> None:
        self._sealer = service.sealer
        self._expected = expected
        self.matched: str | None = None

    def __call__(self, digits: str) -> bool:
        for contact_id, digest in self._expected:
            if digest and self._sealer.is_pass_word(contact_id, digits, digest):
                self.matched = contact_id
                return True
        return False


def _expected_pass_words(connection: Connection, service: Service, row: AnyRow) -> _PassWords | None:
    if row.flow != CALLBACK or row.contact_id is not None:
        return None
    if row.attempt_id is not None:
        found = [connection.execute(_attempt_row(row.attempt_id)).one()]
    else:
        found = _expected(connection, row.address_id) if row.address_id else []
    return _PassWords(service, [(each.contact_id, each.pass_word_digest) for each in found])


def _callback_columns() -> AnySelect:
    return (
        select(
            _callback.c.id.label("callback_id"),
            _callback.c.contact_id,
            _callback.c.address_id,
            _callback.c.audit_id,
            _callback.c.channel,
            _callback.c.language,
            _callback.c.round,
            _contact.c.pass_word_digest,
            _member.c.role,
        )
        .join(_contact, _contact.c.id == _callback.c.contact_id)
        .outerjoin(_member, _member.c.id == _callback.c.cohort_member_id)
    )


def _attempt_row(attempt_id: str) -> AnySelect:
    return (
        _callback_columns()
        .join(_attempt, _attempt.c.callback_id == _callback.c.id)
        .where(_attempt.c.id == attempt_id)
    )


def _facts(row: AnyRow, trigger: str) -> dict[str, str]:
    return {
        "trigger": trigger,
        "language": row.language,
        "language_known": "yes",
        "role": row.role or "interviewed",
        "has_pass_word": "yes" if row.pass_word_digest else "no",
        "round": str(row.round),
    }


# --- one step ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a sprint answers: an inbound or a timer, on a conversation of some version (None: it begins)."""

    inbound: Inbound | None
    version: int | None
    number: int | None = None
    call_id: str | None = None
    check: _PassWords | None = field(default=None, repr=False)


def _retrying(step: Callable[[], Result]) -> Result:
    """Run a transaction again when another writer was first; a duplicate then shows as one."""
    for _ in range(MOST_CONFLICTS):
        try:
            return step()
        except (ConflictError, IntegrityError):
            continue
    raise ConflictError("too many writers at the same conversation")


def _step(run: Callable[[], Sprint]) -> Sprint:
    try:
        return run()
    except Exception as error:  # whatever a flow or the engine does wrong, the worker's message is kept
        log.error("engine_failed", error=type(error).__name__)
        raise EngineError("the flow engine failed") from None


def _context(
    service: Service, door: Door, now: datetime, check: Callable[[str], bool] | None = None
) -> Context:
    return Context(
        now=now,
        new_id=new_id,
        library=service.library,
        catalogs=service.catalogs,
        capabilities=door.capabilities,
        check_pass_word=check or _nobody,
    )


def _nobody(_digits: str) -> bool:
    return False


def _load(connection: Connection, conversation_id: str) -> AnyRow | None:
    return connection.execute(_LOAD, {"conversation_id": conversation_id}).one_or_none()


def _open_session(service: Service, row: AnyRow, address: Address | None) -> tuple[Standing, Session]:
    standing = Standing(
        conversation_id=row.conversation_id,
        channel=Channel(row.channel),
        address_id=row.address_id,
        contact_id=row.contact_id,
        attempt_id=row.attempt_id,
        audit_id=row.audit_id,
        language=row.language,
        answers=row.answers,
        address=address,
    )
    data = service.sealer.open_text(f"conversation.session_sealed:{row.conversation_id}", row.session_sealed)
    return standing, Session.load(data.encode())


# --- writing it down --------------------------------------------------------------------------


def _write(
    connection: Connection,
    service: Service,
    door: Door,
    standing: Standing,
    sprint: Sprint,
    now: datetime,
    turn: _Turn,
) -> str:
    """Write one sprint: conversation, events, what was said both ways. Gives the document, on the telephone."""
    if turn.version is None:
        connection.execute(insert(_conversation), _new_row(service, standing, sprint, turn, now))
    matched = turn.check.matched if turn.check else None
    standing = _adopt(connection, standing, sprint, turn, matched, now)
    applied = effects.apply(connection, service.sealer, standing, sprint.events, now, matched)
    place = Place(standing.conversation_id, 0 if turn.number is None else turn.number + 1, sprint.ended)
    rendered = door.render(sprint.prompt, place)
    _update(connection, service, applied, sprint, turn, now)
    messages, letters = _said(service, door, applied, sprint, turn, rendered, now)
    if messages:
        connection.execute(_ADD_MESSAGE, messages)
    if letters:
        connection.execute(_ADD_LETTER, letters)
    return rendered[0].text if door.capabilities.synchronous else ""


def _new_row(
    service: Service, standing: Standing, sprint: Sprint, turn: _Turn, now: datetime
) -> dict[str, object]:
    session = sprint.session
    return {
        "id": standing.conversation_id,
        "address_id": standing.address_id,
        "contact_id": standing.contact_id,
        "attempt_id": standing.attempt_id,
        "audit_id": standing.audit_id,
        "channel": standing.channel,
        "call_id": turn.call_id,
        "line": turn.inbound.line if turn.inbound else "",
        "flow": session.flow,
        "revision": session.revision,
        "language": session.language,
        "state": "open",
        "version": 0,
        "turn": turn.number or 0,
        "answers": 0,
        "invited": False,
        "session_sealed": _seal_session(service, standing.conversation_id, session),
        "sprint": session.sprint,
        "started_at": now,
        "updated_at": now,
    }


def _adopt(
    connection: Connection,
    standing: Standing,
    sprint: Sprint,
    turn: _Turn,
    matched: str | None,
    now: datetime,
) -> Standing:
    """A worker who called back and gave her pass-word is taken through the callback that waits for her."""
    verified = any(isinstance(event, Verified) for event in sprint.events)
    if not (verified and matched and standing.attempt_id is None and turn.call_id):
        return standing
    adopted = adopt_returned(connection, matched, turn.call_id, now, wall_time())
    if adopted is None:
        return standing
    return replace(standing, attempt_id=adopted[0], audit_id=standing.audit_id or adopted[1])


def _update(
    connection: Connection,
    service: Service,
    applied: effects.Applied,
    sprint: Sprint,
    turn: _Turn,
    now: datetime,
) -> None:
    """Move the conversation on, guarded by its version. Raises :class:`ConflictError` if it was moved already."""
    standing = applied.standing
    timer_at, timer_kind = _timer(sprint, now)
    values: dict[str, object] = {
        "contact_id": standing.contact_id,
        "attempt_id": standing.attempt_id,
        "audit_id": standing.audit_id,
        "language": standing.language,
        "answers": standing.answers,
        "version": (turn.version or 0) + 1,
        "session_sealed": _seal_session(service, standing.conversation_id, sprint.session),
        "sprint": sprint.session.sprint,
        "timer_at": timer_at,
        "timer_kind": timer_kind,
        "updated_at": now,
    }
    if applied.invited:
        values["invited"] = True
    if turn.inbound is not None:
        values["heard_at"] = now
    if turn.number is not None:
        values["turn"] = turn.number
    if sprint.ended:
        outcome = applied.outcome or Outcome.COMPLETED
        values |= {"state": "ended", "outcome": outcome}
    guard = {"conversation_id": standing.conversation_id, "version_read": turn.version or 0}
    moved = connection.execute(_MOVE, values | guard)
    if not moved.rowcount:
        raise ConflictError("the conversation was moved on by another writer")
    if sprint.ended and standing.channel is Channel.VOICE:
        connection.execute(
            update(_conversation)
            .where(_conversation.c.id == standing.conversation_id, _conversation.c.invited)
            .values(timer_at=now, timer_kind=INVITE)
        )


def _timer(sprint: Sprint, now: datetime) -> tuple[datetime | None, str | None]:
    if sprint.ended or not sprint.timers:
        return None, None
    first = min(sprint.timers, key=lambda timer: timer.seconds)
    return now + timedelta(seconds=first.seconds), first.kind


def _seal_session(service: Service, conversation_id: str, session: Session) -> bytes:
    context = f"conversation.session_sealed:{conversation_id}"
    return service.sealer.seal_text(context, session.dump().decode())


def _said(
    service: Service,
    door: Door,
    applied: effects.Applied,
    sprint: Sprint,
    turn: _Turn,
    rendered: list[Rendered],
    now: datetime,
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The message rows of both directions, and the outbox rows of what goes out."""
    standing = applied.standing
    spoken = door.capabilities.synchronous
    messages: list[dict[str, object]] = []
    letters: list[dict[str, object]] = []
    if turn.inbound is not None:
        body = MASK if sprint.redact else body_of(turn.inbound.input)
        row = _message_row(service, standing, "in", body, now)
        row["event_id"] = turn.inbound.event_id
        if spoken:
            context = f"message.reply_sealed:{row['id']}"
            row["reply_sealed"] = service.sealer.seal_text(context, rendered[0].text)
        messages.append(row)
    if spoken and sprint.prompt.texts:
        messages.append(_message_row(service, standing, "out", "\n".join(sprint.prompt.texts), now))
    elif not spoken and standing.address_id:
        template = STOP_CONFIRMATION if applied.stopped else None
        for part in rendered:
            row = _message_row(service, standing, "out", part.text, now)
            if part.options:
                row["options_sealed"] = _seal_options(service, str(row["id"]), part, sprint)
            messages.append(row)
            letters.append(
                queue_row(str(row["id"]), standing.address_id, standing.channel, now, template=template)
            )
    return messages, letters


def _seal_options(service: Service, message_id: str, part: Rendered, sprint: Sprint) -> bytes:
    data = {
        "sprint": sprint.session.sprint,
        "options": [[option.code, option.label, option.key] for option in part.options],
    }
    return service.sealer.seal_text(f"message.options_sealed:{message_id}", json.dumps(data))


def _message_row(
    service: Service, standing: Standing, direction: str, body: str, now: datetime
) -> dict[str, object]:
    row_id = new_id()
    return {
        "id": row_id,
        "conversation_id": standing.conversation_id,
        "address_id": standing.address_id,
        "channel": standing.channel,
        "direction": direction,
        "event_id": None,
        "body_sealed": service.sealer.seal_text(f"message.body_sealed:{row_id}", body),
        "options_sealed": None,
        "reply_sealed": None,
        "status_rank": -1,
        "created_at": now,
    }


def body_of(given: Input) -> str:
    """What the transcript shows of an input. Speech is beside it as a recording."""
    match given:
        case Text(text):
            return text
        case Keys(digits):
            return digits
        case Button(code):
            return code
        case Media(items, caption):
            return "\n".join(
                [caption, *(f"[{item.content_type or 'file'}] {item.ref}" for item in items)]
            ).strip()
        case Recording() | Silence() | HangUp() | Timeout():
            return ""


def _is_duplicate(connection: Connection, inbound: Inbound) -> bool:
    event = {"channel": inbound.channel, "event_id": inbound.event_id}
    return bool(connection.execute(select(_IS_KNOWN), event).scalar_one())


def _document(connection: Connection, service: Service, channel: Channel, event_id: str) -> str | None:
    """The stored document of a turn that was answered before."""
    row = connection.execute(
        select(_message.c.id, _message.c.reply_sealed).where(
            _message.c.channel == channel, _message.c.event_id == event_id
        )
    ).one_or_none()
    if row is None or row.reply_sealed is None:
        return None
    return service.sealer.open_text(f"message.reply_sealed:{row.id}", row.reply_sealed)


# --- parked -----------------------------------------------------------------------------------


def _park(service: Service, inbound: Inbound) -> bool:
    """Keep an inbound that the engine could not take, alert the operator, try it again later."""
    now = service.clock.now()
    with service.database.write() as connection:
        if _is_duplicate(connection, inbound):
            return False
        known = (
            contacts.remember(connection, service.sealer, inbound.sender, now, inbound.country)
            if inbound.sender
            else None
        )
        row_id = new_id()
        seal = service.sealer.seal_text
        connection.execute(
            insert(_message).values(
                id=row_id,
                conversation_id=None,
                address_id=known.id if known else None,
                channel=inbound.channel,
                direction="in",
                event_id=inbound.event_id,
                body_sealed=seal(f"message.body_sealed:{row_id}", MASK),
                input_sealed=seal(f"message.input_sealed:{row_id}", _pack(inbound)),
                retry_at=now + PARK_FOR,
                status_rank=-1,
                created_at=now,
            )
        )
        incidents.report(connection, IncidentKind.PARKED, row_id, now)
    return True


def retry_parked(service: Service, door: Door, message_id: str) -> bool:
    """Try a parked inbound again; False if the engine still cannot take it."""
    now = service.clock.now()
    with service.database.write() as connection:
        row = connection.execute(
            select(
                _message.c.input_sealed, _message.c.address_id, _message.c.retry_at, _message.c.channel
            ).where(_message.c.id == message_id)
        ).one_or_none()
        if row is None or row.input_sealed is None:
            return True
        packed = service.sealer.open_text(f"message.input_sealed:{message_id}", row.input_sealed)
        address = connection.execute(
            select(_address.c.kind, _address.c.sealed).where(_address.c.id == row.address_id)
        ).one_or_none()
        sender = (
            service.sealer.open_address(row.address_id, address.kind, address.sealed) if address else None
        )
        inbound = _unpack(packed, sender)
        # The parked row gives its event id back, so that the message can be taken as new.
        connection.execute(
            update(_message)
            .where(_message.c.id == message_id)
            .values(event_id=None, retry_at=now + 10 * PARK_FOR)
        )
    try:
        _retrying(lambda: _receive(service, door, inbound))
    except EngineError:
        with service.database.write() as connection:
            connection.execute(
                update(_message)
                .where(_message.c.id == message_id)
                .values(event_id=inbound.event_id, retry_at=now + 10 * PARK_FOR)
            )
        return False
    with service.database.write() as connection:
        connection.execute(_message.delete().where(_message.c.id == message_id))
        incidents.resolve(connection, IncidentKind.PARKED, message_id, now)
    return True


def _pack(inbound: Inbound) -> str:
    given = inbound.input
    body: dict[str, object] = {"kind": type(given).__name__}
    match given:
        case Text(text):
            body["text"] = text
        case Button(code):
            body["text"] = code
        case Media(items, caption):
            body |= {"text": caption, "items": [[item.ref, item.content_type] for item in items]}
        case _:
            body["text"] = body_of(given)
    return json.dumps(
        {
            "input": body,
            "channel": inbound.channel,
            "event_id": inbound.event_id,
            "line": inbound.line,
            "country": inbound.country,
            "received_at": inbound.received_at.isoformat(),
        }
    )


def _unpack(packed: str, sender: Address | None) -> Inbound:
    data = json.loads(packed)
    body = data["input"]
    given: Input
    match body["kind"]:
        case "Button":
            given = Button(body["text"])
        case "Media":
            given = Media(tuple(MediaRef(ref, kind) for ref, kind in body["items"]), body["text"])
        case _:
            given = Text(body["text"])
    return Inbound(
        channel=Channel(data["channel"]),
        event_id=data["event_id"],
        sender=sender,
        line=data["line"],
        input=given,
        received_at=datetime.fromisoformat(data["received_at"]),
        country=data["country"],
    )
