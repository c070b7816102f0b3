"""Twilio's content resources and WhatsApp senders, as far as the SDK's ``client.content`` and
``client.messaging.v2.channels_senders`` use them.

https://www.twilio.com/docs/content/content-api-resources and, for what each type may hold, the pages of
``twilio/quick-reply`` and ``twilio/list-picker``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from simulator.errors import ConfigError, RestError
from simulator.records import Json, new_sid, now

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_LIMIT = 1024
MOST_ACTIONS = 10
MOST_IN_SESSION = 3
MOST_ITEMS = 10
TITLE_LIMIT = 20
ITEM_LIMIT = 24
DESCRIPTION_LIMIT = 72
ID_LIMIT = 200
VARIABLE = re.compile(r"\{\{(\w{1,16})\}\}")
LONGEST_VALUE = 1600


@dataclass
class Content:
    """One resource. ``approved`` means that WhatsApp lets it open a talk."""

    sid: str
    friendly_name: str
    language: str
    types: Json
    variables: dict[str, str] = field(default_factory=dict)
    approved: bool = False
    created: datetime = field(default_factory=now)

    def to_json(self) -> Json:
        """The resource for the inspection API and the state file."""
        return asdict(self)

    def render(self, variables: Mapping[str, str]) -> Json:
        """What a handset shows: ``body``, ``kind`` and ``options`` with title, id and description."""
        kind, value = next(iter(self.types.items()))
        values = {**self.variables, **variables}

        def fill(text: str) -> str:
            return VARIABLE.sub(lambda found: values.get(found[1], ""), text)

        rows = value.get("actions") or value.get("items") or []
        options = [
            {
                "title": fill(row.get("title") or row.get("item") or ""),
                "id": fill(row.get("id") or ""),
                "description": fill(row.get("description") or ""),
            }
            for row in rows
        ]
        return {
            "sid": self.sid,
            "kind": kind,
            "body": fill(value["body"]),
            "button": fill(value.get("button") or ""),
            "options": options,
            "approved": self.approved,
        }


def parse_content(row: object) -> Content:
    """A resource of the configuration; :class:`ConfigError` if it is wrong."""
    if not isinstance(row, Mapping) or not isinstance(row.get("sid"), str):
        raise ConfigError("contents: sid, friendly_name, language and types are required")
    try:
        made = _checked(dict(row))
    except RestError as error:
        raise ConfigError(f"contents: {error.message}") from error
    made.sid, made.approved = row["sid"], bool(row.get("approved", False))
    return made


def parse_variables(text: str) -> dict[str, str]:
    """``ContentVariables`` of a message; :class:`RestError` 21656 unless it is a JSON object of texts."""
    try:
        given = json.loads(text) if text else {}
    except ValueError as error:
        raise RestError(21656) from error
    if not isinstance(given, dict):
        raise RestError(21656)
    for name, value in given.items():
        if not isinstance(value, str) or not re.fullmatch(r"\w{1,16}", name) or len(value) > LONGEST_VALUE:
            raise RestError(21656)
    return given


def _checked(body: Mapping[str, Any]) -> Content:
    """A new resource from a request; :class:`RestError` 20001 names what is wrong."""
    types = {name: value for name, value in (body.get("types") or {}).items() if value is not None}
    if not body.get("language") or len(types) != 1:
        raise RestError(20001, "language and one type are required")
    kind, value = next(iter(types.items()))
    if not isinstance(value, Mapping) or not value.get("body"):
        raise RestError(20001, "body")
    if len(value["body"]) > (1600 if kind == "twilio/text" else BODY_LIMIT):
        raise RestError(20001, "body is too long")
    if kind == "twilio/quick-reply":
        _check_rows(value.get("actions"), "actions", MOST_ACTIONS, "title", TITLE_LIMIT)
    elif kind == "twilio/list-picker":
        if not 1 <= len(value.get("button") or "") <= TITLE_LIMIT:
            raise RestError(20001, "button")
        _check_rows(value.get("items"), "items", MOST_ITEMS, "item", ITEM_LIMIT)
    elif kind != "twilio/text":
        raise RestError(20001, f"type {kind} is not known here")
    variables = {str(name): str(each) for name, each in (body.get("variables") or {}).items()}
    name = str(body.get("friendly_name") or "")
    return Content(new_sid("HX"), name, str(body["language"]), {kind: dict(value)}, variables)


def _check_rows(rows: Any, name: str, most: int, title: str, limit: int) -> None:
    if not isinstance(rows, list) or not 1 <= len(rows) <= most:
        raise RestError(20001, f"{name} must be 1 to {most}")
    titles = [row.get(title) or "" for row in rows]
    if len(set(titles)) != len(titles) or not all(1 <= len(each) <= limit for each in titles):
        raise RestError(20001, f"{title} must be unique and have 1 to {limit} characters")
    for row in rows:
        if len(row.get("id") or "") > ID_LIMIT or len(row.get("description") or "") > DESCRIPTION_LIMIT:
            raise RestError(20001, f"{name}: id or description is too long")


@dataclass(frozen=True)
class Cupboard:
    """The resources of one account, and the WhatsApp senders. ``senders`` gives number and webhook addresses."""

    account: str
    contents: dict[str, Content]
    senders: Callable[[], list[Json]]
    touch: Callable[[], None]

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each route."""
        one = "/v1/Content/{sid}"
        return [
            ("POST", "/v1/Content", self.create),
            ("GET", "/v1/Content", self.search),
            ("GET", "/v2/Content", self.search),
            ("GET", one, self.fetch),
            ("DELETE", one, self.delete),
            ("GET", one + "/ApprovalRequests", self.approval),
            ("POST", one + "/ApprovalRequests/whatsapp", self.approve),
            ("GET", "/v2/Channels/Senders", self.list_senders),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Make a resource from JSON."""
        try:
            body = json.loads(await request.text())
        except ValueError as error:
            raise RestError(20001, "JSON is expected") from error
        if not isinstance(body, dict):
            raise RestError(20001, "an object is expected")
        content = _checked(body)
        self.contents[content.sid] = content
        self.touch()
        return web.json_response(self._resource(content), status=201)

    async def search(self, request: web.Request) -> web.Response:
        """All resources, or those whose name holds the pattern ``ContentName``."""
        try:
            pattern = re.compile(request.query.get("ContentName", ""))
        except re.error as error:
            raise RestError(20001, "ContentName") from error
        rows = [self._resource(each) for each in self.contents.values() if pattern.search(each.friendly_name)]
        return _page(request, "contents", rows)

    async def fetch(self, request: web.Request) -> web.Response:
        """One resource."""
        return web.json_response(self._resource(self._find(request)))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a resource; messages made from it stay."""
        del self.contents[self._find(request).sid]
        self.touch()
        return web.Response(status=204)

    async def approval(self, request: web.Request) -> web.Response:
        """Whether WhatsApp approved a resource."""
        content = self._find(request)
        status = "approved" if content.approved else "unsubmitted"
        answer = {"sid": content.sid, "account_sid": self.account, "whatsapp": {"status": status}, "url": ""}
        return web.json_response(answer)

    async def approve(self, request: web.Request) -> web.Response:
        """Submit a resource; WhatsApp of this world approves at once whatever is not a list."""
        content = self._find(request)
        if "twilio/list-picker" in content.types:
            raise RestError(20001, "a list cannot be approved")
        content.approved = True
        self.touch()
        return web.json_response({"name": content.friendly_name, "status": "approved"}, status=201)

    async def list_senders(self, request: web.Request) -> web.Response:
        """The numbers that send on WhatsApp, with their webhook addresses."""
        return _page(request, "senders", self.senders())

    def _find(self, request: web.Request) -> Content:
        content = self.contents.get(request.match_info["sid"])
        if content is None:
            raise RestError(20404)
        return content

    def _resource(self, content: Content) -> Json:
        url = f"https://content.twilio.com/v1/Content/{content.sid}"
        return {
            "sid": content.sid,
            "account_sid": self.account,
            "friendly_name": content.friendly_name,
            "language": content.language,
            "variables": content.variables,
            "types": content.types,
            "date_created": content.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "date_updated": content.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "url": url,
            "links": {
                "approval_fetch": f"{url}/ApprovalRequests",
                "approval_create": f"{url}/ApprovalRequests/whatsapp",
            },
        }


def _page(request: web.Request, key: str, rows: list[Json]) -> web.Response:
    """A page of a list in the form of the newer APIs, with its description in ``meta``."""
    size = (
        int(request.query.get("PageSize", "50") or 50)
        if request.query.get("PageSize", "50").isdigit()
        else 50
    )
    page = int(request.query["Page"]) if request.query.get("Page", "").isdigit() else 0
    first = page * size

    def address(number: int) -> str:
        kept = [(name, value) for name, value in request.query.items() if name not in ("Page", "PageToken")]
        return f"{request.scheme}://{request.host}{request.path}?{urlencode([*kept, ('Page', str(number))])}"

    meta = {
        "page": page,
        "page_size": size,
        "url": address(page),
        "first_page_url": address(0),
        "next_page_url": address(page + 1) if first + size < len(rows) else None,
        "previous_page_url": address(page - 1) if page else None,
        "key": key,
    }
    return web.json_response({key: rows[first : first + size], "meta": meta})
