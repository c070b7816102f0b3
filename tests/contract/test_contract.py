"""Every channel in writing keeps the same promises: one table of channels, one harness."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.messages import Channel
from bot.storage import tables
from channels.base import MAX_BODY_BYTES, registry
from tests.contract import sms, voice
from tests.contract.row import Failure, Row
from tests.contract.table import ROWS, STORY, WRITTEN
from tests.journeys.world import World

SCRIPTS = {
    "Burmese": "ဇန်နဝါရီလကတည်းက လုပ်ခမရပါဘူး",
    "Thai": "ไม่ได้รับเงินเดือนตั้งแต่เดือนมกราคม",
    "Chinese": "从一月开始就没有发工资了",
    "Urdu": "جنوری سے تنخواہ نہیں ملی",
    "emoji": "😡👨‍👩‍👧 they do not pay 💸",
}
in_writing = pytest.mark.parametrize("row", WRITTEN, ids=str, indirect=True)
"""For what the telephone does not have."""
PLAY = ("1", "1", "my friends too", "skip", "2", "skip", "3", "2", "1", "2")
"""Answers to the hotline's questions by number and in words, more than there are questions."""


def say(world: World, row: Row, words: str, number: int) -> None:
    """A worker writes, and what follows is done."""
    answer = row.text(world, words, number).post(world)
    assert answer.ok, answer.status_code
    world.run()


def heard(world: World) -> list[str]:
    """The words that came in, in order."""
    return [words for direction, words in world.transcript() if direction == "in"]


# --- in -------------------------------------------------------------------------------------------


@in_writing
@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_written_is_kept_letter_by_letter(world: World, row: Row, script: str) -> None:
    say(world, row, SCRIPTS[script], 1)
    assert heard(world) == [SCRIPTS[script]]
    assert row.sent(world)


@in_writing
def test_a_long_text_is_kept_whole(world: World, row: Row) -> None:
    long = (STORY + ". ") * 18
    say(world, row, long.strip(), 1)
    assert heard(world) == [long.strip()]


@in_writing
def test_a_voice_note_is_kept_with_its_words(world: World, row: Row) -> None:
    assert row.media(world, 1).post(world).ok
    world.run()
    (kept,) = heard(world)
    assert "listen please" in kept
    assert "audio/ogg" in kept


def test_a_message_told_twice_is_taken_once(world: World, row: Row) -> None:
    say(world, row, STORY, 1)
    before = world.counts()
    assert row.text(world, STORY, 1).post(world).ok
    assert world.counts() == before


def test_a_message_told_again_a_day_later_is_taken_once(world: World, row: Row) -> None:
    true = row.text(world, STORY, 1)
    assert true.post(world).ok
    world.run()
    world.pass_time(timedelta(days=1))
    world.run()
    before = world.counts()
    assert true.post(world).ok
    assert world.counts() == before


@in_writing
def test_messages_that_overtake_one_another_are_all_kept(world: World, row: Row) -> None:
    sendings = [row.text(world, f"{STORY}, part {n}", n) for n in (1, 2, 3)]
    for sending in reversed(sendings):
        assert sending.post(world).ok
    world.run()
    assert sorted(heard(world)) == [f"{STORY}, part {n}" for n in (1, 2, 3)]


@in_writing
def test_reports_that_overtake_one_another_never_take_a_message_back(world: World, row: Row) -> None:
    if row.report is None:
        return
    assert row.text(world, STORY, 1).post(world).ok
    world.run()
    message = next(each for each in world.rows(tables.Message) if each.direction == "out")
    for status in ("delivered", "sent", "queued", "failed", "delivered"):
        assert row.report(world, message.id, message.provider_id or "", status).post(world).ok
    (after,) = [each for each in world.rows(tables.Message) if each.id == message.id]
    assert after.status == "delivered"
    assert world.incidents() == set()


def test_a_forged_or_unsigned_message_is_refused_and_writes_nothing(world: World, row: Row) -> None:
    before = world.counts()
    true = row.text(world, STORY, 1)
    assert row.forged(true).post(world).status_code == 403
    assert row.unsigned(true).post(world).status_code == 403
    assert world.counts() == before


def test_an_oversized_message_is_refused_and_writes_nothing(world: World, row: Row) -> None:
    assert row.channel in (*registry(world.service.settings), Channel.VOICE)
    before = world.counts()
    answer = row.raw(world, b"Body=" + b"x" * (100 * MAX_BODY_BYTES)).post(world)
    assert answer.status_code == 413
    assert world.counts() == before


_BODIES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    st.dictionaries(
        st.sampled_from(["MessageSid", "From", "To", "Body", "update_id", "message"]), st.text()
    ).map(
        lambda form: "&".join(f"{name}={value}" for name, value in form.items()).encode("utf-8", "replace")
    ),
)


def test_a_malformed_message_is_refused_and_writes_nothing(world: World, row: Row) -> None:
    before = world.counts()

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(body=_BODIES)
    def is_refused(body: bytes) -> None:
        assert 400 <= row.raw(world, body).post(world).status_code < 500

    is_refused()
    assert world.counts() == before


@in_writing
def test_a_forged_report_changes_nothing(world: World, row: Row) -> None:
    if row.status_path is None:
        return
    say(world, row, STORY, 1)
    message = next(each for each in world.rows(tables.Message) if each.direction == "out")
    sending = row.text(world, STORY, 2)
    path = f"{row.status_path}?m={message.id}"
    forged = row.forged(type(sending)(path, b"MessageStatus=failed&ErrorCode=30005", sending.headers))
    assert forged.post(world).status_code == 403
    assert world.incidents() == set()


# --- a whole talk -----------------------------------------------------------------------------------


def told(world: World, channel: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The answers given on a channel, and the case that came of it."""
    talks = {each.id for each in world.rows(tables.Conversation) if each.channel == channel}
    opened = world.service.sealer.open_text
    answers = [
        (
            each.question,
            each.code,
            opened(f"answer.text_sealed:{each.id}", each.text_sealed) if each.text_sealed else None,
        )
        for each in world.rows(tables.Answer)
        if each.conversation_id in talks
    ]
    cases = [
        (each.category, each.severity, each.state, each.language)
        for each in world.rows(tables.Case)
        if each.conversation_id in talks
    ]
    return answers, cases


@in_writing
def test_the_same_talk_gives_the_same_answers_and_the_same_case_as_by_sms(world: World, row: Row) -> None:
    for n, words in enumerate((STORY, *PLAY)):
        say(world, sms.ROW, words, 100 + n)
    for n, words in enumerate((STORY, *PLAY)):
        say(world, row, words, 200 + n) if row is not sms.ROW else None
    answers, cases = told(world, row.channel)
    assert (answers, cases) == told(world, "sms")
    assert len(answers) > 5
    assert cases


def test_the_same_talk_by_telephone_gives_the_same_answers_and_the_same_case(sqlite_world: World) -> None:
    for n, words in enumerate((STORY, *PLAY)):
        say(sqlite_world, sms.ROW, words, 100 + n)
    gate = ("2", "1")  # English, which stands second for a caller from Indonesia; it is safe
    consents = ("1", "1")  # to record; to write it down
    told = ("1", STORY, "2", "2", "3", "2", "1", "2")
    voice.call(sqlite_world, *gate, *consents, *told)
    answers, cases = told_in_codes(sqlite_world, "voice")
    by_text, text_cases = told_in_codes(sqlite_world, "sms")
    asked_of_both = answers.keys() & by_text.keys()
    assert {each: answers[each] for each in asked_of_both} == {each: by_text[each] for each in asked_of_both}
    assert {"what", "danger", "told_hr", "want", "share_client", "share_employer"} <= asked_of_both
    assert cases == text_cases


def told_in_codes(world: World, channel: str) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """The same without the words: speech has none."""
    answers, cases = told(world, channel)
    return {question: code for question, code, _ in answers}, cases


@in_writing
def test_a_talk_by_tapping_gives_the_same_as_by_numbers(world: World, row: Row) -> None:
    if row.tap is None:
        return
    for n, words in enumerate((STORY, *PLAY[:2])):
        say(world, sms.ROW, words, 100 + n)
    say(world, row, STORY, 200)
    for words in PLAY[:2]:
        row.tap(world, int(words) - 1)
        world.run()
    assert told(world, row.channel) == told(world, "sms")


@in_writing
def test_the_word_stop_ends_it_and_nothing_but_a_confirmation_follows(world: World, row: Row) -> None:
    say(world, row, STORY, 1)
    say(world, row, "stop", 2)
    shown = len(row.sent(world))
    say(world, row, "and another thing that I want to say", 3)
    assert len(row.sent(world)) == shown
    assert len(world.rows(tables.Stop)) >= 1


# --- out --------------------------------------------------------------------------------------------


FAILURES = [
    pytest.param(row, failure, id=f"{row}-{failure.code}-{'at once' if failure.at_once else 'later'}")
    for row in ROWS
    for failure in row.failures
]


@pytest.mark.parametrize(("row", "failure"), FAILURES, indirect=["row"])
def test_an_error_of_the_provider_has_its_documented_outcome(
    world: World, row: Row, failure: Failure
) -> None:
    row.fail(world, failure)
    answer = row.text(world, STORY, 1).post(world)
    assert answer.ok
    world.beat()
    world.network.idle()
    first = world.rows(tables.Outbox)[0]
    assert first.state == failure.state
    assert {kind for kind, _ in world.incidents()} == ({failure.incident} if failure.incident else set())
    assert bool(world.rows(tables.Stop)) is failure.stopped
