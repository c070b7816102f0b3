"""Files that came with the messages of a case: what there is of each, and one of them opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from bot import filetypes
from bot.errors import NotFound
from bot.privacy.seal import Sealer
from bot.privacy.traces import without_traces
from bot.storage.tables import Attachment, Case, Media, Message, table

_attachment, _case, _media, _message = table(Attachment), table(Case), table(Media), table(Message)

Opening = Callable[[str, bytes], str]
"""Opens a sealed text by its context, with what tells who the worker is masked."""


class FileState(StrEnum):
    """What there is of a file."""

    KEPT = "kept"
    DUE = "due"
    """It lies with the provider and is on its way."""
    ABSENT = "absent"
    """The provider does not have it, or would not hand it over."""
    REFUSED = "refused"
    """It is larger than we take, or speech that was not allowed."""


_STATES: Final = {"due": FileState.DUE, "absent": FileState.ABSENT, "refused": FileState.REFUSED}


def state_of(state: str, *, here: bool) -> FileState:
    """What there is of a recording, by the state of its row and whether its sound is here."""
    return FileState.KEPT if here else _STATES.get(state, FileState.DUE)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a message. ``id`` opens it, if it is kept; ``size`` is in bytes, 0 for what is not here."""

    id: str
    state: FileState
    content_type: str
    size: int
    name: str = field(default="", repr=False)

    @property
    def shows_as(self) -> str:
        """How a page may show it: ``picture``, ``sound``, ``film``, or nothing for what can only be saved."""
        if self.state is not FileState.KEPT:
            return ""
        shapes = ((filetypes.PICTURES, "picture"), (filetypes.SOUNDS, "sound"), (filetypes.FILMS, "film"))
        return next((shape for types, shape in shapes if self.content_type in types), "")


@dataclass(frozen=True, slots=True)
class Opened:
    """A file, opened."""

    content: bytes = field(repr=False)
    content_type: str

    def to_show(self) -> bytes:
        """As a page shows it: of a picture without what the camera wrote into it."""
        return without_traces(self.content, self.content_type)


def of_messages(
    connection: Connection, message_ids: Collection[str], opening: Opening
) -> Mapping[str, tuple[File, ...]]:
    """The files of messages, by the message's id, in their order. Nothing but their names is opened."""
    found: defaultdict[str, list[tuple[int, File]]] = defaultdict(list)
    columns = [
        _attachment.c[name] for name in ("id", "message_id", "n", "content_type", "name_sealed", "size")
    ]
    kept = select(*columns).where(_attachment.c.message_id.in_(message_ids), _attachment.c.is_file)
    for row in connection.execute(kept):
        found[row.message_id].append((row.n, _kept(row, opening)))
    coming = select(_media.c.id, _media.c.message_id, _media.c.n, _media.c.content_type, _media.c.state)
    coming = coming.where(_media.c.message_id.in_(message_ids), _media.c.state.in_(_STATES))
    for row in connection.execute(coming):
        found[row.message_id].append((row.n, File(row.id, _STATES[row.state], row.content_type, 0)))
    return {
        message_id: tuple(file for _, file in sorted(files, key=lambda each: each[0]))
        for message_id, files in found.items()
    }


def _kept(row: Row[Any], opening: Opening) -> File:
    name = opening(f"attachment.name_sealed:{row.id}", row.name_sealed)
    return File(row.id, FileState.KEPT, row.content_type, row.size, name)


def opened(connection: Connection, sealer: Sealer, file_id: str) -> Opened:
    """A file that came with a message of a case. Raises :class:`NotFound`, :class:`SealError`.

    Whoever calls notes the opening in the access log first.
    """
    query = (
        select(_attachment)
        .join(_message, _message.c.id == _attachment.c.message_id)
        .join(_case, _case.c.conversation_id == _message.c.conversation_id)
        .where(_attachment.c.id == file_id, _attachment.c.is_file)
    )
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"no file {file_id}")
    content = sealer.open_bytes(f"attachment.content_sealed:{row.id}", row.content_sealed)
    return Opened(content, row.content_type)
