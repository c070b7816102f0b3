"""Telegram's side of the webhook: one update per request, in order within a chat, again until there is a 2xx.

After a failure the update is sent again at once, then after 2 seconds, doubling to about a minute; a ``Retry-After``
of up to an hour is obeyed. What is older than 24 hours is dropped; an address that says 410 for 23 hours is given up.
An answer may hold one method to carry out, but none that reads and none that changes the webhook.
(Source: the Bot API server, https://github.com/tdlib/telegram-bot-api, and https://core.telegram.org/bots/api.)
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulator.chats import Chats
from simulator.pace import Pace
from simulator.records import Json
from simulator.webhooks import LogLine, Webhooks

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header
OLDEST_SECONDS = 24 * 3600.0
GONE_SECONDS = 23 * 3600.0
FIRST_WAIT = 2.0
LONGEST_WAIT = 60.0
LONGEST_RETRY_AFTER = 3600
ANSWER_BYTES = 1 << 20

Perform = Callable[[str, Json], Awaitable[object]]


@dataclass(frozen=True)
class Update:
    """One update on its way. ``since`` is the loop's time at which it happened."""

    id: int
    chat: int
    body: Json
    since: float


class Updates:
    """Carries updates to the customer's address."""

    def __init__(self, chats: Chats, webhooks: Webhooks, pace: Pace, timeout: float) -> None:
        self._chats = chats
        self._webhooks = webhooks
        self._pace = pace
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._queues: dict[int, deque[Update]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(chats.hook.max_connections)
        self._gone_since: float | None = None
        self.sent: dict[int, Update] = {}
        self.perform: Perform | None = None

    @property
    def pending(self) -> int:
        """How many updates are not delivered yet."""
        return sum(map(len, self._queues.values()))

    @property
    def in_flight(self) -> int:
        """How many are on their way, now or at the next try; without an address none is."""
        return self.pending if self._chats.hook.url else 0

    async def open(self) -> None:
        """Make ready to send; call inside the event loop."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def drop(self) -> None:
        """Forget what is on its way."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        self._queues.clear()
        self.sent.clear()

    async def close(self) -> None:
        """Drop what is on its way and close the connections."""
        await self.drop()
        if self._session is not None:
            await self._session.close()

    def post(self, chat: int, kind: str, content: Json, update_id: int | None = None) -> int:
        """Send an update of a kind if the customer wants that kind; gives its number."""
        update_id = update_id or self._chats.next_update()
        update = Update(update_id, chat, {"update_id": update_id, kind: content}, self._now())
        if self._chats.hook.takes(kind):
            self._put(update)
        return update_id

    def repeat(self, update_id: int) -> bool:
        """Send an update once more, exactly as it was; False if there was none."""
        update = self.sent.get(update_id)
        if update is not None:
            self._put(Update(update.id, update.chat, update.body, self._now()))
        return update is not None

    def wake(self) -> None:
        """There is an address again: deliver what has waited."""
        self._slots = asyncio.Semaphore(self._chats.hook.max_connections)
        self._gone_since = None
        for chat in list(self._queues):
            self._run(chat)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _put(self, update: Update) -> None:
        self.sent[update.id] = update
        self._queues.setdefault(update.chat, deque()).append(update)
        self._run(update.chat)

    def _run(self, chat: int) -> None:
        if chat not in self._tasks and self._queues.get(chat) and self._chats.hook.url:
            self._tasks[chat] = asyncio.get_running_loop().create_task(self._deliver_all(chat))

    async def _deliver_all(self, chat: int) -> None:
        """The updates of one chat, each after the one before it was taken."""
        queue = self._queues[chat]
        try:
            while queue and self._chats.hook.url:
                if await self._deliver(queue[0]):
                    queue.popleft()
        finally:
            if self._tasks.get(chat) is asyncio.current_task():
                del self._tasks[chat]

    async def _deliver(self, update: Update) -> bool:
        """Try until it is taken or too old; False if the address was taken away meanwhile."""
        name = f"telegram|{update.chat}"
        chaos = self._webhooks.chaos
        await self._pace.rest(chaos.delay(name))
        lost = chaos.strikes("drop", name)
        wait, attempt = 0.0, 0
        while self._chats.hook.url:
            if self._pace.world(self._now() - update.since) > OLDEST_SECONDS:
                return True
            after = await self._attempt(update, attempt, lost=lost and attempt == 0)
            if after is None:
                if chaos.strikes("duplicate", name):
                    await self._attempt(update, attempt + 1, lost=False)
                return True
            await self._pace.rest(after or wait)
            wait = min(wait * 2, LONGEST_WAIT) or FIRST_WAIT
            attempt += 1
        return False

    async def _attempt(self, update: Update, attempt: int, *, lost: bool) -> float | None:
        """One request: None if it was taken, else the seconds that the address asked for (0: none)."""
        hook = self._chats.hook
        line = LogLine("telegram", str(update.id), "POST", hook.url, {}, attempt)
        self._webhooks.log.append(line)
        begun = time.perf_counter()
        async with self._slots:
            try:
                if lost:
                    raise ConnectionError
                status, after, answer = await self._exchange(update)
                line.status = status
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                line.failure = type(error).__name__
                self._failed(f"Connection failed ({line.failure})")
                return 0.0
            finally:
                line.milliseconds = round((time.perf_counter() - begun) * 1000, 2)
        if status // 100 != 2:
            line.failure = f"HTTP {status}"
            self._failed(f"Wrong response from the webhook: {status}")
            self._maybe_gone(status)
            return after
        self._gone_since = None
        await self._obey(answer)
        return None

    async def _exchange(self, update: Update) -> tuple[int, float, bytes]:
        assert self._session is not None  # noqa: S101 - open() comes first, by construction of the server
        hook = self._chats.hook
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate"}
        if hook.secret:
            headers[SECRET_HEADER] = hook.secret
        async with self._session.post(
            hook.url,
            data=json.dumps(update.body).encode(),
            headers=headers,
            timeout=self._timeout,
            allow_redirects=False,
        ) as response:
            given = response.headers.get("Retry-After", "")
            after = float(min(int(given), LONGEST_RETRY_AFTER)) if given.isdecimal() else 0.0
            return response.status, after, await response.content.read(ANSWER_BYTES)

    def _failed(self, message: str) -> None:
        self._chats.hook.last_error_date = int(time.time())
        self._chats.hook.last_error_message = message

    def _maybe_gone(self, status: int) -> None:
        if status != 410:
            self._gone_since = None
            return
        self._gone_since = self._gone_since or self._now()
        if self._pace.world(self._now() - self._gone_since) > GONE_SECONDS:
            self._chats.hook.url = ""

    async def _obey(self, answer: bytes) -> None:
        """Carry out the method that an answer holds, if it may; nobody is told how that went."""
        try:
            wish: Any = json.loads(answer) if answer.strip().startswith(b"{") else {}
        except ValueError:
            return
        method = str(wish.pop("method", "")) if isinstance(wish, dict) else ""
        refused = method.lower().startswith("get") or method.lower() in NOT_IN_ANSWERS
        if method and not refused and self.perform is not None:
            await self.perform(method, wish)


NOT_IN_ANSWERS = frozenset({"setwebhook", "deletewebhook", "close", "logout"})
