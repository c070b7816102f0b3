"""The control and inspection API under ``/sim``: what tests, the demo and the phone page use.

It has no password, because the simulator listens on the loopback address and knows nobody real; a page of another
origin is refused all the same.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from simulator.attachments import parse_file
from simulator.calls import LiveCall, Switchboard, handset_live
from simulator.chaos import Chaos, ChaosPlan
from simulator.config import HandsetConfig, parse_handset
from simulator.errors import ConfigError, RestError, WebhookFailure
from simulator.line import Decline, PickUp, Speech
from simulator.media import Media
from simulator.messages import PostOffice
from simulator.records import WHATSAPP, Handset, Json, now
from simulator.scripts import KEYPAD, PRESETS, parse_script
from simulator.sound import make_wav, sound_seconds
from simulator.updates import Updates
from simulator.webhooks import Webhooks
from simulator.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LONGEST_WAIT = 600.0
LONGEST_AGE = 400 * 24 * 3600.0
WAIT_STEP = 0.02
ACTION_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Refused(Exception):
    """A request to the control API cannot be carried out; answered with ``status`` and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


class Counted(Protocol):
    """What the control needs of the post, which stands on the control itself."""

    @property
    def in_flight(self) -> int:
        """How many mails are on their way."""
        ...

    async def clear(self) -> None:
        """Forget all mails, also those on their way."""
        ...


@dataclass(frozen=True)
class Control:
    """The control API of one world."""

    world: World
    switchboard: Switchboard
    office: PostOffice
    webhooks: Webhooks
    media: Media
    updates: Updates
    post: Counted

    def routes(self) -> list[web.RouteDef]:
        """The routes under ``/sim``."""
        handset = "/sim/handsets/{number}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/sim/state", self.state),
            ("GET", "/sim/tally", self.tally),
            ("GET", "/sim/calls/{sid}", self.call),
            ("GET", "/sim/wait", self.wait),
            ("POST", "/sim/reset", self.reset),
            ("GET", "/sim/chaos", self.read_chaos),
            ("POST", "/sim/chaos", self.set_chaos),
            ("GET", "/sim/errors", self.read_errors),
            ("POST", "/sim/errors", self.set_error),
            ("POST", "/sim/age", self.age),
            ("POST", "/sim/sms", self.sms),
            ("POST", "/sim/tap", self.tap),
            ("POST", "/sim/window", self.window),
            ("POST", "/sim/call", self.ring_in),
            ("POST", "/sim/actions/{index}", self.act),
            ("GET", "/sim/scripts", self.scripts),
            ("POST", "/sim/default-script", self.set_default_script),
            ("GET", "/sim/handsets", self.handsets),
            ("POST", "/sim/handsets", self.add_handset),
            ("PATCH", handset, self.patch_handset),
            ("POST", handset + "/answer", self.answer),
            ("POST", handset + "/decline", self.decline),
            ("POST", handset + "/hangup", self.hang_up),
            ("POST", handset + "/keys", self.press),
            ("POST", handset + "/breathe", self.breathe),
            ("POST", handset + "/speak", self.speak),
            ("POST", handset + "/read", self.read),
            ("GET", "/sim/audio/{key}", self.audio),
            ("GET", "/sim/recordings/{sid}.wav", self.recording),
            ("GET", "/sim/files/{sid}", self.file),
        ]
        return [web.route(method, path, guarded(handler)) for method, path, handler in table]

    # Looking

    async def state(self, request: web.Request) -> web.Response:
        """Everything, or the ``parts`` asked for: calls, messages, recordings, webhooks, alerts, handsets."""
        makers: dict[str, Callable[[], object]] = {
            "calls": lambda: [call.to_json() for call in self.world.calls.values()],
            "messages": lambda: [message.to_json() for message in self.world.messages.values()],
            "deleted": lambda: [message.to_json() for message in self.world.deleted.values()],
            "recordings": lambda: [recording.to_json() for recording in self.world.recordings.values()],
            "webhooks": lambda: [asdict(line) for line in self.webhooks.log],
            "alerts": lambda: [alert.to_json() for alert in self.world.alerts],
            "handsets": lambda: [handset.to_json() for handset in self.world.handsets.values()],
        }
        wanted = request.query.get("parts", ",".join(makers)).split(",")
        answer: Json = {part: makers[part]() for part in wanted if part in makers}
        answer["busy"] = self._busy()
        return json_answer(answer)

    async def tally(self, _: web.Request) -> web.Response:
        """How many calls the customer asked for, how many of them with an address that was used before, and alerts."""
        counts = self.world.dialled.values()
        return json_answer(
            {
                "calls": sum(counts),
                "repeated": sum(counts) - len(counts),
                "alerts": len(self.world.alerts),
            }
        )

    async def call(self, request: web.Request) -> web.Response:
        """One call with its steps."""
        call = self.world.calls.get(request.match_info["sid"])
        if call is None:
            raise Refused(404, "no such call")
        return json_answer(call.to_json())

    async def wait(self, request: web.Request) -> web.Response:
        """Wait until nothing is going on, or until ``call`` has ``status`` or is ``doing`` something.

        ``timeout`` is in real seconds (10). The answer says whether it came to pass in ``met``.
        """
        query = request.query
        deadline = time.monotonic() + min(float(query.get("timeout", "10")), LONGEST_WAIT)
        while not (met := self._is_met(query)) and time.monotonic() < deadline:
            await asyncio.sleep(WAIT_STEP)
        return json_answer({"met": met, "idle": not any(self._busy().values()), **self._busy()})

    def _is_met(self, query: Mapping[str, str]) -> bool:
        if "call" not in query:
            return not any(self._busy().values())
        call = self.world.calls.get(query["call"])
        if call is None:
            return False
        return (
            query.get("status", call.status) == call.status and query.get("doing", call.doing) == call.doing
        )

    def _busy(self) -> dict[str, int]:
        return {
            "calls": len(self.switchboard.live),
            "messages": self.office.in_flight,
            "webhooks": self.webhooks.in_flight,
            "telegram": self.updates.in_flight,
            "mail": self.post.in_flight,
        }

    async def audio(self, request: web.Request) -> web.Response:
        """A sound that was played in a call."""
        sound = self.media.find(request.match_info["key"])
        if sound is None:
            raise Refused(404, "no such sound")
        return web.Response(body=sound.data, content_type=sound.content_type)

    async def recording(self, request: web.Request) -> web.Response:
        """A recording, for the phone page."""
        recording = self.world.recordings.get(request.match_info["sid"])
        if recording is None or recording.deleted:
            raise Refused(404, "no such recording")
        sound = recording.audio or make_wav(recording.text, recording.seconds)
        return web.Response(body=sound, content_type="audio/wav")

    async def file(self, request: web.Request) -> web.Response:
        """A file on a handset, for the phone page; also one that the customer deleted on its own side."""
        found = self.world.attachments.get(request.match_info["sid"])
        if found is None:
            raise Refused(404, "no such file")
        return found.answer()

    # Fate

    async def reset(self, _: web.Request) -> web.Response:
        """Hang up, forget everything that happened and stop the chaos; the configuration stays."""
        await self.switchboard.close()
        await self.office.close()
        await self.webhooks.drop()
        await self.updates.drop()
        await self.post.clear()
        self.world.clear()
        self.webhooks.log.clear()
        self.webhooks.chaos = Chaos(self.world.config.chaos)
        return json_answer({"message": "Everything is as at the start."})

    async def read_chaos(self, _: web.Request) -> web.Response:
        """The plan of misfortune."""
        return json_answer(self.webhooks.chaos.plan.to_json())

    async def set_chaos(self, request: web.Request) -> web.Response:
        """Another plan; the dice begin anew."""
        self.webhooks.chaos = Chaos(ChaosPlan.parse(await read_body(request)))
        return json_answer(self.webhooks.chaos.plan.to_json())

    async def age(self, request: web.Request) -> web.Response:
        """``{"seconds": …}``: all messages become older by so much, as if the time had gone by."""
        seconds = (await read_body(request)).get("seconds")
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 <= seconds <= LONGEST_AGE
        ):
            raise Refused(400, "seconds must be a number from 0 on")
        for message in self.world.messages.values():
            message.grow_older(timedelta(seconds=seconds))
        self.world.touch()
        return json_answer({"messages": len(self.world.messages)})

    async def read_errors(self, _: web.Request) -> web.Response:
        """What goes wrong for which number."""
        return json_answer(self.world.errors)

    async def set_error(self, request: web.Request) -> web.Response:
        """``{"number": …, "create": code, "message": code, "call": "busy", "sip": 486}``; only a number clears."""
        body = await read_body(request)
        number = text_of(body, "number")
        rule = {key: value for key, value in body.items() if key != "number" and value is not None}
        self.world.set_error(number, rule)
        return json_answer(self.world.errors)

    # Things from outside

    async def sms(self, request: web.Request) -> web.Response:
        """A message from a handset (``from, to, body, extra, media``), or an earlier one again (``repeat``).

        ``media`` is a list of files: ``"picture"``, ``"voice"`` or ``{"name", "content_type", "data"}`` in base64.
        """
        body = await read_body(request)
        if "repeat" in body:
            message = self.world.messages.get(str(body["repeat"]))
            if message is None:
                raise Refused(404, "no such message")
            self.office.receive_again(message)
        else:
            extra = {str(name): str(value) for name, value in body.get("extra", {}).items()}
            sender, line = text_of(body, "from"), text_of(body, "to")
            if line.startswith(WHATSAPP) and not sender.startswith(WHATSAPP):
                sender = WHATSAPP + sender
            attached = [parse_file(each) for each in body.get("media", [])]
            message = self.office.receive(sender, line, str(body.get("body", "")), extra, attached)
        return json_answer({"sid": message.sid}, 201)

    async def tap(self, request: web.Request) -> web.Response:
        """The holder taps an option of a WhatsApp message: ``{"message": SID, "index": 0}``."""
        body = await read_body(request)
        shown = self.world.messages.get(text_of(body, "message"))
        if shown is None:
            raise Refused(404, "no such message")
        return json_answer({"sid": self.office.tap(shown, int(body.get("index", 0))).sid}, 201)

    async def window(self, request: web.Request) -> web.Response:
        """Open or close a handset's WhatsApp window by hand: ``{"number": …, "open": false}``."""
        body = await read_body(request)
        is_open = bool(body.get("open", False))
        self.world.set_window(text_of(body, "number"), is_open=is_open)
        return json_answer({"open": is_open})

    async def ring_in(self, request: web.Request) -> web.Response:
        """A call from a handset (``from, to, script``), or the first webhook of one again (``repeat``)."""
        body = await read_body(request)
        if "repeat" in body:
            call = self.world.calls.get(str(body["repeat"]))
            if call is None:
                raise Refused(404, "no such call")
            try:
                return json_answer(
                    {"sid": call.sid, "status": await self.switchboard.ring_in_again(call)}, 201
                )
            except WebhookFailure as failure:
                return json_answer({"sid": call.sid, "status": None, "failure": failure.reason}, 201)
        from_ = text_of(body, "from")
        # Many may call with their number withheld; a phone with a number holds one call.
        if from_.startswith("+") and self.world.handset(from_).call_sid is not None:
            raise Refused(409, "this phone is in a call")
        script = parse_script(body["script"]) if "script" in body else None
        call = self.switchboard.ring_in(from_, text_of(body, "to"), script)
        return json_answer({"sid": call.sid}, 201)

    async def act(self, request: web.Request) -> web.Response:
        """Press a configured button: the simulator posts its form and hands the JSON answer on."""
        index = request.match_info["index"]
        actions = self.world.config.actions
        if not index.isdigit() or int(index) >= len(actions):
            raise Refused(404, "no such button")
        action = actions[int(index)]
        try:
            async with (
                aiohttp.ClientSession(timeout=ACTION_TIMEOUT) as session,
                session.post(action.url, data=dict(action.form), headers=dict(action.headers)) as response,
            ):
                text = await response.text()
                return json_answer(
                    {"ok": response.ok, "status": response.status, "message": _message_of(text)}
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            return json_answer(
                {"ok": False, "status": None, "message": f"No answer ({type(error).__name__})."}
            )

    # Handsets

    async def scripts(self, _: web.Request) -> web.Response:
        """The names of the preset scripts."""
        return json_answer(sorted(PRESETS))

    async def set_default_script(self, request: web.Request) -> web.Response:
        """What strangers' phones do: ``{"script": …}``, also for those that were already met."""
        script = parse_script((await read_body(request)).get("script"))
        self.world.default_script = script
        for handset in self.world.handsets.values():
            if not handset.listed:
                handset.script = script
        return json_answer({"script": script.to_json()})

    async def handsets(self, _: web.Request) -> web.Response:
        """All handsets."""
        return json_answer([handset.to_json() for handset in self.world.handsets.values()])

    async def add_handset(self, request: web.Request) -> web.Response:
        """Add one handset, or a list of them, as in the configuration."""
        body = json.loads(await request.text())
        rows = body if isinstance(body, list) else [body]
        added = [self.world.add_handset(parse_handset(row)) for row in rows]
        return json_answer([handset.to_json() for handset in added], 201)

    async def patch_handset(self, request: web.Request) -> web.Response:
        """Change name, language, note, pass_word or script of a handset."""
        handset = self._handset(request)
        changes = await read_body(request)
        if not set(changes) <= {"name", "language", "note", "pass_word", "script", "hides_number"}:
            raise Refused(400, "only name, language, note, pass_word, script and hides_number can be changed")
        if "script" in changes:
            changes["script"] = parse_script(changes["script"])
        present = HandsetConfig(
            handset.number,
            handset.name,
            handset.language,
            handset.note,
            handset.pass_word,
            handset.script,
            handset.hides_number,
        )
        return json_answer(self.world.add_handset(replace(present, **changes)).to_json())

    async def answer(self, request: web.Request) -> web.Response:
        """Pick up the ringing phone; ``by`` is human (default), machine or fax."""
        by = str((await read_body(request)).get("by", "human"))
        if by not in ("human", "machine", "fax"):
            raise Refused(400, "by must be human, machine or fax")
        self._live(request, "ringing").line.put(PickUp(by))
        return json_answer({})

    async def decline(self, request: web.Request) -> web.Response:
        """Decline the ringing phone."""
        self._live(request, "ringing").line.put(Decline())
        return json_answer({})

    async def hang_up(self, request: web.Request) -> web.Response:
        """Hang up."""
        self._live(request).line.hang_up()
        return json_answer({})

    async def press(self, request: web.Request) -> web.Response:
        """Press ``keys``."""
        keys = text_of(await read_body(request), "keys")
        if not set(keys) <= KEYPAD:
            raise Refused(400, "keys may hold 0-9, * and #")
        self._live(request, "in-progress").line.type(keys)
        return json_answer({})

    async def breathe(self, request: web.Request) -> web.Response:
        """``on``: the person has begun to speak (or to type it), so silence is not counted."""
        live = self._live(request, "in-progress")
        live.line.breathe(bool((await read_body(request)).get("on", True)))
        return json_answer({})

    async def speak(self, request: web.Request) -> web.Response:
        """Say something: JSON ``text`` and ``seconds``, or a WAV from a microphone."""
        live = self._live(request, "in-progress")
        if request.content_type in ("audio/wav", "audio/x-wav"):
            audio = await request.read()
            if audio[:4] != b"RIFF":
                raise Refused(400, "not a WAV file")
            live.line.put(Speech("", sound_seconds(audio), audio))
            return json_answer({})
        body = await read_body(request)
        text = str(body.get("text", ""))
        seconds = float(body.get("seconds") or max(1.0, len(text) / 12))
        live.line.put(Speech(text, min(seconds, 3600.0)))
        return json_answer({})

    async def read(self, request: web.Request) -> web.Response:
        """The messages of the handset have been read: all, or those of one ``tab`` of the phone page."""
        handset = self._handset(request)
        tab = str((await read_body(request)).get("tab", ""))
        before = dict(handset.unread)
        handset.unread = {name: count for name, count in before.items() if tab and name != tab}
        if tab in ("", "phone"):
            handset.calls_seen = now()
        if tab in ("", "whatsapp"):
            self.office.read(handset.number)
        if handset.unread != before or tab == "phone":
            self.world.touch()
        return json_answer({})

    def _handset(self, request: web.Request) -> Handset:
        handset = self.world.handsets.get(request.match_info["number"])
        if handset is None:
            raise Refused(404, "no such handset")
        return handset

    def _live(self, request: web.Request, status: str = "") -> LiveCall:
        live = handset_live(self.switchboard, self._handset(request))
        if live is None or (status and live.call.status != status):
            raise Refused(409, f"no call is {status or 'going on'} on this phone")
        return live


def guarded(handler: Handler) -> Handler:
    """A handler of the control API: refuses other origins, and answers errors as JSON."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            _same_origin(request)
            return await handler(request)
        except Refused as refused:
            return json_answer({"error": refused.reason}, refused.status)
        except RestError as error:
            return json_answer({"error": error.message, "code": error.code}, error.status)
        except (ConfigError, ValueError) as error:
            return json_answer({"error": str(error)}, 400)

    return guarded


def _same_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin and urlsplit(origin).netloc != request.host:
        raise Refused(403, "another origin")


async def read_body(request: web.Request) -> dict[str, Any]:
    """The JSON object in a request; an empty one if there is nothing."""
    text = await request.text()
    body = json.loads(text) if text else {}
    if not isinstance(body, dict):
        raise Refused(400, "a JSON object is expected")
    return body


def text_of(body: Mapping[str, Any], name: str) -> str:
    """A text of a JSON object that must be there."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, f"{name} is required")
    return value


def _message_of(text: str) -> str:
    try:
        body = json.loads(text)
    except ValueError:
        return ""
    return str(body.get("message", "")) if isinstance(body, dict) else ""


def encode(value: object) -> str:
    """What JSON does not know: instants, as ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def json_answer(data: object, status: int = 200) -> web.Response:
    """Data as JSON; instants as ISO 8601."""
    return web.Response(text=json.dumps(data, default=encode), content_type="application/json", status=status)
