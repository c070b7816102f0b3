"""The make-believe world's memory: one object that holds everything and says when something changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from simulator.attachments import Attachment
from simulator.chats import Chats
from simulator.config import Config, HandsetConfig, NumberConfig
from simulator.contents import Content
from simulator.errors import ConfigError
from simulator.records import (
    WHATSAPP,
    Alert,
    Call,
    Handset,
    Json,
    Message,
    Recording,
    account_of,
    now,
    steady_sid,
)
from simulator.scripts import Script

ALERTS_KEPT = 2000
WINDOW = timedelta(hours=24)
"""Of real time, whatever the speed of the world."""


class World:
    """What exists. Only the event loop's own thread touches it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.base_url = ""
        self.numbers: dict[str, NumberConfig] = dict(config.numbers)
        self.default_script: Script = config.default_script
        self.handsets: dict[str, Handset] = {}
        self.calls: dict[str, Call] = {}
        self.messages: dict[str, Message] = {}
        self.recordings: dict[str, Recording] = {}
        self.attachments: dict[str, Attachment] = {}
        self.deleted: dict[str, Message] = {}
        """Messages that the customer deleted: the REST API knows them no more, the phones show them still."""
        self.alerts: list[Alert] = []
        self.opted_out: set[tuple[str, str]] = set()
        self.contents: dict[str, Content] = {}
        self.heard: dict[tuple[str, str], datetime] = {}
        """When a handset last wrote to a number on WhatsApp."""
        self.errors: dict[str, Json] = {}
        self.chats = Chats(config.telegram)
        self.dialled: dict[str, int] = {}
        """How many calls the customer asked for, by the address of their first document."""
        self.version = 0
        self._changed: set[asyncio.Event] = set()
        self.furnish()

    def furnish(self) -> None:
        """Put back the handsets and errors of the configuration."""
        for handset in self.config.handsets:
            self.add_handset(handset)
        for number, rule in self.config.errors.items():
            self.set_error(number, dict(rule))
        self.contents |= {content.sid: replace(content) for content in self.config.contents}

    def clear(self) -> None:
        """Forget calls, messages, recordings, opt-outs and errors; the configuration stays."""
        for kept in (self.handsets, self.calls, self.messages, self.recordings, self.errors):
            kept.clear()
        self.contents.clear()
        self.attachments.clear()
        self.deleted.clear()
        self.heard.clear()
        self.dialled.clear()
        self.alerts.clear()
        self.opted_out.clear()
        self.chats.clear()
        self.numbers = dict(self.config.numbers)
        self.default_script = self.config.default_script
        self.furnish()
        self.touch()

    def touch(self) -> None:
        """Say that something changed."""
        self.version += 1
        for event in self._changed:
            event.set()

    async def changed(self, since: int) -> None:
        """Wait until something has changed since the world was at a ``version``; returns at once if it has."""
        event = asyncio.Event()
        self._changed.add(event)
        try:
            if self.version == since:
                await event.wait()
        finally:
            self._changed.discard(event)

    def add_handset(self, config: HandsetConfig) -> Handset:
        """A handset as described; one with the same number keeps its calls and messages."""
        handset = self.handsets.get(config.number) or Handset(config.number)
        handset.name, handset.language, handset.note = config.name, config.language, config.note
        handset.pass_word, handset.script, handset.listed = config.pass_word, config.script, True
        handset.hides_number = config.hides_number
        self.handsets[config.number] = handset
        self.touch()
        return handset

    def handset(self, number: str) -> Handset:
        """The handset with ``number``; a stranger's is made up with the default script."""
        bare = self.number_of(number)
        if bare not in self.handsets:
            self.handsets[bare] = Handset(bare, script=self.default_script, listed=False)
        return self.handsets[bare]

    def number_of(self, address: str) -> str:
        """The number behind an address: without a channel's prefix, and found for the id of an account."""
        bare = address.removeprefix(WHATSAPP)
        if not bare[:2].isalpha():
            return bare
        return next((number for number in self.handsets if account_of(number) == bare), bare)

    def is_open(self, number: str, line: str) -> bool:
        """Whether free text may go from ``line`` to a handset on WhatsApp: it wrote there within 24 hours."""
        until = self.open_until(self.number_of(number), line.removeprefix(WHATSAPP))
        return until is not None and now() < until

    def open_until(self, number: str, line: str) -> datetime | None:
        """When the time ends in which free text may go from ``line`` to a handset; None if it never began."""
        heard = self.heard.get((number, line))
        return heard + WINDOW if heard else None

    def set_window(self, number: str, *, is_open: bool) -> None:
        """Open or close the time in which free text may go to a handset, from every number."""
        for line in self.numbers:
            if is_open:
                self.heard[(number, line)] = now()
            else:
                self.heard.pop((number, line), None)
        self.touch()

    def set_error(self, number: str, rule: Json) -> None:
        """What goes wrong for ``number``: ``create`` and ``message`` codes, ``call`` outcome with ``sip``.

        An empty rule takes it back. :class:`ConfigError` for a wrong key or value.
        """
        for key, value in rule.items():
            if key in ("create", "message", "sip"):
                if isinstance(value, bool) or not isinstance(value, int):
                    raise ConfigError(f"errors: {key} must be a code")
            elif key != "call" or value not in ("busy", "no-answer", "failed"):
                raise ConfigError(f"errors: {key!r} is not create, message, sip, or call with an outcome")
        if rule:
            self.errors[number] = rule
        else:
            self.errors.pop(number, None)

    def error_for(self, number: str, what: str) -> Any:
        """The part ``what`` of the rule for ``number``, or ``None``."""
        return self.errors.get(self.number_of(number), {}).get(what)

    def alert(self, code: int, sid: str, reason: str) -> None:
        """Note what Twilio's debugger would show."""
        self.alerts.append(Alert(code, sid, reason))
        del self.alerts[:-ALERTS_KEPT]

    def note_dial(self, address: str) -> None:
        """The customer asked for a call whose first document is at ``address``."""
        self.dialled[address] = self.dialled.get(address, 0) + 1

    def keep_call(self, call: Call) -> None:
        """Add a call; the oldest that have ended make room when there are very many."""
        self.calls[call.sid] = call
        handset = self.handset(call.handset)
        handset.calls.append(call.sid)
        handset.rung += 1
        if len(self.calls) > self.config.call_limit:
            self._drop_oldest_call()
        self.touch()

    def _drop_oldest_call(self) -> None:
        oldest = next((call for call in self.calls.values() if not call.live), None)
        if oldest is not None:
            del self.calls[oldest.sid]
            self.handset(oldest.handset).calls.remove(oldest.sid)

    def keep_message(self, message: Message) -> None:
        """Add a message to the world and to its handset's thread."""
        self.messages[message.sid] = message
        self.handset(message.handset).messages.append(message.sid)
        self.touch()

    def delete_message(self, message: Message) -> None:
        """Let the customer's API forget a message and its files; the handset keeps what it has."""
        self.deleted[message.sid] = self.messages.pop(message.sid)
        for attachment in self.attachments.values():
            attachment.deleted = attachment.deleted or attachment.message == message.sid
        self.touch()

    def thread(self, handset: Handset) -> list[Message]:
        """The messages that a handset shows, oldest first."""
        return [self.messages.get(sid) or self.deleted[sid] for sid in handset.messages]

    def number_sid(self, number: str) -> str:
        """The SID of an owned number: the same after every start."""
        return steady_sid("PN", f"{self.config.account_sid}|{number}")

    def update_number(self, number: str, changes: dict[str, str]) -> None:
        """Change webhook addresses of an owned number; an empty text takes an address away."""
        cleaned: dict[str, Any] = {key: value or None for key, value in changes.items()}
        self.numbers[number] = replace(self.numbers[number], **cleaned)
        self.touch()

    def owned(self, address: str) -> NumberConfig | None:
        """The owned number behind ``address`` (a WhatsApp sender may be listed with or without prefix)."""
        return self.numbers.get(address) or self.numbers.get(address.removeprefix("whatsapp:"))
