"""The post office: text messages out and in, their statuses, and the words by which people opt out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urldefrag

from simulator import twiml
from simulator.attachments import attach
from simulator.contents import MOST_IN_SESSION
from simulator.errors import RestError, TwimlError, WebhookFailure
from simulator.pace import Pace
from simulator.records import FINAL_MESSAGE, WHATSAPP, Message, account_of, country_of, new_sid, now
from simulator.segments import segment_count
from simulator.webhooks import Request, Webhooks
from simulator.world import World

# Words that Twilio itself obeys, https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out.
OPT_OUT_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
OPT_IN_WORDS = frozenset({"START", "YES", "UNSTOP"})
HELP_WORDS = frozenset({"HELP", "INFO"})
OPT_ANSWERS = {
    "STOP": "You have successfully been unsubscribed. You will not receive any more messages from this number. "
    "Reply START to resubscribe.",
    "START": "You have successfully been re-subscribed to messages from this number. Reply HELP for help. "
    "Reply STOP to unsubscribe.",
    "HELP": "Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
}
# A carrier that rejects makes a message `failed`; one that takes it and cannot deliver, `undelivered`.
FAILED_CODES = frozenset({21610, 30001, 30002, 30010, 30036})
# What WhatsApp refuses comes as `failed`: no phone was reached.
FIRST_WHATSAPP_CODE = 63000
OUTSIDE_WINDOW = 63016
INVALID_CONTENT = 63021


class PostOffice:
    """All text messages."""

    def __init__(self, world: World, webhooks: Webhooks, pace: Pace) -> None:
        self._world = world
        self._webhooks = webhooks
        self._pace = pace
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """How many messages are still on their way."""
        return len(self._tasks)

    async def close(self) -> None:
        """Drop what is on its way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, to: str, from_: str, body: str, callback: str | None, content: dict[str, Any]) -> Message:
        """Take a message (already checked) from the customer to a handset."""
        if (to, from_) in self._world.opted_out:
            raise RestError(21610)
        message = Message(new_sid("SM"), "outbound-api", to, from_, body, "queued", content=content)
        message.owner = self._world.number_of(to)
        message.segments = segment_count(body)
        message.status_callback = callback
        self._world.keep_message(message)
        self._spawn(self._climb(message))
        return message

    def receive(
        self,
        from_: str,
        to: str,
        body: str,
        extra: dict[str, str],
        files: Sequence[tuple[str, str, bytes]] = (),
    ) -> Message:
        """A message from a handset to an owned number; :class:`RestError` 21606 if nobody owns it.

        ``files`` have a name, a content type and bytes.
        """
        if self._world.owned(to) is None:
            raise RestError(21606)
        message = Message(
            new_sid("MM" if files else "SM"), "inbound", to, from_, body, "received", sent=now()
        )
        attached = attach(message, files)
        self._world.attachments |= {each.sid: each for each in attached}
        message.media = [each.to_json() for each in attached]
        message.owner = self._world.number_of(from_)
        message.segments = segment_count(body)
        if message.on_whatsapp:
            self._world.heard[(message.owner, to.removeprefix(WHATSAPP))] = now()
        message.inbound = self._inbound_params(message, extra)
        self._world.keep_message(message)
        self._obey(message)
        self._spawn(self._hand_over(message))
        return message

    def tap(self, shown: Message, index: int) -> Message:
        """The holder of a handset taps a button, or an entry of a list, of a message that it shows."""
        options = shown.content.get("options", [])
        if shown.direction == "inbound" or not 0 <= index < len(options):
            raise RestError(20404)
        option = options[index]
        extra = {"MessageType": "interactive", "OriginalRepliedMessageSid": shown.sid}
        if shown.content["kind"] == "twilio/list-picker":
            extra |= {"ListId": option["id"], "ListTitle": option["title"]}
        else:
            extra |= {"ButtonPayload": option["id"] or option["title"], "ButtonText": option["title"]}
        return self.receive(f"{WHATSAPP}{shown.handset}", shown.from_, option["title"], extra)

    def read(self, number: str) -> None:
        """The holder of a handset looked at its WhatsApp messages: their senders learn it."""
        for message in self._world.thread(self._world.handset(number)):
            if message.on_whatsapp and message.status == "delivered":
                self._step(message, "read")

    def receive_again(self, message: Message) -> None:
        """Hand an inbound message over once more, exactly as before."""
        if message.direction != "inbound":
            raise RestError(20404)
        self._spawn(self._hand_over(message))

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _climb(self, message: Message) -> None:
        """The ladder of statuses, https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks."""
        code = self._world.error_for(message.to, "message") or self._refused_by_whatsapp(message)
        await self._pace.rest(0.3)
        self._step(message, "sending")
        await self._pace.rest(0.7)
        if code and (code in FAILED_CODES or code >= FIRST_WHATSAPP_CODE):
            self._fail(message, "failed", int(code))
            return
        message.sent = now()
        self._step(message, "sent")
        await self._pace.rest(1.5)
        if code:
            self._fail(message, "undelivered", int(code))
            return
        self._world.handset(message.to).notice("whatsapp" if message.on_whatsapp else "sms")
        self._step(message, "delivered")

    def _refused_by_whatsapp(self, message: Message) -> int | None:
        """Free text, lists and what is not approved go out only while the window is open, and then three buttons."""
        content = message.content
        if not message.on_whatsapp:
            return None
        if not self._world.is_open(message.to, message.from_):
            may_open = content.get("approved") and content["kind"] != "twilio/list-picker"
            return None if may_open else OUTSIDE_WINDOW
        is_quick = content.get("kind") == "twilio/quick-reply" and not content["approved"]
        return INVALID_CONTENT if is_quick and len(content["options"]) > MOST_IN_SESSION else None

    def _fail(self, message: Message, status: str, code: int) -> None:
        message.error_code = code
        self._step(message, status)

    def _step(self, message: Message, status: str) -> None:
        message.status, message.updated = status, now()
        self._world.touch()
        # Only these are reported; `queued` was the answer to the request and `sending` is never told.
        if not message.status_callback or status == "sending":
            return
        params = [
            ("MessageSid", message.sid),
            ("SmsSid", message.sid),
            ("MessageStatus", status),
            ("SmsStatus", status),
            ("To", message.to),
            ("From", message.from_),
            ("AccountSid", self._world.config.account_sid),
            ("ApiVersion", "2010-04-01"),
        ]
        if message.error_code:
            params.append(("ErrorCode", str(message.error_code)))
        if status in FINAL_MESSAGE:
            params.append(("RawDlrDoneDate", now().strftime("%y%m%d%H%M")))
        request = Request(message.status_callback, tuple(params), "callback", message.sid, message.handset)
        self._webhooks.post(request)

    def _inbound_params(self, message: Message, extra: dict[str, str]) -> dict[str, str]:
        from_country, to_country = country_of(message.from_), country_of(message.to)
        params = {
            "MessageSid": message.sid,
            "SmsMessageSid": message.sid,
            "SmsSid": message.sid,
            "AccountSid": self._world.config.account_sid,
            "From": message.from_,
            "To": message.to,
            "Body": message.body,
            "NumMedia": str(len(message.media)),
            "NumSegments": str(message.segments),
            "SmsStatus": "received",
            "ApiVersion": "2010-04-01",
        }
        if message.on_whatsapp:
            handset = self._world.handset(message.from_)
            account = account_of(handset.number)
            params |= {"ProfileName": handset.name or "x", "ExternalUserId": f"{WHATSAPP}{account}"}
            kind = _whatsapp_kind(message)
            params |= {"MessageType": kind, "Forwarded": "false", "FrequentlyForwarded": "false"}
            if handset.hides_number:
                params |= {"From": f"{WHATSAPP}{account}"}
            else:
                params |= {"WaId": handset.number.removeprefix("+")}
        else:
            params |= {"FromCountry": from_country, "ToCountry": to_country}
            params |= {f"{end}{part}": "" for end in ("From", "To") for part in ("City", "State", "Zip")}
        root = f"{self._world.base_url}/2010-04-01/Accounts/{self._world.config.account_sid}"
        for n, file in enumerate(message.media):
            params[f"MediaUrl{n}"] = f"{root}/Messages/{message.sid}/Media/{file['sid']}"
            params[f"MediaContentType{n}"] = file["content_type"]
        return params | extra

    def _obey(self, message: Message) -> None:
        """Twilio blocks and answers by itself after certain words; the webhook still goes out."""
        word = message.body.strip().upper()
        pair = (message.handset, message.to)
        if message.on_whatsapp:
            return
        if word in OPT_OUT_WORDS:
            self._world.opted_out.add(pair)
            self._answer_itself(message, OPT_ANSWERS["STOP"])
        elif word in OPT_IN_WORDS and pair in self._world.opted_out:
            self._world.opted_out.discard(pair)
            self._answer_itself(message, OPT_ANSWERS["START"])
        elif word in HELP_WORDS:
            self._answer_itself(message, OPT_ANSWERS["HELP"])

    def _answer_itself(self, message: Message, body: str) -> None:
        reply = Message(
            new_sid("SM"), "outbound-reply", message.from_, message.to, body, "delivered", sent=now()
        )
        self._world.keep_message(reply)
        self._world.handset(message.from_).notice("sms")

    async def _hand_over(self, message: Message) -> None:
        number = self._world.owned(message.to)
        own = message.on_whatsapp and number is not None and number.whatsapp_url
        url = number and (number.whatsapp_url if own else number.sms_url)
        if number is None or not url:
            self._world.alert(11100, message.sid, "the number has no messaging address")
            return
        fallback = number.whatsapp_fallback_url if own else number.sms_fallback_url
        delay = self._webhooks.chaos.delay(f"sms|{message.handset}")
        await self._pace.rest(delay)
        if self._webhooks.chaos.strikes("drop", f"sms|{message.handset}"):
            self._world.alert(11200, message.sid, "dropped by chaos")
            return
        times = 2 if self._webhooks.chaos.strikes("duplicate", f"sms|{message.handset}") else 1
        for _ in range(times):
            await self._ask(message, url, number.sms_method, fallback)

    async def _ask(self, message: Message, url: str, method: str, fallback: str | None) -> None:
        params = tuple(message.inbound.items())
        try:
            await self._ask_one(message, Request(url, params, "sms", message.sid, message.handset, method))
        except (WebhookFailure, TwimlError) as failure:
            self._world.alert(failure.code, message.sid, failure.reason)
            if not fallback:
                return
            extra = (("ErrorCode", str(failure.code)), ("ErrorUrl", urldefrag(url).url))
            try:
                await self._ask_one(
                    message, Request(fallback, params + extra, "sms", message.sid, message.handset)
                )
            except (WebhookFailure, TwimlError) as second:
                self._world.alert(second.code, message.sid, second.reason)

    async def _ask_one(self, message: Message, request: Request) -> None:
        answer = await self._webhooks.fetch(request)
        kind = answer.content_type.split(";")[0].strip().lower()
        if not answer.body.strip() or kind not in ("text/xml", "application/xml"):
            if answer.body.strip() and kind != "text/plain":
                raise TwimlError(12300, f"Content-Type {kind or 'missing'!r} is not TwiML")
            return
        for reply in twiml.parse_messaging(answer.body.decode("utf-8", "replace")):
            self._reply(message, reply)

    def _reply(self, message: Message, reply: twiml.Reply) -> None:
        try:
            sent = self.send(reply.to or message.from_, message.to, reply.body, reply.status_callback, {})
        except RestError as error:
            self._world.alert(error.code, message.sid, error.message)
            return
        sent.direction = "outbound-reply"


def _whatsapp_kind(message: Message) -> str:
    """``MessageType`` of a WhatsApp message."""
    if not message.media:
        return "text"
    kind = str(message.media[0]["content_type"]).partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "document"
