"""The customer's documents and what is heard of them: asked for, read, and their prompts begun, for one call.

Both the call itself and the music for somebody who waits are made of this. Relative addresses resolve against the
address of the document they stand in, https://www.twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urljoin, urlsplit

from simulator import twiml
from simulator.errors import TwimlError, WebhookFailure
from simulator.line import Source
from simulator.media import SOUND_TYPES, Media, Sound
from simulator.records import Call, country_of
from simulator.webhooks import Answer, Request, Webhooks
from simulator.world import World

# A speaking voice says about fifteen letters a second.
LETTERS_PER_SECOND = 15.0
LOOPS_WITHOUT_END = 1000
DOCUMENT_TYPES = ("text/xml", "application/xml")


class Note(Protocol):
    """Adds a step to the record of the call."""

    def __call__(self, kind: str, **details: object) -> None:
        """A step of a ``kind`` with its details."""
        ...


class Documents:
    """The documents of one call, one after another; ``current`` is where the running one came from."""

    def __init__(self, world: World, webhooks: Webhooks, media: Media, call: Call, note: Note) -> None:
        self._world = world
        self._webhooks = webhooks
        self._media = media
        self._call = call
        self._note = note
        self.current = Source()

    async def open(self, source: Source) -> tuple[twiml.Verb, ...]:
        """The verbs of the document at ``source``; :class:`TwimlError` if it cannot be had or read."""
        self.current = source
        if source.twiml is not None:
            self._note("document", url=None)
            return twiml.parse_voice(source.twiml)
        answer = await self._fetch(source)
        kind = _type_of(answer)
        if kind not in DOCUMENT_TYPES:
            raise TwimlError(12300, f"Content-Type {kind or 'missing'!r} is not TwiML")
        return _verbs(answer)

    async def open_music(self, source: Source) -> tuple[twiml.Verb, ...] | Sound:
        """What a ``waitUrl`` gives: a document, or a sound itself."""
        self.current = source
        answer = await self._fetch(source)
        kind = _type_of(answer)
        if kind in SOUND_TYPES:
            return self._media.take(source.url or "", kind, answer)
        if kind not in DOCUMENT_TYPES:
            raise TwimlError(12300, f"Content-Type {kind or 'missing'!r} is neither TwiML nor a sound")
        return _verbs(answer)

    async def _fetch(self, source: Source) -> Answer:
        params = (*call_params(self._world, self._call), *source.extra)
        request = Request(
            source.url or "", params, "document", self._call.sid, self._call.handset, source.method
        )
        try:
            answer = await self._webhooks.fetch(request)
        except WebhookFailure as failure:
            raise TwimlError(failure.code, failure.reason) from failure
        self._note("document", url=request.url, status=answer.status)
        return answer

    def resolve(self, url: str | None, code: int) -> str:
        """The whole address of ``url`` as it stands in the running document; none means that document's own."""
        base = self.current.url
        if url is None or url == "":
            if base is None:
                raise TwimlError(code, "a document without an address needs an absolute action")
            return base
        whole = urljoin(base, url) if base else url
        if urlsplit(whole).scheme not in ("http", "https"):
            raise TwimlError(11100, "the address is not absolute")
        return whole

    async def begin(self, verb: twiml.Say | twiml.Play | twiml.Pause) -> list[float]:
        """Note what is heard and say how many seconds each round lasts."""
        match verb:
            case twiml.Say():
                seconds = max(0.5, len(verb.text) / LETTERS_PER_SECOND)
                self._note("say", text=verb.text, language=verb.language, voice=verb.voice, seconds=seconds)
                return [seconds] * (verb.loop or LOOPS_WITHOUT_END)
            case twiml.Play(digits=digits) if digits:
                self._note("tones", digits=digits)
                return [0.25 * len(digits)]
            case twiml.Play():
                url = self.resolve(verb.url, 11100)
                sound = await self._media.fetch(url, self._call.sid, self._call.handset)
                self._note("play", url=url, audio=sound.key, seconds=sound.seconds)
                return [sound.seconds] * (verb.loop or LOOPS_WITHOUT_END)
            case twiml.Pause():
                self._note("pause", seconds=verb.length)
                return [float(verb.length)]


def _type_of(answer: Answer) -> str:
    return answer.content_type.split(";")[0].strip().lower()


def _verbs(answer: Answer) -> tuple[twiml.Verb, ...]:
    try:
        return twiml.parse_voice(answer.body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TwimlError(12100, "the document is not UTF-8") from error


def call_params(world: World, call: Call) -> tuple[tuple[str, str], ...]:
    """The standard parameters of a voice webhook for ``call``."""
    from_country, to_country = country_of(call.from_), country_of(call.to)
    params = [
        ("CallSid", call.sid),
        ("AccountSid", world.config.account_sid),
        ("From", call.from_),
        ("To", call.to),
        ("Caller", call.from_),
        ("Called", call.to),
        ("CallStatus", call.status),
        ("ApiVersion", "2010-04-01"),
        ("Direction", call.direction),
    ]
    for name, country in (
        ("From", from_country),
        ("Caller", from_country),
        ("To", to_country),
        ("Called", to_country),
    ):
        params += [(f"{name}{part}", "") for part in ("City", "State", "Zip")]
        params.append((f"{name}Country", country))
    if call.answered_by:
        params.append(("AnsweredBy", call.answered_by))
    if call.parent_sid:
        params.append(("ParentCallSid", call.parent_sid))
    return tuple(params)
