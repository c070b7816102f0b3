"""The phone page: a shell rendered here, one script, one style sheet, and a stream of what is to be seen.

The stream (server-sent events) carries whole views, not changes: the list of handsets and the open one. A browser
that missed something is right again with the next view.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from aiohttp import web

from simulator.calls import Switchboard
from simulator.control import encode
from simulator.people import People
from simulator.post import Post
from simulator.records import WHATSAPP, Call, Handset, Json, Message, account_of, country_of
from simulator.scripts import PRESETS
from simulator.world import World

ASSETS = {
    "phone.js": "text/javascript",
    "texts.js": "text/javascript",
    "telegram.js": "text/javascript",
    "mail.js": "text/javascript",
    "phone.css": "text/css",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STRANGERS_SHOWN = 50
CALLS_SHOWN = 5
MESSAGES_SHOWN = 200
STEPS_SHOWN = 200
MISSED_SHOWN = 20
MISSED = frozenset({"no-answer", "canceled"})
LIST = "twilio/list-picker"
# Views that follow each other closely are drawn together, and a quiet stream is kept open with a comment.
GATHER_SECONDS = 0.1
HEARTBEAT_SECONDS = 15.0


@dataclass
class Page:
    """The page of one world."""

    world: World
    switchboard: Switchboard
    people: People
    post: Post
    _streams: set[asyncio.Task[Any]] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        """The page, its files and its stream."""
        return [
            web.get("/", self.shell),
            web.get("/assets/{name}", self.asset),
            web.get("/sim/live", self.live),
            web.get("/healthz", self.health),
        ]

    def close(self) -> None:
        """End all streams."""
        for task in list(self._streams):
            task.cancel()

    async def health(self, _: web.Request) -> web.Response:
        """Whether the simulator serves."""
        return web.json_response({"ok": True})

    async def shell(self, _: web.Request) -> web.Response:
        """The page itself."""
        template = Template((files("simulator") / "assets" / "phone.html").read_text(encoding="utf-8"))
        config = self.world.config
        text = template.substitute(
            actions="".join(
                f'<button type="button" class="quiet" data-action="{index}">{escape(action.label)}</button>'
                for index, action in enumerate(config.actions)
            ),
            links="".join(
                f'<a href="{escape(link.url)}" target="_blank" rel="noopener">{escape(link.label)}</a>'
                for link in config.links
            ),
            numbers=_options(self.world.numbers),
            lines=_options(self._lines()),
            scripts="".join(f'<option value="{name}">{name}</option>' for name in PRESETS),
        )
        return self._answer(text, "text/html")

    def _lines(self) -> list[str]:
        """The numbers that can be written to on WhatsApp."""
        return [number for number, config in self.world.numbers.items() if config.whatsapp_url]

    async def asset(self, request: web.Request) -> web.Response:
        """The script or the style sheet."""
        name = request.match_info["name"]
        if name not in ASSETS:
            raise web.HTTPNotFound
        return self._answer((files("simulator") / "assets" / name).read_text(encoding="utf-8"), ASSETS[name])

    async def live(self, request: web.Request) -> web.StreamResponse:
        """A stream of views for the handset named by ``open``."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler always runs in a task
        self._streams.add(task)
        try:
            await self._stream(response, request.query.get("open", ""))
        except (ConnectionError, asyncio.CancelledError):
            # The browser went away, or the simulator stops: either way the stream is over.
            return response
        finally:
            self._streams.discard(task)
        return response

    async def _stream(self, response: web.StreamResponse, number: str) -> None:
        sent = ""
        while True:
            # Read before the view is drawn: what changes while it is drawn or sent is shown by the next one.
            changed = asyncio.ensure_future(self.world.changed(self.world.version))
            try:
                view = json.dumps(self.view(number), ensure_ascii=False, default=encode)
                if view != sent:
                    sent = view
                    await response.write(f"data: {view}\n\n".encode())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed, HEARTBEAT_SECONDS)
                if not changed.done() or changed.cancelled():
                    await response.write(b": still here\n\n")
                await asyncio.sleep(GATHER_SECONDS)
            finally:
                changed.cancel()

    def view(self, number: str) -> Json:
        """What is to be seen now: the list, and the handset that is open."""
        listed = [handset for handset in self.world.handsets.values() if handset.listed]
        strangers = [handset for handset in self.world.handsets.values() if not handset.listed]
        shown = listed + strangers[-STRANGERS_SHOWN:]
        handset = self.world.handsets.get(number)
        return {
            "handsets": [self._row(each) for each in shown],
            "hidden": len(listed) + len(strangers) - len(shown),
            "open": self._open(handset) if handset else None,
        }

    def _row(self, handset: Handset) -> Json:
        call = self._call_of(handset)
        return {
            "number": handset.number,
            "name": handset.name,
            "language": handset.language,
            "country": country_of(handset.number),
            "script": handset.script.name or "script",
            "unread": self._unread(handset),
            "call": call.status if call else "",
            "direction": call.direction if call else "",
        }

    def _open(self, handset: Handset) -> Json:
        call = self._call_of(handset)
        live = self.switchboard.live.get(call.sid) if call else None
        thread = self.world.thread(handset)
        ended = [self.world.calls[sid] for sid in handset.calls if not self.world.calls[sid].live]
        return {
            **self._row(handset),
            "note": handset.note,
            "manual": bool(live and live.callee.script.answer == "manual"),
            "telegram": self.people.view(handset.number),
            "mail": self.post.view(handset.number),
            "live": {**_call_view(call), "joined": self._joined(call)} if call else None,
            "calls": [_call_view(each) for each in ended[-CALLS_SHOWN:]],
            "texts": [_message_view(each) for each in thread if not each.on_whatsapp][-MESSAGES_SHOWN:],
            "whatsapp": self._whatsapp(handset, [each for each in thread if each.on_whatsapp]),
        }

    def _whatsapp(self, handset: Handset, thread: list[Message]) -> Json | None:
        """The part of WhatsApp: the messages, and until when each number may write in its own words."""
        lines = self._lines()
        if not lines and not thread:
            return None
        return {
            "account": account_of(handset.number),
            "hides_number": handset.hides_number,
            "windows": {line: self.world.open_until(handset.number, line) for line in lines},
            "messages": [_message_view(each) for each in thread[-MESSAGES_SHOWN:]],
        }

    def _unread(self, handset: Handset) -> dict[str, int]:
        """What came and was not looked at, by tab."""
        recent = [self.world.calls.get(sid) for sid in handset.calls[-MISSED_SHOWN:]]
        missed = sum(
            1
            for call in recent
            if call
            and call.status in MISSED
            and call.direction != "inbound"
            and call.created > handset.calls_seen
        )
        return {tab: count for tab, count in {**handset.unread, "phone": missed}.items() if count}

    def _joined(self, call: Call) -> list[str]:
        """Who else is on the line, by name or number."""
        room = self.switchboard.rooms.of(call)
        party = room.parties.get(call.sid) if room and room.status == "in-progress" else None
        if room is None or party is None:
            return []
        handsets = [self.world.handset(other.call.handset) for other in room.others(party)]
        return [handset.name or handset.number for handset in handsets]

    def _call_of(self, handset: Handset) -> Call | None:
        return self.world.calls.get(handset.call_sid) if handset.call_sid else None

    def _answer(self, text: str, kind: str) -> web.Response:
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }
        return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)


def _options(values: Iterable[str]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)


def _call_view(call: Call) -> Json:
    return {
        "sid": call.sid,
        "direction": call.direction,
        "other": call.to if call.direction == "inbound" else call.from_,
        "status": call.status,
        "doing": call.doing,
        "at": call.created.isoformat(),
        "duration": call.duration,
        "steps": call.steps[-STEPS_SHOWN:],
    }


def _message_view(message: Message) -> Json:
    return {
        "sid": message.sid,
        "mine": message.direction == "inbound",
        "other": (message.to if message.direction == "inbound" else message.from_).removeprefix(WHATSAPP),
        "body": message.body,
        "options": [] if message.direction == "inbound" else message.content.get("options", []),
        "list": message.content.get("button", "") if message.content.get("kind") == LIST else "",
        "media": message.media,
        "status": message.status,
        "error": message.error_code,
        "at": message.created.isoformat(),
    }
