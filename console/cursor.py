"""The place in a list as one word of an address. It holds ids, codes and instants, and no content."""

from __future__ import annotations

import base64
import json
from datetime import datetime

from bot.cases.queue import Cursor
from bot.errors import InputError


def write(cursor: Cursor) -> str:
    """A cursor as a word that fits an address."""
    fields = [cursor.as_of.isoformat(), cursor.late, cursor.severity, cursor.due.isoformat(), cursor.id]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def read(word: str) -> Cursor | None:
    """The cursor of an address; None for an empty word. Raises :class:`InputError` for a damaged one."""
    if not word:
        return None
    try:
        fields = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
        as_of, late, severity, due, place = fields
        cursor = Cursor(_instant(as_of), int(late), str(severity), _instant(due), str(place))
    except (ValueError, TypeError):
        raise InputError(
            "this place in the list is gone; begin at its start", code="cursor_invalid"
        ) from None
    return cursor


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("naive datetimes are an error")
    return instant
