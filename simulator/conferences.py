"""Conferences and their participants in the REST API: who is in which, muting, holding, sending away, ending.

https://www.twilio.com/docs/voice/api/conference-resource and …/conference-participant-resource. Participants are
listed only while they are in a conference that goes on. Calling somebody into a conference by ``POST`` is not
simulated: the customer calls, and the call's own document joins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web

from simulator.errors import RestError
from simulator.forms import flag_of, one_of, page_of, read_form, require_url
from simulator.line import Source
from simulator.music import DEFAULT_MUSIC
from simulator.records import Json, stamp
from simulator.rooms import Party, Room, Rooms

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Conferences:
    """The conferences of the account at ``root``."""

    rooms: Rooms
    account: str
    root: str

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path under the account, and handler of each route."""
        one = "/Conferences/{sid}"
        participant = one + "/Participants/{who}.json"
        return [
            ("GET", "/Conferences.json", self.search),
            ("GET", one + ".json", self.fetch),
            ("POST", one + ".json", self.update),
            ("GET", one + "/Participants.json", self.list_participants),
            ("GET", participant, self.fetch_participant),
            ("POST", participant, self.update_participant),
            ("DELETE", participant, self.remove_participant),
        ]

    async def search(self, request: web.Request) -> web.Response:
        """Conferences, newest first; filters ``FriendlyName`` and ``Status``."""
        query = request.query
        chosen = [
            self._conference(room)
            for room in reversed(list(self.rooms.known.values()))
            if query.get("FriendlyName") in (None, room.name) and query.get("Status") in (None, room.status)
        ]
        return page_of(request, "conferences", chosen)

    async def fetch(self, request: web.Request) -> web.Response:
        """One conference."""
        return web.json_response(self._conference(self._find(request)))

    async def update(self, request: web.Request) -> web.Response:
        """``Status=completed`` ends a conference for everybody in it."""
        room = self._find(request)
        status = one_of(await read_form(request), "Status")
        if status not in ("", "completed"):
            raise RestError(20001, "Status")
        if status and room.status != "completed":
            room.close("conference-ended-via-api")
        return web.json_response(self._conference(room))

    async def list_participants(self, request: web.Request) -> web.Response:
        """Who is in a conference; filters ``Muted`` and ``Hold``."""
        room = self._find(request)
        chosen = [
            self._participant(room, party)
            for party in room.parties.values()
            if request.query.get("Muted", str(party.muted)).lower() == str(party.muted).lower()
            and request.query.get("Hold", str(party.held)).lower() == str(party.held).lower()
        ]
        return page_of(request, "participants", chosen)

    async def fetch_participant(self, request: web.Request) -> web.Response:
        """One participant, by the SID of its call or by its label."""
        room = self._find(request)
        return web.json_response(self._participant(room, self._party(room, request)))

    async def update_participant(self, request: web.Request) -> web.Response:
        """``Muted``, ``Hold`` with ``HoldUrl`` and ``HoldMethod``, ``EndConferenceOnExit``."""
        room = self._find(request)
        party = self._party(room, request)
        form = await read_form(request)
        if (muted := flag_of(form, "Muted")) is not None:
            room.mute(party, muted)
        if (hold := flag_of(form, "Hold")) is not None:
            url = one_of(form, "HoldUrl") or DEFAULT_MUSIC
            require_url(url, 20001)
            music = Source(url, (one_of(form, "HoldMethod") or "GET").upper())
            room.put_on_hold(party, music if hold else None)
        if (ends := flag_of(form, "EndConferenceOnExit")) is not None:
            party.terms = replace(party.terms, end_on_exit=ends)
        return web.json_response(self._participant(room, party))

    async def remove_participant(self, request: web.Request) -> web.Response:
        """Send a participant out of the conference; the ``<Dial>`` of its call ends."""
        room = self._find(request)
        room.dismiss(self._party(room, request), "kicked")
        return web.Response(status=204)

    def _find(self, request: web.Request) -> Room:
        room = self.rooms.known.get(request.match_info["sid"])
        if room is None:
            raise RestError(20404)
        return room

    def _party(self, room: Room, request: web.Request) -> Party:
        who = request.match_info["who"]
        for party in room.parties.values():
            if who in (party.call.sid, party.terms.label):
                return party
        raise RestError(20404)

    def _conference(self, room: Room) -> Json:
        uri = f"{self.root}/Conferences/{room.sid}"
        return {
            "sid": room.sid,
            "account_sid": self.account,
            "friendly_name": room.name,
            "status": room.status,
            "region": "us1",
            "reason_conference_ended": room.reason,
            "call_sid_ending_conference": room.ended_by,
            "date_created": stamp(room.created),
            "date_updated": stamp(room.updated),
            "api_version": "2010-04-01",
            "uri": f"{uri}.json",
            "subresource_uris": {"participants": f"{uri}/Participants.json"},
        }

    def _participant(self, room: Room, party: Party) -> Json:
        return {
            "account_sid": self.account,
            "call_sid": party.call.sid,
            "conference_sid": room.sid,
            "label": party.terms.label or None,
            "muted": party.muted,
            "hold": party.held,
            "coaching": False,
            "call_sid_to_coach": None,
            "start_conference_on_enter": party.terms.start_on_enter,
            "end_conference_on_exit": party.terms.end_on_exit,
            "status": "connected",
            "queue_time": str(party.call.queue_ms),
            "date_created": stamp(party.joined),
            "date_updated": stamp(room.updated),
            "api_version": "2010-04-01",
            "uri": f"{self.root}/Conferences/{room.sid}/Participants/{party.call.sid}.json",
        }
