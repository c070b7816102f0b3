"""What people do in the make-believe Telegram, by ``/sim/telegram/…``: for tests, the demo and the phone page."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web

from simulator.attachments import file_answer, parse_file, sample
from simulator.chats import Account, ChatMessage, Chats, StoredFile
from simulator.control import Refused, guarded, json_answer, read_body, text_of
from simulator.records import Json
from simulator.updates import Updates
from simulator.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class People:
    """The people with Telegram accounts of one world; ``{who}`` is the number of a handset."""

    def __init__(self, world: World, updates: Updates) -> None:
        self._world = world
        self._chats: Chats = world.chats
        self._updates = updates

    def routes(self) -> list[web.RouteDef]:
        """The routes under ``/sim/telegram``."""
        one = "/sim/telegram/people/{who}/"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/sim/telegram", self.state),
            ("POST", "/sim/telegram/errors", self.order_errors),
            ("POST", "/sim/telegram/repeat", self.repeat),
            ("POST", "/sim/telegram/update", self.update),
            ("POST", "/sim/telegram/age", self.age),
            ("POST", one + "start", self.start),
            ("POST", one + "text", self.text),
            ("POST", one + "tap", self.tap),
            ("POST", one + "voice", self.voice),
            ("POST", one + "photo", self.photo),
            ("POST", one + "document", self.document),
            ("GET", "/sim/telegram/files/{file}", self.file),
            ("POST", one + "contact", self.contact),
            ("POST", one + "edit", self.edit),
            ("POST", one + "group", self.group),
            ("POST", one + "block", self.block),
            ("POST", one + "unblock", self.unblock),
        ]
        return [web.route(method, path, guarded(handler)) for method, path, handler in table]

    def view(self, number: str) -> Json | None:
        """The chat of a handset for the phone page; None without a bot."""
        config = self._chats.config
        if config is None:
            return None
        account = self._chats.account(number)
        link = f"https://t.me/{config.username}"
        return {"bot": config.name, "link": link, **account.to_json()}

    # --- looking and fate ------------------------------------------------------------------------

    async def state(self, _: web.Request) -> web.Response:
        """All chats, the webhook (without its secret), taps and updates that wait."""
        hook = self._chats.hook
        return json_answer(
            {
                "accounts": [account.to_json() for account in self._chats.accounts.values()],
                "queries": self._chats.queries,
                "webhook": {
                    "url": hook.url,
                    "has_secret": bool(hook.secret),
                    "allowed_updates": hook.allowed,
                    "last_error_message": hook.last_error_message,
                },
                "pending": self._updates.pending,
                "updates": sorted(self._updates.sent),
            }
        )

    async def order_errors(self, request: web.Request) -> web.Response:
        """``{"code", "chat"?, "method"?, "times"?, "retry_after"?, "description"?, "after"?, "hang"?}``.

        With ``after`` the deed is done before the error; with ``hang`` also, and then nothing is answered. An empty
        object ends all ordered errors.
        """
        rule = await read_body(request)
        if rule:
            rule["after"] = bool(rule.get("after") or rule.get("hang"))
            self._chats.rules.append(rule)
        else:
            self._chats.rules.clear()
        return json_answer(self._chats.rules)

    async def repeat(self, request: web.Request) -> web.Response:
        """An earlier update again: ``{"update_id": …}``."""
        if not self._updates.repeat(int((await read_body(request)).get("update_id", 0))):
            raise Refused(404, "no such update")
        return json_answer({})

    async def update(self, request: web.Request) -> web.Response:
        """Any update: ``{"chat", "kind", "content"}``."""
        body = await read_body(request)
        update_id = self._updates.post(
            int(body.get("chat", 0)), text_of(body, "kind"), body.get("content", {})
        )
        return json_answer({"update_id": update_id}, 201)

    async def age(self, request: web.Request) -> web.Response:
        """Make every message ``hours`` older."""
        hours = float((await read_body(request)).get("hours", 0))
        for account in self._chats.accounts.values():
            for message in account.messages:
                message.at -= timedelta(hours=hours)
        return json_answer({})

    # --- what a person does ----------------------------------------------------------------------

    async def start(self, request: web.Request) -> web.Response:
        """Press START, perhaps on a link with a ``token`` in it; a bot that was blocked is unblocked by that."""
        account = self._account(request)
        token = str((await read_body(request)).get("token", ""))
        if account.blocked:
            self._set_blocked(account, False)
        account.started = True
        return self._said(account, {"text": f"/start {token}".strip()})

    async def text(self, request: web.Request) -> web.Response:
        """Write ``text``."""
        body = await read_body(request)
        return self._said(self._open(request), {"text": text_of(body, "text")})

    async def tap(self, request: web.Request) -> web.Response:
        """Tap a button by its ``data`` or ``label``, of ``message_id`` or the newest message that has it."""
        account = self._open(request)
        body = await read_body(request)
        for message in reversed(account.messages):
            if body.get("message_id", message.id) != message.id:
                continue
            data = body.get("data") if "message_id" in body else None
            for button in (button for row in message.buttons for button in row):
                if body.get("data") == button["data"] or body.get("label") == button["text"]:
                    data = button["data"]
            if data:
                return self._tapped(account, message, str(data))
        raise Refused(404, "no such button")

    async def voice(self, request: web.Request) -> web.Response:
        """Send a voice note that is said to last ``seconds``; ``text`` is what it would say."""
        account = self._open(request)
        body = await read_body(request)
        seconds = int(body.get("seconds", 3))
        words = str(body.get("text", ""))
        _, content_type, data = sample("voice")
        file_id = self._keep(data, "voice", "oga", content_type)
        voice = {"file_id": file_id, "file_unique_id": file_id[-12:], "duration": seconds}
        content = {"voice": voice | {"mime_type": content_type}}
        return self._said(account, content, words, "voice", file_id)

    async def photo(self, request: web.Request) -> web.Response:
        """Send a picture, perhaps with a ``caption``."""
        account = self._open(request)
        caption = str((await read_body(request)).get("caption", ""))
        _, content_type, data = sample("picture")
        sizes, file_id = [], ""
        for width in (90, 800):
            file_id = self._keep(data, "photos", "jpg", content_type)
            sizes.append(
                {"file_id": file_id, "file_unique_id": file_id[-12:], "width": width, "height": width}
            )
        content: Json = {"photo": sizes} | ({"caption": caption} if caption else {})
        return self._said(account, content, caption, "photo", file_id)

    async def document(self, request: web.Request) -> web.Response:
        """Send a ``file``, as for a text message, perhaps with a ``caption``."""
        account = self._open(request)
        body = await read_body(request)
        name, content_type, data = parse_file(body.get("file"))
        caption = str(body.get("caption", ""))
        file_id = self._keep(data, "documents", name.rpartition(".")[2] or "bin", content_type)
        document = {"file_id": file_id, "file_unique_id": file_id[-12:], "file_size": len(data)}
        content: Json = {"document": document | {"file_name": name, "mime_type": content_type}}
        return self._said(
            account, content | ({"caption": caption} if caption else {}), caption, "document", file_id
        )

    async def file(self, request: web.Request) -> web.Response:
        """A file that a person sent, for the phone page."""
        found = self._chats.files.get(request.match_info["file"])
        if found is None:
            raise Refused(404, "no such file")
        return file_answer(found.data, found.content_type)

    async def contact(self, request: web.Request) -> web.Response:
        """Share a contact: one's own, or with ``own`` false somebody else's (``number``)."""
        account = self._open(request)
        body = await read_body(request)
        own = bool(body.get("own", True))
        number = account.number if own else str(body.get("number", "+15550100"))
        contact: Json = {"phone_number": number.removeprefix("+"), "first_name": "x"}
        if own:
            contact["user_id"] = account.id
        elif "user_id" in body:
            contact["user_id"] = body["user_id"]
        return self._said(account, {"contact": contact}, f"☎ {number}", "contact")

    async def edit(self, request: web.Request) -> web.Response:
        """Change one's own message ``message_id`` to ``text``."""
        account = self._open(request)
        body = await read_body(request)
        message = account.message(int(body.get("message_id", 0)))
        if message is None or not message.mine:
            raise Refused(404, "no such message")
        message.text, message.edited = text_of(body, "text"), True
        content = self._content(account, message) | {"text": message.text, "edit_date": _stamp(message)}
        update_id = self._updates.post(account.id, "edited_message", content)
        self._world.touch()
        return json_answer({"update_id": update_id}, 201)

    async def group(self, request: web.Request) -> web.Response:
        """Write ``text`` in a group that the bot is in."""
        account = self._account(request)
        message = ChatMessage(self._chats.next_message(), True, text_of(await read_body(request), "text"))
        content = self._content(account, message) | {"text": message.text}
        content["chat"] = {"id": -account.id, "type": "group", "title": "x"}
        return json_answer({"update_id": self._updates.post(-account.id, "message", content)}, 201)

    async def block(self, request: web.Request) -> web.Response:
        """Block the bot."""
        return json_answer({"update_id": self._set_blocked(self._open(request), True)}, 201)

    async def unblock(self, request: web.Request) -> web.Response:
        """Unblock the bot, and say nothing."""
        return json_answer({"update_id": self._set_blocked(self._account(request), False)}, 201)

    # --- how it becomes updates --------------------------------------------------------------------

    def _account(self, request: web.Request) -> Account:
        if self._chats.config is None:
            raise Refused(409, "there is no bot: telegram is not configured")
        return self._chats.account(request.match_info["who"])

    def _open(self, request: web.Request) -> Account:
        account = self._account(request)
        if not account.started or account.blocked:
            raise Refused(409, "this person has not started the bot, or has blocked it")
        return account

    def _said(
        self, account: Account, content: Json, shown: str = "", kind: str = "text", file: str = ""
    ) -> web.Response:
        text = shown or str(content.get("text", ""))
        message = ChatMessage(self._chats.next_message(), True, text, kind=kind, file=file)
        account.messages.append(message)
        update_id = self._updates.post(account.id, "message", self._content(account, message) | content)
        self._world.touch()
        return json_answer({"update_id": update_id, "message_id": message.id}, 201)

    def _tapped(self, account: Account, message: ChatMessage, data: str) -> web.Response:
        query = str(secrets.randbelow(10**18))
        self._chats.queries[query] = False
        content = {
            "id": query,
            "from": self._user(account),
            "message": self._content(account, message) | {"text": message.text},
            "chat_instance": str(account.id),
            "data": data,
        }
        update_id = self._updates.post(account.id, "callback_query", content)
        return json_answer({"update_id": update_id, "query": query}, 201)

    def _set_blocked(self, account: Account, blocked: bool) -> int:
        before, after = ("member", "kicked") if blocked else ("kicked", "member")
        account.blocked = blocked
        config = self._chats.config
        bot = {"id": int(config.token.partition(":")[0]) if config else 0, "is_bot": True, "first_name": "x"}
        moment = ChatMessage(0, True, "")
        content = {
            "chat": {"id": account.id, "type": "private", "first_name": "x"},
            "from": self._user(account),
            "date": _stamp(moment),
            "old_chat_member": {"user": bot, "status": before}
            | ({"until_date": 0} if before == "kicked" else {}),
            "new_chat_member": {"user": bot, "status": after}
            | ({"until_date": 0} if after == "kicked" else {}),
        }
        self._world.touch()
        return self._updates.post(account.id, "my_chat_member", content)

    def _content(self, account: Account, message: ChatMessage) -> Json:
        return {
            "message_id": message.id,
            "from": self._user(account),
            "chat": {"id": account.id, "type": "private", "first_name": "x"},
            "date": _stamp(message),
        }

    def _user(self, account: Account) -> Json:
        handset = self._world.handset(account.number)
        user: Json = {"id": account.id, "is_bot": False, "first_name": handset.name or "x"}
        return user | ({"language_code": handset.language.lower()} if handset.language else {})

    def _keep(self, data: bytes, folder: str, ending: str, content_type: str) -> str:
        file_id = "AgACAg" + secrets.token_urlsafe(48)
        path = f"{folder}/file_{len(self._chats.files)}.{ending}"
        self._chats.files[file_id] = StoredFile(path, content_type, data, len(data))
        return file_id


def _stamp(message: ChatMessage) -> int:
    return int(message.at.timestamp())
