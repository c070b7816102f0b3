"""Files and speech that lie with a provider: brought home, sealed, and then deleted there.

    due → fetched → kept
     ├──→ fetched → refused   (speech that was not allowed: nothing of it is kept here or there)
     ├──→ refused             (a file that is too large)
     └──→ absent              (the provider does not have it, or would not hand it over; the operator is told)

Two tables live this life: ``recording``, what was said on the telephone, and ``media``, what came with
messages. ``due_at`` is wall time: of the next try, and while a job is at it the lease of that job.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, case, insert, literal_column, null, select, update

from bot import filetypes, incidents
from bot.backoff import delay
from bot.clock import wall_time
from bot.errors import SendError, SendOutcome
from bot.flow.events import ConsentScope
from bot.ids import new_id
from bot.incidents import IncidentKind
from bot.messages import Brought, Channel, MediaRef
from bot.privacy.seal import Sealer
from bot.storage.tables import Attachment, Consent, Media, RecordingRow, table

RECORDINGS: Final = table(RecordingRow)
FILES: Final = table(Media)
_attachment = table(Attachment)
_consent = table(Consent)

LEASE = timedelta(seconds=60)
TOO_LARGE = "too_large"
"""The code of a :class:`SendError` for a file that is larger than the channel takes."""
MISSING_TRIES = 16
"""After so many tries, within about seven hours, the provider will not have it any more."""
MOST_TRIES = 346
"""After so many tries, within about 14 days, we give up; Twilio itself asks to try for so long (error 20009)."""
# Written out, because a partial index is used only where the statement says the same as the index does.
_OPEN: Final[Sequence[ColumnElement[str]]] = (literal_column("'due'"), literal_column("'fetched'"))


@dataclass(frozen=True, slots=True)
class Item:
    """One file or recording that is under way. ``ref`` is the provider's id or address of it."""

    of: Table
    id: str
    channel: Channel
    ref: str = field(repr=False)
    content_type: str
    state: str
    tries: int
    allowed: bool = True
    """False for speech that the worker did not allow to be recorded, or took back."""


# --- putting in -------------------------------------------------------------------------------


def expect(
    connection: Connection,
    sealer: Sealer,
    message_id: str,
    channel: Channel,
    files: Sequence[MediaRef],
    now: datetime,
) -> None:
    """Files came with a message that lie with the provider: they are to be fetched."""
    due_at = wall_time()
    rows = []
    for n, file in enumerate(files, 1):
        row_id = new_id()
        rows.append(
            {
                "id": row_id,
                "message_id": message_id,
                "n": n,
                "channel": channel,
                "ref_sealed": sealer.seal_text(f"media.ref_sealed:{row_id}", file.ref),
                "content_type": file.content_type[:128],
                "state": "due",
                "due_at": due_at,
                "tries": 0,
                "created_at": now,
            }
        )
    connection.execute(insert(FILES), rows)


def expect_recording(
    connection: Connection,
    conversation_id: str,
    provider_id: str,
    now: datetime,
    *,
    answer_id: str | None = None,
) -> None:
    """A recording is to be fetched. One that was reported before its turn gets its answer."""
    known = connection.execute(
        select(RECORDINGS.c.id).where(RECORDINGS.c.provider_id == provider_id)
    ).scalar_one_or_none()
    if known is None:
        row = {
            "id": new_id(),
            "conversation_id": conversation_id,
            "answer_id": answer_id,
            "provider_id": provider_id,
            "state": "due",
            "due_at": wall_time(),
            "tries": 0,
            "created_at": now,
        }
        connection.execute(insert(RECORDINGS).values(row))
    elif answer_id is not None:
        connection.execute(
            update(RECORDINGS)
            .where(RECORDINGS.c.id == known, RECORDINGS.c.answer_id.is_(None))
            .values(answer_id=answer_id)
        )


def withdraw(connection: Connection, conversation_id: str) -> None:
    """The worker does not allow recording (any more): what was recorded in the conversation is destroyed, here
    at once and at the provider by the next beats of the clock."""
    connection.execute(
        update(RECORDINGS)
        .where(
            RECORDINGS.c.conversation_id == conversation_id, RECORDINGS.c.state.not_in(("absent", "refused"))
        )
        .values(state="fetched", audio_sealed=null(), due_at=wall_time(), tries=0)
    )


# --- claiming ---------------------------------------------------------------------------------


def claim(connection: Connection, of: Table, wall: datetime, limit: int) -> list[str]:
    """Lease what is due in :data:`RECORDINGS` or :data:`FILES`; gives the rows' ids."""
    due = (
        select(of.c.id)
        .where(of.c.state.in_(_OPEN), of.c.due_at <= wall)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(due).scalars())
    if ids:
        connection.execute(
            update(of).where(of.c.id.in_(ids)).values(due_at=wall + LEASE, tries=of.c.tries + 1)
        )
    return ids


def recording(connection: Connection, recording_id: str) -> Item | None:
    """A recording that is under way; None for one that is not."""
    row = connection.execute(
        select(RECORDINGS).where(RECORDINGS.c.id == recording_id, RECORDINGS.c.state.in_(_OPEN))
    ).one_or_none()
    if row is None:
        return None
    return Item(
        RECORDINGS,
        row.id,
        Channel.VOICE,
        row.provider_id,
        "audio/wav",
        row.state,
        row.tries,
        allowed=_is_allowed(connection, row.conversation_id),
    )


def file(connection: Connection, sealer: Sealer, media_id: str) -> Item | None:
    """A file that is under way; None for one that is not."""
    row = connection.execute(
        select(FILES).where(FILES.c.id == media_id, FILES.c.state.in_(_OPEN))
    ).one_or_none()
    if row is None:
        return None
    ref = sealer.open_text(f"media.ref_sealed:{row.id}", row.ref_sealed)
    return Item(FILES, row.id, Channel(row.channel), ref, row.content_type, row.state, row.tries)


def _is_allowed(connection: Connection, conversation_id: str) -> bool:
    """Whether the worker allowed to record her: her newest word. Where nobody asked, nobody allowed it."""
    given = (
        select(_consent.c.given)
        .where(_consent.c.conversation_id == conversation_id, _consent.c.scope == ConsentScope.RECORD)
        .order_by(_consent.c.id.desc())
        .limit(1)
    )
    return bool(connection.execute(given).scalar_one_or_none())


# --- bringing home ----------------------------------------------------------------------------


def store(connection: Connection, sealer: Sealer, item: Item, brought: Brought, now: datetime) -> None:
    """Keep what was brought home, sealed; what another job was quicker with, or was withdrawn, is not kept."""
    if item.of is RECORDINGS:
        _store_speech(connection, sealer, item, brought)
        return
    kind = filetypes.told_by(brought.content, brought.content_type or item.content_type)
    taken = connection.execute(
        update(FILES)
        .where(FILES.c.id == item.id, FILES.c.state == "due")
        .values(state="fetched", content_type=kind)
        .returning(FILES.c.message_id, FILES.c.n)
    ).one_or_none()
    if taken is not None:
        row = attachment_row(sealer, taken.message_id, taken.n, brought, kind, now)
        connection.execute(insert(_attachment).values(row))


def attachment_row(
    sealer: Sealer,
    message_id: str,
    n: int,
    brought: Brought,
    kind: str,
    now: datetime,
    *,
    is_file: bool = True,
) -> dict[str, object]:
    """The row of the ``n``-th thing that came with a message; ``kind`` is its type (:mod:`bot.filetypes`)."""
    row_id = new_id()
    return {
        "id": row_id,
        "message_id": message_id,
        "n": n,
        "is_file": is_file,
        "content_type": kind[:128],
        "name_sealed": sealer.seal_text(f"attachment.name_sealed:{row_id}", brought.name),
        "content_sealed": sealer.seal_bytes(f"attachment.content_sealed:{row_id}", brought.content),
        "size": len(brought.content),
        "created_at": now,
    }


def _store_speech(connection: Connection, sealer: Sealer, item: Item, brought: Brought) -> None:
    connection.execute(
        update(RECORDINGS)
        .where(RECORDINGS.c.id == item.id, RECORDINGS.c.state == "due")
        .values(
            state="fetched",
            audio_sealed=sealer.seal_bytes(f"recording.audio_sealed:{item.id}", brought.content),
            content_type=filetypes.told_by(brought.content, brought.content_type)[:64],
            seconds=_seconds(brought.content),
        )
    )


def _seconds(audio: bytes) -> int | None:
    try:
        with wave.open(io.BytesIO(audio)) as opened:
            seconds: int = round(opened.getnframes() / opened.getframerate())
            return seconds
    except (wave.Error, EOFError, ZeroDivisionError):
        return None


def refuse(connection: Connection, item: Item) -> None:
    """Speech that was not allowed: nothing is fetched, and the provider's copy goes next."""
    connection.execute(
        update(item.of).where(item.of.c.id == item.id, item.of.c.state == "due").values(state="fetched")
    )


def missing(connection: Connection, item: Item, wall: datetime, now: datetime) -> None:
    """The provider does not have it, perhaps not yet."""
    if item.tries >= MISSING_TRIES:
        _give_up(connection, item, "absent", now)
    else:
        _again(connection, item, wall)


def failed(connection: Connection, item: Item, error: SendError, wall: datetime, now: datetime) -> None:
    """The provider did not hand it over. Nothing is lost: it is asked again, later and later, for 14 days."""
    to_be_mended = error.action == "operator"
    if to_be_mended:
        incidents.report(connection, IncidentKind.PROVIDER, f"{item.channel} {error.code}", now)
    hopeless = error.outcome is SendOutcome.PERMANENT and not to_be_mended
    if hopeless or item.tries >= MOST_TRIES:
        _give_up(connection, item, "refused" if error.code == TOO_LARGE else "absent", now)
    else:
        _again(connection, item, wall, timedelta(seconds=error.wait))


def _give_up(connection: Connection, item: Item, state: str, now: datetime) -> None:
    kind = IncidentKind.RECORDING if item.of is RECORDINGS else IncidentKind.FILE
    moved = connection.execute(
        update(item.of).where(item.of.c.id == item.id, item.of.c.state == "due").values(state=state)
    )
    if moved.rowcount:
        incidents.report(connection, kind, item.id, now)


def _again(connection: Connection, item: Item, wall: datetime, wait: timedelta = timedelta()) -> None:
    connection.execute(
        update(item.of)
        .where(item.of.c.id == item.id, item.of.c.state.in_(_OPEN))
        .values(due_at=wall + max(delay(item.tries), wait))
    )


# --- deleting there ---------------------------------------------------------------------------


def settled(connection: Connection, item: Item) -> None:
    """The provider's copy is gone, or is to stay there: there is nothing more to do."""
    values: dict[str, object] = {"state": "kept"}
    if item.of is RECORDINGS:
        values["state"] = case((RECORDINGS.c.audio_sealed.is_(None), "refused"), else_="kept")
    else:
        values["ref_sealed"] = null()
    connection.execute(
        update(item.of).where(item.of.c.id == item.id, item.of.c.state == "fetched").values(**values)
    )


def not_deleted(connection: Connection, item: Item, error: SendError, wall: datetime, now: datetime) -> None:
    """The provider did not delete its copy: it is asked again for 14 days, and then the operator is told."""
    if is_hopeless(connection, item.channel, error, item.tries, now):
        settled(connection, item)
    else:
        _again(connection, item, wall, timedelta(seconds=error.wait))


def is_hopeless(
    connection: Connection, channel: Channel, error: SendError, tries: int, now: datetime
) -> bool:
    """Whether a provider that did not delete something is asked no more; the operator is told what is theirs to mend."""
    if error.action == "operator":
        incidents.report(connection, IncidentKind.PROVIDER, f"{channel} {error.code}", now)
    if tries < MOST_TRIES:
        return False
    incidents.report(connection, IncidentKind.LEFTOVER, f"{channel} {error.code}", now)
    return True
