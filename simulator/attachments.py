"""Files that people send with their messages, and the media resources under which Twilio keeps them.

https://www.twilio.com/docs/messaging/api/media-resource: an address without an ending is the file itself, after a
redirection to a storehouse that asks for no password; with ``.json`` it is a description.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any

from aiohttp import web

from simulator.errors import ConfigError, RestError
from simulator.records import Json, Message, new_sid, now, stamp

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LARGEST = 16 * 1024 * 1024
SAMPLES = {"picture": ("picture.jpg", "image/jpeg"), "voice": ("voice.ogg", "audio/ogg")}
"""What a person can send without having a file: a drawn house with a place in its EXIF, and three seconds of a tone."""


@dataclass
class Attachment:
    """One file of a message from a handset. ``key`` opens the storehouse."""

    sid: str
    message: str
    name: str
    content_type: str
    data: bytes = field(repr=False)
    key: str = ""
    created: datetime = field(default_factory=now)
    deleted: bool = False
    """The customer deleted it; the handset shows it still."""

    def to_json(self) -> Json:
        """The file for the inspection API and the page, without its bytes."""
        return {
            "sid": self.sid,
            "message": self.message,
            "name": self.name,
            "content_type": self.content_type,
            "size": len(self.data),
        }

    def answer(self) -> web.Response:
        """The bytes for a browser."""
        return file_answer(self.data, self.content_type)

    def dump(self) -> Json:
        """The file for the state file."""
        row = {"key": self.key, "created": self.created, "deleted": self.deleted}
        row["data"] = base64.b64encode(self.data).decode()
        return {name: value for name, value in self.to_json().items() if name != "size"} | row


def restored(row: Json) -> Attachment:
    """What was dumped."""
    at, data = datetime.fromisoformat(row["created"]), base64.b64decode(row["data"])
    return Attachment(**row | {"created": at, "data": data})


def file_answer(data: bytes, content_type: str) -> web.Response:
    """Bytes such that a browser shows a picture or plays a sound, and runs nothing."""
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    return web.Response(body=data, headers=headers | {"Content-Type": content_type})


def sample(kind: str) -> tuple[str, str, bytes]:
    """Name, content type and bytes of a made-up file; ``KeyError`` if there is none of the kind."""
    name, content_type = SAMPLES[kind]
    return name, content_type, (files("simulator") / "assets" / name).read_bytes()


def parse_file(given: object) -> tuple[str, str, bytes]:
    """Name, content type and bytes of ``"picture"``, ``"voice"`` or ``{"name", "content_type", "data"}``.

    ``data`` is in base64. :class:`ConfigError` if it is none of these or longer than 16 MB.
    """
    if isinstance(given, str) and given in SAMPLES:
        return sample(given)
    if not isinstance(given, Mapping):
        raise ConfigError(f"a file is {', '.join(SAMPLES)}, or an object")
    try:
        data = base64.b64decode(str(given.get("data", "")), validate=True)
    except binascii.Error as error:
        raise ConfigError("a file's data must be base64") from error
    if not 0 < len(data) <= LARGEST:
        raise ConfigError("a file has 1 byte to 16 MB")
    return str(given.get("name", "")), str(given.get("content_type") or "application/octet-stream"), data


@dataclass(frozen=True)
class Storehouse:
    """The media of one account. ``root`` is the path of the account and ``base`` the address of the world."""

    root: str
    base: Callable[[], str]
    attachments: dict[str, Attachment]
    messages: Mapping[str, Message]
    touch: Callable[[], None]

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each route that asks for the account's password."""
        one = self.root + "/Messages/{message}/Media/{sid}"
        return [
            ("GET", self.root + "/Messages/{message}/Media.json", self.search),
            ("GET", one + ".json", self.fetch),
            ("DELETE", one + ".json", self.delete),
            ("GET", one, self.redirect),
            ("DELETE", one, self.delete),
        ]

    def routes(self) -> list[web.RouteDef]:
        """The route that asks for none."""
        return [web.get("/media/{sid}", self.serve)]

    async def search(self, request: web.Request) -> web.Response:
        """The files of a message."""
        message = request.match_info["message"]
        if message not in self.messages:
            raise RestError(20404)
        rows = [
            self._resource(each)
            for each in self.attachments.values()
            if each.message == message and not each.deleted
        ]
        return web.json_response({"media_list": rows, "next_page_uri": None})

    async def fetch(self, request: web.Request) -> web.Response:
        """The description of a file."""
        return web.json_response(self._resource(self._find(request)))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a file; its message stays."""
        self._find(request).deleted = True
        self.touch()
        return web.Response(status=204)

    async def redirect(self, request: web.Request) -> web.Response:
        """Where the bytes of a file are: an address that is its own password."""
        found = self._find(request)
        place = f"{self.base()}/media/{found.sid}?key={found.key}"
        return web.Response(status=307, headers={"Location": place})

    async def serve(self, request: web.Request) -> web.Response:
        """The bytes of a file."""
        found = self.attachments.get(request.match_info["sid"])
        if found is None or found.deleted or request.query.get("key") != found.key:
            return web.Response(status=403, text="Access denied", content_type="text/plain")
        return found.answer()

    def _find(self, request: web.Request) -> Attachment:
        found = self.attachments.get(request.match_info["sid"])
        if found is None or found.deleted or found.message != request.match_info["message"]:
            raise RestError(20404)
        return found

    def _resource(self, found: Attachment) -> dict[str, Any]:
        account = self.root.rpartition("/")[2]
        return {
            "sid": found.sid,
            "account_sid": account,
            "parent_sid": found.message,
            "content_type": found.content_type,
            "date_created": stamp(found.created),
            "date_updated": stamp(found.created),
            "uri": f"{self.root}/Messages/{found.message}/Media/{found.sid}.json",
        }


def attach(message: Message, given: Sequence[tuple[str, str, bytes]]) -> list[Attachment]:
    """The attachments of a message that has just been written."""
    return [
        Attachment(new_sid("ME"), message.sid, name, kind, data, new_sid("")) for name, kind, data in given
    ]
