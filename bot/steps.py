"""One step of a conversation: ask the flow engine, and write what follows in one transaction.

The version of the conversation decides between two writers; the loser reads again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import structlog
from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot import effects, links, safety
from bot.callbacks import settle
from bot.callbacks.claim import adopt_in_call, adopt_returned
from bot.clock import wall_time
from bot.effects import Standing
from bot.errors import ConflictError, EngineError
from bot.flow import engine
from bot.flow.context import Context, Locality, Sprint, nowhere
from bot.flow.events import Outcome, Verified
from bot.flow.session import Session
from bot.handoff import HUMAN, RELEASE, STAYS
from bot.ids import new_id
from bot.messages import Address, Capabilities, Channel, Inbound, Prompt, Rendered
from bot.outbox import REMINDER, STOP_CONFIRMATION, queue_row, take_back
from bot.safety import PassWords
from bot.service import Service
from bot.storage.tables import Answer, Conversation, Message, Outbox, table
from bot.storage.together import Rows, update_with
from bot.storage.types import AnyRow, AnySelect
from bot.transcript import Thread, heard_row, keep_parts, message_row

log = structlog.get_logger()
Result = TypeVar("Result")

_conversation = table(Conversation)
_answer = table(Answer)
_message = table(Message)
_outbox = table(Outbox)

MOST_CONFLICTS = 8
INVITE = "invite"
"""The timer of an ended call whose worker asked to be written to."""

# The statements of the hot path are made once: making one costs more than the database needs to run it.
CONVERSATION_COLUMNS: Final[list[ColumnElement[Any]]] = [
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
_LOAD: Final[AnySelect] = select(_conversation.c.address_id, *CONVERSATION_COLUMNS).where(
    _conversation.c.id == bindparam("conversation_id")
)
_LOAD_TURN: Final[AnySelect] = (
    select(
        _conversation.c.address_id,
        *CONVERSATION_COLUMNS,
        _message.c.id.label("message_id"),
        _message.c.reply_sealed,
    )
    .outerjoin(
        _message,
        and_(_message.c.channel == bindparam("channel"), _message.c.event_id == bindparam("event_id")),
    )
    .where(_conversation.c.id == bindparam("conversation_id"))
)
_MOVE: Final = update(_conversation).where(
    _conversation.c.id == bindparam("conversation_id"), _conversation.c.version == bindparam("version_read")
)
_ADD_MESSAGE: Final = insert(_message)


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


@dataclass(frozen=True, slots=True)
class Turn:
    """What a sprint answers: an inbound or a timer, on a conversation of some version (None: it begins)."""

    inbound: Inbound | None
    version: int | None
    number: int | None = None
    call_id: str | None = None
    check: PassWords | None = field(default=None, repr=False)
    document: str | None = field(default=None, repr=False)
    """The document of another conversation that goes on in this call, and answers this turn."""


def retrying(step: Callable[[], Result]) -> Result:
    """Run a transaction again when another writer was first; a duplicate then shows as one."""
    for _ in range(MOST_CONFLICTS):
        try:
            return step()
        except (ConflictError, IntegrityError):
            continue
    raise ConflictError("too many writers at the same conversation")


def run(ask: Callable[[], Result]) -> Result:
    """Ask the engine. Raises :class:`EngineError` for whatever goes wrong in it or in a flow."""
    try:
        return ask()
    except Exception as error:  # whatever a flow or the engine does wrong, the worker's message is kept
        log.error("engine_failed", error=type(error).__name__)
        raise EngineError("the flow engine failed") from None


def context(
    service: Service,
    door: Door,
    now: datetime,
    check: Callable[[str], bool] | None = None,
    place: Callable[[], Locality] = nowhere,
) -> Context:
    """The world around a sprint, on one channel."""
    return Context(
        now=now,
        new_id=new_id,
        library=service.library,
        catalogs=service.catalogs,
        capabilities=door.capabilities,
        check_pass_word=check or _nobody,
        place=place,
    )


def _nobody(_digits: str) -> bool:
    return False


def load(connection: Connection, conversation_id: str) -> AnyRow | None:
    """A conversation by its id."""
    return connection.execute(_LOAD, {"conversation_id": conversation_id}).one_or_none()


def load_turn(connection: Connection, conversation_id: str, inbound: Inbound) -> AnyRow | None:
    """The same, with what answered this very turn before (:func:`bot.transcript.document_of`)."""
    event = {"channel": inbound.channel, "event_id": inbound.event_id}
    return connection.execute(_LOAD_TURN, event | {"conversation_id": conversation_id}).one_or_none()


def open_session(service: Service, row: AnyRow, address: Address | None) -> tuple[Standing, Session]:
    """What is known of a conversation, and where its flow stands."""
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


def write(
    connection: Connection,
    service: Service,
    door: Door,
    standing: Standing,
    sprint: Sprint,
    now: datetime,
    turn: Turn,
) -> str:
    """Write one sprint: conversation, events, what was said both ways. Gives the document, on the telephone."""
    if turn.version is None:
        connection.execute(insert(_conversation), _new_row(service, standing, sprint, turn, now))
    matched = turn.check.matched if turn.check else None
    standing, sprint = _adopt(connection, standing, sprint, turn, now)
    applied = effects.apply(connection, service.sealer, standing, sprint.events, now, matched)
    place = Place(standing.conversation_id, 0 if turn.number is None else turn.number + 1, sprint.ended)
    rendered = door.render(sprint.prompt, place)
    erasing = _take_back(connection, door, applied, now)
    if turn.document is not None:
        rendered = [Rendered(turn.document)]
    messages, letters = _said(service, door, applied, sprint, turn, rendered, now)
    if applied.links:
        _show_code(connection, service, applied, now)
    letters = erasing + letters
    rows = [(_answer, applied.answers), (_message, messages), (_outbox, letters)]
    _move(connection, service, applied, sprint, turn, now, rows)
    if turn.inbound is not None:
        keep_parts(connection, service.sealer, messages[0]["id"], turn.inbound, now, masked=sprint.redact)
    return rendered[0].text if door.capabilities.synchronous else ""


def hear(
    connection: Connection,
    service: Service,
    standing: Standing,
    inbound: Inbound,
    sprint: Sprint,
    version: int,
    now: datetime,
) -> None:
    """Keep what was said without a step of the flow: its question, and the timers of that, stay as they are.

    Raises :class:`ConflictError` like :func:`write`.
    """
    moved = connection.execute(
        update(_conversation)
        .where(_conversation.c.id == standing.conversation_id, _conversation.c.version == version)
        .values(version=version + 1, heard_at=now, updated_at=now)
    )
    if not moved.rowcount:
        raise ConflictError("the conversation was moved on by another writer")
    thread = Thread(standing.conversation_id, standing.address_id, standing.channel)
    row = heard_row(service.sealer, thread, inbound, now, masked=sprint.redact)
    connection.execute(_ADD_MESSAGE, [row])
    keep_parts(connection, service.sealer, row["id"], inbound, now, masked=sprint.redact)


def _new_row(
    service: Service, standing: Standing, sprint: Sprint, turn: Turn, now: datetime
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
    connection: Connection, standing: Standing, sprint: Sprint, turn: Turn, now: datetime
) -> tuple[Standing, Sprint]:
    """A worker who came to us about a callback, or whose missed call we return, gave her pass-word. In a call, the
    callback that waits for her takes place in it; who wrote only wants to move it, so that it waits a while. The talk is about her from now on, of
    all who were expected at the address.
    """
    verified = any(isinstance(event, Verified) for event in sprint.events)
    matched = turn.check.matched if turn.check else None
    if turn.check is None or matched is None or not verified or not turn.check.is_open:
        return standing, sprint
    her = next(row for row in turn.check.expected if row.contact_id == matched)
    if turn.call_id is None:
        settle.hold(connection, matched, now, proven=True)
    elif standing.attempt_id is not None:
        if adopt_in_call(connection, matched, standing.attempt_id, now):
            her = safety.called(connection, standing.attempt_id) or her
            standing = replace(standing, audit_id=her.audit_id)
    elif adopted := adopt_returned(connection, matched, turn.call_id, now, wall_time()):
        her = safety.called(connection, adopted[0]) or her
        audit_id = standing.audit_id or adopted[1]
        standing = replace(standing, attempt_id=adopted[0], audit_id=audit_id)
    facts = safety.facts(her, "returned")
    known = {name: facts[name] for name in ("role", "round", "kind", "continues")}
    return standing, replace(sprint, session=engine.learn(sprint.session, known))


def _move(
    connection: Connection,
    service: Service,
    applied: effects.Applied,
    sprint: Sprint,
    turn: Turn,
    now: datetime,
    rows: Rows,
) -> None:
    """Move the conversation on, guarded by its version, and add ``rows``.

    Raises :class:`ConflictError` if it was moved already.
    """
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
        if outcome is Outcome.HANDED_OFF and standing.channel is not Channel.VOICE:
            # A person answers from here on; the worker's next words reach them and not the flow.
            values |= {"state": HUMAN, "timer_at": now + STAYS, "timer_kind": RELEASE}
    guard = {"conversation_id": standing.conversation_id, "version_read": turn.version or 0}
    if not update_with(connection, _MOVE, guard, values, rows):
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


def _take_back(
    connection: Connection, door: Door, applied: effects.Applied, now: datetime
) -> list[dict[str, object]]:
    """The outbox row of a quick exit. Rows of one address go out in the order of their ids, so it is made
    before those of the last words."""
    standing = applied.standing
    if not (applied.hidden and door.capabilities.erases and standing.address_id):
        return []
    return [take_back(connection, standing.address_id, standing.channel, now)]


def _show_code(connection: Connection, service: Service, applied: effects.Applied, now: datetime) -> None:
    """A code by which she can go on from elsewhere, beside the question of the moment."""
    standing = applied.standing
    if standing.address_id is None or standing.channel is Channel.VOICE:
        return
    thread = Thread(standing.conversation_id, standing.address_id, standing.channel)
    tongue = service.catalogs.tongue(standing.language)
    message, letter = links.offer(connection, service.sealer, thread, tongue, now)
    connection.execute(insert(_message).values(**message))
    connection.execute(insert(_outbox).values(**letter))


def _said(
    service: Service,
    door: Door,
    applied: effects.Applied,
    sprint: Sprint,
    turn: Turn,
    rendered: list[Rendered],
    now: datetime,
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The message rows of both directions, and the outbox rows of what goes out."""
    standing = applied.standing
    thread = Thread(standing.conversation_id, standing.address_id, standing.channel)
    spoken = door.capabilities.synchronous
    messages: list[dict[str, object]] = []
    letters: list[dict[str, object]] = []
    if turn.inbound is not None:
        row = heard_row(service.sealer, thread, turn.inbound, now, masked=sprint.redact)
        if spoken:
            context = f"message.reply_sealed:{row['id']}"
            row["reply_sealed"] = service.sealer.seal_text(context, rendered[0].text)
        messages.append(row)
    if spoken and sprint.prompt.texts:
        messages.append(message_row(service.sealer, thread, "out", "\n".join(sprint.prompt.texts), now))
    elif not spoken and standing.address_id:
        reminds = turn.inbound is None and turn.version is not None and not sprint.ended
        template = STOP_CONFIRMATION if applied.stopped else REMINDER if reminds else None
        for part in rendered:
            row = message_row(service.sealer, thread, "out", part.text, now)
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
