"""What a beat of the clock need not look for: one statement, made once, says where there is anything at all.

What it says is never less than the truth, and may be more: each step asks its own question, under its own
locks. Most beats find nothing, and those cost one read instead of one for every kind of work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, bindparam, exists, literal_column, or_, select

from bot.callbacks.claim import UNSETTLED
from bot.callbacks.states import AUDIT
from bot.storage.database import Database
from bot.storage.tables import (
    Attempt,
    Callback,
    Client,
    Conversation,
    Leftover,
    Media,
    Message,
    Outbox,
    RecordingRow,
    Transfer,
    table,
)
from bot.storage.types import AnySelect, UTCDateTime

_attempt = table(Attempt)
_callback = table(Callback)
_client = table(Client)
_conversation = table(Conversation)
_file = table(Media)
_leftover = table(Leftover)
_message = table(Message)
_outbox = table(Outbox)
_recording = table(RecordingRow)
_transfer = table(Transfer)


@dataclass(frozen=True, slots=True)
class Glance:
    """Whether there is anything of a kind."""

    anew: bool
    """A client whose callbacks do not all follow its new policy."""
    due: bool
    """A callback whose time has come."""
    reminders: bool
    """A text before a call whose time has come."""
    over: bool
    """A callback that is over and was not looked at since."""
    stale: bool
    """An attempt whose lease has run out."""
    late: bool
    """An attempt that is not settled although its window is over."""
    line: bool
    """A transfer that is open."""
    letters: bool
    """Something in the outbox that may go out."""
    doubtful: bool
    """Something in the outbox whose lease has run out."""
    timers: bool
    recordings: bool
    files: bool
    left: bool
    """Something to be deleted at a provider."""
    parked: bool
    """A message that is to be tried again."""


def glance(database: Database, now: datetime, wall: datetime) -> Glance:
    """Look once. ``now`` is the service's time, ``wall`` the machine's."""
    with database.read() as connection:
        row = connection.execute(_GLANCE, {"now": now, "wall": wall}).one()
    return Glance(**{name: bool(found) for name, found in row._mapping.items()})


def _is(column: ColumnElement[str], *values: str) -> ColumnElement[bool]:
    """Written out, because a partial index is used only where the statement says the same as the index does."""
    words: list[ColumnElement[str]] = [literal_column(f"'{value}'") for value in values]
    return column == words[0] if len(words) == 1 else column.in_(words)


def _statement() -> AnySelect:
    now = bindparam("now", type_=UTCDateTime())
    wall = bindparam("wall", type_=UTCDateTime())
    leased = _is(_outbox.c.state, "leased", "sending", "unknown")
    over = (_is(_callback.c.kind, AUDIT), _is(_callback.c.state, "reached", "given_up"))
    wanted: dict[str, ColumnElement[bool]] = {
        "anew": exists().where(_client.c.anew_after.is_not(None)),
        "due": exists().where(_is(_callback.c.state, "scheduled"), _callback.c.due_at <= now),
        "reminders": exists().where(
            _is(_callback.c.state, "scheduled"),
            _callback.c.remind_at.is_not(None),
            _callback.c.remind_at <= now,
        ),
        "over": exists().where(*over, _callback.c.followed.is_(None)),
        "stale": exists().where(UNSETTLED, _attempt.c.lease_until < wall),
        "late": exists().where(UNSETTLED, _attempt.c.window_end <= now),
        "line": exists().where(_transfer.c.state != literal_column("'ended'")),
        "letters": exists().where(_is(_outbox.c.state, "queued"), _outbox.c.due_at <= now),
        "doubtful": exists().where(leased, _outbox.c.lease_until < wall),
        "timers": exists().where(_conversation.c.timer_at <= now),
        "recordings": exists().where(_is(_recording.c.state, "due", "fetched"), _recording.c.due_at <= wall),
        "files": exists().where(_is(_file.c.state, "due", "fetched"), _file.c.due_at <= wall),
        "left": or_(exists().where(_leftover.c.due_at <= wall), exists().where(_message.c.forget_at <= wall)),
        "parked": exists().where(_message.c.retry_at <= now),
    }
    return select(*(found.label(name) for name, found in wanted.items()))


_GLANCE: Final = _statement()
