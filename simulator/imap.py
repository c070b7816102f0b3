"""The customer's mailbox, read by IMAP4rev1. The protocol is pymap's; here is one account with its INBOX in memory.

No TLS: it lives on the loopback address, as everything here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from proxyprotocol.sock import SocketInfo
from pymap.backend.dict import Config, Identity, Login
from pymap.backend.dict.mailbox import MailboxData
from pymap.concurrent import Subsystem
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials import FetchRequirement
from pymap.user import UserMetadata
from pysasl.hashing import Cleartext

from simulator.records import now

log = logging.getLogger("simulator")


class _Config(Config):
    """pymap's settings, without its look-up of this machine's name for the greeting."""

    @property
    def greeting(self) -> bytes:
        return b"Make-believe mailbox ready"


class Mailbox:
    """One account with one INBOX. Made anew it has another UIDVALIDITY, as a real one would."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._account: Identity | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[Any]] = set()
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        """Begin to serve at ``port`` (0 takes a free one); ``OSError`` if it is taken."""
        config = _Config(
            Namespace(passlib_cfg=None, proxy_protocol=None),
            host=host,
            port=port,
            tls_enabled=False,
            demo_data=False,
            demo_user=self._user,
            demo_password=self._password,
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            # The password is make-believe, too: hashing it would only cost threads and time.
            hash_context=Cleartext(),
            cpu_subsystem=Subsystem.for_asyncio(),
        )
        login = Login(config)
        self._account = login.demo_user_identity
        await self._account.set(UserMetadata(config, config.demo_user, password=config.demo_password))
        self._server = await asyncio.start_server(partial(self._serve, IMAPServer(login, config)), host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up and stop serving."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def put(self, raw: bytes, at: datetime | None = None) -> None:
        """A mail arrives; whoever waits with IDLE is told. Lines of ``raw`` end with CRLF."""
        async with self._inbox() as inbox:
            await inbox.append(AppendMessage(raw, at or now()), recent=True)

    async def letters(self) -> list[tuple[datetime, bytes]]:
        """What lies in the mailbox: when it came, and the mail."""
        async with self._inbox() as inbox:
            found = [message async for message in inbox.messages()]
        return [
            (message.internal_date, bytes(await message.load_content(FetchRequirement.CONTENT)))
            for message in found
        ]

    async def clear(self) -> None:
        """Take everything out."""
        async with self._inbox() as inbox:
            await inbox.delete([message.uid async for message in inbox.messages()])

    @asynccontextmanager
    async def _inbox(self) -> AsyncIterator[MailboxData]:
        assert self._account is not None  # noqa: S101 - open() comes first, by construction of the server
        async with self._account.new_session() as session:
            yield await session.mailbox_set.get_mailbox("INBOX")

    async def _serve(
        self, imap: IMAPServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a connection always runs in a task
        self._connections.add(task)
        try:
            await imap(reader, writer, SocketInfo.get(writer, None, unique_id=uuid4().bytes))
        except asyncio.CancelledError:
            # The simulator stops; pymap has said so to the other side.
            return
        except Exception as error:  # its text may hold a mail; its kind is enough
            log.error("a mailbox connection broke with %s", type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
