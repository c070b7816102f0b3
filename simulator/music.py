"""What somebody hears who waits in a room: the documents or sounds of a ``waitUrl`` or ``HoldUrl``.

Only ``<Play>``, ``<Say>``, ``<Pause>`` and ``<Redirect>`` are allowed; after the last verb there is silence,
https://www.twilio.com/docs/voice/twiml/conference#attributes-waitUrl.
"""

from __future__ import annotations

from simulator import twiml
from simulator.documents import LOOPS_WITHOUT_END, Documents, Note
from simulator.errors import TwimlError
from simulator.line import Source
from simulator.media import Sound
from simulator.pace import Pace

MOST_DOCUMENTS = 2000
DEFAULT_MUSIC = "http://com.twilio.music.classical.s3.amazonaws.com/"


class Music:
    """The music of one call. It only plays: keys and words of the one who waits are not its business."""

    def __init__(self, documents: Documents, pace: Pace, note: Note) -> None:
        self._documents = documents
        self._pace = pace
        self._note = note

    async def play(self, source: Source) -> None:
        """Play ``source`` to its end; :class:`TwimlError` if it cannot be had or holds another verb."""
        if source.url == DEFAULT_MUSIC:
            self._note("music")
            return
        following: Source | None = source if source.url else None
        documents = 0
        while following is not None and documents < MOST_DOCUMENTS:
            documents += 1
            heard = await self._documents.open_music(following)
            if isinstance(heard, Sound):
                await self._loop(following, heard)
                return
            following = await self._perform(heard)

    async def _loop(self, source: Source, sound: Sound) -> None:
        self._note("play", url=source.url, audio=sound.key, seconds=sound.seconds)
        for _ in range(LOOPS_WITHOUT_END):
            await self._pace.rest(sound.seconds)

    async def _perform(self, verbs: tuple[twiml.Verb, ...]) -> Source | None:
        for verb in verbs:
            if isinstance(verb, twiml.Redirect):
                return Source(self._documents.resolve(verb.url, 11100), verb.method)
            if not isinstance(verb, twiml.Say | twiml.Play | twiml.Pause):
                raise TwimlError(12200, f"<{type(verb).__name__}> is not allowed while somebody waits")
            for seconds in await self._documents.begin(verb):
                await self._pace.rest(seconds)
        return None
