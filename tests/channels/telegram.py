"""A world with a Telegram bot: people write to it in the make-believe Telegram, over the real Bot API library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import requests

from bot.storage import tables
from channels.telegram import SECRET_HEADER, Telegram
from tests.journeys.world import BOT_TOKEN, World, Worlds

SECRET = "a-make-believe-webhook-secret"
WORKER = "+6281200000001"
PATH = "/channels/telegram"
Json = dict[str, Any]


@dataclass(repr=False)
class Chat:
    """The world, and one person's chat with the bot."""

    world: World
    number: str = WORKER

    def does(self, what: str, **fields: Any) -> Json:
        """Let the person do something, and wait until Telegram told us."""
        done = self.world.network.post(f"/sim/telegram/people/{self.number}/{what}", fields)
        self.world.network.idle()
        return cast(Json, done)

    def says(self, text: str) -> Json:
        """Write, and let everything follow from it."""
        done = self.does("text", text=text)
        self.world.run()
        return done

    def starts(self, token: str = "") -> None:
        """Press START, and let everything follow from it."""
        self.does("start", token=token)
        self.world.run()

    def taps(self, label: str) -> Json:
        """Tap the newest button with a label, and let everything follow from it."""
        done = self.does("tap", label=label)
        self.world.run()
        return done

    @property
    def account(self) -> Json:
        """The chat as Telegram knows it."""
        for account in self.state()["accounts"]:
            if account["number"] == self.number:
                return cast(Json, account)
        raise AssertionError("this person never opened Telegram")

    def state(self) -> Json:
        """Everything that Telegram knows."""
        return cast(Json, self.world.network.get("/sim/telegram"))

    def screen(self) -> list[Json]:
        """The messages that the person sees, oldest first."""
        return [message for message in self.account["messages"] if not message["deleted"]]

    def heard(self) -> list[str]:
        """What the bot wrote and still stands there."""
        return [message["text"] for message in self.screen() if not message["mine"]]

    def buttons(self) -> list[str]:
        """The labels under the newest message of the bot."""
        newest = [message for message in self.screen() if not message["mine"]][-1]
        return [button["text"] for row in newest["buttons"] for button in row]

    def order(self, **rule: Any) -> None:
        """Order an error of the Bot API (``simulator/people.py``)."""
        self.world.network.post("/sim/telegram/errors", rule)

    def stops(self) -> list[str]:
        """The reasons on the stop list."""
        return [row.reason for row in self.world.rows(tables.Stop)]


def update(update_id: int = 1, text: object = "hello", person: Json | None = None, **message: Any) -> Json:
    """An update with a message in a private chat."""
    person = person or {"id": 9, "is_bot": False, "first_name": "x", "language_code": "en"}
    body = {"message_id": 1, "date": 1, "chat": {"id": 9, "type": "private"}, "from": person, "text": text}
    return {"update_id": update_id, "message": body | message}


def post(world: World, body: object, secret: str | None = SECRET) -> requests.Response:
    """Send an update as Telegram does, with a secret or without one; bytes go as they are."""
    headers = {} if secret is None else {SECRET_HEADER: secret}
    sent: Any = {"data": body} if isinstance(body, bytes) else {"json": body}
    return requests.post(world.url + PATH, headers=headers, timeout=10, **sent)


def chatting(worlds: Worlds, database_url: str) -> Chat:
    """A world whose bot's webhook is set."""
    world = worlds(database_url, telegram_bot_token=BOT_TOKEN, telegram_webhook_secret=SECRET)
    Telegram(world.service.settings).set_webhook(world.url + PATH)
    return Chat(world)
