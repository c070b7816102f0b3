"""Carries out TwiML on a live call, verb by verb, as Twilio does.

The rules that are easy to get wrong, each with its source at https://www.twilio.com/docs/voice/twiml:

* Keys pressed before a ``<Gather>`` are lost; a key during its prompts ends them.
* A ``<Gather>`` without input goes on to the next verb, unless ``actionOnEmptyResult`` is set.
* ``action`` defaults to the address of the running document; relative addresses resolve against it.
* A hang-up during ``<Gather>`` posts nothing; during ``<Record>`` it posts ``Digits=hangup``.
* A silent recording is kept, and verbs after ``<Record>`` are never reached.
* A ``<Dial>`` without ``action`` goes on to the next verb. The action is also asked when the caller hangs up, and not
  when the REST API gives the call another document.
* A document that cannot be had, read or carried out goes to the fallback address, else the call ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeGuard
from urllib.parse import urldefrag

from simulator import twiml
from simulator.bridges import BOTH_ENDS, Exchange, Params
from simulator.callees import Callee
from simulator.documents import Documents, call_params
from simulator.errors import TwimlError
from simulator.line import HungUp, Interrupted, Key, Line, Source, Speech, Turned
from simulator.media import Media
from simulator.music import Music
from simulator.records import Call, Recording, new_sid
from simulator.rooms import WITHOUT_END, Party, Room
from simulator.webhooks import Request, Webhooks
from simulator.world import World

MOST_DOCUMENTS = 2000


class _End:
    """The document asks for the end of the call."""


END: Final = _End()
Next = Source | _End | None


class Interpreter:
    """One call's conversation with the customer's documents."""

    def __init__(
        self,
        world: World,
        webhooks: Webhooks,
        media: Media,
        call: Call,
        line: Line,
        callee: Callee,
        exchange: Exchange,
    ) -> None:
        self._world = world
        self._webhooks = webhooks
        self._call = call
        self._line = line
        self._callee = callee
        self.fallback: tuple[str, str] | None = None
        self._exchange = exchange
        self._whispering = False
        self._closed = False
        self.rejected: str | None = None
        self.on_first_verb: Callable[[], None] | None = None
        self._documents = Documents(world, webhooks, media, call, self._note)
        self._music = Music(
            Documents(world, webhooks, media, call, self._overhear), line.pace, self._overhear
        )

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

    async def whisper(self, first: Source) -> bool:
        """Carry out what only the called party hears; whether it may be joined with the caller after that."""
        self._whispering, self._closed = True, False
        await self.run(first)
        self._whispering = False
        return not self._closed and self._line.hung_up_by is None

    async def join(self, room: Room, terms: twiml.Conference) -> Source | None:
        """Stay in ``room`` until it is over; the document that the REST API gave instead, if it did."""
        party = Party(self._call, self._line, self._callee, terms, self._music)
        room.enter(party, self._documents.resolve)
        try:
            await room.stay(party)
        except Interrupted as change:
            return change.source
        return None

    async def _carry_out(self, source: Source) -> Source | None:
        if source.twiml is None:
            self._doing("document")
        verbs = await self._documents.open(source)
        self._line.check()
        for verb in verbs:
            self._answer_if_ringing(verb)
            outcome = await self._perform(verb)
            if isinstance(outcome, Source):
                return outcome
            if isinstance(outcome, _End):
                self._closed = True
                return None
        return None

    def _answer_if_ringing(self, verb: twiml.Verb | None) -> None:
        """An inbound call is picked up by the first verb that needs it; ``<Reject>`` refuses it unanswered."""
        if isinstance(verb, twiml.Dial) and verb.answer_on_bridge and isinstance(verb.targets, tuple):
            return
        if self.on_first_verb is not None and not isinstance(verb, twiml.Reject):
            answer, self.on_first_verb = self.on_first_verb, None
            answer()

    def _after_error(self, error: TwimlError) -> Source | None:
        self._alert(error)
        if self.fallback is None or self._documents.current.is_fallback:
            self._closed = True
            self._answer_if_ringing(None)
            self._note("say", text="We are sorry, an application error has occurred. Goodbye.", language="en")
            return None
        url, method = self.fallback
        extra = (
            ("ErrorCode", str(error.code)),
            ("ErrorUrl", urldefrag(self._documents.current.url or "").url),
        )
        return Source(url, method, extra=extra, is_fallback=True)

    def _alert(self, error: TwimlError) -> None:
        self._call.error_code = error.code
        self._world.alert(error.code, self._call.sid, error.reason)
        self._note("error", code=error.code, reason=error.reason)

    # Verbs

    async def _perform(self, verb: twiml.Verb) -> Next:
        match verb:
            case twiml.Say() | twiml.Play() | twiml.Pause():
                for seconds in await self._documents.begin(verb):
                    await self._line.rest(seconds)
                return None
            case twiml.Gather():
                return await self._gather(verb)
            case twiml.Record():
                return await self._record(verb)
            case twiml.Redirect():
                target = self._documents.resolve(verb.url, 11100)
                self._note("redirect", url=target)
                return Source(target, verb.method)
            case twiml.Hangup():
                self._note("hangup", by="document")
                return END
            case twiml.Reject():
                self._note("reject", reason=verb.reason)
                self.rejected = "busy" if verb.reason == "busy" else "no-answer"
                return END
            case twiml.Dial():
                return await self._dial(verb)

    async def _gather(self, verb: twiml.Gather) -> Next:
        action = self._documents.resolve(verb.action, 11100)
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
            for seconds in await self._documents.begin(prompt):
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
        action = self._documents.resolve(verb.action, 11100)
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
            self._tell(action, verb.method, (*self._recording_params(recording), ("Digits", "hangup")))
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
            url = self._documents.resolve(verb.status_callback, 11100)
            post_recording_callback(
                self._world, self._webhooks, self._call, recording, url, verb.status_method
            )

    def _tell(self, action: str, method: str, extra: Params) -> None:
        """The action is still asked after a hang-up; what it answers is of no use any more."""
        self._call.status = "completed"
        params = (*call_params(self._world, self._call), *extra)
        self._webhooks.post(Request(action, params, "callback", self._call.sid, self._call.handset, method))

    def _recording_params(self, recording: Recording) -> tuple[tuple[str, str], ...]:
        return (
            ("RecordingUrl", recording_url(self._world, recording)),
            ("RecordingSid", recording.sid),
            ("RecordingDuration", str(recording.seconds)),
        )

    # Joining with others

    async def _dial(self, verb: twiml.Dial) -> Next:
        if self._whispering:
            raise TwimlError(12200, "<Dial> is not allowed in a document for the called party")
        action = None if verb.action is None else self._documents.resolve(verb.action, 11100)
        dial = self._confer if isinstance(verb.targets, twiml.Conference) else self._ring
        outcome: list[Params] = []
        try:
            await dial(verb, outcome)
        except HungUp:
            if action is not None and outcome:
                self._tell(action, verb.method, outcome[-1])
            raise
        if action is None or not outcome:
            return None
        return Source(action, verb.method, extra=outcome[-1])

    async def _confer(self, verb: twiml.Dial, outcome: list[Params]) -> None:
        """Be in a conference. Who is not let in goes on with the next verb, and the action is not asked."""
        assert isinstance(verb.targets, twiml.Conference)  # noqa: S101 - the only caller has looked
        terms = verb.targets
        if terms.wait_url:
            terms = replace(terms, wait_url=self._documents.resolve(terms.wait_url, 13233))
        room = self._exchange.rooms.named(terms.name)
        party = self._party(verb, terms)
        self._note("dial", conference=terms.name)
        try:
            room.enter(party, self._documents.resolve)
        except TwimlError as error:
            self._alert(error)
            return
        status = "answered"
        try:
            await self._stay(room, party, verb.time_limit)
        except TwimlError as error:
            self._alert(error)
            status = "failed"
        finally:
            bridged = "true" if party.met else "false"
            outcome.append((("DialCallStatus", status), ("DialBridged", bridged)))

    async def _ring(self, verb: twiml.Dial, outcome: list[Params]) -> None:
        """Hear it ring, then be joined with the first who picks up."""
        bridge = self._exchange.ring(self._call, self._line, verb, self._documents)
        self._note("dial", calls=[child.sid for child in bridge.children])
        try:
            with contextlib.suppress(Turned):
                await self._line.linger(WITHOUT_END)
            if bridge.chosen is not None:
                self._answer_if_ringing(None)
                party = self._party(verb, BOTH_ENDS)
                bridge.room.enter(party, self._documents.resolve)
                await self._stay(bridge.room, party, verb.time_limit)
        finally:
            outcome.append(bridge.outcome())
            self._exchange.release(bridge)
            self._line.settle()

    def _party(self, verb: twiml.Dial, terms: twiml.Conference) -> Party:
        return Party(self._call, self._line, self._callee, terms, self._music, verb.hangup_on_star)

    async def _stay(self, room: Room, party: Party, limit: int) -> None:
        timer = asyncio.get_running_loop().call_later(
            self._line.pace.real(limit), room.dismiss, party, "limit"
        )
        try:
            await room.stay(party)
        finally:
            timer.cancel()

    def _overhear(self, kind: str, **details: object) -> None:
        """A step of the music, which leaves what the call is doing as it is."""
        self._call.note(kind, **details)
        self._world.touch()

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
