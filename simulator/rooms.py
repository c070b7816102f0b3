"""Rooms in which calls hear one another: named conferences, and the private room of a ``<Dial>`` to a number.

The rules, each from https://www.twilio.com/docs/voice/twiml/conference:

* A room opens when two are in it and one of them came with ``startConferenceOnEnter``; until then all wait.
* It closes when the last one leaves, or anyone who came with ``endConferenceOnExit``; then everybody's ``<Dial>`` ends.
* The first to come sets the address and the events of the status callback; later ones are not asked.
* A name that is used again after its room has closed is another room with another SID.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from simulator import twiml
from simulator.callees import Callee
from simulator.errors import TwimlError
from simulator.line import Breath, Interrupted, Key, Line, Source, Speech, Turned
from simulator.music import DEFAULT_MUSIC, Music
from simulator.records import Call, Json, new_sid, now, stamp
from simulator.webhooks import Request, Webhooks
from simulator.world import World

ROOMS_KEPT = 1000
# A talk is ended by people, not by a clock; the time limits of the call and of its <Dial> stand beside it.
WITHOUT_END = 1_000_000.0

Resolve = Callable[[str | None, int], str]


@dataclass(eq=False)
class Party:
    """One call in a room. ``why`` is set when it is to leave: ``star``, ``limit``, ``kicked`` or ``updated``.

    ``played`` is the music that has come to its end, after which there is silence. ``met``: it was let in to the others.
    """

    call: Call
    line: Line
    callee: Callee
    terms: twiml.Conference
    music: Music
    hangup_on_star: bool = False
    muted: bool = False
    hold: Source | None = None
    played: Source | None = None
    met: bool = False
    begun: bool = False
    why: str = ""
    joined: datetime = field(default_factory=now)

    @property
    def held(self) -> bool:
        """Whether it has been put on hold."""
        return self.hold is not None


@dataclass(eq=False)
class Room:
    """One room; private without a name. ``status`` is init, in-progress or completed."""

    name: str
    rooms: Rooms
    sid: str = field(default_factory=lambda: new_sid("CF"))
    status: str = "init"
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    parties: dict[str, Party] = field(default_factory=dict)
    ended_by: str | None = None
    reason: str | None = None
    callback: tuple[str, str, frozenset[str]] | None = None
    sequence: int = 0
    first: str = ""
    """The number of the first to come, on which the misfortune of all its events hangs."""

    # Coming and going

    def enter(self, party: Party, resolve: Resolve) -> None:
        """Let ``party`` in; :class:`TwimlError` if the room is full or has somebody of the same label."""
        terms = party.terms
        if len(self.parties) >= terms.most:
            raise TwimlError(12200, "<Conference>: the room is full")
        if terms.label and any(other.terms.label == terms.label for other in self.parties.values()):
            raise TwimlError(16025, "<Conference>: the participantLabel is taken")
        if not self.parties and self.callback is None and terms.status_callback:
            url = resolve(terms.status_callback, 11100)
            self.callback = (url, terms.status_method, frozenset(terms.status_events))
        party.muted = terms.muted
        self.first = self.first or party.call.handset
        self._beep(terms.beep in ("true", "onEnter"))
        self.parties[party.call.sid] = party
        self.rooms.where[party.call.sid] = self
        self._report("join", party)
        self._open()
        self._introduce()

    def leave(self, party: Party) -> None:
        """Let ``party`` out, and close the room if that ends it."""
        if self.parties.pop(party.call.sid, None) is None:
            return
        self.rooms.where.pop(party.call.sid, None)
        party.line.settle()
        party.call.note("left", room=self.sid)
        self._report("leave", party, **_parting(party, self.reason))
        if self.status == "completed":
            return
        self._beep(party.terms.beep in ("true", "onExit"))
        manner = "kicked" if party.why == "kicked" else "left"
        if party.terms.end_on_exit:
            self.close(f"participant-with-end-conference-on-exit-{manner}", party)
        elif not self.parties:
            self.close(f"last-participant-{manner}", party)

    def close(self, reason: str, by: Party | None = None) -> None:
        """End the room for everybody in it."""
        self.status, self.reason, self.updated = "completed", reason, now()
        self.ended_by = by.call.sid if by else None
        extra = {"ReasonConferenceEnded": reason, "Reason": f"Conference ended: {reason}"}
        if by:
            extra["CallSidEndingConference"] = by.call.sid
            if by.terms.label:
                extra["ParticipantLabelEndingConference"] = by.terms.label
        self.rooms.forget(self)
        self._turn_all()
        self._report("end", None, **extra)

    def _open(self) -> None:
        if self.status != "init" or len(self.parties) < 2:
            return
        if any(party.terms.start_on_enter for party in self.parties.values()):
            self.status, self.updated = "in-progress", now()
            self._report("start", None)
            self._turn_all()

    def _introduce(self) -> None:
        """Once the room is open, all who are in it hear one another."""
        if self.status != "in-progress":
            return
        for party in self.parties.values():
            if not party.met:
                party.met = True
                party.call.note(
                    "joined", room=self.sid, others=[other.call.sid for other in self.others(party)]
                )

    def _turn_all(self) -> None:
        for party in self.parties.values():
            party.line.turn()

    # Being in it

    async def stay(self, party: Party) -> None:
        """Wait and talk until the room closes or ``party`` is to leave; the line's exceptions end it as well.

        :class:`TwimlError` if the music for those who wait cannot be had. The party has left when this returns.
        """
        try:
            while self.status != "completed" and not party.why:
                with contextlib.suppress(Turned):
                    if self.status == "in-progress" and not party.held:
                        await self._talk(party)
                    else:
                        await self._wait(party)
        except Interrupted:
            party.why = "updated"
            raise
        finally:
            self.leave(party)

    async def _wait(self, party: Party) -> None:
        """Hear the music until something turns; what is said or pressed meanwhile reaches nobody."""
        self._doing(party, "waiting")
        source = party.hold or self._waiting_music(party)
        if party.played == source:
            await party.line.linger(WITHOUT_END)
            return
        music = asyncio.ensure_future(party.music.play(source))
        music.add_done_callback(lambda _: self._music_over(party))
        try:
            await party.line.linger(WITHOUT_END)
        except Turned:
            if music.done():
                music.result()
                party.played = source
        finally:
            await _silence(music)

    def _music_over(self, party: Party) -> None:
        """Wake the one who waited, unless the music was over because she has left."""
        if party.call.sid in self.parties:
            party.line.turn()

    def _waiting_music(self, party: Party) -> Source:
        url = party.terms.wait_url
        return Source(DEFAULT_MUSIC if url is None else url, party.terms.wait_method)

    async def _talk(self, party: Party) -> None:
        if not party.begun:
            party.begun = True
            party.line.flush()
            party.callee.begin_talk()
        self._doing(party, "talk")
        while True:
            heard = await party.line.next(WITHOUT_END)
            if isinstance(heard, Speech):
                await self._say(party, heard)
            elif isinstance(heard, Breath):
                await party.line.linger(heard.seconds)
            elif isinstance(heard, Key):
                party.call.note("keys", digits=heard.symbol, finished_on="")
                if heard.symbol == "*" and party.hangup_on_star:
                    party.why = "star"
                    return
            self.rooms.world.touch()

    async def _say(self, party: Party, speech: Speech) -> None:
        party.call.note("speech", text=speech.text, seconds=speech.seconds)
        if not party.muted:
            for other in self.others(party):
                if not other.held:
                    said = {"text": speech.text, "seconds": speech.seconds}
                    other.call.note("heard", by=party.call.sid, **said)
        self.rooms.world.touch()
        await party.line.linger(speech.seconds)

    def others(self, party: Party) -> list[Party]:
        """Everybody else in the room."""
        return [other for other in self.parties.values() if other is not party]

    def _doing(self, party: Party, what: str) -> None:
        party.call.doing = what
        self.rooms.world.touch()

    def _beep(self, wanted: bool) -> None:
        if wanted:
            for party in self.parties.values():
                party.call.note("beep")

    # From outside

    def mute(self, party: Party, muted: bool) -> None:
        """Whether the others hear ``party``."""
        if party.muted != muted:
            party.muted = muted
            self._report("mute", party, about="participant-mute" if muted else "participant-unmute")

    def put_on_hold(self, party: Party, music: Source | None) -> None:
        """Away from the others with ``music``, or back to them with None."""
        changed = party.held != (music is not None)
        party.call.note("hold" if music else "unhold")
        party.hold, party.played = music, None
        party.line.turn()
        if changed:
            about = "participant-hold" if music else "participant-unhold"
            self._report("hold", party, about=about)

    def dismiss(self, party: Party, why: str) -> None:
        """Make ``party`` leave, ``kicked`` or after its time ``limit``; its ``<Dial>`` ends."""
        party.why = why
        party.line.turn()

    # Telling the customer

    def _report(self, event: str, party: Party | None, about: str = "", **extra: str) -> None:
        self.updated = now()
        self.rooms.world.touch()
        if self.callback is None or event not in self.callback[2]:
            return
        url, method, _ = self.callback
        self.sequence += 1
        params = {
            "ConferenceSid": self.sid,
            "FriendlyName": self.name,
            "AccountSid": self.rooms.world.config.account_sid,
            "SequenceNumber": str(self.sequence),
            "Timestamp": stamp(now()) or "",
            "StatusCallbackEvent": about or EVENT_NAMES[event],
            **(_describe(party) if party else {}),
            **extra,
        }
        request = Request(url, tuple(params.items()), "callback", self.sid, self.first, method)
        self.rooms.webhooks.post(request)


EVENT_NAMES = {
    "start": "conference-start",
    "end": "conference-end",
    "join": "participant-join",
    "leave": "participant-leave",
}


@dataclass(eq=False)
class Rooms:
    """All rooms of one world; only named ones are remembered after they have closed.

    ``where`` is the room of each call that is in one.
    """

    world: World
    webhooks: Webhooks
    known: dict[str, Room] = field(default_factory=dict)
    where: dict[str, Room] = field(default_factory=dict)
    _open: dict[str, Room] = field(default_factory=dict)

    def named(self, name: str) -> Room:
        """The conference ``name`` that goes on, or a new one."""
        room = self._open.get(name)
        if room is None:
            room = self._open[name] = Room(name, self)
            self.known[room.sid] = room
            while len(self.known) > ROOMS_KEPT:
                del self.known[next(iter(self.known))]
        return room

    def private(self) -> Room:
        """A room for one ``<Dial>`` to a number."""
        return Room("", self)

    def of(self, call: Call) -> Room | None:
        """The room in which ``call`` is."""
        return self.where.get(call.sid)

    def forget(self, room: Room) -> None:
        """The name of a closed room is free again."""
        if self._open.get(room.name) is room:
            del self._open[room.name]

    def clear(self) -> None:
        """Forget all rooms."""
        self.known.clear()
        self.where.clear()
        self._open.clear()


async def _silence(music: asyncio.Future[None]) -> None:
    """Stop the music, whatever it was doing."""
    music.cancel()
    with contextlib.suppress(asyncio.CancelledError, TwimlError):
        await music


def _parting(party: Party, ended: str | None) -> dict[str, str]:
    """Why ``party`` leaves; ``ended`` is why the whole conference did, if it did first."""
    status = "completed" if party.line.hung_up_by else "in-progress"
    if party.line.hung_up_by:
        reason = "participant_hung_up"
    elif ended == "conference-ended-via-api":
        reason = "conference_ended_via_api"
    else:
        reason = "moderator_ended_conference" if ended else "participant_updated_via_api"
    return {"ParticipantCallStatus": status, "ReasonParticipantLeft": reason}


def _describe(party: Party) -> dict[str, str]:
    words: Json = {
        "CallSid": party.call.sid,
        "Muted": party.muted,
        "Hold": party.held,
        "Coaching": False,
        "EndConferenceOnExit": party.terms.end_on_exit,
        "StartConferenceOnEnter": party.terms.start_on_enter,
    }
    described = {
        name: str(value).lower() if value in (True, False) else value for name, value in words.items()
    }
    return described | ({"ParticipantLabel": party.terms.label} if party.terms.label else {})
