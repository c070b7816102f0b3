"""Twilio's REST API, version 2010-04-01, as far as the real ``twilio`` SDK uses it for calls, messages,
recordings, numbers and the account. https://www.twilio.com/docs/api describes each resource.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from aiohttp import web

from simulator.attachments import Storehouse
from simulator.calls import MAGIC_SENDER, Switchboard
from simulator.conferences import Conferences
from simulator.contents import Cupboard, parse_variables
from simulator.errors import RestError
from simulator.forms import Form, one_of, page_of, read_form, require_url
from simulator.line import Source
from simulator.messages import PostOffice
from simulator.pace import Pace
from simulator.records import FINAL_MESSAGE, WHATSAPP, Call, Json, Message, Recording, now, stamp, steady_sid
from simulator.sound import make_mp3, make_wav
from simulator.webhooks import Webhooks
from simulator.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Record = TypeVar("Record", Call, Message, Recording)

E164 = re.compile(r"\+[1-9]\d{6,14}")
LONGEST_BODY = 1600
LONGEST_TWIML = 4000
EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})

# Test credentials' numbers, https://www.twilio.com/docs/iam/test-credentials.
MAGIC_MESSAGE_TO = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
MAGIC_MESSAGE_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
MAGIC_CALL_TO = {"+15005550001": 21217, "+15005550002": 21214, "+15005550003": 21215, "+15005550004": 21216}
MAGIC_CALL_FROM = {"+15005550001": 21212}

# Attribute names of a number and the REST parameters that change them.
NUMBER_PARAMETERS = {
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "voice_status_url",
    "SmsUrl": "sms_url",
    "SmsMethod": "sms_method",
    "SmsFallbackUrl": "sms_fallback_url",
    "SmsFallbackMethod": "sms_fallback_method",
}


@dataclass(frozen=True)
class Rest:
    """The REST door of one world."""

    world: World
    switchboard: Switchboard
    office: PostOffice
    webhooks: Webhooks
    pace: Pace

    @property
    def root(self) -> str:
        """The path under which everything of the account is found."""
        return f"/2010-04-01/Accounts/{self.world.config.account_sid}"

    def routes(self) -> list[web.RouteDef]:
        """The routes of the API; each answers errors as Twilio does."""
        base = "/2010-04-01/Accounts/{account}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", ".json", self.fetch_account),
            ("POST", "/Calls.json", self.create_call),
            ("GET", "/Calls.json", self.list_calls),
            ("GET", "/Calls/{sid}.json", self.fetch_call),
            ("POST", "/Calls/{sid}.json", self.update_call),
            ("DELETE", "/Calls/{sid}.json", self.delete_call),
            ("POST", "/Messages.json", self.create_message),
            ("GET", "/Messages.json", self.list_messages),
            ("GET", "/Messages/{sid}.json", self.fetch_message),
            ("POST", "/Messages/{sid}.json", self.update_message),
            ("DELETE", "/Messages/{sid}.json", self.delete_message),
            ("GET", "/Recordings.json", self.list_recordings),
            ("GET", "/Calls/{call}/Recordings.json", self.list_recordings),
            ("GET", "/Recordings/{sid}.json", self.fetch_recording),
            ("DELETE", "/Recordings/{sid}.json", self.delete_recording),
            ("GET", "/Recordings/{sid}.{kind:wav|mp3}", self.fetch_media),
            ("GET", "/Recordings/{sid}", self.fetch_media),
            ("GET", "/IncomingPhoneNumbers.json", self.list_numbers),
            ("GET", "/IncomingPhoneNumbers/{sid}.json", self.fetch_number),
            ("POST", "/IncomingPhoneNumbers/{sid}.json", self.update_number),
        ]
        rooms = Conferences(self.switchboard.rooms, self.world.config.account_sid, self.root)
        table += rooms.table()
        routes = [web.route(method, base + path, self._guarded(handler)) for method, path, handler in table]
        routes += self._storehouse().routes()
        return routes + [
            web.route(method, path, self._guarded(handler))
            for method, path, handler in (*self._cupboard().table(), *self._storehouse().table())
        ]

    def _cupboard(self) -> Cupboard:
        world = self.world
        return Cupboard(world.config.account_sid, world.contents, self._senders, world.touch)

    def _storehouse(self) -> Storehouse:
        world = self.world
        return Storehouse(self.root, lambda: world.base_url, world.attachments, world.messages, world.touch)

    def _senders(self) -> list[Json]:
        return [
            {
                "sid": steady_sid("XE", number),
                "sender_id": f"{WHATSAPP}{number}",
                "status": "ONLINE",
                "webhook": {
                    "callback_url": config.whatsapp_url,
                    "fallback_url": config.whatsapp_fallback_url,
                },
            }
            for number, config in self.world.numbers.items()
            if config.whatsapp_url
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self._authenticate(request)
                return await self._through_chaos(request, handler)
            except RestError as error:
                return refusal(error)

        return guarded

    def _authenticate(self, request: web.Request) -> None:
        config = self.world.config
        expected = f"{config.account_sid}:{config.auth_token}".encode()
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            given = b""
        account = request.match_info.get("account", config.account_sid)
        if not hmac.compare_digest(given, expected) or account != config.account_sid:
            raise RestError(20003)

    async def _through_chaos(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        chaos = self.webhooks.chaos
        about = f"{request.method}|{await self._number_of(request)}"
        if chaos.strikes("error_before", about):
            raise RestError(20503)
        response = await handler(request)
        if chaos.strikes("hang", about):
            await asyncio.sleep(self.pace.real(self.world.config.hang_seconds))
            if request.transport is not None:
                request.transport.abort()
        if chaos.strikes("error", about):
            raise RestError(20500)
        return response

    async def _number_of(self, request: web.Request) -> str:
        if request.method == "POST":
            return one_of(await read_form(request), "To")
        return request.query.get("To", "")

    # Account and numbers

    async def fetch_account(self, _: web.Request) -> web.Response:
        """The account, as used to check credentials."""
        sid = self.world.config.account_sid
        return web.json_response(
            {
                "sid": sid,
                "friendly_name": "A make-believe account",
                "status": "active",
                "type": "Full",
                "owner_account_sid": sid,
                "auth_token": None,
                "date_created": stamp(datetime(2026, 1, 1, tzinfo=UTC)),
                "date_updated": stamp(datetime(2026, 1, 1, tzinfo=UTC)),
                "subresource_uris": {},
                "uri": f"{self.root}.json",
            }
        )

    async def list_numbers(self, request: web.Request) -> web.Response:
        """The owned numbers with their webhook addresses; ``PhoneNumber`` filters."""
        wanted = request.query.get("PhoneNumber")
        numbers = [number for number in self.world.numbers if wanted in (None, number)]
        return page_of(request, "incoming_phone_numbers", [self._number(number) for number in numbers])

    async def fetch_number(self, request: web.Request) -> web.Response:
        """One owned number."""
        return web.json_response(self._number(self._find_number(request)))

    async def update_number(self, request: web.Request) -> web.Response:
        """Change webhook addresses; parameters that are not given stay."""
        number = self._find_number(request)
        form = await read_form(request)
        changes = {field: form[name][-1] for name, field in NUMBER_PARAMETERS.items() if name in form}
        for field, value in changes.items():
            if field.endswith("_url") and value:
                require_url(value, 20001)
        self.world.update_number(number, changes)
        return web.json_response(self._number(number))

    def _find_number(self, request: web.Request) -> str:
        sid = request.match_info["sid"]
        for number in self.world.numbers:
            if self.world.number_sid(number) == sid:
                return number
        raise RestError(20404)

    def _number(self, number: str) -> Json:
        config, sid = self.world.numbers[number], self.world.number_sid(number)
        return {
            "sid": sid,
            "account_sid": self.world.config.account_sid,
            "friendly_name": number,
            "phone_number": number,
            "voice_url": config.voice_url or "",
            "voice_method": config.voice_method,
            "voice_fallback_url": config.voice_fallback_url or "",
            "voice_fallback_method": config.voice_fallback_method,
            "status_callback": config.voice_status_url or "",
            "status_callback_method": "POST",
            "sms_url": config.sms_url or "",
            "sms_method": config.sms_method,
            "sms_fallback_url": config.sms_fallback_url or "",
            "sms_fallback_method": config.sms_fallback_method,
            "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
            "api_version": "2010-04-01",
            "beta": False,
            "origin": "twilio",
            "status": "in-use",
            "date_created": stamp(datetime(2026, 1, 1, tzinfo=UTC)),
            "date_updated": stamp(now()),
            "uri": f"{self.root}/IncomingPhoneNumbers/{sid}.json",
        }

    # Calls

    async def create_call(self, request: web.Request) -> web.Response:
        """Check and queue a call."""
        form = await read_form(request)
        to, from_ = self._call_ends(form)
        _check_call(form)
        call = self.switchboard.dial(to, from_, form)
        return web.json_response(self._call(call), status=201)

    def _call_ends(self, form: Form) -> tuple[str, str]:
        to, from_ = one_of(form, "To"), one_of(form, "From")
        if not to:
            raise RestError(21201)
        if not from_:
            raise RestError(21213)
        forced = self.world.error_for(to, "create")
        if forced:
            raise RestError(forced)
        if from_ not in self.world.numbers and from_ in MAGIC_CALL_FROM:
            raise RestError(MAGIC_CALL_FROM[from_])
        if to not in self.world.numbers and to in MAGIC_CALL_TO:
            raise RestError(MAGIC_CALL_TO[to])
        if not E164.fullmatch(to):
            raise RestError(21211)
        if from_ not in self.world.numbers and from_ != MAGIC_SENDER:
            raise RestError(21210)
        return to, from_

    async def list_calls(self, request: web.Request) -> web.Response:
        """Calls, newest first; filters ``To``, ``From``, ``Status``, ``ParentCallSid``, and times.

        ``StartTime`` and ``EndTime`` come with ``<`` and ``>``. A call that was not dialled yet is filtered by the time of its creation.
        """
        query = request.query
        calls: Iterable[Call] = reversed(list(self.world.calls.values()))
        if query.get("To") in self.world.handsets:
            sids = self.world.handsets[query["To"]].calls
            calls = (self.world.calls[sid] for sid in reversed(sids))
        chosen = [
            call
            for call in calls
            if not call.deleted
            and query.get("To") in (None, call.to)
            and query.get("From") in (None, call.from_)
            and query.get("Status") in (None, _call_status(call))
            and query.get("ParentCallSid") in (None, call.parent_sid)
            and _within(query, "StartTime", call.started or call.created)
            and _within(query, "EndTime", call.ended)
        ]
        return page_of(request, "calls", [self._call(call) for call in chosen])

    async def fetch_call(self, request: web.Request) -> web.Response:
        """One call."""
        return web.json_response(self._call(_find(self.world.calls, request)))

    async def update_call(self, request: web.Request) -> web.Response:
        """End a call (``Status``) or give it another document (``Url``, ``Twiml``)."""
        call = _find(self.world.calls, request)
        form = await read_form(request)
        status, url, twiml = one_of(form, "Status"), one_of(form, "Url"), one_of(form, "Twiml")
        if status not in ("", "canceled", "completed"):
            raise RestError(20001, "Status")
        if not call.live:
            raise RestError(21220)
        if status == "completed" or (status == "canceled" and call.status != "in-progress"):
            self.switchboard.end(call)
            # The line hears of it in a moment; the answer already tells, as Twilio's usually does.
            await asyncio.sleep(0)
        elif twiml:
            self.switchboard.redirect(call, Source(twiml=twiml))
        elif url:
            require_url(url, 21205)
            method = (one_of(form, "Method") or "POST").upper()
            self.switchboard.redirect(call, Source(url, method))
        return web.json_response(self._call(call))

    async def delete_call(self, request: web.Request) -> web.Response:
        """Delete the record of an ended call; 20009 while it goes on."""
        call = _find(self.world.calls, request)
        if call.live:
            raise RestError(20009)
        call.deleted = True
        self.world.touch()
        return web.Response(status=204)

    def _call(self, call: Call) -> Json:
        uri = f"{self.root}/Calls/{call.sid}"
        return {
            "sid": call.sid,
            "account_sid": self.world.config.account_sid,
            "to": call.to,
            "to_formatted": call.to,
            "from": call.from_,
            "from_formatted": call.from_,
            "phone_number_sid": self.world.number_sid(call.to if call.direction == "inbound" else call.from_),
            "status": _call_status(call),
            "direction": call.direction,
            "answered_by": call.answered_by,
            "start_time": stamp(call.started),
            "end_time": stamp(call.ended),
            "duration": None if call.duration is None else str(call.duration),
            "date_created": stamp(call.created),
            "date_updated": stamp(call.ended or call.answered or call.started or call.created),
            "price": None,
            "price_unit": "USD",
            "queue_time": str(call.queue_ms),
            "parent_call_sid": call.parent_sid,
            "forwarded_from": None,
            "caller_name": None,
            "group_sid": None,
            "trunk_sid": None,
            "annotation": None,
            "api_version": "2010-04-01",
            "uri": f"{uri}.json",
            "subresource_uris": {"recordings": f"{uri}/Recordings.json"},
        }

    # Messages

    async def create_message(self, request: web.Request) -> web.Response:
        """Check and send a message."""
        form = await read_form(request)
        to, from_ = self._message_ends(form)
        body, content = one_of(form, "Body"), one_of(form, "ContentSid")
        if not body and not content:
            raise RestError(21602)
        if len(body) > LONGEST_BODY:
            raise RestError(21617)
        callback = one_of(form, "StatusCallback") or None
        if callback:
            require_url(callback, 21609)
        shown: Json = {}
        if content:
            if content not in self.world.contents:
                raise RestError(21655)
            shown = self.world.contents[content].render(parse_variables(one_of(form, "ContentVariables")))
        message = self.office.send(to, from_, shown.get("body", body), callback, shown)
        return web.json_response(self._message(message), status=201)

    def _message_ends(self, form: Form) -> tuple[str, str]:
        to, from_ = one_of(form, "To"), one_of(form, "From")
        if not to:
            raise RestError(21604)
        if not from_:
            raise RestError(21603)
        forced = self.world.error_for(to, "create")
        if forced:
            raise RestError(forced)
        if from_ not in self.world.numbers and from_ in MAGIC_MESSAGE_FROM:
            raise RestError(MAGIC_MESSAGE_FROM[from_])
        if to not in self.world.numbers and to in MAGIC_MESSAGE_TO:
            raise RestError(MAGIC_MESSAGE_TO[to])
        if not E164.fullmatch(self.world.number_of(to) if to.startswith(WHATSAPP) else to):
            raise RestError(21211)
        if self.world.owned(from_) is None and from_ != MAGIC_SENDER:
            raise RestError(21606)
        return to, from_

    async def list_messages(self, request: web.Request) -> web.Response:
        """Messages, newest first; filters ``To``, ``From``, ``DateSent`` with ``<`` and ``>``.

        A message that was not sent yet is filtered by the time of its creation.
        """
        query = request.query
        messages: Iterable[Message] = reversed(list(self.world.messages.values()))
        if query.get("To") in self.world.handsets:
            sids = self.world.handsets[query["To"]].messages
            messages = (self.world.messages[sid] for sid in reversed(sids) if sid in self.world.messages)
        chosen = [
            message
            for message in messages
            if query.get("To") in (None, message.to)
            and query.get("From") in (None, message.from_)
            and _within(query, "DateSent", message.sent or message.created)
        ]
        return page_of(request, "messages", [self._message(message) for message in chosen])

    async def fetch_message(self, request: web.Request) -> web.Response:
        """One message."""
        return web.json_response(self._message(_find(self.world.messages, request)))

    async def update_message(self, request: web.Request) -> web.Response:
        """An empty ``Body`` takes the text away; 20009 while the message is on its way."""
        message = _find(self.world.messages, request)
        form = await read_form(request)
        if "Body" in form:
            if one_of(form, "Body"):
                raise RestError(20001, "Body can only be made empty")
            if message.status not in FINAL_MESSAGE:
                raise RestError(20009)
            message.body, message.updated = "", now()
            message.inbound = {}
            self.world.touch()
        return web.json_response(self._message(message))

    async def delete_message(self, request: web.Request) -> web.Response:
        """Delete a message; 20009 while it is on its way."""
        message = _find(self.world.messages, request)
        if message.status not in FINAL_MESSAGE:
            raise RestError(20009)
        self.world.delete_message(message)
        return web.Response(status=204)

    def _message(self, message: Message) -> Json:
        return {
            "sid": message.sid,
            "account_sid": self.world.config.account_sid,
            "messaging_service_sid": None,
            "to": message.to,
            "from": message.from_,
            "body": message.body,
            "status": message.status,
            "direction": message.direction,
            "num_segments": str(message.segments),
            "num_media": str(len(message.media)),
            "error_code": message.error_code,
            "error_message": None,
            "date_created": stamp(message.created),
            "date_sent": stamp(message.sent),
            "date_updated": stamp(message.updated),
            "price": None,
            "price_unit": "USD",
            "api_version": "2010-04-01",
            "uri": f"{self.root}/Messages/{message.sid}.json",
            "subresource_uris": {"media": f"{self.root}/Messages/{message.sid}/Media.json"},
        }

    # Recordings

    async def list_recordings(self, request: web.Request) -> web.Response:
        """Recordings, newest first, of the account or of one call (``CallSid``)."""
        call_sid = request.match_info.get("call") or request.query.get("CallSid")
        chosen = [
            recording
            for recording in reversed(list(self.world.recordings.values()))
            if call_sid in (None, recording.call_sid)
            and not recording.deleted
            and _within(request.query, "DateCreated", recording.created)
        ]
        return page_of(request, "recordings", [self._recording(recording) for recording in chosen])

    async def fetch_recording(self, request: web.Request) -> web.Response:
        """One recording's description."""
        return web.json_response(self._recording(_find(self.world.recordings, request)))

    async def delete_recording(self, request: web.Request) -> web.Response:
        """Delete a recording's sound; its description stays with status ``deleted``, as Twilio keeps it 40 days."""
        recording = _find(self.world.recordings, request)
        if recording.deleted:
            raise RestError(20404)
        recording.deleted, recording.audio, recording.text = True, None, ""
        self.world.touch()
        return web.Response(status=204)

    async def fetch_media(self, request: web.Request) -> web.Response:
        """The sound as WAV (the default) or MP3."""
        recording = _find(self.world.recordings, request)
        if recording.deleted:
            raise RestError(20404)
        if request.match_info.get("kind") == "mp3":
            return web.Response(body=make_mp3(recording.seconds), content_type="audio/mpeg")
        sound = recording.audio or make_wav(recording.text, recording.seconds)
        return web.Response(body=sound, content_type="audio/x-wav")

    def _recording(self, recording: Recording) -> Json:
        uri = f"{self.root}/Recordings/{recording.sid}"
        return {
            "sid": recording.sid,
            "account_sid": self.world.config.account_sid,
            "call_sid": recording.call_sid,
            "conference_sid": None,
            "status": "deleted" if recording.deleted else "completed",
            "channels": 1,
            "source": recording.source,
            "error_code": None,
            "duration": str(recording.seconds),
            "date_created": stamp(recording.created),
            "date_updated": stamp(recording.created),
            "start_time": stamp(recording.created),
            "price": None,
            "price_unit": "USD",
            "api_version": "2010-04-01",
            "encryption_details": None,
            "media_url": f"{self.world.base_url}{uri}",
            "uri": f"{uri}.json",
            "subresource_uris": {},
        }


def refusal(error: RestError) -> web.Response:
    """An error as Twilio words it in JSON."""
    body = {
        "code": error.code,
        "message": error.message,
        "more_info": f"https://www.twilio.com/docs/errors/{error.code}",
        "status": error.status,
    }
    headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if error.status == 401 else {}
    return web.json_response(body, status=error.status, headers=headers)


def _check_call(form: Form) -> None:
    url, twiml = one_of(form, "Url"), one_of(form, "Twiml")
    if not url and not twiml:
        raise RestError(21205)
    if url:
        require_url(url, 21205)
    if len(twiml) > LONGEST_TWIML:
        raise RestError(20001, "Twiml is longer than 4000 characters")
    for name in ("FallbackUrl", "StatusCallback", "RecordingStatusCallback", "AsyncAmdStatusCallback"):
        if one_of(form, name):
            require_url(one_of(form, name), 21609 if name == "StatusCallback" else 20001)
    if not set(form.get("StatusCallbackEvent", [])) <= EVENTS:
        raise RestError(20001, "StatusCallbackEvent")
    for name, highest in (("Timeout", 600), ("TimeLimit", 14400), ("MachineDetectionTimeout", 120)):
        value = one_of(form, name)
        if value and not (value.isdigit() and 1 <= int(value) <= highest):
            raise RestError(20001, name)
    if one_of(form, "MachineDetection") not in ("", "Enable", "DetectMessageEnd"):
        raise RestError(20001, "MachineDetection")


def _find(records: Mapping[str, Record], request: web.Request) -> Record:
    record = records.get(request.match_info["sid"])
    if record is None or (isinstance(record, Call) and record.deleted):
        raise RestError(20404)
    return record


def _call_status(call: Call) -> str:
    """The resource knows no `initiated`: until it rings, a call is queued."""
    return "queued" if call.status == "initiated" else call.status


def _within(query: Mapping[str, Any], name: str, moment: datetime | None) -> bool:
    """Whether ``moment`` meets the filters ``name`` (that day), ``name<`` (up to) and ``name>`` (from)."""
    exact, before, after = query.get(name), query.get(f"{name}<"), query.get(f"{name}>")
    if not (exact or before or after):
        return True
    if moment is None:
        return False
    second = moment.replace(microsecond=0)
    if exact and not _moment(exact) <= second < _moment(exact) + _width(exact):
        return False
    if before and not second < _moment(before) + _width(before):
        return False
    return not after or second >= _moment(after)


def _width(text: str) -> timedelta:
    return timedelta(days=1) if len(text) == 10 else timedelta(seconds=1)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise RestError(20001, "a date is not valid") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
