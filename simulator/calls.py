"""The switchboard: dials, rings, connects and ends calls, one task for each, and reports on them.

Events and their order follow https://www.twilio.com/docs/voice/api/call-resource. A call that is cancelled while
it waits in the queue is reported to nobody.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from simulator import twiml
from simulator.bridges import BOTH_ENDS, Bridge
from simulator.callees import Callee
from simulator.documents import Documents, call_params
from simulator.errors import RestError, TwimlError
from simulator.interpreter import Interpreter, post_recording_callback
from simulator.line import Decline, HungUp, Line, PickUp, Source
from simulator.media import Media
from simulator.pace import Pace
from simulator.records import Call, Handset, Recording, new_sid, now, stamp
from simulator.rooms import Rooms
from simulator.scripts import Script
from simulator.webhooks import Request, Webhooks
from simulator.world import World

log = logging.getLogger("simulator")

# What the phone network needs to set up a call, and what a detector needs to tell a person from a machine.
SET_UP_SECONDS = 0.3
DETECT_SECONDS = {"human": 2.0, "fax": 3.0, "machine": 4.0}
GREETING_SECONDS = 8.0
# Twilio lets a phone ring a little longer than the time-out that was asked for.
RING_BUFFER = 5
MANUAL_INBOUND_RING = 1.0
# A sender that test credentials may use without owning it, https://www.twilio.com/docs/iam/test-credentials.
MAGIC_SENDER = "+15005550006"


@dataclass
class LiveCall:
    """A call that has not ended: its line and the person on it."""

    call: Call
    line: Line
    callee: Callee
    interpreter: Interpreter
    bridge: Bridge | None = None
    whisper: Source | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class _Unanswered(Exception):
    def __init__(self, status: str, sip: int) -> None:
        self.status, self.sip = status, sip
        super().__init__(status)


class Switchboard:
    """All calls that are going on."""

    def __init__(self, world: World, webhooks: Webhooks, media: Media, pace: Pace) -> None:
        self._world = world
        self._webhooks = webhooks
        self._media = media
        self._pace = pace
        self.rooms = Rooms(world, webhooks)
        self.live: dict[str, LiveCall] = {}

    def dial(self, to: str, from_: str, request: dict[str, list[str]]) -> Call:
        """Queue an outbound call with the (already checked) parameters of a REST request."""
        call = Call(new_sid("CA"), "outbound-api", to, from_, request=request)
        self._world.note_dial(_one(request, "Url") or "")
        live = self._connect(call, self._script_for(to))
        fallback = _one(request, "FallbackUrl")
        if fallback:
            live.interpreter.fallback = (fallback, _one(request, "FallbackMethod") or "POST")
        self._start(live, self._outbound(live))
        return call

    def ring_in(self, from_: str, to: str, script: Script | None = None) -> Call:
        """A call from a handset to an owned number; :class:`RestError` 21210 if nobody owns it."""
        number = self._world.owned(to)
        if number is None:
            raise RestError(21210)
        call = Call(new_sid("CA"), "inbound", to, from_, status="ringing")
        live = self._connect(call, script or self._world.handset(from_).script)
        if number.voice_fallback_url:
            live.interpreter.fallback = (number.voice_fallback_url, number.voice_fallback_method)
        first = Source(number.voice_url, number.voice_method) if number.voice_url else None
        self._start(live, self._inbound(live, first))
        return call

    async def ring_in_again(self, call: Call) -> int | None:
        """Send an inbound call's first webhook once more with the same SID; the HTTP status it got."""
        number = self._world.owned(call.to)
        if number is None or not number.voice_url or call.direction != "inbound":
            raise RestError(20404)
        status, call.status = call.status, "ringing"
        params = call_params(self._world, call)
        call.status = status
        request = Request(number.voice_url, params, "document", call.sid, call.handset, number.voice_method)
        return (await self._webhooks.fetch(request)).status

    def end(self, call: Call, by: str = "api") -> None:
        """End a call wherever it stands; 21220 if it has already ended."""
        self._live(call).line.hang_up(by)

    def redirect(self, call: Call, source: Source) -> None:
        """Give a call another document; 21220 unless it is in progress."""
        live = self._live(call)
        if call.status != "in-progress":
            raise RestError(21220)
        live.line.interrupt(source)

    async def close(self) -> None:
        """Drop every call without a word to the customer, as when the world ends."""
        tasks = [live.task for live in self.live.values() if live.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.rooms.clear()

    # Calls that a <Dial> makes

    def ring(self, parent: Call, line: Line, verb: twiml.Dial, documents: Documents) -> Bridge:
        """Let the numbers of ``verb`` ring for ``parent``; :class:`TwimlError` for a ``callerId`` that is not theirs.

        Without a ``callerId`` the called party sees the number of whoever is on the line.
        """
        if not isinstance(verb.targets, tuple):
            raise TypeError("a conference does not ring")
        ours = {parent.to, parent.from_, MAGIC_SENDER, ""}
        if verb.caller_id not in ours and self._world.owned(verb.caller_id) is None:
            raise TwimlError(13214, "<Dial> has a callerId that is not owned")
        bridge = Bridge(line, self.rooms.private())
        whispers = [_whisper(number, documents) for number in verb.targets]
        requests = [_child_request(verb, number, documents) for number in verb.targets]
        for number, whisper, request in zip(verb.targets, whispers, requests, strict=True):
            call = Call(new_sid("CA"), "outbound-dial", number.number, verb.caller_id or parent.handset)
            call.parent_sid, call.request = parent.sid, request
            live = self._connect(call, self._script_for(number.number))
            live.bridge, live.whisper = bridge, whisper
            bridge.children.append(call)
            self._start(live, self._place(live))
        return bridge

    def release(self, bridge: Bridge) -> None:
        """Drop a bridge, and hang up the telephones that still ring for it."""
        bridge.drop()
        self._silence_others(bridge)

    async def _join(self, live: LiveCall, bridge: Bridge) -> None:
        """The called party has picked up: what is whispered to it first, then the talk with the caller."""
        if live.whisper is not None and not await live.interpreter.whisper(live.whisper):
            return
        if not bridge.pick(live.call):
            return
        self._silence_others(bridge)
        following = await live.interpreter.join(bridge.room, BOTH_ENDS)
        if following is not None:
            bridge.redirected = True
            await live.interpreter.run(following)

    def _silence_others(self, bridge: Bridge) -> None:
        for child in bridge.children:
            if child is not bridge.chosen and child.sid in self.live:
                self.live[child.sid].line.hang_up("other")

    def _live(self, call: Call) -> LiveCall:
        live = self.live.get(call.sid)
        if live is None or not call.live:
            raise RestError(21220)
        return live

    def _script_for(self, number: str) -> Script:
        handset = self._world.handset(number)
        return handset.script.at_call(handset.rung)

    def _connect(self, call: Call, script: Script) -> LiveCall:
        line = Line(self._pace)
        callee = Callee(self._world.handset(call.handset), script, line)
        interpreter = Interpreter(self._world, self._webhooks, self._media, call, line, callee, self)
        live = LiveCall(call, line, callee, interpreter)
        self._world.keep_call(call)
        self.live[call.sid] = live
        return live

    def _start(self, live: LiveCall, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        live.task = task
        task.add_done_callback(lambda _: self._forget(live))

    def _forget(self, live: LiveCall) -> None:
        self.live.pop(live.call.sid, None)
        if live.call.live:
            # Only a stopping simulator or a fault of its own leaves a call like this.
            live.call.status, live.call.ended = "failed", now()
        self._put_down(live.call)
        if live.bridge is not None:
            live.bridge.over()
        self._world.touch()

    def _put_down(self, call: Call) -> None:
        handset = self._world.handset(call.handset)
        if handset.call_sid == call.sid:
            handset.call_sid = None
        call.doing = ""

    # Outbound

    async def _outbound(self, live: LiveCall) -> None:
        call = live.call
        try:
            wait = self._pace.claim_slot()
            call.queue_ms = round(wait * 1000)
            await live.line.rest(wait)
        except HungUp:
            call.status, call.ended = "canceled", now()
            return
        await self._place(live)

    async def _place(self, live: LiveCall) -> None:
        """Ring, and talk if somebody answers."""
        try:
            by = await self._ring(live)
        except _Unanswered as outcome:
            self._finish(live, outcome.status, outcome.sip)
            return
        except HungUp:
            self._finish(live, "canceled", 487)
            return
        await self._talk_outbound(live, by)

    async def _ring(self, live: LiveCall) -> str:
        """Ring until somebody answers; who it was, or :class:`_Unanswered`, or :class:`HungUp`."""
        call, script = live.call, live.callee.script
        call.started = now()
        self._report(call, "initiated", "initiated")
        await live.line.rest(SET_UP_SECONDS)
        handset = self._world.handset(call.to)
        answer, sip = self._answer_of(call, script)
        if handset.call_sid is not None or answer == "busy":
            raise _Unanswered("busy", 486)
        if answer == "failed":
            raise _Unanswered("failed", sip or 503)
        handset.call_sid = call.sid
        self._report(call, "ringing", "ringing")
        patience = int(_one(call.request, "Timeout") or 60) + RING_BUFFER
        if answer == "manual":
            return await self._ring_by_hand(live, patience)
        if answer == "no-answer" or script.ring > patience:
            await live.line.rest(patience)
            raise _Unanswered("no-answer", 487)
        await live.line.rest(script.ring)
        return answer

    def _answer_of(self, call: Call, script: Script) -> tuple[str, int | None]:
        forced = self._world.error_for(call.to, "call")
        if forced:
            return str(forced), self._world.error_for(call.to, "sip")
        return script.answer, script.sip

    async def _ring_by_hand(self, live: LiveCall, patience: float) -> str:
        deadline = asyncio.get_running_loop().time() + self._pace.real(patience)
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            heard = await live.line.next(self._pace.world(left))
            if isinstance(heard, PickUp):
                return heard.by
            if isinstance(heard, Decline):
                raise _Unanswered("busy", 486)
        raise _Unanswered("no-answer", 487)

    async def _talk_outbound(self, live: LiveCall, by: str) -> None:
        call = live.call
        self._answered(live)
        self._report(call, "answered", "in-progress")
        try:
            await self._detect(live, by)
            if _one(call.request, "SendDigits"):
                call.note("tones", digits=_one(call.request, "SendDigits"))
            if live.bridge is not None:
                await self._join(live, live.bridge)
            else:
                await live.interpreter.run(first_source(call.request))
        except HungUp:
            pass
        self._hang_up(live)

    async def _detect(self, live: LiveCall, by: str) -> None:
        call = live.call
        mode = _one(call.request, "MachineDetection")
        if mode not in ("Enable", "DetectMessageEnd") or _one(call.request, "SendDigits"):
            return
        verdict = {"human": "human", "fax": "fax"}.get(by, "machine_start")
        seconds = DETECT_SECONDS.get(by, 4.0)
        if verdict == "machine_start" and mode == "DetectMessageEnd":
            verdict, seconds = "machine_end_beep", seconds + GREETING_SECONDS
        if live.callee.script.name == "silent" and by == "human":
            verdict = "unknown"
        if (_one(call.request, "AsyncAmd") or "").lower() == "true":
            loop = asyncio.get_running_loop()
            loop.call_later(self._pace.real(seconds), self._report_detection, call, verdict, seconds)
            return
        await live.line.rest(seconds)
        call.answered_by = verdict

    def _report_detection(self, call: Call, verdict: str, seconds: float) -> None:
        call.answered_by = verdict
        url = _one(call.request, "AsyncAmdStatusCallback")
        if not url or not call.live:
            return
        params = (
            ("CallSid", call.sid),
            ("AccountSid", self._world.config.account_sid),
            ("AnsweredBy", verdict),
            ("MachineDetectionDuration", str(int(seconds * 1000))),
        )
        method = _one(call.request, "AsyncAmdStatusCallbackMethod") or "POST"
        self._webhooks.post(Request(url, params, "callback", call.sid, call.handset, method))

    # Inbound

    async def _inbound(self, live: LiveCall, first: Source | None) -> None:
        call = live.call
        call.started = now()
        handset = self._world.handset(call.from_)
        handset.call_sid = handset.call_sid or call.sid
        try:
            await live.line.rest(MANUAL_INBOUND_RING)
        except HungUp:
            self._finish(live, "no-answer", 487)
            return
        if first is None:
            self._world.alert(11100, call.sid, "the number has no voice address")
            self._finish(live, "failed", 404)
            return
        self._answer_after_first_document(live)
        await live.interpreter.run(first)
        if live.interpreter.rejected and call.answered is None:
            self._finish(live, live.interpreter.rejected, 486)
            return
        self._hang_up(live)

    def _answer_after_first_document(self, live: LiveCall) -> None:
        """The first document of an inbound call is asked for while it still rings."""
        live.interpreter.on_first_verb = lambda: self._answered(live)

    # Both ways

    def _answered(self, live: LiveCall) -> None:
        call = live.call
        call.status, call.answered = "in-progress", now()
        call.note("answered")
        self._world.touch()
        loop = asyncio.get_running_loop()
        limit = int(_one(call.request, "TimeLimit") or 14400)
        timers = [loop.call_later(self._pace.real(limit), live.line.hang_up, "limit")]
        after = live.callee.script.hangs_up_after
        if after is not None:
            timers.append(loop.call_later(self._pace.real(after), live.line.hang_up))
        if live.task is not None:
            live.task.add_done_callback(lambda _: _cancel(timers))

    def _hang_up(self, live: LiveCall) -> None:
        call = live.call
        if live.line.hung_up_by:
            call.note("hangup", by=live.line.hung_up_by)
        if call.answered is not None:
            lasted = self._pace.world((now() - call.answered).total_seconds())
            call.duration = max(1, math.ceil(lasted))
            self._keep_whole_recording(call)
        self._finish(live, "completed" if call.answered else "no-answer", 200)

    def _keep_whole_recording(self, call: Call) -> None:
        if (_one(call.request, "Record") or "").lower() != "true":
            return
        said = " ".join(str(step["text"]) for step in call.steps if step["kind"] == "speech")
        recording = Recording(new_sid("RE"), call.sid, call.duration or 1, said, source="OutboundAPI")
        self._world.recordings[recording.sid] = recording
        url = _one(call.request, "RecordingStatusCallback")
        if url:
            method = _one(call.request, "RecordingStatusCallbackMethod") or "POST"
            post_recording_callback(self._world, self._webhooks, call, recording, url, method)

    def _finish(self, live: LiveCall, status: str, sip: int) -> None:
        call = live.call
        call.ended, call.sip = now(), sip
        self._put_down(call)
        self._report(call, "completed", status)
        self.live.pop(call.sid, None)
        self._world.touch()

    def _report(self, call: Call, event: str, status: str) -> None:
        """Change the call's status and, if it was asked for, tell the customer."""
        call.status = status
        call.note("status", status=status)
        self._world.touch()
        url, method = self._status_address(call, event)
        if not url:
            return
        params = [*call_params(self._world, call), ("SequenceNumber", str(call.sequence))]
        params += [("CallbackSource", "call-progress-events"), ("Timestamp", stamp(now()) or "")]
        if event == "completed":
            params += [("SipResponseCode", str(call.sip)), ("CallDuration", str(call.duration or 0))]
            params.append(("Duration", str(math.ceil((call.duration or 0) / 60))))
        call.sequence += 1
        self._webhooks.post(Request(url, tuple(params), "callback", call.sid, call.handset, method))

    def _status_address(self, call: Call, event: str) -> tuple[str | None, str]:
        if call.direction == "inbound":
            number = self._world.owned(call.to)
            return (number.voice_status_url if number and event == "completed" else None), "POST"
        events = call.request.get("StatusCallbackEvent") or ["completed"]
        if event not in events:
            return None, "POST"
        return _one(call.request, "StatusCallback"), _one(call.request, "StatusCallbackMethod") or "POST"


def _child_request(verb: twiml.Dial, number: twiml.Number, documents: Documents) -> dict[str, list[str]]:
    """What a REST request would say for a call that a ``<Dial>`` makes."""
    request = {"Timeout": [str(verb.timeout)], "TimeLimit": [str(verb.time_limit)]}
    if number.send_digits:
        request["SendDigits"] = [number.send_digits]
    if number.status_callback:
        request["StatusCallback"] = [documents.resolve(number.status_callback, 11100)]
        request["StatusCallbackMethod"] = [number.status_method]
        request["StatusCallbackEvent"] = list(number.status_events)
    return request


def _whisper(number: twiml.Number, documents: Documents) -> Source | None:
    return None if number.url is None else Source(documents.resolve(number.url, 13221), number.method)


def first_source(request: dict[str, list[str]]) -> Source:
    """The first document of a call, from the parameters ``Twiml`` or ``Url`` and ``Method``."""
    twiml = _one(request, "Twiml")
    if twiml:
        return Source(twiml=twiml)
    return Source(_one(request, "Url"), (_one(request, "Method") or "POST").upper())


def handset_live(switchboard: Switchboard, handset: Handset) -> LiveCall | None:
    """The call that a handset is in, ringing or talking."""
    return switchboard.live.get(handset.call_sid or "")


def _one(request: dict[str, list[str]], name: str) -> str | None:
    values = request.get(name)
    return values[-1] if values else None


def _cancel(timers: list[asyncio.TimerHandle]) -> None:
    for timer in timers:
        timer.cancel()
