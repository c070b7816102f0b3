"""Brings mail to the customer: into the mailbox that is read by IMAP, or by a signed webhook.

The webhook is signed as Voiceback documents it: HMAC-SHA256 of the time, a point and the mail. A mail that could not
be handed over is tried again, as mail servers do.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from datetime import datetime
from typing import TYPE_CHECKING

import aiohttp

from simulator.config import MailConfig
from simulator.pace import Pace
from simulator.records import Json
from simulator.webhooks import LogLine, Webhooks

if TYPE_CHECKING:
    from simulator.imap import Mailbox

TRIES = 6
FIRST_WAIT = 5.0


class Courier:
    """One way to the customer, as the configuration says."""

    def __init__(self, config: MailConfig, webhooks: Webhooks, pace: Pace, timeout: float) -> None:
        self._config = config
        self._webhooks = webhooks
        self._pace = pace
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._mailbox: Mailbox | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._saved: list[Json] = []

    @property
    def in_flight(self) -> int:
        """How many mails are on their way."""
        return len(self._tasks)

    @property
    def imap_port(self) -> int:
        """Where the mailbox is read; 0 without one."""
        return self._mailbox.port if self._mailbox else 0

    async def open(self, host: str) -> None:
        """Make ready; puts back what lay in the mailbox when the world was saved."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        if self._config.url:
            return
        # Imported here, because a world without a mailbox should not pay for one.
        from simulator.imap import Mailbox

        self._mailbox = Mailbox(self._config.imap_user, self._config.imap_password)
        await self._mailbox.open(host, self._config.imap_port)
        for row in self._saved:
            raw = base64.b64decode(row["mail"])
            await self._mailbox.put(raw, datetime.fromisoformat(row["at"]))

    async def close(self) -> None:
        """Drop what is on its way and stop serving."""
        await self.drop()
        if self._mailbox is not None:
            await self._mailbox.close()
        if self._session is not None:
            await self._session.close()

    async def drop(self) -> None:
        """Forget what is on its way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def clear(self) -> None:
        """Forget what is on its way and what lies in the mailbox."""
        await self.drop()
        if self._mailbox is not None:
            await self._mailbox.clear()

    async def dump(self) -> list[Json]:
        """What lies in the mailbox."""
        found = await self._mailbox.letters() if self._mailbox else []
        return [{"at": at.isoformat(), "mail": base64.b64encode(raw).decode()} for at, raw in found]

    def restore(self, rows: list[Json]) -> None:
        """What was dumped; it is put back by :meth:`open`."""
        self._saved = rows

    def bring(self, raw: bytes) -> None:
        """Bring a mail to the customer, without waiting."""
        task = asyncio.get_running_loop().create_task(self._bring(raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring(self, raw: bytes) -> None:
        if self._mailbox is not None:
            await self._mailbox.put(raw)
            return
        wait = FIRST_WAIT
        for attempt in range(TRIES):
            if await self._attempt(raw, attempt):
                return
            await self._pace.rest(wait)
            wait *= 2

    async def _attempt(self, raw: bytes, attempt: int) -> bool:
        """Hand a mail over once; True if it need not come again."""
        assert self._session is not None  # noqa: S101 - open() comes first, by construction of the server
        stamp = str(int(time.time()))
        signed = f"{stamp}.".encode() + raw
        signature = hmac.new(self._config.secret.encode(), signed, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "message/rfc822",
            "X-Voiceback-Timestamp": stamp,
            "X-Voiceback-Signature": f"sha256={signature}",
        }
        line = LogLine("mail", str(attempt), "POST", self._config.url, {}, attempt)
        self._webhooks.log.append(line)
        try:
            async with self._session.post(
                self._config.url, data=raw, headers=headers, timeout=self._timeout
            ) as reply:
                line.status = reply.status
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            line.failure = type(error).__name__
            return False
        if line.status // 100 != 2:
            line.failure = f"HTTP {line.status}"
        return line.status < 500
