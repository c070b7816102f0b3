"""The make-believe Telegram: the Bot API as the real library uses it, and the rules by which updates come."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
import requests
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter, TimedOut
from telegram.request import HTTPXRequest

from simulator import server
from simulator.errors import ConfigError
from tests.browser import NewPage

TOKEN = "99887766:make-believe-token"
SECRET = "a-secret_0123456789"
PERSON = "+6281200000001"
OTHER = "+6281200000002"
Json = dict[str, Any]
Result = TypeVar("Result")


@dataclass
class Listener:
    """The customer's webhook: answers as told, and remembers every update."""

    url: str = ""
    updates: list[Json] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    """What to answer next (status, headers, body); 200 when there is nothing."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def texts(self) -> list[str]:
        """The words of the messages, in the order in which they came."""
        return [each["message"]["text"] for each in self.updates if "message" in each]


def said(
    status: int, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    return status, headers or {}, body


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard = Listener()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with heard.lock:
                heard.updates.append(body)
                heard.secrets.append(self.headers.get("X-Telegram-Bot-Api-Secret-Token"))
                status, headers, answer = heard.answers.pop(0) if heard.answers else (200, {}, b"")
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(answer))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    heard.url = f"http://127.0.0.1:{web.server_address[1]}/hook"
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    yield heard
    web.shutdown()
    thread.join()
    web.server_close()


@dataclass
class Network:
    """A simulator with a bot, seen from outside."""

    url: str

    def bot(self, act: Callable[[Bot], Awaitable[Result]], token: str = TOKEN) -> Result:
        """Let the real library do something."""

        async def run() -> Result:
            request = HTTPXRequest(connect_timeout=60, read_timeout=60, pool_timeout=60)
            base, files = f"{self.url}/bot", f"{self.url}/file/bot"
            bot = Bot(token, base, files, request=request, get_updates_request=request)
            async with request:
                return await act(bot)

        return asyncio.run(run())

    def does(self, what: str, who: str = PERSON, **fields: Any) -> Json:
        """Let a person do something."""
        return self.post(f"/sim/telegram/people/{who}/{what}", fields)

    def post(self, path: str, body: object) -> Json:
        """Post JSON to the control API."""
        reply = requests.post(self.url + path, json=body, timeout=60)
        assert reply.ok, reply.text
        return cast(Json, reply.json())

    def state(self) -> Json:
        """All that Telegram knows."""
        return cast(Json, requests.get(f"{self.url}/sim/telegram", timeout=60).json())

    def chat(self, who: str = PERSON) -> Json:
        """One person's account."""
        return next(each for each in self.state()["accounts"] if each["number"] == who)

    def idle(self) -> None:
        """Wait until no update is on its way."""
        assert requests.get(f"{self.url}/sim/wait?timeout=60", timeout=90).json()["met"]

    def webhook(self, url: str, **more: Any) -> None:
        """Set the webhook."""
        self.bot(lambda bot: bot.set_webhook(url, secret_token=SECRET, **more))

    def started(self, who: str = PERSON) -> int:
        """The number of a person's chat, which she has started."""
        self.does("start", who)
        return int(self.chat(who)["id"])


def configuration(**more: Any) -> Json:
    return {
        "account_sid": "AC" + "1" * 32,
        "auth_token": "t",
        "speed": 1000,
        "telegram": {"token": TOKEN},
    } | more


@pytest.fixture
def network() -> Iterator[Network]:
    running = server.start(configuration())
    yield Network(running.url)
    running.stop()


# --- the Bot API ------------------------------------------------------------------------------------


def test_the_library_can_do_what_a_hotline_needs(network: Network) -> None:
    chat = network.started()
    me = network.bot(lambda bot: bot.get_me())
    assert (me.id, me.is_bot, me.username) == (99887766, True, "make_believe_bot")
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="yes:1")]])
    sent = network.bot(lambda bot: bot.send_message(chat, "Safe?", reply_markup=keyboard))
    assert (sent.text, sent.chat.id) == ("Safe?", chat)
    query = network.does("tap", label="Yes")["query"]
    assert network.bot(lambda bot: bot.answer_callback_query(query))
    network.bot(lambda bot: bot.edit_message_reply_markup(chat, sent.message_id))
    assert network.chat()["messages"][-1]["buttons"] == []
    assert network.bot(lambda bot: bot.delete_message(chat, sent.message_id))
    assert network.chat()["messages"][-1]["deleted"]
    assert network.chat()["messages"][-1]["text"] == ""


def test_a_file_can_be_fetched(network: Network, listener: Listener) -> None:
    network.webhook(listener.url)
    network.started()
    network.does("voice", text="hello", seconds=2)
    network.idle()
    voice = listener.updates[-1]["message"]["voice"]

    async def fetch(bot: Bot) -> bytes:
        return bytes(await (await bot.get_file(voice["file_id"])).download_as_bytearray())

    assert network.bot(fetch).startswith(b"OggS")
    assert requests.get(f"{network.url}/file/bot{TOKEN}/voice/none.oga", timeout=60).status_code == 404
    with pytest.raises(BadRequest, match="file_id"):
        network.bot(lambda bot: bot.get_file("unknown"))


@pytest.mark.parametrize("token", ["99887766:another", "1:x", "nonsense"])
def test_a_wrong_token_is_refused(network: Network, token: str) -> None:
    with pytest.raises(InvalidToken):
        network.bot(lambda bot: bot.get_me(), token)


def test_without_a_bot_there_is_none() -> None:
    running = server.start(configuration(telegram=None))
    try:
        assert requests.get(f"{running.url}/bot{TOKEN}/getMe", timeout=60).status_code == 404
        refused = requests.post(f"{running.url}/sim/telegram/people/{PERSON}/start", json={}, timeout=60)
        assert refused.status_code == 409
    finally:
        running.stop()


def test_a_bot_that_is_wrongly_described_stops_the_start() -> None:
    for wrong in ({"token": "no colon"}, {}, {"token": TOKEN, "nmae": "x"}):
        with pytest.raises(ConfigError):
            server.start(configuration(telegram=wrong))


def test_only_who_pressed_start_can_be_written_to(network: Network) -> None:
    with pytest.raises(BadRequest, match="Chat not found"):
        network.bot(lambda bot: bot.send_message(5, "hello"))
    chat = network.started()
    network.does("block")
    with pytest.raises(Forbidden, match="blocked by the user"):
        network.bot(lambda bot: bot.send_message(chat, "hello"))
    network.does("start")
    network.bot(lambda bot: bot.send_message(chat, "hello"))


@pytest.mark.parametrize(
    ("text", "data", "reason"),
    [
        ("", "x", "empty"),
        ("   ", "x", "empty"),
        ("x" * 4097, "x", "too long"),
        ("x", "ü" * 33, "(?i)button_data_invalid"),
    ],
)
def test_a_message_outside_the_limits_is_refused(network: Network, text: str, data: str, reason: str) -> None:
    chat = network.started()
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("b", callback_data=data)]])
    with pytest.raises(BadRequest, match=reason):
        network.bot(lambda bot: bot.send_message(chat, text, reply_markup=keyboard))


def test_old_taps_old_messages_and_unknown_ones_are_refused(network: Network) -> None:
    chat = network.started()
    sent = network.bot(lambda bot: bot.send_message(chat, "hello"))
    with pytest.raises(BadRequest, match="too old"):
        network.bot(lambda bot: bot.answer_callback_query("12345"))
    with pytest.raises(BadRequest, match="not found"):
        network.bot(lambda bot: bot.delete_message(chat, 987))
    with pytest.raises(BadRequest, match="not modified"):
        network.bot(lambda bot: bot.edit_message_reply_markup(chat, sent.message_id))
    network.post("/sim/telegram/age", {"hours": 49})
    with pytest.raises(BadRequest, match="can't be deleted"):
        network.bot(lambda bot: bot.delete_message(chat, sent.message_id))


def test_ordered_errors_come_as_often_as_ordered(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    chat = network.started()

    def send() -> None:
        network.bot(lambda bot: bot.send_message(chat, "hello"))

    network.post("/sim/telegram/errors", {"code": 429, "retry_after": 7})
    with pytest.raises(RetryAfter) as flood:
        send()
    assert flood.value.retry_after.total_seconds() == 7  # type: ignore[union-attr]  # a span by the variable above
    network.post("/sim/telegram/errors", {"code": 502, "after": True})
    with pytest.raises(NetworkError):
        send()
    network.post("/sim/telegram/errors", {"hang": True, "code": 500})
    with pytest.raises((TimedOut, NetworkError)):
        send()
    send()
    assert [each["text"] for each in network.chat()["messages"] if not each["mine"]] == ["hello"] * 3


def test_more_than_the_pace_is_a_flood() -> None:
    running = server.start(configuration(telegram={"token": TOKEN, "messages_per_second": 2}))
    network = Network(running.url)
    try:
        chat = network.started()
        codes = [
            requests.post(
                f"{network.url}/bot{TOKEN}/sendMessage", json={"chat_id": chat, "text": "x"}, timeout=60
            ).status_code
            for _ in range(3)
        ]
        assert codes == [200, 200, 429]
    finally:
        running.stop()


# --- updates ----------------------------------------------------------------------------------------


def test_updates_carry_the_secret_and_rise_in_number(network: Network, listener: Listener) -> None:
    network.webhook(listener.url)
    network.does("start", token="123456")
    network.does("text", text="hello")
    network.idle()
    assert listener.texts() == ["/start 123456", "hello"]
    assert set(listener.secrets) == {SECRET}
    numbers = [each["update_id"] for each in listener.updates]
    assert numbers == sorted(set(numbers))
    assert PERSON[1:] not in json.dumps(listener.updates)


def test_a_chats_updates_wait_for_the_one_before_and_other_chats_do_not(
    network: Network, listener: Listener
) -> None:
    network.webhook(listener.url)
    listener.answers = [said(500)] * 4
    network.does("start")
    for n in range(3):
        network.does("text", text=f"{n}")
    network.does("start", OTHER)
    network.idle()
    mine = [each for each in listener.updates if each["message"]["from"]["id"] == network.chat()["id"]]
    taken = [each["message"]["text"] for each in mine]
    assert taken[0] == "/start"
    assert taken[-3:] == ["0", "1", "2"]
    assert len(listener.updates) == 5 + 4
    assert [text for n, text in enumerate(taken) if text not in taken[:n]] == ["/start", "0", "1", "2"]


@pytest.mark.parametrize("status", [302, 400, 403, 404, 500, 503])
def test_whatever_is_not_2xx_is_sent_again(network: Network, listener: Listener, status: int) -> None:
    network.webhook(listener.url)
    listener.answers = [said(status), said(status)]
    network.started()
    network.idle()
    assert len(listener.updates) == 3
    info = network.bot(lambda bot: bot.get_webhook_info())
    assert str(status) in (info.last_error_message or "")
    assert info.pending_update_count == 0


def test_retry_after_is_obeyed(listener: Listener) -> None:
    running = server.start(configuration(speed=20))
    network = Network(running.url)
    try:
        network.webhook(listener.url)
        listener.answers = [said(503, {"Retry-After": "3600"})]
        network.does("start")
        waiting = requests.get(f"{network.url}/sim/wait?timeout=0.5", timeout=60).json()
        assert (waiting["met"], waiting["telegram"], len(listener.updates)) == (False, 1, 1)
    finally:
        running.stop()


def test_what_is_older_than_a_day_is_dropped_and_a_place_that_is_gone_given_up(listener: Listener) -> None:
    running = server.start(configuration(speed=1_000_000))
    network = Network(running.url)
    try:
        network.webhook(listener.url)
        listener.answers = [said(410)] * 100_000
        network.does("start")
        network.idle()
        network.does("text", text="a day later")
        network.idle()
        assert network.state()["webhook"]["url"] == ""
        assert network.state()["pending"] >= 1
        listener.answers = [said(500)] * 100_000
        network.webhook(listener.url)
        network.idle()
        assert network.state()["pending"] == 0
        listener.answers = []
        network.does("text", text="still here")
        network.idle()
        assert listener.texts()[-1] == "still here"
    finally:
        running.stop()


def test_only_the_wanted_kinds_come(network: Network, listener: Listener) -> None:
    network.webhook(listener.url, allowed_updates=["message"])
    network.started()
    wrote = network.does("text", text="hello")
    network.does("edit", message_id=wrote["message_id"], text="hallo")
    network.does("block")
    network.idle()
    assert [key for each in listener.updates for key in each if key != "update_id"] == ["message"] * 2


def test_an_answer_may_hold_a_method_but_none_that_reads_or_moves_the_webhook(
    network: Network, listener: Listener
) -> None:
    network.webhook(listener.url)
    chat = int(network.started())
    reply = {"method": "sendMessage", "chat_id": chat, "text": "from the answer"}
    away = {"method": "deleteWebhook"}
    listener.answers = [said(200, {}, json.dumps(body).encode()) for body in (reply, away)]
    for text in ("one", "two", "three"):
        network.does("text", text=text)
    network.idle()
    assert [each["text"] for each in network.chat()["messages"] if not each["mine"]] == ["from the answer"]
    assert network.state()["webhook"]["url"] == listener.url


def test_people_block_share_and_write_in_groups(network: Network, listener: Listener) -> None:
    network.webhook(listener.url)
    chat = network.started()
    network.does("contact")
    network.does("contact", own=False, number="+15550100")
    network.does("photo", caption="look")
    network.does("block")
    network.does("unblock")
    network.idle()
    _, own, other, photo, blocked, back = listener.updates
    assert own["message"]["contact"] == {"phone_number": PERSON[1:], "first_name": "x", "user_id": chat}
    assert "user_id" not in other["message"]["contact"]
    assert [size["width"] for size in photo["message"]["photo"]] == [90, 800]
    assert blocked["my_chat_member"]["new_chat_member"]["status"] == "kicked"
    assert back["my_chat_member"]["new_chat_member"]["status"] == "member"
    network.does("group", text="hello all")
    network.idle()
    assert listener.updates[-1]["message"]["chat"]["type"] == "group"


def test_misfortune_repeats_and_delays_and_loses_nothing(listener: Listener) -> None:
    plan = {"seed": 3, "duplicate": 0.5, "drop": 0.5, "delay": [0, 2]}
    running = server.start(configuration(chaos=plan))
    network = Network(running.url)
    try:
        network.webhook(listener.url)
        network.started()
        for n in range(20):
            network.does("text", text=f"{n}")
        network.idle()
        texts = [text for text in listener.texts() if text != "/start"]
        assert [text for n, text in enumerate(texts) if text not in texts[:n]] == [str(n) for n in range(20)]
        assert len(texts) > 20
    finally:
        running.stop()


def test_an_update_can_be_repeated_as_it_was(network: Network, listener: Listener) -> None:
    network.webhook(listener.url)
    update_id = network.does("start")["update_id"]
    network.idle()
    network.post("/sim/telegram/repeat", {"update_id": update_id})
    network.idle()
    assert listener.updates[0] == listener.updates[1]


def test_chats_and_the_webhook_survive_a_restart(tmp_path: Path, listener: Listener) -> None:
    path = tmp_path / "state.json"
    running = server.start(configuration(), state=path)
    network = Network(running.url)
    network.webhook(listener.url)
    chat = network.started()
    network.bot(lambda bot: bot.send_message(chat, "hello"))
    network.idle()
    before = network.chat()
    running.stop()
    again = server.start(configuration(), state=path)
    try:
        network = Network(again.url)
        assert network.chat() == before
        network.does("text", text="I am back")
        network.idle()
        assert listener.texts()[-1] == "I am back"
        numbers = [each["update_id"] for each in listener.updates]
        assert len(set(numbers)) == len(numbers)
    finally:
        again.stop()


# --- the page ---------------------------------------------------------------------------------------


def test_the_phone_page_shows_the_chat_and_its_buttons(browser: NewPage) -> None:
    handset = {"number": PERSON, "name": "Siti (made up)", "language": "id"}
    running = server.start(configuration(handsets=[handset]))
    network = Network(running.url)
    try:
        page = browser(viewport={"width": 360, "height": 800})
        page.goto(f"{running.url}/#{PERSON.replace('+', '%2B')}/telegram")
        page.get_by_role("button", name="START").click()
        page.locator("#tg-compose").wait_for()
        chat = network.chat()["id"]
        body = {
            "chat_id": chat,
            "text": "Aman?",
            "reply_markup": json.dumps({"inline_keyboard": [[{"text": "Ya", "callback_data": "yes:1"}]]}),
        }
        assert requests.post(f"{running.url}/bot{TOKEN}/sendMessage", data=body, timeout=60).ok
        page.get_by_role("button", name="Ya", exact=True).click()
        page.locator("#tg-text").fill("gaji dipotong")
        page.locator("#tg-compose").get_by_role("button", name="Send").click()
        page.locator("#tg-chat").get_by_text("gaji dipotong").wait_for()
        page.get_by_role("button", name="Block the bot").click()
        page.get_by_role("button", name="START").wait_for()
        assert network.state()["queries"]
        assert network.chat()["blocked"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        running.stop()
