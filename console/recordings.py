"""Recordings, opened for listening and never kept in the clear."""

from __future__ import annotations

import io
from typing import Final

from flask import Response, current_app, send_file

from bot.cases import desk
from bot.clock import wall_time
from bot.privacy import access
from bot.service import Service
from console.session import staff

_PLAYABLE: Final = frozenset(
    {"audio/mpeg", "audio/ogg", "audio/wav", "audio/x-wav", "audio/mp4", "audio/webm"}
)


def play(recording_id: str) -> Response:
    """The sound of one recording, in whole or in the range asked for. Each listening is noted first."""
    service: Service = current_app.extensions["voiceback"]
    with service.database.read() as connection:
        audio = desk.recording(connection, service.sealer, recording_id)
    with service.database.write() as connection:
        access.record(connection, staff().id, "play_recording", "recording", recording_id, wall_time())
    # A type that no player knows is never shown by a browser as a page.
    kind = audio.content_type if audio.content_type in _PLAYABLE else "application/octet-stream"
    return send_file(io.BytesIO(audio.data), mimetype=kind, conditional=True)
