"""Carries out TwiML on a live call, verb by verb, as Twilio does.

The rules that are easy to get wrong, each with its source at https://www.twilio.com/docs/voice/twiml:

* Keys pressed before a ``<Gather>`` are lost; a key during its prompts ends them.
* A ``<Gather>`` without input goes on to the next verb, unless ``actionOnEmptyResult`` is set.
* ``action`` defaults to the address of the running document; relative addresses resolve against it.
* A hang-up during ``<Gather>`` posts nothing; during ``<Record>`` it posts ``Digits=hangup``.
* A silent recording is kept, and verbs after ``<Record>`` are never reached.
* A document that cannot be had, read or carried out goes to the fallback address, else the call ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeGuard
from urllib.parse import urldefrag, urljoin, urlsplit

from simulator import twiml
from simulator.callees import Callee
from simulator.errors import TwimlError, WebhookFailure
from simulator.line import HungUp, Interrupted, Key, Line, Source, Speech
from simulator.media import Media
from simulator.records import Call, Recording, country_of, new_sid
from simulator.webhooks import Request, Webhooks
from simulator.world import World

# A speaking voice says about fifteen letters a second.
LETTERS_PER_SECOND = 15.0
LOOPS_WITHOUT_END = 1000
MOST_DOCUMENTS = 2000
DOCUMENT_TYPES = ("text/xml", "application/xml")


class _End:
    """The document asks for the end of the call."""


END: Final = _End()
Next = Source | _End | None


class Interpreter:
    """One call's conversation with the customer's documents."""

    def __init__(
        self, world: World, webhooks: Webhooks, media: Media, call: Call, line: Line, callee: Callee
    ) -> None:
        self._world = world
        self._webhooks = webhooks
        self._media = media
        self._call = call
        self._line = line
        self._callee = callee
        self.fallback: tuple[str, str] | None = None
        self.rejected: str | None = None
        self.on_first_verb: Callable[[], None] | None = None
        self._current: Source = Source()

    async def run(self, first: Source) -> None:
        """Carry out documents until the call is to end; returns also when the person hung up."""
        source: Source | None = first
        documents = 0
        while source is not None and documents < MOST_DOCUMENTS:
            documents += 1
            try:
                source = await self._carry_out(source)
            except Interrupted as change:
                source = change.source
            except TwimlError as error:
                source = self._after_error(error)
            except HungUp:
                return

    async def _carry_out(self, source: Source) -> Source | None:
        self._current = source
        verbs = await self._document(source)
        self._line.check()
        for verb in verbs:
            self._answer_if_ringing(verb)
            outcome = await self._perform(verb)
            if isinstance(outcome, Source):
                return outcome
            if isinstance(outcome, _End):
                return None
        return None

    def _answer_if_ringing(self, verb: twiml.Verb | None) -> None:
        """An inbound call is picked up by the first verb that needs it; ``<Reject>`` refuses it unanswered."""
        if self.on_first_verb is not None and not isinstance(verb, twiml.Reject):
            answer, self.on_first_verb = self.on_first_verb, None
            answer()

    def _after_error(self, error: TwimlError) -> Source | None:
        self._call.error_code = error.code
        self._world.alert(error.code, self._call.sid, error.reason)
        self._note("error", code=error.code, reason=error.reason)
        if self.fallback is None or self._current.is_fallback:
            self._answer_if_ringing(None)
            self._note("say", text="We are sorry, an application error has occurred. Goodbye.", language="en")
            return None
        url, method = self.fallback
        extra = (("ErrorCode", str(error.code)), ("ErrorUrl", urldefrag(self._current.url or "").url))
        return Source(url, method, extra=extra, is_fallback=True)

    # Documents

    async def _document(self, source: Source) -> tuple[twiml.Verb, ...]:
        if source.twiml is not None:
            self._note("document", url=None)
            return twiml.parse_voice(source.twiml)
        self._call.doing = "document"
        self._world.touch()
        url = source.url or ""
        params = (*self.standard_params(), *source.extra)
        try:
            answer = await self._webhooks.fetch(
                Request(url, params, "document", self._call.sid, self._call.handset, source.method)
            )
        except WebhookFailure as failure:
            raise TwimlError(failure.code, failure.reason) from failure
        self._note("document", url=url, status=answer.status)
        kind = answer.content_type.split(";")[0].strip().lower()
        if kind not in DOCUMENT_TYPES:
            raise TwimlError(12300, f"Content-Type {kind or 'missing'!r} is not TwiML")
        try:
            return twiml.parse_voice(answer.body.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise TwimlError(12100, "the document is not UTF-8") from error

    def standard_params(self) -> tuple[tuple[str, str], ...]:
        """The parameters of every voice webhook of this call."""
        return call_params(self._world, self._call)

    def _resolve(self, url: str | None, code: int) -> str:
        base = self._current.url
        if url is None or url == "":
            if base is None:
                raise TwimlError(code, "a document without an address needs an absolute action")
            return base
        whole = urljoin(base, url) if base else url
        if urlsplit(whole).scheme not in ("http", "https"):
            raise TwimlError(11100, "the address is not absolute")
        return whole

    # Verbs

    async def _perform(self, verb: twiml.Verb) -> Next:
        match verb:
            case twiml.Say() | twiml.Play() | twiml.Pause():
                for seconds in await self._begin_prompt(verb):
                    await self._line.rest(seconds)
                return None
            case twiml.Gather():
                return await self._gather(verb)
            case twiml.Record():
                return await self._record(verb)
            case twiml.Redirect():
                target = self._resolve(verb.url, 11100)
                self._note("redirect", url=target)
                return Source(target, verb.method)
            case twiml.Hangup():
                self._note("hangup", by="document")
                return END
            case twiml.Reject():
                self._note("reject", reason=verb.reason)
                self.rejected = "busy" if verb.reason == "busy" else "no-answer"
                return END

    async def _begin_prompt(self, verb: twiml.Say | twiml.Play | twiml.Pause) -> list[float]:
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
                url = self._resolve(verb.url, 11100)
                sound = await self._media.fetch(url, self._call.sid, self._call.handset)
                self._note("play", url=url, audio=sound.key, seconds=sound.seconds)
                return [sound.seconds] * (verb.loop or LOOPS_WITHOUT_END)
            case twiml.Pause():
                self._note("pause", seconds=verb.length)
                return [float(verb.length)]

    async def _gather(self, verb: twiml.Gather) -> Next:
        action = self._resolve(verb.action, 11100)
        step = self._callee.take()
        self._line.flush()
        limit = verb.num_digits or None
        self._note("gather", input=verb.input, num_digits=limit, timeout=verb.timeout)
        if step is not None and step.barge:
            await self._callee.react(step)
        first = await self._prompt_until_input(verb)
        self._doing("gather")
        if step is not None and not step.barge:
            await self._callee.react(step)
        params = await self._collect(verb, first)
        if params is None:
            self._note("no-input")
            return Source(action, verb.method, extra=(("Digits", ""),)) if verb.action_on_empty else None
        return Source(action, verb.method, extra=params)

    async def _prompt_until_input(self, verb: twiml.Gather) -> Key | Speech | None:
        for prompt in verb.prompts:
            for seconds in await self._begin_prompt(prompt):
                heard = await self._line.next(seconds)
                if _is_wanted(heard, verb):
                    return heard
        return None

    async def _collect(
        self, verb: twiml.Gather, first: Key | Speech | None
    ) -> tuple[tuple[str, str], ...] | None:
        digits = ""
        heard = first
        while True:
            if heard is None:
                heard = await self._wanted(verb)
            if heard is None:
                break
            if isinstance(heard, Speech):
                self._note("speech", text=heard.text, seconds=heard.seconds)
                await self._line.rest(heard.seconds)
                return (("SpeechResult", heard.text), ("Confidence", "0.9"), ("Language", verb.language))
            if heard.symbol in verb.finish_on_key:
                self._note("keys", digits=digits, finished_on=heard.symbol)
                return (("Digits", digits), ("FinishedOnKey", heard.symbol), ("msg", "Gather End"))
            digits += heard.symbol
            if len(digits) == verb.num_digits:
                break
            heard = None
        if not digits:
            return None
        self._note("keys", digits=digits, finished_on="")
        return (("Digits", digits), ("FinishedOnKey", ""), ("msg", "Gather End"))

    async def _wanted(self, verb: twiml.Gather) -> Key | Speech | None:
        while (heard := await self._line.next(verb.timeout)) is not None:
            if isinstance(heard, Key) and "dtmf" in verb.input:
                return heard
            if isinstance(heard, Speech) and "speech" in verb.input:
                return heard
        return None

    async def _record(self, verb: twiml.Record) -> Next:
        action = self._resolve(verb.action, 11100)
        step = self._callee.take()
        self._line.flush()
        self._note("record", timeout=verb.timeout, max_length=verb.max_length, beep=verb.play_beep)
        self._doing("record")
        recording = Recording(new_sid("RE"), self._call.sid, 0)
        ended_by = ""
        try:
            if step is not None:
                await self._callee.react_to_beep(step, verb.finish_on_key)
            ended_by = await self._listen(verb, recording)
        except HungUp:
            self._keep(recording, verb)
            await self._after_hangup(action, verb.method, recording)
            raise
        self._keep(recording, verb)
        digits = (("Digits", ended_by),) if ended_by else ()
        return Source(action, verb.method, extra=(*self._recording_params(recording), *digits))

    async def _listen(self, verb: twiml.Record, recording: Recording) -> str:
        """Take in speech until a key, silence or the longest length ends it; the key, or an empty text."""
        while recording.seconds < verb.max_length:
            heard = await self._line.next(min(verb.timeout, verb.max_length - recording.seconds))
            if heard is None:
                break
            if isinstance(heard, Key) and heard.symbol in verb.finish_on_key:
                self._note("keys", digits=heard.symbol, finished_on=heard.symbol)
                return heard.symbol
            if isinstance(heard, Speech):
                seconds = min(heard.seconds, verb.max_length - recording.seconds)
                self._note("speech", text=heard.text, seconds=seconds)
                recording.text = f"{recording.text} {heard.text}".strip()
                recording.audio = heard.audio or recording.audio
                recording.seconds += max(1, round(seconds))
                await self._line.linger(seconds)
        if not recording.seconds:
            recording.seconds = 1 if verb.trim else max(1, round(verb.timeout))
        return ""

    def _keep(self, recording: Recording, verb: twiml.Record) -> None:
        recording.seconds = max(1, recording.seconds)
        self._world.recordings[recording.sid] = recording
        self._note("recording", sid=recording.sid, seconds=recording.seconds)
        if verb.status_callback and "completed" in verb.status_events:
            url = self._resolve(verb.status_callback, 11100)
            post_recording_callback(
                self._world, self._webhooks, self._call, recording, url, verb.status_method
            )

    async def _after_hangup(self, action: str, method: str, recording: Recording) -> None:
        """The action is still told of the recording; what it answers is of no use any more."""
        extra = (*self._recording_params(recording), ("Digits", "hangup"))
        self._call.status = "completed"
        params = (*self.standard_params(), *extra)
        self._webhooks.post(Request(action, params, "callback", self._call.sid, self._call.handset, method))

    def _recording_params(self, recording: Recording) -> tuple[tuple[str, str], ...]:
        return (
            ("RecordingUrl", recording_url(self._world, recording)),
            ("RecordingSid", recording.sid),
            ("RecordingDuration", str(recording.seconds)),
        )

    def _doing(self, what: str) -> None:
        self._call.doing = what
        self._world.touch()

    def _note(self, kind: str, **details: object) -> None:
        self._call.doing = kind
        self._call.note(kind, **details)
        self._world.touch()


def _is_wanted(heard: object, verb: twiml.Gather) -> TypeGuard[Key | Speech]:
    if not verb.barge_in:
        return False
    if isinstance(heard, Key):
        return "dtmf" in verb.input
    return isinstance(heard, Speech) and "speech" in verb.input


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
    return tuple(params)


def recording_url(world: World, recording: Recording) -> str:
    """The address of a recording's media, without an extension, as Twilio gives it."""
    return f"{world.base_url}/2010-04-01/Accounts/{world.config.account_sid}/Recordings/{recording.sid}"


def post_recording_callback(
    world: World, webhooks: Webhooks, call: Call, recording: Recording, url: str, method: str
) -> None:
    """Tell the customer that a recording's file is ready."""
    params = (
        ("AccountSid", world.config.account_sid),
        ("CallSid", call.sid),
        ("RecordingSid", recording.sid),
        ("RecordingUrl", recording_url(world, recording)),
        ("RecordingStatus", "completed"),
        ("RecordingDuration", str(recording.seconds)),
        ("RecordingChannels", "1"),
        ("RecordingSource", recording.source),
        ("RecordingStartTime", recording.created.strftime("%a, %d %b %Y %H:%M:%S +0000")),
    )
    webhooks.post(Request(url, params, "callback", call.sid, call.handset, method))
