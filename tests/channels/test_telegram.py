"""Telegram: what people do in a chat with the bot, told by the make-believe Telegram, answered by the real library."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import httpx
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import insert, select
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.warnings import PTBDeprecationWarning
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from bot.errors import SendOutcome
from bot.flow import engine
from bot.messages import Button, Expects, Inbound, Media, Option, Prompt, Signal, Text
from bot.steps import Place
from bot.storage import tables
from bot.storage.tables import table
from channels import doctor
from channels.telegram import SECRET_HEADER, Telegram, failure
from tests.channels.telegram import PATH, SECRET, WORKER, Chat, chatting, post, update
from tests.journeys.world import BOT_TOKEN, Worker, Worlds

CARD = "481516"


@pytest.fixture
def chat(worlds: Worlds, sqlite_url: str) -> Chat:
    """A worker with Telegram."""
    return chatting(worlds, sqlite_url)


@pytest.fixture
def any_chat(worlds: Worlds, database_url: str) -> Chat:
    """The same, once on each kind of database."""
    return chatting(worlds, database_url)


def audited(chat: Chat) -> str:
    """An audit with a known code on its card; gives its id."""
    chat.world.interviewed(Worker(number="+6281200000077"))
    audit = table(tables.Audit)
    with chat.world.service.database.write() as connection:
        connection.execute(audit.update().values(card_code=CARD))
        return str(connection.execute(select(audit.c.id)).scalar_one())


# --- the door ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET + "x", "ü"])
def test_an_update_without_the_secret_is_refused_and_writes_nothing(chat: Chat, secret: str | None) -> None:
    before = chat.world.counts()
    header = None if secret is None else secret.encode().decode("latin-1")
    assert post(chat.world, update(), header).status_code == 403
    assert chat.world.counts() == before


def test_the_status_address_is_guarded_too_and_tells_nothing(chat: Chat) -> None:
    url = f"{chat.world.url}{PATH}/status"
    assert requests.post(url, timeout=10).status_code == 403
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    assert requests.post(url, headers=headers, timeout=10).status_code == 204


def test_the_same_update_again_changes_nothing(chat: Chat) -> None:
    assert post(chat.world, update()).status_code == 200
    once = chat.world.counts()
    assert post(chat.world, update()).status_code == 200
    assert chat.world.counts() == once


def test_telegram_delivering_twice_leaves_one_message_and_one_answer(chat: Chat) -> None:
    chat.starts()
    given = chat.says("My pay was cut after the visit of the auditors")
    heard, counts = chat.heard(), chat.world.counts()
    chat.world.network.post("/sim/telegram/repeat", {"update_id": given["update_id"]})
    chat.world.network.idle()
    chat.world.run()
    assert (chat.heard(), chat.world.counts()) == (heard, counts)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'{"update_id": "1"}',
        b'{"update_id": true}',
        b'{"update_id": 1e400}',
        b'{"update_id": 1, "message": []}',
        b'{"update_id": 1, "message": {"message_id": 1}}',
        b"[" * 50_000,
        b'{"update_id":1,"message":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        b'{"update_id": 1, "message": {"text": "\\ud800"}}',
        b"\xff\xfe",
        json.dumps(update(text=["a"])).encode(),
        json.dumps(update(text="a", person={"id": "9"})).encode(),
        json.dumps(update(text="a", person={"id": 2**63})).encode(),
        json.dumps(update(text="a", date="today")).encode(),
        json.dumps({"update_id": 1, "callback_query": {"id": 5, "from": {"id": 9}, "data": "x"}}).encode(),
        json.dumps({"update_id": 1, "callback_query": {"id": "5"}}).encode(),
    ],
)
def test_what_is_no_update_is_a_bad_request_and_writes_nothing(chat: Chat, body: bytes) -> None:
    before = chat.world.counts()
    assert post(chat.world, body).status_code == 400
    assert chat.world.counts() == before


def test_an_oversized_body_is_refused(chat: Chat) -> None:
    before = chat.world.counts()
    assert post(chat.world, update(text="x" * 200_000)).status_code == 413
    assert chat.world.counts() == before


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("message_id", "date", "chat", "from", "text", "photo", "voice", "contact", "location", "sticker")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(
    changes=st.dictionaries(st.sampled_from(_FIELDS), _JSON, min_size=1, max_size=3),
    kind=st.sampled_from(["message", "callback_query", "my_chat_member", "edited_message"]),
)
def test_a_broken_update_is_never_an_error_of_ours(chat: Chat, changes: dict[str, Any], kind: str) -> None:
    body = {"update_id": 77, kind: update()["message"] | changes}
    before = chat.world.counts()
    status = post(chat.world, body).status_code
    assert status in {200, 400, 413}
    if status != 200:
        assert chat.world.counts() == before


def test_a_sparse_update_is_no_lost_message(chat: Chat) -> None:
    person = {"id": 9, "language_code": "id"}
    message = {"message_id": 1, "chat": {"id": 9, "type": "private"}, "from": person, "text": "halo"}
    assert post(chat.world, {"update_id": 5, "message": message}).status_code == 200
    assert chat.world.transcript()[0] == ("in", "halo")


# --- what is for us, and what is not ----------------------------------------------------------------


def test_groups_bots_and_edited_messages_are_passed_over(chat: Chat) -> None:
    chat.starts()
    said = chat.says("hello")
    before = chat.world.counts()
    chat.does("group", text="hello everybody")
    chat.does("edit", message_id=said["message_id"], text="something else")
    robot = {"id": 8, "is_bot": True, "first_name": "x"}
    assert post(chat.world, update(900, person=robot)).status_code == 200
    assert post(chat.world, {"update_id": 901, "poll_answer": {"poll_id": "1", "option_ids": []}}).ok
    chat.world.run()
    assert chat.world.counts() == before
    assert chat.state()["pending"] == 0


def test_no_telephone_number_or_name_of_a_chat_is_in_clear(chat: Chat) -> None:
    chat.starts()
    chat.says("hello")
    account = str(chat.account["id"])
    (address,) = chat.world.rows(tables.AddressRow)
    assert address.kind == "telegram"
    for row in (*chat.world.rows(tables.Message), *chat.world.rows(tables.Conversation), address):
        assert account not in " ".join(str(value) for value in row if isinstance(value, str))


# --- the conversation -------------------------------------------------------------------------------


def test_start_begins_a_talk_without_lifting_or_answering_anything(chat: Chat) -> None:
    chat.starts()
    assert chat.heard()[0].startswith("Hello. Thank you for your message.")
    assert "OK. You will get messages from us again." not in chat.heard()
    assert chat.world.answers() == []


def test_buttons_answer_and_leave_the_screen(any_chat: Chat) -> None:
    chat = any_chat
    chat.starts()
    assert "English" in chat.buttons()
    tapped = chat.taps("English")
    assert chat.state()["queries"][tapped["query"]] is True
    assert chat.buttons()[:2] == ["Yes", "No"]
    older = [message for message in chat.screen() if not message["mine"]][:-1]
    assert [message["buttons"] for message in older] == [[]] * len(older)
    chat.taps("Yes")
    chat.taps("Pay")
    assert [(question, code) for question, code, _ in chat.world.answers()] == [
        ("language", "en"),
        ("safe", "yes"),
        ("what", "pay"),
    ]


def test_a_late_tap_on_an_old_button_answers_nothing_and_the_question_is_asked_again(chat: Chat) -> None:
    chat.starts()
    language = [message for message in chat.account["messages"] if not message["mine"]][-1]
    data = next(each["data"] for row in language["buttons"] for each in row if each["text"] == "English")
    assert len(data.encode()) <= 64
    chat.taps("English")
    answers = chat.world.answers()
    chat.does("tap", message_id=language["id"], data=data)
    chat.world.run()
    assert chat.world.answers() == answers
    assert chat.heard()[-2].endswith(chat.heard()[-1])


def test_a_number_a_label_a_synonym_and_a_command_answer_as_well(chat: Chat) -> None:
    chat.starts()
    chat.says("English")
    chat.says("1")
    chat.says("SALARY")
    assert [code for _, code, _ in chat.world.answers()] == ["en", "yes", "pay"]
    chat.says("/help@make_believe_bot")
    assert chat.heard()[-1].startswith("You can write these words at any time")


def test_the_telephones_language_is_used_where_words_decide_nothing(chat: Chat) -> None:
    chat.world.network.post("/sim/handsets", [{"number": WORKER, "language": "id"}])
    chat.starts()
    (conversation,) = chat.world.rows(tables.Conversation)
    assert conversation.language == "id"
    assert chat.heard()[0].startswith("Halo")


def test_words_beat_the_telephones_language(chat: Chat) -> None:
    chat.world.network.post("/sim/handsets", [{"number": WORKER, "language": "id"}])
    person = {"id": 9, "is_bot": False, "first_name": "x", "language_code": "id"}
    words = "My boss cut my pay after the auditors came to visit our factory last week"
    post(chat.world, update(text=words, person=person))
    assert chat.world.rows(tables.Conversation)[0].language == "en"


def test_a_telephone_in_english_is_asked_for_the_language(chat: Chat) -> None:
    chat.world.network.post("/sim/handsets", [{"number": WORKER, "language": "en"}])
    chat.starts()
    assert "Bahasa Indonesia" in chat.buttons()


def test_the_code_on_the_card_tells_the_audit(any_chat: Chat) -> None:
    chat = any_chat
    audit_id = audited(chat)
    chat.starts(CARD)
    chat.taps("English")
    chat.taps("Yes")
    chat.taps("Pay")
    (conversation,) = chat.world.rows(tables.Conversation)
    (case,) = chat.world.rows(tables.Case)
    assert (conversation.audit_id, case.audit_id) == (audit_id, audit_id)


def test_a_card_that_comes_in_the_middle_of_a_talk_is_taken_too(chat: Chat) -> None:
    audit_id = audited(chat)
    chat.starts()
    chat.taps("English")
    question = chat.heard()[-1]
    chat.starts(CARD)
    (conversation,) = chat.world.rows(tables.Conversation)
    assert conversation.audit_id == audit_id
    assert question.endswith(chat.heard()[-1])


@pytest.mark.parametrize("token", ["999999", "abc", "12345", "1234567", "x" * 64])
def test_a_link_with_another_token_is_only_a_beginning(chat: Chat, token: str) -> None:
    audited(chat)
    chat.starts(token)
    assert chat.world.rows(tables.Conversation)[0].audit_id is None
    assert chat.heard()


def test_pictures_and_voice_notes_are_kept_with_the_conversation(chat: Chat) -> None:
    chat.starts()
    chat.taps("English")
    chat.taps("Yes")
    chat.taps("Something else")
    chat.does("photo", caption="the notice on the wall")
    chat.world.run()
    chat.does("voice", text="they told us to sign", seconds=5)
    chat.world.run()
    kept = [body for direction, body in chat.world.transcript() if direction == "in"]
    assert any("the notice on the wall" in body and "[image/jpeg]" in body for body in kept)
    assert any("[audio/ogg]" in body for body in kept)


# --- numbers ----------------------------------------------------------------------------------------


def test_a_contact_of_ones_own_links_the_number_and_asks_again(any_chat: Chat) -> None:
    chat = any_chat
    chat.starts()
    chat.taps("English")
    question = chat.heard()[-1]
    chat.does("contact")
    chat.world.run()
    link = table(tables.ContactAddress)
    with chat.world.service.database.read() as connection:
        rows = connection.execute(select(link)).all()
    assert {row.how for row in rows} == {"self", "shared"}
    assert len({row.contact_id for row in rows}) == 1
    assert question.endswith(chat.heard()[-1])
    assert all(WORKER[1:] not in body for _, body in chat.world.transcript())
    chat.does("contact")
    chat.world.run()
    assert len(chat.world.rows(tables.ContactAddress)) == 2


@pytest.mark.parametrize("user_id", [None, 1])
def test_somebody_elses_contact_links_nothing_and_loses_nothing(chat: Chat, user_id: int | None) -> None:
    chat.starts()
    fields: dict[str, Any] = {"own": False, "number": "+6281200000099"}
    chat.does("contact", **fields, **({"user_id": user_id} if user_id else {}))
    chat.world.run()
    assert chat.world.rows(tables.ContactAddress) == []
    assert [row.kind for row in chat.world.rows(tables.AddressRow)] == ["telegram"]
    assert ("in", "x 6281200000099") in chat.world.transcript()


def test_a_stop_covers_the_number_that_was_handed_over(chat: Chat) -> None:
    chat.starts()
    chat.does("contact")
    chat.world.run()
    chat.says("STOP")
    assert len(chat.stops()) == 2


def _asks_for_a_call(chat: Chat) -> None:
    chat.taps("English")
    chat.taps("Yes")
    chat.says("LATER")
    chat.taps("In the evening")


def test_a_callback_without_a_number_comes_in_the_same_chat(chat: Chat) -> None:
    chat.starts()
    _asks_for_a_call(chat)
    callback = chat.world.rows(tables.Callback)[0]
    address = {row.id: row.kind for row in chat.world.rows(tables.AddressRow)}
    assert (callback.channel, address[callback.address_id]) == ("telegram", "telegram")


def test_a_callback_in_the_same_chat_opens_at_her_time_and_tells_nothing_before_it_is_safe(
    any_chat: Chat,
) -> None:
    chat = any_chat
    chat.starts()
    _asks_for_a_call(chat)
    before = len(chat.heard())
    chat.world.at("2026-03-02T17:59:00+00:00")
    chat.world.run()
    assert len(chat.heard()) == before
    chat.world.at("2026-03-02T18:01:00+00:00")
    chat.world.run()
    (opening,) = chat.heard()[before:]
    assert chat.buttons()[0] == "Yes"
    assert not any(word in opening.lower() for word in ("factory", "audit", "complain", "work", "pay"))
    (attempt,) = chat.world.rows(tables.Attempt)
    assert (attempt.channel, attempt.state) == ("telegram", "answered")


def test_a_callback_to_a_number_that_was_handed_over_is_a_call_at_her_time(chat: Chat) -> None:
    chat.starts()
    chat.does("contact")
    chat.world.run()
    _asks_for_a_call(chat)
    assert not chat.world.rows(tables.Callback), "nobody could prove who picks up"
    chat.says("4711")
    callback = chat.world.rows(tables.Callback)[0]
    address = {row.id: row.kind for row in chat.world.rows(tables.AddressRow)}
    assert (callback.channel, address[callback.address_id]) == ("voice", "phone")
    assert (callback.timezone, callback.country) == ("Asia/Jakarta", "ID")


def test_a_callback_without_a_number_keeps_the_time_of_the_audited_place(chat: Chat) -> None:
    audited(chat)
    with chat.world.service.database.write() as connection:
        connection.execute(table(tables.Factory).update().values(country="VN"))
    chat.starts(CARD)
    _asks_for_a_call(chat)
    callback = chat.world.rows(tables.Callback)[-1]
    assert (callback.kind, callback.timezone, callback.country) == ("requested", "Asia/Ho_Chi_Minh", "VN")


# --- stop, block, hide ------------------------------------------------------------------------------


def test_blocking_the_bot_is_a_stop_that_unblocking_does_not_take_back(any_chat: Chat) -> None:
    chat = any_chat
    chat.starts()
    chat.taps("English")
    chat.does("block")
    assert chat.stops() == ["provider"]
    chat.does("unblock")
    heard = chat.heard()
    chat.says("is anybody there? I have a question about my pay")
    assert chat.stops() == ["provider"]
    assert chat.heard() == heard
    assert any("question about my pay" in body for _, body in chat.world.transcript())


@pytest.mark.parametrize("word", ["START", "/start"])
def test_only_the_workers_own_start_takes_a_stop_back(chat: Chat, word: str) -> None:
    chat.starts()
    chat.says("STOP")
    assert chat.stops() == ["worker"]
    assert chat.heard()[-1] == "OK. You will get no more messages or calls from us."
    if word == "START":
        chat.says(word)
    else:
        chat.starts()
    assert chat.stops() == []
    assert any(text.startswith("OK. You will get messages from us again.") for text in chat.heard())


def test_start_after_a_block_takes_it_back(chat: Chat) -> None:
    chat.starts()
    chat.does("block")
    chat.starts()
    assert chat.stops() == []


def test_the_quick_exit_takes_our_messages_off_the_screen(any_chat: Chat) -> None:
    chat = any_chat
    chat.starts()
    chat.taps("English")
    chat.taps("Yes")
    assert len(chat.heard()) >= 3
    chat.says("hide")
    assert chat.heard() == ["OK."]
    assert len([direction for direction, _ in chat.world.transcript() if direction == "out"]) >= 4
    assert {row.state for row in chat.world.rows(tables.Outbox)} == {"sent"}


def test_what_is_still_to_be_sent_at_the_quick_exit_is_never_sent(chat: Chat) -> None:
    chat.starts()
    chat.taps("English")
    chat.does("tap", label="Yes")  # its answer is stored, and nothing was sent yet
    chat.does("text", text="HIDE")
    chat.world.run()
    assert chat.heard() == ["OK."]
    assert "cancelled" in {row.state for row in chat.world.rows(tables.Outbox)}


def test_what_is_too_old_to_be_taken_back_does_not_stop_the_rest(chat: Chat) -> None:
    chat.starts()
    chat.world.network.post("/sim/telegram/age", {"hours": 49})
    chat.taps("English")
    old = chat.heard()[0]
    chat.says("hide")
    assert chat.heard() == [old, "OK."]


def test_the_quick_exit_is_tried_again_when_telegram_is_away(chat: Chat) -> None:
    chat.starts()
    chat.order(code=500, method="deleteMessage", times=1)
    chat.says("hide")
    chat.world.rest()
    assert chat.heard() == ["OK."]


# --- with a person ----------------------------------------------------------------------------------


def _with_a_person(chat: Chat) -> None:
    chat.starts()
    chat.taps("English")
    chat.taps("Yes")
    chat.says("PERSON")
    (conversation,) = chat.world.rows(tables.Conversation)
    assert conversation.state == "human"


def test_the_quick_exit_works_in_a_talk_with_a_person(chat: Chat) -> None:
    _with_a_person(chat)
    chat.says("they are coming")
    chat.says("hide")
    assert chat.heard() == ["OK."]


def test_a_number_handed_over_to_a_person_is_kept(chat: Chat) -> None:
    audit_id = audited(chat)
    _with_a_person(chat)
    chat.does("contact")
    chat.starts(CARD)
    assert {row.how for row in chat.world.rows(tables.ContactAddress)} >= {"self", "shared"}
    assert chat.world.rows(tables.Conversation)[-1].audit_id == audit_id


def test_start_takes_a_block_back_in_a_talk_with_a_person(chat: Chat) -> None:
    _with_a_person(chat)
    chat.does("block")
    assert chat.stops() == ["provider"]
    chat.starts()
    assert chat.stops() == []
    assert chat.heard()[-1] == "OK. You will get messages from us again."


# --- errors of the Bot API --------------------------------------------------------------------------


def test_a_flood_is_waited_for_as_long_as_telegram_says(chat: Chat) -> None:
    chat.order(code=429, retry_after=40)
    chat.does("start")
    chat.world.beat()
    (letter,) = chat.world.rows(tables.Outbox)
    assert letter.state == "queued"
    assert (letter.due_at - chat.world.clock.now()).total_seconds() >= 40
    chat.world.pass_time(letter.due_at - chat.world.clock.now())
    chat.world.run()
    assert len(chat.heard()) == 1


def test_a_worker_who_blocked_us_is_not_written_to_again(chat: Chat) -> None:
    chat.starts()
    chat.order(code=403)
    chat.says("hello")
    assert chat.stops() == ["provider"]


@pytest.mark.parametrize(
    ("code", "description", "incident"),
    [
        (400, "Bad Request: chat not found", ("delivery", "telegram chat_not_found")),
        (400, "Bad Request: message is too long", ("delivery", "telegram bad_request")),
        (403, "Forbidden: user is deactivated", ("delivery", "telegram deactivated")),
        (401, "Unauthorized", ("provider", "telegram token")),
    ],
)
def test_a_permanent_error_is_told_to_the_operator(
    chat: Chat, code: int, description: str, incident: tuple[str, str]
) -> None:
    chat.order(code=code, description=description)
    chat.does("start")
    chat.world.run()
    assert chat.world.incidents() == {incident}
    assert [row.state for row in chat.world.rows(tables.Outbox)] == ["failed"]
    assert chat.stops() == []


def test_a_lost_answer_leads_to_one_more_message_at_most(chat: Chat) -> None:
    chat.order(code=502, after=True, times=99)
    chat.does("start")
    chat.world.rest()
    assert len(chat.heard()) == 2
    assert chat.world.incidents() == {("delivery", "telegram lost_sight")}


def test_telegram_away_is_tried_again_and_nothing_is_lost(chat: Chat) -> None:
    chat.order(code=502, times=1)
    chat.does("start")
    chat.world.rest()
    assert len(chat.heard()) == 1
    assert chat.world.incidents() == set()


def _caused(error: NetworkError, cause: Exception) -> NetworkError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "outcome", "code", "action"),
    [
        (RetryAfter(7), SendOutcome.RETRYABLE, "flood", ""),
        (Forbidden("Forbidden: bot was blocked by the user"), SendOutcome.PERMANENT, "forbidden", "blocked"),
        (
            Forbidden("Forbidden: bot can't initiate conversation with a user"),
            *(SendOutcome.PERMANENT, "not_started", "bad_number"),
        ),
        (InvalidToken(), SendOutcome.PERMANENT, "token", "operator"),
        (BadRequest("Bad Request: chat not found"), SendOutcome.PERMANENT, "chat_not_found", "bad_number"),
        (BadRequest("Bad Request: BUTTON_DATA_INVALID"), SendOutcome.PERMANENT, "bad_request", ""),
        (ChatMigrated(-5), SendOutcome.PERMANENT, "chat_migrated", "bad_number"),
        (TimedOut(), SendOutcome.AMBIGUOUS, "timed_out", ""),
        (_caused(TimedOut(), httpx.ConnectTimeout("")), SendOutcome.RETRYABLE, "unreachable", ""),
        (_caused(TimedOut(), httpx.PoolTimeout("")), SendOutcome.RETRYABLE, "unreachable", ""),
        (_caused(NetworkError("x"), httpx.ConnectError("")), SendOutcome.RETRYABLE, "unreachable", ""),
        (_caused(NetworkError("x"), httpx.ReadError("")), SendOutcome.AMBIGUOUS, "network", ""),
        (NetworkError("Bad Gateway"), SendOutcome.AMBIGUOUS, "network", ""),
        (NetworkError("Too Many Requests"), SendOutcome.RETRYABLE, "flood", ""),
        (Conflict("x"), SendOutcome.AMBIGUOUS, "unreadable", ""),
        (TelegramError("Invalid server response"), SendOutcome.AMBIGUOUS, "unreadable", ""),
    ],
)
def test_each_error_of_the_library_has_its_meaning(
    error: Exception, outcome: SendOutcome, code: str, action: str
) -> None:
    found = failure(error)
    assert (found.outcome, found.code, found.action) == (outcome, code, action)
    assert len(found.code) <= 16


def test_retry_after_is_understood_in_seconds_and_as_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(RetryAfter(7)).wait == 7
    monkeypatch.setenv("PTB_TIMEDELTA", "0")
    with pytest.warns(PTBDeprecationWarning):
        assert failure(RetryAfter(7)).wait == 7


# --- how it looks -----------------------------------------------------------------------------------


def _door(chat: Chat) -> Telegram:
    return Telegram(chat.world.service.settings)


def test_long_texts_are_cut_and_the_buttons_stand_under_the_last(chat: Chat) -> None:
    options = (Option("yes", "Yes", "1"), Option("no", "No", "2"))
    prompt = Prompt(("က" * 9000, "?"), "my", Expects.YES_NO, options)
    parts = _door(chat).render(prompt, Place("", 0, ended=False))
    assert "".join(part.text.replace("\n", "") for part in parts) == "က" * 9000 + "?"
    assert all(1 <= len(part.text) <= 4096 for part in parts)
    assert [part.options for part in parts] == [(), (), options]


def test_labels_too_long_for_a_button_are_written_out_as_well(chat: Chat) -> None:
    long = "Something that takes more room than the screen of a small telephone has"
    prompt = Prompt(("What?",), "en", Expects.CHOICE, (Option("a", long, "1"), Option("b", "B", "2")))
    (part,) = _door(chat).render(prompt, Place("", 0, ended=False))
    assert part.text.splitlines() == ["What?", f"1 {long}", "2 B"]
    assert part.options == prompt.options


def test_codes_too_long_for_a_button_become_a_numbered_list(chat: Chat) -> None:
    prompt = Prompt(("What?",), "en", Expects.CHOICE, (Option("a" * 60, "A", "1"),))
    (part,) = _door(chat).render(prompt, Place("", 0, ended=False))
    assert (part.text, part.options) == ("What?\n1 A", ())


def test_emoji_and_scripts_without_spaces_come_through(chat: Chat) -> None:
    chat.starts()
    words = "မန်နေဂျာက လုပ်ခဖြတ်တယ် 😡👷🏽‍♀️ ကူညီပါ"
    chat.says(words)
    assert ("in", words) in chat.world.transcript()


# --- the bot itself ---------------------------------------------------------------------------------


def _telegram_findings(chat: Chat, **changes: Any) -> list[tuple[str, str]]:
    fix = changes.pop("fix", False)
    settings = chat.world.service.settings.model_copy(update=changes)
    return [
        (finding.level, finding.message)
        for finding in doctor.examine(settings, fix)
        if finding.subject == "Telegram"
    ]


def test_doctor_finds_and_mends_a_webhook(chat: Chat) -> None:
    door = _door(chat)
    door.set_webhook("https://example.org/elsewhere")
    found = _telegram_findings(chat)
    assert any(level == "warning" and "doctor --fix" in message for level, message in found)
    assert ("ok", "the webhook is right") in _telegram_findings(chat, fix=True)
    hook = chat.state()["webhook"]
    assert hook["url"] == chat.world.url + PATH
    assert hook["has_secret"]
    assert set(hook["allowed_updates"]) == {"message", "edited_message", "callback_query", "my_chat_member"}


def test_doctor_tells_a_wrong_token_and_a_telegram_that_is_away(chat: Chat) -> None:
    wrong = _telegram_findings(chat, telegram_bot_token=SecretStr("4242424242:another-token-altogether"))
    assert wrong == [("error", "refuses the token; copy it from @BotFather")]
    away = _telegram_findings(chat, telegram_api_base="http://127.0.0.1:9")
    assert away == [("error", "cannot be asked, or refuses the webhook (code unreachable)")]
    off = _telegram_findings(chat, telegram_bot_token=SecretStr(""))
    assert off == [("off", "TELEGRAM_BOT_TOKEN is not set")]


def test_updates_that_came_while_we_were_away_come_when_the_webhook_is_set(chat: Chat) -> None:
    door = _door(chat)
    door.set_webhook("")
    chat.does("start")
    chat.does("text", text="I wrote while you were away")
    assert chat.state()["pending"] == 2
    door.set_webhook(chat.world.url + PATH)
    chat.world.network.idle()
    assert ("in", "I wrote while you were away") in chat.world.transcript()


def test_the_token_is_in_no_log_line_and_no_error(
    chat: Chat, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "telegram"):
        assert logging.getLogger(name).level == logging.WARNING
    chat.starts()
    chat.order(code=500, times=2)
    chat.says("hello")
    away = chat.world.service.settings.model_copy(update={"telegram_api_base": "http://127.0.0.1:9"})
    doctor.examine(away)
    written = "\n".join(record.getMessage() for record in caplog.records) + "".join(capsys.readouterr())
    assert "make-believe-bot-token" not in written
    assert SECRET not in written
    assert str(chat.account["id"]) not in written


def test_the_library_does_log_the_token_if_it_may(chat: Chat, caplog: pytest.LogCaptureFixture) -> None:
    """So that the test above looks for something that could be there."""
    caplog.set_level(logging.INFO, logger="httpx")
    chat.order(code=500)
    _door(chat).account()
    assert any(BOT_TOKEN in record.getMessage() for record in caplog.records)
    logging.getLogger("httpx").setLevel(logging.WARNING)


# --- reading, without a world -----------------------------------------------------------------------


def _received(chat: Chat, body: dict[str, Any]) -> list[Inbound]:
    headers = Headers({SECRET_HEADER: SECRET})
    return _door(chat).receive(
        Request(EnvironBuilder(method="POST", json=body, headers=headers).get_environ())
    )


def test_kinds_of_messages_become_inputs(chat: Chat) -> None:
    def one(**message: Any) -> Inbound:
        body = update(**message)
        if "text" not in message:
            del body["message"]["text"]
        (found,) = _received(chat, body)
        return found

    file = {"file_id": "F" * 80, "file_unique_id": "u"}
    assert one(text="words").input == Text("words")
    assert one(text="/hide").input == Text("hide")
    assert one(text="/start 481516").signal is Signal.OPENED
    assert one(text="/start 481516").card == CARD
    voice = one(voice=file | {"duration": 3}).input
    assert isinstance(voice, Media)
    assert (voice.items[0].ref, voice.items[0].content_type) == ("F" * 80, "audio/ogg")
    document = one(document=file | {"mime_type": "application/pdf"}, caption="the letter").input
    assert isinstance(document, Media)
    assert (document.items[0].content_type, document.caption) == ("application/pdf", "the letter")
    assert one(location={"latitude": -6.2, "longitude": 106.8}).input == Text("-6.2, 106.8")
    assert one(dice={"emoji": "🎲", "value": 3}).input == Text("")
    query = {"id": "1", "from": update()["message"]["from"], "data": "yes:0123456789abcdef"}
    (tap,) = _received(chat, {"update_id": 3, "callback_query": query})
    assert tap.input == Button("yes", "0123456789abcdef")
    assert "9" not in repr(tap.sender)


def test_a_voice_note_is_brought_home_by_its_reference(chat: Chat) -> None:
    chat.starts()
    chat.does("voice", seconds=2)
    chat.world.run()
    (kept,) = chat.world.rows(tables.Attachment)
    audio = chat.world.service.sealer.open_bytes(f"attachment.content_sealed:{kept.id}", kept.content_sealed)
    assert (kept.content_type, audio[:4]) == ("audio/ogg", b"OggS")
    assert {each.state for each in chat.world.rows(tables.Media)} == {"kept"}


def test_two_workers_are_two_conversations(chat: Chat) -> None:
    other = Chat(chat.world, "+6281200000002")
    chat.starts()
    other.starts()
    chat.says("STOP")
    assert len(chat.world.rows(tables.Conversation)) == 2
    other.says("English")
    assert len(other.heard()) == 2


def test_an_engine_that_fails_keeps_what_came_along(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    audit_id = audited(chat)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "start", _fails)
        chat.does("start", token=CARD)
    assert chat.world.rows(tables.Conversation) == []
    chat.world.pass_time(timedelta(minutes=2))
    chat.world.run()
    assert chat.world.rows(tables.Conversation)[0].audit_id == audit_id
    assert chat.heard()


def _fails(*_: object, **__: object) -> None:
    raise RuntimeError("the engine is broken")


def test_a_stopped_number_that_is_handed_over_is_not_called(chat: Chat) -> None:
    service = chat.world.service
    stop = table(tables.Stop)
    with service.database.write() as connection:
        connection.execute(
            insert(stop).values(
                index=service.sealer.stop_index(chat.world.phone(WORKER)),
                reason="worker",
                created_at=chat.world.clock.now(),
            )
        )
    chat.starts()
    chat.does("contact")
    chat.world.run()
    _asks_for_a_call(chat)
    assert chat.world.rows(tables.Callback)[0].channel == "telegram"
