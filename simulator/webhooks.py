"""Requests to the customer's addresses, signed, retried and logged as Twilio does.

Signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security. Overrides in the fragment (``#rc=2&rp=all``
and so on): https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides. The fragment is never sent
and never signed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urldefrag, urlencode

import aiohttp
from yarl import URL

from simulator.chaos import Chaos
from simulator.errors import WebhookFailure
from simulator.pace import Pace
from simulator.records import now

LARGEST_ANSWER = 16 * 1024 * 1024
MOST_RETRIES = 5


@dataclass(frozen=True)
class Request:
    """One request to make. ``about`` is the SID and ``number`` the handset concerned."""

    url: str
    params: tuple[tuple[str, str], ...]
    kind: str
    about: str
    number: str
    method: str = "POST"


@dataclass(frozen=True)
class Answer:
    """What came back: a 2xx (or 304) answer."""

    status: int
    body: bytes
    content_type: str
    etag: str
    url: str
    fresh_for: float = 0.0
    """Seconds for which it may be used again without being asked for."""


@dataclass(frozen=True)
class Overrides:
    """How a request is retried. Times in real seconds."""

    retries: int = 1
    policy: frozenset[str] = frozenset({"ct"})
    connect: float = 5.0
    read: float = 15.0
    total: float = 15.0

    def retry_on(self, what: str) -> bool:
        """Whether a failure of the kind ``ct``, ``rt``, ``4xx`` or ``5xx`` is tried again."""
        return "all" in self.policy or what in self.policy


class _Failed(Exception):
    def __init__(self, kind: str, code: int, reason: str) -> None:
        self.kind, self.code, self.reason = kind, code, reason
        super().__init__(reason)


@dataclass
class LogLine:
    """One attempt, for the inspection API."""

    kind: str
    about: str
    method: str
    url: str
    params: dict[str, str]
    attempt: int
    status: int | None = None
    failure: str | None = None
    milliseconds: float = 0.0
    at: str = field(default_factory=lambda: now().isoformat())


def sign(token: str, url: str, params: Mapping[str, str]) -> str:
    """The ``X-Twilio-Signature`` of a request to ``url`` with form ``params`` (empty for a GET)."""
    text = url + "".join(name + params[name] for name in sorted(params))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def parse_overrides(fragment: str, timeout: float) -> Overrides:
    """The retry rules in a webhook address's fragment; ``timeout`` is the default in seconds."""
    given = {name: values[-1] for name, values in parse_qs(fragment).items()}
    total = _milliseconds(given.get("tt"), timeout)
    return Overrides(
        retries=min(int(given["rc"]), MOST_RETRIES) if given.get("rc", "").isdigit() else 1,
        policy=frozenset(given.get("rp", "ct").split(",")),
        connect=_milliseconds(given.get("ct"), 5.0),
        read=_milliseconds(given.get("rt"), timeout),
        total=total,
    )


def _fresh_for(control: str) -> float:
    """Seconds of ``max-age`` in a ``Cache-Control`` header, 0 if it forbids or says nothing."""
    given = dict(part.strip().lower().partition("=")[::2] for part in control.split(","))
    if "no-store" in given or "no-cache" in given or not given.get("max-age", "").isdigit():
        return 0.0
    return float(given["max-age"])


def _milliseconds(text: str | None, default: float) -> float:
    return int(text) / 1000 if text and text.isdigit() else default


class Webhooks:
    """Makes the requests. Documents are awaited; callbacks go out in order, one chain for each SID."""

    def __init__(self, token: str, pace: Pace, chaos: Chaos, timeout: float, log_limit: int) -> None:
        self._token = token
        self._pace = pace
        self._timeout = timeout
        self.chaos = chaos
        self.log: deque[LogLine] = deque(maxlen=log_limit)
        self._session: aiohttp.ClientSession | None = None
        self._chains: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """How many callbacks are not yet delivered."""
        return len(self._tasks)

    async def open(self) -> None:
        """Make ready to send; call inside the event loop."""
        connector = aiohttp.TCPConnector(limit=512)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def drop(self) -> None:
        """Forget the callbacks that are in flight."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._chains.clear()

    async def close(self) -> None:
        """Drop what is in flight and close the connections."""
        await self.drop()
        if self._session is not None:
            await self._session.close()

    async def fetch(self, request: Request, etag: str = "") -> Answer:
        """Ask for a document or a sound and wait for it; :class:`WebhookFailure` when all tries are used up."""
        if request.kind == "sms":
            # The post office decides about misfortune, for a lost message is not asked about again.
            return await self._with_retries(request, etag, str(uuid.uuid4()), lost=False)
        name = f"{request.kind}|{request.number}"
        delay = self.chaos.delay(name)
        if delay:
            await self._pace.rest(delay)
        lost = self.chaos.strikes("drop", name)
        if request.kind == "document" and self.chaos.strikes("duplicate", name):
            token = str(uuid.uuid4())
            await self._with_retries(request, etag, token, lost=False)
            return await self._with_retries(request, etag, token, lost=lost)
        return await self._with_retries(request, etag, str(uuid.uuid4()), lost=lost)

    def post(self, request: Request) -> None:
        """Send a callback in its turn, without waiting; failures are logged and that is all."""
        name = f"{request.kind}|{request.number}"
        if self.chaos.strikes("drop", name):
            self.log.append(self._line(request, 0, failure="dropped by chaos"))
            return
        delay = self.chaos.delay(name)
        if self.chaos.strikes("reorder", name):
            # Held back long enough for later callbacks of the same call to overtake it.
            self._spawn(self._deliver(request, None, delay + 8.0))
        else:
            before = self._chains.get(request.about)
            self._chains[request.about] = self._spawn(self._deliver(request, before, delay))
        if self.chaos.strikes("duplicate", name):
            self._spawn(self._deliver(request, self._chains.get(request.about), delay))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deliver(self, request: Request, before: asyncio.Task[None] | None, delay: float) -> None:
        if before is not None:
            await asyncio.wait([before])
        if delay:
            await self._pace.rest(delay)
        try:
            await self._with_retries(request, "", str(uuid.uuid4()), lost=False)
        except WebhookFailure:
            # The failed attempt stands in the log; Twilio, too, only notes it in its debugger.
            return
        finally:
            if self._chains.get(request.about) is asyncio.current_task():
                del self._chains[request.about]

    async def _with_retries(self, request: Request, etag: str, token: str, *, lost: bool) -> Answer:
        target, fragment = urldefrag(request.url)
        rules = parse_overrides(fragment, self._timeout)
        attempt = 0
        while True:
            try:
                if lost and attempt == 0:
                    self.log.append(self._line(request, attempt, failure="dropped by chaos"))
                    raise _Failed("ct", 11205, "connection lost")
                return await self._attempt(request, target, rules, etag, token, attempt)
            except _Failed as failed:
                if attempt >= rules.retries or not rules.retry_on(failed.kind):
                    raise WebhookFailure(failed.code, failed.reason) from failed
            attempt += 1

    async def _attempt(
        self, request: Request, target: str, rules: Overrides, etag: str, token: str, attempt: int
    ) -> Answer:
        line = self._line(request, attempt)
        self.log.append(line)
        begun = time.perf_counter()
        try:
            answer = await self._exchange(request, target, rules, etag, token)
            line.status = answer.status
            if answer.status // 100 != 2 and answer.status != 304:
                kind = "5xx" if answer.status >= 500 else "4xx"
                raise _Failed(kind, 11200, f"HTTP {answer.status}")
            return answer
        except _Failed as failed:
            line.failure = failed.reason
            raise
        finally:
            line.milliseconds = round((time.perf_counter() - begun) * 1000, 2)

    async def _exchange(
        self, request: Request, target: str, rules: Overrides, etag: str, token: str
    ) -> Answer:
        assert self._session is not None  # noqa: S101 - open() comes first, by construction of the server
        params = dict(request.params)
        form: dict[str, str] | None = params
        if request.method == "GET":
            if params:
                target += ("&" if "?" in target else "?") + urlencode(params)
            params, form = {}, None
        headers = {
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "X-Twilio-Signature": sign(self._token, target, params),
            "I-Twilio-Idempotency-Token": token,
        }
        if etag:
            headers["If-None-Match"] = etag
        timeout = aiohttp.ClientTimeout(total=rules.total, sock_connect=rules.connect, sock_read=rules.read)
        try:
            async with self._session.request(
                request.method,
                URL(target, encoded=True),
                data=urlencode(form) if form is not None else None,
                headers=headers if form is None else headers | {"Content-Type": FORM},
                timeout=timeout,
                max_redirects=10,
            ) as response:
                body = await response.content.read(LARGEST_ANSWER)
                while not response.content.at_eof() and len(body) < LARGEST_ANSWER:
                    body += await response.content.read(LARGEST_ANSWER)
                given = response.headers
                return Answer(
                    response.status,
                    body,
                    given.get("Content-Type", ""),
                    given.get("ETag", ""),
                    str(response.url),
                    _fresh_for(given.get("Cache-Control", "")),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _Failed("ct", 11205, "connection failed") from error
        except TimeoutError as error:
            raise _Failed("rt", 11205, "timed out") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise _Failed("ct", 11205, type(error).__name__) from error

    def _line(self, request: Request, attempt: int, failure: str | None = None) -> LogLine:
        return LogLine(
            request.kind,
            request.about,
            request.method,
            urldefrag(request.url)[0],
            dict(request.params),
            attempt,
            failure=failure,
        )


FORM = "application/x-www-form-urlencoded; charset=utf-8"
