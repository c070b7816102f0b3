"""Sound files that ``<Play>`` asks for: fetched for real, cached as their headers say, refused when they are no sound.

Twilio obeys the standard headers (https://www.twilio.com/docs/voice/twiml/play): a file is not asked for again while its
``max-age`` lasts, in seconds of the world, and after that by its ETag.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from simulator.errors import TwimlError, WebhookFailure
from simulator.pace import Pace
from simulator.sound import sound_seconds
from simulator.webhooks import Answer, Request, Webhooks

SOUND_TYPES = frozenset(
    [
        "audio/mpeg",
        "audio/mp3",
        "audio/wav",
        "audio/wave",
        "audio/x-wav",
        "audio/vnd.wave",
        "audio/aiff",
        "audio/x-aiff",
        "audio/x-aifc",
        "audio/x-gsm",
        "audio/gsm",
        "audio/ulaw",
        "audio/basic",
        "audio/mulaw",
    ]
)
SOUNDS_KEPT = 300


@dataclass(frozen=True)
class Sound:
    """A fetched file. ``key`` is its address on the phone page; it lasts ``seconds``."""

    key: str
    content_type: str
    data: bytes
    seconds: float
    etag: str


class Media:
    """Fetches and keeps sounds."""

    def __init__(self, webhooks: Webhooks, pace: Pace) -> None:
        self._webhooks = webhooks
        self._pace = pace
        self._fresh_until: dict[str, float] = {}
        self._by_url: OrderedDict[str, Sound] = OrderedDict()
        self._by_key: OrderedDict[str, Sound] = OrderedDict()

    async def fetch(self, url: str, call_sid: str, number: str) -> Sound:
        """The sound at ``url``; :class:`TwimlError` if it cannot be had or is no sound."""
        kept = self._by_url.get(url)
        present = asyncio.get_running_loop().time()
        if kept is not None and present < self._fresh_until.get(url, 0.0):
            return kept
        request = Request(url, (), "media", call_sid, number, "GET")
        try:
            answer = await self._webhooks.fetch(request, kept.etag if kept else "")
        except WebhookFailure as failure:
            raise TwimlError(failure.code, f"<Play>: {failure.reason}") from failure
        sound = kept if kept is not None and answer.status == 304 else self._sound_in(url, answer)
        self._fresh_until[url] = present + self._pace.real(answer.fresh_for)
        return sound

    def _sound_in(self, url: str, answer: Answer) -> Sound:
        kind = answer.content_type.split(";")[0].strip().lower()
        if kind not in SOUND_TYPES:
            raise TwimlError(12300, f"<Play>: Content-Type {kind or 'missing'!r} is no sound")
        return self.take(url, kind, answer)

    def take(self, url: str, kind: str, answer: Answer) -> Sound:
        """Keep the sound that came as ``answer`` from ``url``; :class:`TwimlError` if the file is empty."""
        if not answer.body:
            raise TwimlError(13420, "<Play>: the file is empty")
        key = hashlib.sha256(answer.body).hexdigest()[:32]
        sound = Sound(key, kind, answer.body, sound_seconds(answer.body), answer.etag)
        self._keep(url, sound)
        return sound

    def find(self, key: str) -> Sound | None:
        """A fetched sound by its key, for the phone page."""
        return self._by_key.get(key)

    def _keep(self, url: str, sound: Sound) -> None:
        self._by_url[url] = self._by_key[sound.key] = sound
        for kept in (self._by_url, self._by_key):
            while len(kept) > SOUNDS_KEPT:
                self._fresh_until.pop(kept.popitem(last=False)[0], None)
