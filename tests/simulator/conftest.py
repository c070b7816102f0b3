"""A customer with an address of its own, and the make-believe Twilio that calls it, a thousand times as fast."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from simulator import server

ACCOUNT = "AC" + "0" * 32
TOKEN = "make-believe-token"
HOTLINE = "+15005550010"
WORKER = "+6281200000001"
PATIENCE = 60.0
"""Seconds that a wait may last; it ends as soon as what it waits for is there."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Hit:
    """One request that reached the customer."""

    path: str
    method: str
    form: dict[str, str]
    headers: Mapping[str, str]
    genuine: bool


@dataclass(frozen=True)
class Page:
    """What the customer answers."""

    body: bytes = b"<Response/>"
    status: int = 200
    content_type: str = "text/xml"
    headers: tuple[tuple[str, str], ...] = ()


Answer = str | Page | Callable[[Hit], str | Page]


@dataclass
class Customer:
    """A small web application: answers by path, and remembers who asked for what."""

    url: str = ""
    pages: dict[str, Answer] = field(default_factory=dict)
    hits: list[Hit] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, hit: Hit) -> Page:
        """The page for a request."""
        with self._lock:
            self.hits.append(hit)
        answer = self.pages.get(hit.path, Page())
        if callable(answer):
            answer = answer(hit)
        return Page(f"<Response>{answer}</Response>".encode()) if isinstance(answer, str) else answer

    def at(self, path: str) -> list[Hit]:
        """The requests for ``path``, in order."""
        return [hit for hit in self.hits if hit.path == path]

    def forms(self, path: str) -> list[dict[str, str]]:
        """The forms posted to ``path``, in order."""
        return [hit.form for hit in self.at(path)]


def _handler(customer: Customer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            form = dict(parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
            url = f"http://{self.headers['Host']}{self.path}"
            signature = self.headers.get("X-Twilio-Signature", "")
            genuine = RequestValidator(TOKEN).validate(url, form, signature)
            hit = Hit(urlsplit(self.path).path, self.command, form, dict(self.headers), genuine)
            page = customer.serve(hit)
            self.send_response(page.status)
            if page.content_type:
                self.send_header("Content-Type", page.content_type)
            for name, value in page.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server wants

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
            """Say nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@pytest.fixture
def customer() -> Iterator[Customer]:
    customer = Customer()
    web = _Server(("127.0.0.1", 0), _handler(customer))
    customer.url = f"http://127.0.0.1:{web.server_address[1]}"
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    yield customer
    web.shutdown()
    thread.join()
    web.server_close()


@dataclass
class Twilio:
    """The simulator as its users see it: the real SDK, and the control API."""

    url: str
    client: Client
    rings: int = 60
    """Seconds of the simulator for which a telephone rings where a test does not say so."""

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path of the control API."""
        return self._decoded(requests.get(self.url + path, params=query, timeout=2 * PATIENCE))

    def post(self, path: str, **body: Any) -> Any:
        """Post JSON to the control API."""
        return self._decoded(requests.post(self.url + path, json=body, timeout=2 * PATIENCE))

    def idle(self) -> None:
        """Wait until nothing is going on."""
        assert self.get("/sim/wait", timeout=PATIENCE)["met"]

    def until(self, call: str, **what: str) -> None:
        """Wait until a call has a ``status`` or is ``doing`` something."""
        assert self.get("/sim/wait", call=call, timeout=PATIENCE, **what)["met"]

    def call(self, to: str = WORKER, **parameters: Any) -> str:
        """Dial with the SDK; the SID."""
        wanted: dict[str, Any] = {"timeout": self.rings} | parameters
        return str(self.client.calls.create(to=to, from_=HOTLINE, **wanted).sid)

    def talk(self, to: str = WORKER, **parameters: Any) -> Json:
        """Dial, wait for the end, and give back the call with its steps."""
        sid = self.call(to, **parameters)
        self.idle()
        return cast(Json, self.get(f"/sim/calls/{sid}"))

    def script(self, script: object, number: str = WORKER) -> None:
        """What the owner of a handset does from now on."""
        reply = requests.patch(
            f"{self.url}/sim/handsets/{number}", json={"script": script}, timeout=2 * PATIENCE
        )
        self._decoded(reply)

    def answer(self, sid: str, number: str = WORKER) -> None:
        """Pick up by hand once it rings."""
        self.until(sid, status="ringing")
        self.post(f"/sim/handsets/{number}/answer")

    def webhooks(self) -> list[Json]:
        """The log of webhooks."""
        return cast(list[Json], self.get("/sim/state", parts="webhooks")["webhooks"])

    def _decoded(self, reply: requests.Response) -> Any:
        reply.raise_for_status()
        return reply.json()


def configuration(customer: Customer, **changes: Any) -> Json:
    """A small world: one owned number, one worker's handset."""
    number = {
        "voice_url": customer.url + "/voice",
        "voice_fallback_url": None,
        "voice_status_url": customer.url + "/voice/status",
        "sms_url": customer.url + "/sms",
        "sms_fallback_url": None,
    }
    return {
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "speed": 1000,
        "calls_per_second": 10,
        "numbers": {HOTLINE: number},
        "handsets": [
            {
                "number": WORKER,
                "name": "Siti (made up)",
                "language": "id",
                "pass_word": "4711",
                "script": "manual",
            }
        ],
    } | changes


LONGEST_RING = 600
"""For a telephone that a test, or a browser, picks up: Twilio lets none ring longer."""


def connect(url: str, rings: int = 60) -> Twilio:
    """The real SDK, pointed at the simulator."""
    client = Client(ACCOUNT, TOKEN, http_client=TwilioHttpClient(timeout=PATIENCE, pool_connections=False))
    client.api.base_url = url
    return Twilio(url, client, rings)


@pytest.fixture
def twilio(customer: Customer) -> Iterator[Twilio]:
    running = server.start(configuration(customer))
    yield connect(running.url)
    running.stop()


@contextmanager
def refused(code: int) -> Iterator[None]:
    """The block's request must be refused with Twilio's ``code``."""
    with pytest.raises(TwilioRestException) as caught:
        yield
    assert caught.value.code == code


@pytest.fixture
def by_hand(customer: Customer) -> Iterator[Twilio]:
    """The same world at a pace at which a test can pick up a ringing phone even on a busy machine."""
    running = server.start(configuration(customer, speed=15))
    yield connect(running.url, LONGEST_RING)
    running.stop()


def steps(call: Json, kind: str) -> list[Json]:
    """The steps of one kind in a call."""
    return [step for step in call["steps"] if step["kind"] == kind]


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something that another process brings about is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
