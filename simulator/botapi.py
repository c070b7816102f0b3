"""The Bot API, https://core.telegram.org/bots/api: as much of it as a hotline needs, strict where Telegram is.

Unlike Telegram's it also takes webhook addresses that are not https, because it lives on the loopback address.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from aiohttp import web

from simulator.chats import Account, ChatMessage, Chats
from simulator.records import Json, now
from simulator.updates import Updates
from simulator.webhooks import Webhooks
from simulator.world import World

TEXT_LIMIT = 4096
DATA_BYTES = 64
MOST_BUTTONS = 100
ROW_BUTTONS = 8
DELETABLE = timedelta(hours=48)
LARGEST_DOWNLOAD = 20 * 1024 * 1024
TOKEN = re.compile(r"\d{1,19}:[A-Za-z0-9_-]{1,128}")
SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
KINDS = frozenset({"message", "edited_message", "callback_query", "my_chat_member"})


class Refusal(Exception):
    """A method is refused with an error code and a description, as Telegram words them."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        self.code, self.description, self.retry_after = code, description, retry_after
        super().__init__(description)


class BotApi:
    """The methods of one bot."""

    def __init__(self, world: World, updates: Updates, webhooks: Webhooks, hang_seconds: float) -> None:
        self._world = world
        self._chats: Chats = world.chats
        self._updates = updates
        self._webhooks = webhooks
        self._hang_seconds = hang_seconds
        self._sent: deque[float] = deque()
        self._methods: dict[str, Callable[[Json], object]] = {
            "getme": self._get_me,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._get_webhook_info,
            "sendmessage": self._send_message,
            "answercallbackquery": self._answer_callback_query,
            "editmessagereplymarkup": self._edit_message_reply_markup,
            "deletemessage": self._delete_message,
            "deletemessages": self._delete_messages,
            "getfile": self._get_file,
        }
        updates.perform = self.perform

    def routes(self) -> list[web.RouteDef]:
        """The methods, and the files."""
        return [
            web.route("*", "/bot{token}/{method}", self.call),
            web.get("/file/bot{token}/{path:.+}", self.download),
        ]

    async def perform(self, method: str, params: Json) -> object:
        """Carry out a method that stood in the answer to an update; its errors are lost, as at Telegram."""
        try:
            return self._do(method, params)
        except Refusal:
            return None

    async def call(self, request: web.Request) -> web.Response:
        """One method, with its parameters in the query, a form, multipart or JSON."""
        try:
            self._authenticate(request.match_info["token"])
            params = await _params(request)
            return _answer({"ok": True, "result": await self._through_chaos(request, params)})
        except Refusal as refusal:
            body: Json = {"ok": False, "error_code": refusal.code, "description": refusal.description}
            if refusal.retry_after:
                body["parameters"] = {"retry_after": refusal.retry_after}
            return _answer(body, refusal.code)

    async def download(self, request: web.Request) -> web.Response:
        """The bytes of a file."""
        try:
            self._authenticate(request.match_info["token"])
        except Refusal as refusal:
            return _answer(
                {"ok": False, "error_code": refusal.code, "description": refusal.description}, refusal.code
            )
        path = request.match_info["path"]
        for stored in self._chats.files.values():
            if stored.path == path:
                return web.Response(body=stored.data, content_type="application/octet-stream")
        return _answer({"ok": False, "error_code": 404, "description": "Not Found"}, 404)

    def _authenticate(self, token: str) -> None:
        config = self._chats.config
        if config is None or not TOKEN.fullmatch(token):
            raise Refusal(404, "Not Found")
        if not hmac.compare_digest(token.encode(), config.token.encode()):
            raise Refusal(401, "Unauthorized")

    async def _through_chaos(self, request: web.Request, params: Json) -> object:
        method = request.match_info["method"]
        chaos, about = self._webhooks.chaos, f"telegram|{params.get('chat_id', '')}"
        if chaos.strikes("error_before", about):
            raise Refusal(502, "Bad Gateway")
        rule = self._rule(method, params)
        if rule is not None and not rule.get("after"):
            raise _refusal_of(rule)
        result = self._do(method, params)
        if chaos.strikes("hang", about) or (rule is not None and rule.get("hang")):
            await asyncio.sleep(self._hang_seconds)
            if request.transport is not None:
                request.transport.abort()
        if chaos.strikes("error", about):
            raise Refusal(500, "Internal Server Error")
        if rule is not None:
            raise _refusal_of(rule)
        return result

    def _rule(self, method: str, params: Json) -> Json | None:
        """The error that somebody ordered for this method and chat, if it is not used up."""
        for rule in self._chats.rules:
            wanted_method = str(rule.get("method", "sendMessage")).lower()
            wanted_chat = rule.get("chat")
            if wanted_method not in ("*", method.lower()) or rule.get("times", 1) <= 0:
                continue
            if wanted_chat is None or str(wanted_chat) == str(params.get("chat_id")):
                rule["times"] = rule.get("times", 1) - 1
                return rule
        return None

    def _do(self, method: str, params: Json) -> object:
        action = self._methods.get(method.lower())
        if action is None:
            raise Refusal(404, "Not Found")
        result = action(params)
        self._world.touch()
        return result

    # --- the bot -------------------------------------------------------------------------------

    def _get_me(self, _: Json) -> Json:
        return self._me() | {"can_join_groups": True, "supports_inline_queries": False}

    def _me(self) -> Json:
        config = self._chats.config
        assert config is not None  # noqa: S101 - _authenticate() came first
        number = int(config.token.partition(":")[0])
        return {"id": number, "is_bot": True, "first_name": config.name, "username": config.username}

    def _set_webhook(self, params: Json) -> bool:
        url, secret = str(params.get("url", "")), str(params.get("secret_token", ""))
        allowed = _decoded(params.get("allowed_updates", []))
        if secret and not SECRET.fullmatch(secret):
            raise Refusal(400, "Bad Request: secret token contains unallowed characters")
        if url and not url.startswith(("https://", "http://")):
            raise Refusal(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if not isinstance(allowed, list) or not set(allowed) <= KINDS:
            raise Refusal(400, "Bad Request: can't parse allowed updates")
        hook = self._chats.hook
        hook.url, hook.secret, hook.allowed = url, secret, allowed
        hook.max_connections = int(params.get("max_connections", 40))
        hook.last_error_date, hook.last_error_message = None, ""
        self._updates.wake()
        return True

    def _delete_webhook(self, _: Json) -> bool:
        return self._set_webhook({"url": ""})

    def _get_webhook_info(self, _: Json) -> Json:
        hook = self._chats.hook
        info: Json = {
            "url": hook.url,
            "has_custom_certificate": False,
            "pending_update_count": self._updates.pending,
            "max_connections": hook.max_connections,
        }
        if hook.allowed:
            info["allowed_updates"] = hook.allowed
        if hook.last_error_date:
            info |= {"last_error_date": hook.last_error_date, "last_error_message": hook.last_error_message}
        return info

    # --- messages ------------------------------------------------------------------------------

    def _send_message(self, params: Json) -> Json:
        account = self._writable(params)
        text = str(params.get("text", ""))
        if not text.strip():
            raise Refusal(400, "Bad Request: message text is empty")
        if len(text) > TEXT_LIMIT:
            raise Refusal(400, "Bad Request: message is too long")
        self._keep_pace()
        buttons = _buttons(params.get("reply_markup"))
        message = ChatMessage(self._chats.next_message(), False, text, buttons=buttons)
        account.messages.append(message)
        self._world.handset(account.number).notice("telegram")
        return self._shown(account, message)

    def _keep_pace(self) -> None:
        """Refuse what is more than the configured messages per second, with the second to wait."""
        config = self._chats.config
        if config is None or not config.messages_per_second:
            return
        present = asyncio.get_running_loop().time()
        while self._sent and self._sent[0] <= present - 1:
            self._sent.popleft()
        if len(self._sent) >= config.messages_per_second:
            raise Refusal(429, "Too Many Requests: retry after 1", 1)
        self._sent.append(present)

    def _answer_callback_query(self, params: Json) -> bool:
        query = str(params.get("callback_query_id", ""))
        if query not in self._chats.queries:
            raise Refusal(
                400,
                "Bad Request: query is too old and response timeout expired or query ID is invalid",
            )
        self._chats.queries[query] = True
        return True

    def _edit_message_reply_markup(self, params: Json) -> Json:
        account = self._writable(params)
        message = account.message(_int(params, "message_id"))
        if message is None or message.mine:
            raise Refusal(400, "Bad Request: message to edit not found")
        buttons = _buttons(params.get("reply_markup"))
        if buttons == message.buttons:
            raise Refusal(400, "Bad Request: message is not modified")
        message.buttons = buttons
        return self._shown(account, message)

    def _delete_message(self, params: Json) -> bool:
        account = self._reached(params)
        message = account.message(_int(params, "message_id"))
        if message is None:
            raise Refusal(400, "Bad Request: message to delete not found")
        if now() - message.at > DELETABLE:
            raise Refusal(400, "Bad Request: message can't be deleted")
        message.deleted, message.text, message.buttons = True, "", []
        return True

    def _delete_messages(self, params: Json) -> bool:
        ids = _decoded(params.get("message_ids", []))
        if not isinstance(ids, list) or not 1 <= len(ids) <= 100:
            raise Refusal(400, "Bad Request: message identifiers are not specified")
        for message_id in ids:
            account = self._reached(params)
            message = account.message(int(message_id))
            if message is not None and now() - message.at <= DELETABLE:
                message.deleted, message.text, message.buttons = True, "", []
        return True

    def _get_file(self, params: Json) -> Json:
        file_id = str(params.get("file_id", ""))
        stored = self._chats.files.get(file_id)
        if stored is None:
            raise Refusal(400, "Bad Request: invalid file_id")
        if stored.size > LARGEST_DOWNLOAD:
            raise Refusal(400, "Bad Request: file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": file_id[-12:],
            "file_size": stored.size,
            "file_path": stored.path,
        }

    def _reached(self, params: Json) -> Account:
        account = self._chats.accounts.get(_int(params, "chat_id"))
        if account is None:
            raise Refusal(400, "Bad Request: chat not found")
        return account

    def _writable(self, params: Json) -> Account:
        account = self._reached(params)
        if account.blocked:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        if not account.started:
            raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
        return account

    def _shown(self, account: Account, message: ChatMessage) -> Json:
        shown: Json = {
            "message_id": message.id,
            "from": self._me(),
            "chat": {"id": account.id, "type": "private", "first_name": "x"},
            "date": int(message.at.timestamp()),
            "text": message.text,
        }
        if message.buttons:
            rows = [
                [{"text": each["text"], "callback_data": each["data"]} for each in row]
                for row in message.buttons
            ]
            shown["reply_markup"] = {"inline_keyboard": rows}
        return shown


def _refusal_of(rule: Json) -> Refusal:
    code = int(rule.get("code", 500))
    retry_after = rule.get("retry_after")
    usual = {
        400: "Bad Request: chat not found",
        403: "Forbidden: bot was blocked by the user",
        429: f"Too Many Requests: retry after {retry_after}",
    }
    return Refusal(code, str(rule.get("description", usual.get(code, "Internal Server Error"))), retry_after)


def _buttons(markup: object) -> list[list[Json]]:
    """The rows of an inline keyboard, checked as Telegram does."""
    keyboard = _decoded(markup) if markup else {}
    rows = keyboard.get("inline_keyboard", []) if isinstance(keyboard, dict) else None
    if not isinstance(rows, list) or any(not isinstance(row, list) for row in rows):
        raise Refusal(400, "Bad Request: object expected as reply markup")
    made = [[_button(button) for button in row] for row in rows]
    if sum(map(len, made)) > MOST_BUTTONS or any(len(row) > ROW_BUTTONS for row in made):
        raise Refusal(400, "Bad Request: REPLY_MARKUP_TOO_LONG")
    return made


def _button(button: object) -> Json:
    if not isinstance(button, dict) or not str(button.get("text", "")).strip():
        raise Refusal(400, "Bad Request: text buttons are unallowed in the inline keyboard")
    data = str(button.get("callback_data", ""))
    if not 1 <= len(data.encode()) <= DATA_BYTES:
        raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")
    return {"text": str(button["text"]), "data": data}


def _int(params: Json, name: str) -> int:
    try:
        return int(params[name])
    except (KeyError, TypeError, ValueError):
        raise Refusal(400, f"Bad Request: {name} is empty") from None


def _decoded(value: object) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise Refusal(400, "Bad Request: can't parse JSON") from None


async def _params(request: web.Request) -> Json:
    params: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            raise Refusal(400, "Bad Request: can't parse JSON") from None
        params |= body if isinstance(body, dict) else {}
    elif request.can_read_body:
        params |= dict(await request.post())
    return params


def _answer(body: Json, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body), content_type="application/json", status=status)
