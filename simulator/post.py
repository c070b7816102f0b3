"""The make-believe post: an SMTP server that takes what the customer sends, and people who write mail back.

A person's address is made of the number of her handset. What she writes goes to the customer's address as a raw mail,
signed as Voiceback documents it: HMAC-SHA256 of the time, a point and the mail. A mail that could not be handed over
is tried again, as mail servers do.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default
from email.utils import format_datetime, make_msgid

import aiohttp
from aiohttp import web
from aiosmtpd import smtp

from simulator.config import MailConfig
from simulator.control import Refused, guarded, json_answer, read_body, text_of
from simulator.pace import Pace
from simulator.records import Json, now
from simulator.webhooks import LogLine, Webhooks
from simulator.world import World

DOMAIN = "mail.example"
TRIES = 6
FIRST_WAIT = 5.0
LONGEST_LETTER = 12 * 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Letter:
    """One mail; ``mine`` if the person wrote it. ``reply_to`` is where an answer goes."""

    mine: bool
    subject: str
    text: str
    name: str
    reply_to: str = ""
    sender: str = ""
    at: datetime = field(default_factory=now)


class Post:
    """The post of one world."""

    def __init__(self, world: World, webhooks: Webhooks, pace: Pace, timeout: float) -> None:
        self._world = world
        self._config: MailConfig | None = world.config.mail
        self._webhooks = webhooks
        self._pace = pace
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.boxes: dict[str, list[Letter]] = {}
        self.refused: dict[str, str] = {}
        self.port = 0

    @property
    def in_flight(self) -> int:
        """How many mails are on their way to the customer."""
        return len(self._tasks)

    async def open(self, host: str) -> None:
        """Begin to take mail; without a configuration there is no post."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        if self._config is None:
            return
        # aiosmtpd tells whole dialogues, with addresses.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: smtp.SMTP(self, hostname=DOMAIN, data_size_limit=LONGEST_LETTER, loop=loop),
            host,
            self._config.port,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Take nothing any more, and drop what is on its way."""
        if self._server is not None:
            self._server.close()
        await self.drop()
        if self._session is not None:
            await self._session.close()

    async def drop(self) -> None:
        """Forget what is on its way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def clear(self) -> None:
        """Forget all mails and refusals."""
        self.boxes.clear()
        self.refused.clear()

    def dump(self) -> Json:
        """What survives a restart."""
        return {number: [asdict(letter) for letter in box] for number, box in self.boxes.items()}

    def restore(self, data: Json) -> None:
        """Bring back what was dumped."""
        for number, rows in data.items():
            self.boxes[number] = [Letter(**row | {"at": datetime.fromisoformat(row["at"])}) for row in rows]

    def view(self, number: str) -> Json | None:
        """The mailbox of a handset for the phone page; None without a post."""
        if self._config is None:
            return None
        box = self.boxes.get(number, [])
        return {
            "address": address_of(number),
            "hotline": self._config.address,
            "letters": [asdict(letter) for letter in box],
        }

    # --- SMTP --------------------------------------------------------------------------------------

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        _server: smtp.SMTP,
        _session: smtp.Session,
        envelope: smtp.Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Take a recipient, or refuse it as was ordered."""
        refusal = self.refused.get(number_of(address))
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: smtp.SMTP, _session: smtp.Session, envelope: smtp.Envelope
    ) -> str:
        """Put a mail into the boxes of those whom it is for."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        mail = BytesParser(policy=default).parsebytes(content)
        body = mail.get_body(("plain",)) if isinstance(mail, EmailMessage) else None
        text = str(body.get_content()) if body else ""
        for address in envelope.rcpt_tos:
            number = number_of(address)
            letter = Letter(
                mine=False,
                subject=str(mail["Subject"] or ""),
                text=text.replace("\r\n", "\n").strip("\n"),
                name=str(mail["Message-ID"] or ""),
                reply_to=str(mail["Reply-To"] or mail["From"] or ""),
                sender=envelope.mail_from or "",
            )
            self.boxes.setdefault(number, []).append(letter)
            if number in self._world.handsets:
                self._world.handsets[number].unread += 1
        self._world.touch()
        return "250 2.0.0 taken"

    # --- what people do ----------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """The routes under ``/sim/mail``; ``{who}`` is the number of a handset."""
        one = "/sim/mail/{who}/"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/sim/mail", self.state),
            ("POST", one + "write", self.write),
            ("POST", one + "raw", self.raw),
            ("POST", one + "bounce", self.bounce),
            ("POST", one + "refuse", self.refuse),
        ]
        return [web.route(method, path, guarded(handler)) for method, path, handler in table]

    async def state(self, _: web.Request) -> web.Response:
        """The port of the SMTP server and all mailboxes."""
        return json_answer({"port": self.port, "boxes": self.dump()})

    async def write(self, request: web.Request) -> web.Response:
        """Write ``text`` with a ``subject``: an answer to the newest mail, or with ``anew`` a new one."""
        number = self._who(request)
        body = await read_body(request)
        box = self.boxes.setdefault(number, [])
        came = [letter for letter in box if not letter.mine]
        asked = None if body.get("anew") or not came else came[-1]
        mail = self._written(number, text_of(body, "text"), str(body.get("subject", "")), asked)
        shown = Letter(True, str(mail["Subject"] or ""), str(body["text"]), str(mail["Message-ID"]))
        box.append(shown)
        self._world.touch()
        self._send(mail.as_bytes())
        return json_answer({"message_id": shown.name}, 201)

    async def raw(self, request: web.Request) -> web.Response:
        """Send the body as it is."""
        self._who(request)
        self._send(await request.read())
        return json_answer({}, 201)

    async def bounce(self, request: web.Request) -> web.Response:
        """Let the newest mail to this person come back: ``{"status": "5.1.1", "action": "failed"}``."""
        number = self._who(request)
        came = [letter for letter in self.boxes.get(number, []) if not letter.mine]
        if not came:
            raise Refused(404, "nothing came that could come back")
        body = await read_body(request)
        status, action = str(body.get("status", "5.1.1")), str(body.get("action", "failed"))
        self._send(_report(came[-1], address_of(number), status, action))
        return json_answer({}, 201)

    async def refuse(self, request: web.Request) -> web.Response:
        """Refuse this person's address from now on with ``reply``, or without one take it again."""
        number = self._who(request)
        reply = str((await read_body(request)).get("reply", ""))
        if reply:
            self.refused[number] = reply
        else:
            self.refused.pop(number, None)
        return json_answer(self.refused)

    def _who(self, request: web.Request) -> str:
        if self._config is None:
            raise Refused(409, "there is no post: mail is not configured")
        return request.match_info["who"]

    def _written(self, number: str, text: str, subject: str, asked: Letter | None) -> EmailMessage:
        """A mail as mail programs write it: an answer has the quote below."""
        mail = EmailMessage(policy=SMTP)
        mail["From"] = address_of(number)
        mail["To"] = asked.reply_to if asked else self._hotline()
        mail["Date"] = format_datetime(now())
        mail["Message-ID"] = make_msgid(domain=DOMAIN)
        if asked:
            mail["Subject"] = f"Re: {asked.subject}"
            mail["In-Reply-To"] = mail["References"] = asked.name
            quoted = "\n".join(f"> {line}".rstrip() for line in asked.text.splitlines())
            text = f"{text}\n\nOn {asked.at:%a, %d %b %Y at %H:%M}, {self._hotline()} wrote:\n\n{quoted}\n"
        elif subject:
            mail["Subject"] = subject
        mail.set_content(text)
        return mail

    def _hotline(self) -> str:
        return self._config.address if self._config else ""

    # --- to the customer ---------------------------------------------------------------------------

    def _send(self, raw: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, raw: bytes) -> None:
        wait = FIRST_WAIT
        for attempt in range(TRIES):
            if await self._attempt(raw, attempt):
                return
            await self._pace.rest(wait)
            wait *= 2

    async def _attempt(self, raw: bytes, attempt: int) -> bool:
        """Hand a mail over once; True if it need not come again."""
        config = self._config
        assert config is not None  # noqa: S101 - without a post nothing is sent
        assert self._session is not None  # noqa: S101 - open() comes first, by construction of the server
        stamp = str(int(time.time()))
        signature = hmac.new(config.secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "message/rfc822",
            "X-Voiceback-Timestamp": stamp,
            "X-Voiceback-Signature": f"sha256={signature}",
        }
        line = LogLine("mail", str(attempt), "POST", config.url, {}, attempt)
        self._webhooks.log.append(line)
        try:
            async with self._session.post(
                config.url, data=raw, headers=headers, timeout=self._timeout
            ) as reply:
                line.status = reply.status
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            line.failure = type(error).__name__
            return False
        if line.status // 100 != 2:
            line.failure = f"HTTP {line.status}"
        return line.status < 500


def address_of(number: str) -> str:
    """The mail address of the owner of a handset."""
    return f"{number.removeprefix('+')}@{DOMAIN}"


def number_of(address: str) -> str:
    """The handset of a mail address; the address itself if it belongs to none."""
    local, _, domain = address.partition("@")
    return f"+{local}" if domain == DOMAIN and local.isdecimal() else address


def _report(letter: Letter, recipient: str, status: str, action: str) -> bytes:
    """A delivery report about a mail (RFC 3464)."""
    report = (
        f"From: Mail Delivery System <MAILER-DAEMON@{DOMAIN}>\nTo: {letter.sender}\nSubject: Undelivered\n"
        f"Date: {format_datetime(now())}\nMessage-ID: {make_msgid(domain=DOMAIN)}\n"
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nThe mail did not arrive.\n"
        f"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; {DOMAIN}\n\n"
        f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\n\n"
        f"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {letter.name}\n\n--b--\n"
    )
    return report.encode()
