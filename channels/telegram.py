"""Telegram: the Bot API, by python-telegram-bot.

Telegram sends one update per request, in order within a chat, and sends it again until it gets a 2xx; so
everything that is stored, known already or not for us is acknowledged. It cannot be asked what it took, and
it tells nothing about delivery. A chat is stored at Telegram: it is not end-to-end encrypted.

The library is asynchronous and ours is not: every request has an event loop and connections of its own,
because connections do not outlive the loop that made them.

Sources: https://core.telegram.org/bots/api and the source of python-telegram-bot 22.8.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

import httpx
import orjson
from flask import Response
from telegram import (
    Bot,
    CallbackQuery,
    Chat,
    ChatMember,
    ChatMemberUpdated,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    Message,
    Update,
    User,
    WebhookInfo,
)
from telegram.constants import (
    ChatMemberStatus,
    ChatType,
    FileSizeLimit,
    InlineKeyboardMarkupLimit,
    MessageLimit,
)
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.request import HTTPXRequest
from werkzeug.exceptions import BadRequest as Unreadable
from werkzeug.wrappers import Request

from bot.clock import wall_time
from bot.errors import SendError, SendOutcome, UnverifiedRequest
from bot.media import TOO_LARGE
from bot.messages import (
    Address,
    AddressKind,
    Brought,
    Button,
    Capabilities,
    DeliveryStatus,
    Inbound,
    Input,
    Media,
    MediaRef,
    Option,
    Outbound,
    Prompt,
    Receipt,
    Rendered,
    Reveal,
    Signal,
    StatusUpdate,
    Text,
)
from bot.messages import Channel as Name
from bot.settings import Settings
from bot.steps import Place
from channels.base import cut, numbered
from channels.certificates import trusted

UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")
"""The kinds of updates that the webhook asks for."""
_READ = ("message", "callback_query", "my_chat_member")
_PLACE = ("message_id", "date", "chat")
_FIELDS = (
    *(*_PLACE, "from", "text", "caption", "photo", "voice", "audio", "video", "video_note", "animation"),
    *("document", "contact", "location", "sticker"),
    *("id", "message", "data", "chat_instance"),
)
"""What we read of a message and of a tap."""
_NOBODY = {"first_name": "", "is_bot": False}
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header, not a secret

_API = "https://api.telegram.org"
_LIMIT = int(MessageLimit.MAX_TEXT_LENGTH)
_MOST_BUTTONS = int(InlineKeyboardMarkupLimit.TOTAL_BUTTON_NUMBER)
_MOST_DATA = 64
"""Bytes that a button can carry; the library does not check it."""
_SPRINT_DIGITS = 16
_LABEL = 40
"""Longer labels are cut off on a telephone's screen: they are written out above the buttons."""
_SHORT_LABEL = 12
_BUTTONS_IN_A_ROW = 3
_SECONDS = 10.0
_QUICK_SECONDS = 4.0
_FLOOD_SECONDS = 5.0
"""How long Telegram is left alone after a flood for which it names no time."""
_AWAY_SECONDS = 15.0
"""How long it is left alone when it cannot be reached, or does not answer in time."""
_ERASED_AT_ONCE = 4
_MOST_FILE_BYTES = int(FileSizeLimit.FILESIZE_DOWNLOAD)
"""Telegram hands no larger files to bots."""
_MOST_COURTESIES = 8
"""Taps that are acknowledged at the same time. One more only turns its little wheel a moment longer."""
_CARD = re.compile(r"(?<!\d)\d{6}(?!\d)")
_WORD = re.compile(r"/([A-Za-z_]{1,32})(?:@\w{1,64})?")
_INT64 = 1 << 63

Result = TypeVar("Result")

# The library's coming way to tell how long to wait; without this it warns at each flood.
os.environ.setdefault("PTB_TIMEDELTA", "1")
# They log the addresses that they call, and those hold the bot's token.
for _name in ("httpx", "httpcore", "telegram"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Telegram:
    """Private chats with a bot, with buttons under the questions."""

    capabilities = Capabilities(
        channel=Name.TELEGRAM,
        text_limit=_LIMIT,
        buttons=_MOST_BUTTONS,
        media_in=True,
        erases=True,
        finds=False,
        rest=timedelta(seconds=1),
    )

    def __init__(self, settings: Settings) -> None:
        self._token = settings.telegram_bot_token.get_secret_value()
        self._secret = settings.telegram_webhook_secret.get_secret_value()
        self._base = settings.telegram_api_base or _API
        number, colon, _ = self._token.partition(":")
        self._bot_id = number if colon and number.isdigit() and len(number) < 20 else "bot"
        self._courtesies = threading.BoundedSemaphore(_MOST_COURTESIES)

    # --- in ------------------------------------------------------------------------------------

    def receive(self, request: Request) -> list[Inbound]:
        """What a worker did in a private chat with the bot; nothing for other chats and for edited messages."""
        self._check(request)
        update = _read(request)
        if update.callback_query is not None:
            return self._tap(update.update_id, update.callback_query)
        if update.message is not None:
            return self._message(update.update_id, update.message)
        changed = update.my_chat_member
        if changed is None or changed.chat.type != ChatType.PRIVATE:
            return []
        # Unblocking says nothing: a stop is taken back by the worker's own word only.
        if changed.new_chat_member.status != ChatMemberStatus.BANNED:
            return []
        return [self._inbound(update.update_id, changed.from_user, Text(""), signal=Signal.BLOCKED)]

    def acknowledge(self, request: Request) -> Response:
        """An empty answer. The wheel on a tapped button is stopped, and the button removed, on the side."""
        query = _read(request).callback_query
        if query is not None and self._courtesies.acquire(blocking=False):
            threading.Thread(target=self._thank, args=(query,), name="telegram-tap", daemon=True).start()
        return Response(status=200)

    def _check(self, request: Request) -> None:
        given = request.headers.get(SECRET_HEADER, "")
        if not self._secret or not hmac.compare_digest(given.encode(), self._secret.encode()):
            raise UnverifiedRequest("the secret is missing or wrong")

    def _message(self, update_id: int, message: Message) -> list[Inbound]:
        person = message.from_user
        if person is None or person.is_bot or message.chat.type != ChatType.PRIVATE:
            return []
        text = message.text or ""
        if text.split(maxsplit=1)[:1] == ["/start"]:
            card = _CARD.search(text)
            return [
                self._inbound(
                    update_id,
                    person,
                    Text("START"),
                    signal=Signal.OPENED,
                    card=card.group() if card else None,
                )
            ]
        contact = message.contact
        if contact is not None and contact.user_id == person.id and _phone(contact.phone_number):
            phone = Address(AddressKind.PHONE, _phone(contact.phone_number))
            return [self._inbound(update_id, person, Text("☎"), signal=Signal.SHARED, shared=phone)]
        return [self._inbound(update_id, person, _input(message))]

    def _tap(self, update_id: int, query: CallbackQuery) -> list[Inbound]:
        if query.from_user.is_bot or (query.message and query.message.chat.type != ChatType.PRIVATE):
            return []
        code, _, sprint = (query.data or "")[:_MOST_DATA].rpartition(":")
        return [self._inbound(update_id, query.from_user, Button(code, sprint))]

    def _inbound(
        self,
        update_id: int,
        person: User,
        given: Input,
        *,
        signal: Signal | None = None,
        card: str | None = None,
        shared: Address | None = None,
    ) -> Inbound:
        # A private chat has the number of the person in it.
        return Inbound(
            channel=Name.TELEGRAM,
            event_id=f"{self._bot_id}:{update_id}",
            sender=Address(AddressKind.TELEGRAM, str(person.id)),
            line=self._bot_id,
            input=given,
            received_at=wall_time(),
            language_hint=(person.language_code or "")[:35] or None,
            signal=signal,
            card=card,
            shared=shared,
        )

    # --- out -----------------------------------------------------------------------------------

    def render(self, prompt: Prompt, place: Place) -> list[Rendered]:  # noqa: ARG002 - looks the same everywhere
        """The texts, with the options as buttons under the last; written out as well where a label is long."""
        options = prompt.options
        if len(options) > _MOST_BUTTONS or any(len(_data(option, "")) > _MOST_DATA for option in options):
            return [Rendered(text) for text in cut([*prompt.texts, *numbered(prompt)], _LIMIT)]
        long = any(len(option.label) > _LABEL for option in options)
        parts = cut([*prompt.texts, *(numbered(prompt) if long else ())], _LIMIT)
        return [Rendered(text) for text in parts[:-1]] + [Rendered(text, options) for text in parts[-1:]]

    def send(self, outbound: Outbound, country: str | None) -> Receipt:  # noqa: ARG002 - one bot for all countries
        """Send one message. Telegram taking it is all that is ever known of its delivery."""
        chat = _chat(outbound.to, Reveal.SEND)
        keyboard = _keyboard(outbound.options, outbound.sprint or "")
        preview = LinkPreviewOptions(is_disabled=True)
        sent = self._ask(
            lambda bot: bot.send_message(
                chat, outbound.text, reply_markup=keyboard, link_preview_options=preview
            )
        )
        return Receipt(str(sent.message_id), DeliveryStatus.SENT)

    def find(self, outbound: Outbound, country: str | None, since: datetime) -> list[Receipt]:  # noqa: ARG002 - the parameters are the contract's
        """Nothing: Telegram cannot be asked which messages it took."""
        return []

    def erase(self, to: Address, provider_ids: Sequence[str]) -> None:
        """Delete our messages in a chat; those that are older than 48 hours or gone already stay as they are."""
        chat = _chat(to, Reveal.SEND)

        async def delete(bot: Bot, message_id: int) -> None:
            try:
                await bot.delete_message(chat, message_id)
            except (BadRequest, Forbidden):
                return

        async def delete_all(bot: Bot) -> None:
            ids = [int(provider_id) for provider_id in provider_ids]
            for start in range(0, len(ids), _ERASED_AT_ONCE):
                await asyncio.gather(*(delete(bot, each) for each in ids[start : start + _ERASED_AT_ONCE]))

        try:
            self._ask(delete_all, connections=_ERASED_AT_ONCE)
        except SendError as error:
            # Deleting twice does no harm, so what is in doubt is simply done again.
            again = SendOutcome.RETRYABLE if error.outcome is SendOutcome.AMBIGUOUS else error.outcome
            raise SendError(again, error.code, action=error.action, wait=error.wait) from None

    def fetch(self, ref: str) -> Brought | None:
        """A file that came with a message; None if Telegram does not know it. Raises :class:`SendError`.

        Its address holds the token and is good for an hour, so it is asked for each time.
        """

        async def get(bot: Bot) -> Brought | None:
            try:
                file = await bot.get_file(ref)
            except BadRequest as error:
                if "too big" in error.message.lower():
                    raise SendError(SendOutcome.PERMANENT, TOO_LARGE) from None
                return None
            if (file.file_size or 0) > _MOST_FILE_BYTES:
                raise SendError(SendOutcome.PERMANENT, TOO_LARGE)
            return Brought(bytes(await file.download_as_bytearray()), "")

        return self._ask(get)

    def discard(self, ref: str) -> None:
        """Nothing: the chat is the worker's own, and a bot cannot delete the file of a message without it."""

    def status(self, request: Request) -> StatusUpdate | None:
        """Telegram reports nothing; a request with the right secret is answered, any other refused."""
        self._check(request)
        return None

    # --- the bot itself ------------------------------------------------------------------------

    def account(self) -> User:
        """The bot's own account. Raises :class:`SendError`."""
        return self._ask(lambda bot: bot.get_me())

    def webhook(self) -> WebhookInfo:
        """Where Telegram sends updates, and how that went lately. Raises :class:`SendError`."""
        return self._ask(lambda bot: bot.get_webhook_info())

    def set_webhook(self, url: str) -> None:
        """Have updates sent to ``url`` with our secret. What has waited comes too. Raises :class:`SendError`."""
        self._ask(lambda bot: bot.set_webhook(url, secret_token=self._secret, allowed_updates=UPDATES))

    def _thank(self, query: CallbackQuery) -> None:
        """Tell Telegram that a tap was taken, and remove the buttons. Nothing depends on it."""

        async def thank(bot: Bot) -> None:
            await bot.answer_callback_query(query.id)
            if query.message is not None:
                await bot.edit_message_reply_markup(query.message.chat.id, query.message.message_id)

        try:
            self._ask(thank, seconds=_QUICK_SECONDS)
        except SendError:
            return
        finally:
            self._courtesies.release()

    def _ask(
        self,
        act: Callable[[Bot], Awaitable[Result]],
        *,
        seconds: float = _SECONDS,
        connections: int = 1,
    ) -> Result:
        """Run one piece of work with a bot, in an event loop of its own. Raises :class:`SendError`."""

        async def run() -> Result:
            request = HTTPXRequest(
                connection_pool_size=connections,
                connect_timeout=min(seconds, 5.0),
                read_timeout=seconds,
                write_timeout=seconds,
                httpx_kwargs={"verify": trusted()},
            )
            bot = Bot(
                self._token,
                base_url=f"{self._base}/bot",
                base_file_url=f"{self._base}/file/bot",
                request=request,
                get_updates_request=request,
            )
            # Not bot.initialize(), which would ask Telegram for the account before every message.
            await request.initialize()
            try:
                return await act(bot)
            finally:
                await request.shutdown()

        try:
            return asyncio.run(run())
        except Exception as error:
            raise_failure(error)


def failure(error: Exception) -> SendError:
    """What a failed request means for us. The order matters: most errors of the library are network errors."""
    if isinstance(error, SendError):
        return error
    if isinstance(error, RetryAfter):
        wait = error.retry_after
        seconds = wait if isinstance(wait, int) else wait.total_seconds()
        return SendError(SendOutcome.RETRYABLE, "flood", wait=float(seconds))
    if isinstance(error, Forbidden):
        return _forbidden(error.message.lower())
    if isinstance(error, InvalidToken):
        return SendError(SendOutcome.PERMANENT, "token", action="operator")
    if isinstance(error, ChatMigrated):
        return SendError(SendOutcome.PERMANENT, "chat_migrated", action="bad_number")
    if isinstance(error, BadRequest):
        return _bad_request(error.message.lower())
    if isinstance(error, NetworkError):
        return _network(error)
    if isinstance(error, TelegramError | TypeError | KeyError | ValueError):
        # An answer that could not be read: whether the message was taken is not known.
        return SendError(SendOutcome.AMBIGUOUS, "unreadable")
    raise error


def raise_failure(error: Exception) -> NoReturn:
    """Raise :func:`failure`'s error without the original, whose text can hold addresses with the token."""
    raise failure(error) from None


def _forbidden(message: str) -> SendError:
    if "deactivated" in message:
        return SendError(SendOutcome.PERMANENT, "deactivated", action="bad_number")
    if "initiate" in message:
        return SendError(SendOutcome.PERMANENT, "not_started", action="bad_number")
    return SendError(SendOutcome.PERMANENT, "forbidden", action="blocked")


def _bad_request(message: str) -> SendError:
    unknown = any(sign in message for sign in ("chat not found", "user not found", "peer_id_invalid"))
    if unknown:
        return SendError(SendOutcome.PERMANENT, "chat_not_found", action="bad_number")
    return SendError(SendOutcome.PERMANENT, "bad_request")


def _network(error: NetworkError) -> SendError:
    if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return SendError(SendOutcome.RETRYABLE, "unreachable", wait=_AWAY_SECONDS)
    if error.message.lower().startswith("too many requests"):
        return SendError(SendOutcome.RETRYABLE, "flood", wait=_FLOOD_SECONDS)
    if isinstance(error, TimedOut):
        return SendError(SendOutcome.AMBIGUOUS, "timed_out", wait=_AWAY_SECONDS)
    return SendError(SendOutcome.AMBIGUOUS, "network")


# --- reading ----------------------------------------------------------------------------------


def _read(request: Request) -> Update:
    """The update in a request. Raises :class:`werkzeug.exceptions.BadRequest` for anything else."""
    try:
        data = orjson.loads(request.get_data())
    except orjson.JSONDecodeError:
        raise Unreadable("not JSON") from None
    if not isinstance(data, dict) or not _is_number(data.get("update_id")):
        raise Unreadable("not an update")
    try:
        update = Update.de_json(_needed(data), None)
    except Exception:  # the library reads trustingly, and says with any kind of error that it could not
        raise Unreadable("not an update that can be read") from None
    if not _is_sound(update):
        raise Unreadable("not an update that can be read")
    return update


def _needed(data: dict[str, Any]) -> dict[str, Any]:
    """An update with nothing in it but what we read, and what the library insists on filled in.

    So neither a sparse update nor a kind of content that is new to the library is a lost message, and no
    update stops the chat that it belongs to.
    """
    return {"update_id": data["update_id"]} | {
        kind: _part(data[kind]) for kind in _READ if data.get(kind) is not None
    }


def _part(data: dict[str, Any]) -> dict[str, Any]:
    kept = {name: data[name] for name in _FIELDS if name in data}
    if isinstance(kept.get("message"), dict):
        kept["message"] = {"date": 0} | {
            name: kept["message"][name] for name in _PLACE if name in kept["message"]
        }
    if isinstance(kept.get("from"), dict):
        kept["from"] = _NOBODY | kept["from"]
    if isinstance(data.get("new_chat_member"), dict):
        banned = data["new_chat_member"].get("status") == ChatMemberStatus.BANNED
        status = ChatMemberStatus.BANNED if banned else ChatMemberStatus.LEFT
        member = {"status": status, "user": _NOBODY | {"id": 0}, "until_date": 0}
        kept |= {"new_chat_member": member, "old_chat_member": member}
    return {"date": 0, "chat_instance": ""} | kept


def _is_sound(update: Update) -> bool:
    """Whether what we use of an update has the types that it should have; the library does not look."""
    return all(
        (
            update.message is None or _is_sound_message(update.message),
            update.callback_query is None or _is_sound_tap(update.callback_query),
            update.my_chat_member is None or _is_sound_change(update.my_chat_member),
        )
    )


def _is_sound_message(message: Message) -> bool:
    texts: list[object] = [message.text, message.caption]
    if message.contact is not None:
        texts += [message.contact.phone_number, message.contact.first_name, message.contact.last_name]
    if message.sticker is not None:
        texts.append(message.sticker.emoji)
    return (
        isinstance(message.chat, Chat)
        and (message.from_user is None or _is_person(message.from_user))
        and all(text is None or isinstance(text, str) for text in texts)
    )


def _is_sound_tap(query: CallbackQuery) -> bool:
    place = query.message
    return (
        _is_person(query.from_user)
        and isinstance(query.id, str)
        and isinstance(query.data, str | None)
        and (place is None or (_is_number(place.chat.id) and _is_number(place.message_id)))
    )


def _is_sound_change(changed: ChatMemberUpdated) -> bool:
    return (
        isinstance(changed.chat, Chat)
        and _is_person(changed.from_user)
        and isinstance(changed.new_chat_member, ChatMember)
    )


def _is_person(person: object) -> bool:
    return isinstance(person, User) and _is_number(person.id) and isinstance(person.language_code, str | None)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def _input(message: Message) -> Input:
    files = _files(message)
    if files:
        return Media(files, message.caption or "")
    if message.text is not None:
        command = _WORD.fullmatch(message.text.strip())
        return Text(command.group(1) if command else message.text)
    if message.contact is not None:
        # Somebody else's number is words like any other; it is linked to nobody.
        name = " ".join(filter(None, (message.contact.first_name, message.contact.last_name)))
        return Text(f"{name} {message.contact.phone_number}".strip())
    if message.location is not None:
        return Text(f"{message.location.latitude}, {message.location.longitude}")
    return Text((message.sticker.emoji or "") if message.sticker else "")


def _files(message: Message) -> tuple[MediaRef, ...]:
    """The file of a message; of a picture the largest size."""
    if message.photo:
        return _file(message.photo[-1].file_id, "image/jpeg")
    found: tuple[tuple[Any, str], ...] = (
        (message.voice, "audio/ogg"),
        (message.audio, "audio/mpeg"),
        (message.video, "video/mp4"),
        (message.video_note, "video/mp4"),
        (message.animation, "video/mp4"),
        (message.document, "application/octet-stream"),
    )
    for kind, usual in found:
        if kind is not None:
            return _file(kind.file_id, str(getattr(kind, "mime_type", None) or usual))
    return ()


def _file(file_id: object, content_type: str) -> tuple[MediaRef, ...]:
    return (MediaRef(file_id[:256], content_type[:64]),) if isinstance(file_id, str) and file_id else ()


def _phone(number: str) -> str:
    """E.164 of a number as Telegram writes it, with or without the plus sign; empty if it cannot be one."""
    digits = re.sub(r"[\s()+-]", "", number)
    return f"+{digits}" if digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15 else ""


# --- writing ----------------------------------------------------------------------------------


def _chat(address: Address, reason: Reveal) -> int:
    return int(address.reveal(reason))


def _data(option: Option, sprint: str) -> bytes:
    """What a button carries: the option's code and the beginning of the question's name."""
    return f"{option.code}:{sprint[:_SPRINT_DIGITS]:0<{_SPRINT_DIGITS}}".encode()


def _keyboard(options: tuple[Option, ...], sprint: str) -> InlineKeyboardMarkup | None:
    """Short labels side by side, others one below the other."""
    if not options:
        return None
    buttons = [
        InlineKeyboardButton(_label(option), callback_data=_data(option, sprint).decode())
        for option in options
    ]
    short = all(len(option.label) <= _SHORT_LABEL for option in options)
    width = _BUTTONS_IN_A_ROW if short else 1
    return InlineKeyboardMarkup([buttons[start : start + width] for start in range(0, len(buttons), width)])


def _label(option: Option) -> str:
    return option.label if len(option.label) <= _LABEL else f"{option.key} {option.label[: _LABEL - 3]}…"
