"""The make-believe post: an SMTP server that takes what the customer and others send, and people who write mail back.

A person's address is made of the number of her handset. What is for the customer's address, also with a tag after a
plus sign, the courier brings.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiosmtpd import smtp

from simulator.attachments import parse_file
from simulator.config import MailConfig
from simulator.control import Refused, guarded, json_answer, read_body, text_of
from simulator.courier import Courier
from simulator.letters import DOMAIN, Draft, Letter, address_of, number_of, read, report, restored, write
from simulator.pace import Pace
from simulator.records import Json
from simulator.webhooks import Webhooks
from simulator.world import World

LONGEST_LETTER = 12 * 1024 * 1024
LETTERS_SHOWN = 100
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Post:
    """The post of one world."""

    def __init__(self, world: World, webhooks: Webhooks, pace: Pace, timeout: float) -> None:
        self._world = world
        self._config: MailConfig | None = world.config.mail
        self._courier = Courier(self._config, webhooks, pace, timeout) if self._config else None
        self._server: asyncio.Server | None = None
        self.boxes: dict[str, list[Letter]] = {}
        self.refused: dict[str, str] = {}
        self.port = 0

    @property
    def in_flight(self) -> int:
        """How many mails are on their way to the customer."""
        return self._courier.in_flight if self._courier else 0

    async def open(self, host: str) -> None:
        """Begin to take mail; without a configuration there is no post."""
        if self._config is None or self._courier is None:
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
        await self._courier.open(host)

    async def close(self) -> None:
        """Take nothing any more, and drop what is on its way."""
        if self._server is not None:
            self._server.close()
        if self._courier is not None:
            await self._courier.close()

    async def clear(self) -> None:
        """Forget all mails and refusals, and what is on its way."""
        if self._courier is not None:
            await self._courier.clear()
        self.boxes.clear()
        self.refused.clear()

    async def dump(self) -> Json:
        """What survives a restart."""
        return {
            "boxes": self._boxes(),
            "mailbox": await self._courier.dump() if self._courier else [],
        }

    def restore(self, data: Json) -> None:
        """Bring back what was dumped."""
        for number, rows in data.get("boxes", {}).items():
            self.boxes[number] = [restored(row) for row in rows]
        if self._courier is not None:
            self._courier.restore(data.get("mailbox", []))

    def view(self, number: str) -> Json | None:
        """The mailbox of a handset for the phone page; None without a post."""
        if self._config is None:
            return None
        box = self.boxes.get(number, [])
        return {
            "address": address_of(number),
            "hotline": self._config.address,
            "letters": [letter.dump() for letter in box[-LETTERS_SHOWN:]],
        }

    def _boxes(self) -> Json:
        return {number: [letter.dump() for letter in box] for number, box in self.boxes.items()}

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
        for address in envelope.rcpt_tos:
            if self._is_hotline(address) and self._courier is not None:
                self._courier.bring(content)
            else:
                self._put(number_of(address), content, envelope.mail_from or "")
        self._world.touch()
        return "250 2.0.0 taken"

    def _is_hotline(self, address: str) -> bool:
        own = self._config.address if self._config else ""
        local, _, domain = address.lower().rpartition("@")
        return f"{local.partition('+')[0]}@{domain}" == own.lower()

    def _put(self, number: str, content: bytes, sender: str) -> None:
        letter, files = read(content, sender)
        self._world.attachments |= {each.sid: each for each in files}
        self.boxes.setdefault(number, []).append(letter)
        if number in self._world.handsets:
            self._world.handsets[number].notice("mail")

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
        """The ports of the SMTP and the IMAP server and all mailboxes of people."""
        imap_port = self._courier.imap_port if self._courier else 0
        return json_answer({"port": self.port, "imap_port": imap_port, "boxes": self._boxes()})

    async def write(self, request: web.Request) -> web.Response:
        """Write ``text``, perhaps with a ``subject``, ``files`` and in ``html``.

        It answers the mail that is named by its Message-ID in ``to``, else the newest one, or with ``anew`` none.
        """
        number = self._who(request)
        body = await read_body(request)
        asked = None if body.get("anew") else self._asked(number, str(body.get("to", "")))
        files = [parse_file(each) for each in body.get("files", [])]
        draft = Draft(text_of(body, "text"), str(body.get("subject", "")), bool(body.get("html")), files)
        mail, quote = write(draft, address_of(number), self._hotline(), asked)
        _, kept = read(mail.as_bytes(), "")
        self._world.attachments |= {each.sid: each for each in kept}
        name, subject = str(mail["Message-ID"]), str(mail["Subject"] or "")
        shown = Letter(True, subject, draft.text, name, quote=quote, files=[each.to_json() for each in kept])
        self.boxes.setdefault(number, []).append(shown)
        self._world.touch()
        self._bring(mail.as_bytes())
        return json_answer({"message_id": shown.name}, 201)

    def _asked(self, number: str, name: str) -> Letter | None:
        came = [letter for letter in self.boxes.get(number, []) if not letter.mine]
        if not name:
            return came[-1] if came else None
        found = next((letter for letter in came if letter.name == name), None)
        if found is None:
            raise Refused(404, "no such mail came")
        return found

    async def raw(self, request: web.Request) -> web.Response:
        """Send the body as it is."""
        self._who(request)
        self._bring(await request.read())
        return json_answer({}, 201)

    async def bounce(self, request: web.Request) -> web.Response:
        """Let the newest mail to this person come back: ``{"status": "5.1.1", "action": "failed"}``."""
        number = self._who(request)
        newest = self._asked(number, "")
        if newest is None:
            raise Refused(404, "nothing came that could come back")
        body = await read_body(request)
        status, action = str(body.get("status", "5.1.1")), str(body.get("action", "failed"))
        self._bring(report(newest, address_of(number), status, action))
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

    def _hotline(self) -> str:
        return self._config.address if self._config else ""

    def _bring(self, raw: bytes) -> None:
        if self._courier is not None:
            self._courier.bring(raw)
