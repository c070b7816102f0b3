"""What the make-believe Telegram remembers: accounts, private chats with the bot, messages, files, the webhook.

A person's account hangs on her handset: its number is derived from the telephone number, which the bot never sees.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from simulator.config import TelegramConfig
from simulator.records import Json, now

FIRST_ACCOUNT = 100_000_000
ACCOUNTS = 900_000_000


def account_id(number: str) -> int:
    """The number of the account that belongs to a telephone number: always the same."""
    digest = hashlib.sha256(number.encode()).digest()
    return FIRST_ACCOUNT + int.from_bytes(digest[:8], "big") % ACCOUNTS


@dataclass
class ChatMessage:
    """One message of a chat; ``mine`` if the person sent it. ``buttons`` are rows of ``{"text", "data"}``."""

    id: int
    mine: bool
    text: str
    at: datetime = field(default_factory=now)
    kind: str = "text"
    buttons: list[list[Json]] = field(default_factory=list)
    deleted: bool = False
    edited: bool = False
    file: str = ""
    """The id of what was sent with it."""

    def to_json(self) -> Json:
        """The message for the inspection API, the page and the state file."""
        return asdict(self)


@dataclass
class Account:
    """A person's account and her chat with the bot."""

    id: int
    number: str
    started: bool = False
    blocked: bool = False
    messages: list[ChatMessage] = field(default_factory=list)

    def message(self, message_id: int) -> ChatMessage | None:
        """A message that is still there."""
        return next((each for each in self.messages if each.id == message_id and not each.deleted), None)

    def to_json(self) -> Json:
        """The account for the inspection API and the state file."""
        return {
            "id": self.id,
            "number": self.number,
            "started": self.started,
            "blocked": self.blocked,
            "messages": [message.to_json() for message in self.messages],
        }


@dataclass
class Hook:
    """Where updates go. ``disabled`` once the address has said for 23 hours that it is gone."""

    url: str = ""
    secret: str = ""
    allowed: list[str] = field(default_factory=list)
    max_connections: int = 40
    last_error_date: int | None = None
    last_error_message: str = ""

    def takes(self, kind: str) -> bool:
        """Whether updates of a kind are wanted; an empty list means the usual ones."""
        return not self.allowed or kind in self.allowed


@dataclass
class StoredFile:
    """A file that a person sent."""

    path: str
    content_type: str
    data: bytes = field(repr=False)
    size: int = 0


class Chats:
    """All that Telegram knows. Without a configuration there is no bot, and nobody can write to it."""

    def __init__(self, config: TelegramConfig | None) -> None:
        self.config = config
        self.accounts: dict[int, Account] = {}
        self.files: dict[str, StoredFile] = {}
        self.queries: dict[str, bool] = {}
        self.rules: list[Json] = []
        self.hook = Hook()
        self._message_ids = itertools.count(1)
        self._update_ids = itertools.count(730_000_001)

    def clear(self) -> None:
        """Forget chats, files and rules; the webhook stays, as it would."""
        for kept in (self.accounts, self.files, self.queries, self.rules):
            kept.clear()

    def account(self, number: str) -> Account:
        """The account of a telephone number, made if it is new."""
        key = account_id(number)
        return self.accounts.setdefault(key, Account(key, number))

    def next_message(self) -> int:
        """The number of the next message."""
        return next(self._message_ids)

    def next_update(self) -> int:
        """The number of the next update."""
        return next(self._update_ids)

    def dump(self) -> Json:
        """What survives a restart; files do not."""
        return {
            "accounts": [account.to_json() for account in self.accounts.values()],
            "hook": asdict(self.hook),
            "next": [next(self._message_ids), next(self._update_ids)],
        }

    def restore(self, data: Json) -> None:
        """Bring back what was dumped."""
        for row in data["accounts"]:
            messages = [_message(each) for each in row["messages"]]
            account = Account(row["id"], row["number"], row["started"], row["blocked"], messages)
            self.accounts[account.id] = account
        self.hook = Hook(**data["hook"])
        self._message_ids = itertools.count(data["next"][0])
        self._update_ids = itertools.count(data["next"][1])


def _message(row: dict[str, Any]) -> ChatMessage:
    return ChatMessage(**{**row, "at": datetime.fromisoformat(row["at"])})
