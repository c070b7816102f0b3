"""The channel contract: what each file of this folder promises, and the registry of those that are set up.

A channel reads top to bottom: capabilities, receive, render, send, status. It verifies and parses what
a provider sends (:meth:`Channel.receive`), turns a prompt into its own form (:meth:`Channel.render`),
sends (:meth:`Channel.send`, raising :class:`bot.errors.SendError`), and reads delivery reports
(:meth:`Channel.status`). It stores nothing: ``bot.intake`` and ``bot.outbox`` do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from flask import Response
from werkzeug.wrappers import Request

from bot import intake, receipts
from bot.messages import (
    Address,
    Brought,
    Capabilities,
    Inbound,
    Outbound,
    Prompt,
    Receipt,
    Rendered,
    Returned,
    StatusUpdate,
)
from bot.messages import Channel as Name
from bot.service import Service
from bot.settings import Settings
from bot.steps import Door, Place

MAX_BODY_BYTES = 128 * 1024
"""No honest webhook of a text channel is larger; more is refused with 413 before it is read."""


class Channel(Protocol):
    """A channel in writing. (The telephone answers within the request: see ``channels/voice.py``.)"""

    capabilities: Capabilities

    def receive(self, request: Request) -> Sequence[Inbound | Returned]:
        """Verify and parse a webhook. Raises :class:`bot.errors.UnverifiedRequest` or ``BadRequest``."""
        ...

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:
        """The messages to send for a prompt, each within the channel's limit."""
        ...

    def send(self, outbound: Outbound, country: str | None) -> Receipt:
        """Send one text. Raises :class:`bot.errors.SendError`, whose outcome says whether it may have gone out."""
        ...

    def find(self, outbound: Outbound, country: str | None, since: datetime) -> list[Receipt]:
        """Ask the provider which texts like this one it took since ``since`` (wall time)."""
        ...

    def status(self, request: Request) -> StatusUpdate | None:
        """Verify and parse a delivery report; None for one that tells nothing."""
        ...


@runtime_checkable
class Erasing(Protocol):
    """A channel that can take what we sent off the worker's screen (``capabilities.erases``)."""

    def erase(self, to: Address, provider_ids: Sequence[str]) -> None:
        """Take messages back, as far as the provider still lets us; safe to repeat.

        Raises :class:`bot.errors.SendError` if it may have been in vain.
        """
        ...


@runtime_checkable
class Carrying(Protocol):
    """A channel whose provider keeps files, or speech, until they are fetched there (:mod:`bot.media`)."""

    def fetch(self, ref: str) -> Brought | None:
        """What lies under the provider's id or address; None if the provider does not have it (yet).

        Raises :class:`bot.errors.SendError`, permanent with the code ``bot.media.TOO_LARGE`` for more than the
        channel takes. What is permanent is not asked for again, unless the operator can mend it.
        """
        ...

    def discard(self, ref: str) -> None:
        """Delete it at the provider, if that can be done; safe to repeat. Raises :class:`bot.errors.SendError`."""
        ...


@runtime_checkable
class Forgetting(Protocol):
    """A channel whose provider keeps messages, or records of calls, until it is told to delete them."""

    def forget(self, provider_id: str) -> None:
        """Delete one at the provider; safe to repeat. Raises :class:`bot.errors.SendError`."""
        ...


@runtime_checkable
class Listing(Door, Protocol):
    """A channel whose provider keeps a list of what came in, where a message is found whose webhook got lost."""

    def listed(
        self, since: datetime, until: datetime, known: Callable[[list[str]], set[str]]
    ) -> list[Inbound]:
        """What came in between two instants (wall time), oldest first, without what ``known`` picks out by event ids.

        ``received_at`` is when the provider took it. Raises :class:`bot.errors.SendError`.
        """
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """A channel whose provider wants more in return than the news that a message arrived."""

    def acknowledge(self, request: Request) -> Response:
        """The answer to a webhook, once everything in it is stored. It waits for nothing."""
        ...


def registry(settings: Settings) -> dict[Name, Channel]:
    """The channels in writing that are set up, by name. A channel without settings is off."""
    from channels.email import Email
    from channels.sms import SMS
    from channels.telegram import Telegram
    from channels.whatsapp import WhatsApp

    found: dict[Name, Channel] = {}
    if settings.sms_on:
        found[Name.SMS] = SMS(settings)
    if settings.whatsapp_on:
        found[Name.WHATSAPP] = WhatsApp(settings)
    if settings.telegram_on:
        found[Name.TELEGRAM] = Telegram(settings)
    if settings.email_on:
        found[Name.EMAIL] = Email(settings)
    return found


def take(service: Service, door: Channel, came: Sequence[Inbound | Returned]) -> None:
    """Store what came in, each in a transaction of its own. When this returns, it is stored for good."""
    for each in came:
        if isinstance(each, Returned):
            with service.database.write() as connection:
                receipts.returned(connection, service.sealer, each, service.clock.now())
        else:
            intake.receive(service, door, each)


def written(prompt: Prompt, limit: int) -> list[Rendered]:
    """A prompt as plain text: the texts, then one line per option (``1 Yes``), cut at ``limit`` characters."""
    return [Rendered(text) for text in cut([*prompt.texts, *numbered(prompt)], limit)]


def numbered(prompt: Prompt) -> list[str]:
    """One line per option: its key and its label."""
    return [f"{option.key} {option.label}" for option in prompt.options]


def cut(lines: list[str], limit: int) -> list[str]:
    """Lines joined into as few texts as go, each of at most ``limit`` characters."""
    parts: list[str] = []
    for piece in (piece for line in lines for piece in _pieces(line, limit)):
        if parts and len(parts[-1]) + 1 + len(piece) <= limit:
            parts[-1] += f"\n{piece}"
        else:
            parts.append(piece)
    return parts


def _pieces(line: str, limit: int) -> list[str]:
    """Cut an over-long line at spaces where there are any; scripts without spaces are cut where they must be."""
    pieces = []
    while len(line) > limit:
        at = line.rfind(" ", limit // 2, limit)
        at = at if at > 0 else limit
        pieces.append(line[:at].rstrip())
        line = line[at:].lstrip()
    return [*pieces, line] if line else pieces
